package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/webhook"
)

// WebhookOperations are those of the API on webhooks. All must be set if any is; the server
// sends nothing to webhooks if none is.
type WebhookOperations struct {
	List       func(context.Context) ([]webhook.View, error)
	Deliveries func(ctx context.Context, name string, limit int) ([]webhook.Delivery, error)
	// Add adds a webhook of which the name, the URL, the events and the variable of its
	// secret are set.
	Add    func(context.Context, *webhook.Hook) error
	Remove func(ctx context.Context, name string) error
	// Test sends a test once.
	Test func(ctx context.Context, name string) (*webhook.TestResult, error)
	// Retry makes what was given up or waits due now.
	Retry func(ctx context.Context, name string) error
}

// addWebhooks adds the pages of webhooks.
func (p *Pages) addWebhooks() {
	p.page("GET /webhooks", p.webhooks)
	p.page("GET /webhooks/{webhook}", func(r *http.Request) (*view, error) { return p.webhook(r, nil) })
	p.action("POST /webhooks", p.addWebhook)
	p.form("POST /webhooks/{webhook}/test", func(r *http.Request) (*view, error) {
		result, err := p.opts.Webhooks.Test(r.Context(), r.PathValue("webhook"))
		if err != nil {
			return nil, err
		}
		return p.webhook(r, result)
	})
	p.action("POST /webhooks/{webhook}/retry", func(r *http.Request) (string, error) {
		name := r.PathValue("webhook")
		return webhookPath(name), p.opts.Webhooks.Retry(r.Context(), name)
	})
	p.action("POST /webhooks/{webhook}/remove", func(r *http.Request) (string, error) {
		return "/webhooks", p.opts.Webhooks.Remove(r.Context(), r.PathValue("webhook"))
	})
}

// webhookPath returns the address of the page of a webhook.
func webhookPath(name string) string { return "/webhooks/" + url.PathEscape(name) }

// webhooksData are the webhooks of the data folder.
type webhooksData struct {
	Webhooks []webhookRow
	Changes  bool // the reader may add webhooks
	Events   []webhook.Type
}

// webhookRow is a webhook with how it fares.
type webhookRow struct {
	webhook.View
	State webhookState
}

// webhookState is how sending to a webhook fares, and the class that it is drawn with.
type webhookState struct{ Class, Text string }

// stateOfWebhook returns how a webhook fares: what keeps events from being sent goes before
// how the last attempt went.
func stateOfWebhook(w *webhook.View) webhookState {
	switch {
	case w.Disabled != "":
		return webhookState{"failed", "disabled"}
	case w.Problem != "":
		return webhookState{"failed", "cannot send"}
	case w.Last == nil:
		return webhookState{"pending", "nothing sent yet"}
	case w.Last.State != webhook.Delivered:
		return webhookState{"interrupted", "failing"}
	default:
		return webhookState{"completed", "good"}
	}
}

// stateOfDelivery returns how a delivery fares.
func stateOfDelivery(d *webhook.Delivery) webhookState {
	switch {
	case d.State == webhook.Delivered:
		return webhookState{"completed", "delivered"}
	case d.State == webhook.Failed:
		return webhookState{"failed", "given up"}
	case d.Attempts > 0:
		return webhookState{"interrupted", "retrying"}
	default:
		return webhookState{"pending", "waits"}
	}
}

func (p *Pages) webhooks(r *http.Request) (*view, error) {
	list, err := p.opts.Webhooks.List(r.Context())
	if err != nil {
		return nil, err
	}
	data := &webhooksData{Changes: allows(r, keys.RoleOwner), Events: webhook.Types}
	for i := range list {
		data.Webhooks = append(data.Webhooks, webhookRow{list[i], stateOfWebhook(&list[i])})
	}
	return &view{Page: "webhooks", Title: "Webhooks", Nav: "webhooks", Fragments: []string{"webhooks-list"}, Data: data}, nil
}

// deliveriesShown is how many deliveries are listed.
const deliveriesShown = 50

// webhookData is a webhook with what was sent to it.
type webhookData struct {
	webhookRow
	Deliveries []deliveryRow
	More       bool                // there are more deliveries
	Test       *webhook.TestResult // nil if none was sent
	Changes    bool                // the reader may remove the webhook
}

// deliveryRow is a delivery with how it fares.
type deliveryRow struct {
	webhook.Delivery
	Fares webhookState
	Run   string // that it is about; empty for none
}

// webhook returns the page of a webhook, with what came of a test, which may be nil. A page
// with a test is the answer to a form and does not change.
func (p *Pages) webhook(r *http.Request, test *webhook.TestResult) (*view, error) {
	name := r.PathValue("webhook")
	list, err := p.opts.Webhooks.List(r.Context())
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(v webhook.View) bool { return v.Name == name })
	if i < 0 {
		return nil, fault.New(fault.KindNotFound, fmt.Sprintf("there is no webhook %q", name))
	}
	data := &webhookData{webhookRow: webhookRow{list[i], stateOfWebhook(&list[i])}, Test: test, Changes: allows(r, keys.RoleOwner)}
	deliveries, err := p.opts.Webhooks.Deliveries(r.Context(), name, deliveriesShown+1)
	if err != nil {
		return nil, err
	}
	if len(deliveries) > deliveriesShown {
		deliveries, data.More = deliveries[:deliveriesShown], true
	}
	for i := range deliveries {
		row := deliveryRow{Delivery: deliveries[i], Fares: stateOfDelivery(&deliveries[i])}
		if row.Type == webhook.RunFinished || row.Type == webhook.ApprovalWanted {
			row.Run, _, _ = strings.Cut(row.Subject, " ")
		}
		data.Deliveries = append(data.Deliveries, row)
	}
	v := &view{Page: "webhook", Title: name, Nav: "webhooks", Data: data}
	if test == nil {
		v.Fragments = []string{"webhook-state", "webhook-facts", "webhook-deliveries"}
	}
	return v, nil
}

func (p *Pages) addWebhook(r *http.Request) (string, error) {
	field := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	h := &webhook.Hook{Name: field("name"), URL: field("url"), SecretEnv: field("secret_env")}
	for _, event := range r.PostForm["event"] {
		h.Events = append(h.Events, webhook.Type(event))
	}
	if len(h.Events) == 0 {
		return "", fault.Input(errors.New("choose one event at least"))
	}
	return webhookPath(h.Name), p.opts.Webhooks.Add(r.Context(), h)
}
