package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/webhook"
)

// addWebhooks adds the operations on webhooks. Where events are sent is for the owner of the
// data folder to say, and for no other key.
func (s *Server) addWebhooks(api huma.API) {
	add(s, api, &huma.Operation{
		OperationID: "list-webhooks", Method: http.MethodGet, Path: "/api/v1/webhooks", Tags: []string{"webhooks"},
		Summary: "List the webhooks of the data folder, with what is to be sent and the last delivery",
	}, s.listWebhooks)
	add(s, api, &huma.Operation{
		OperationID: "add-webhook", Method: http.MethodPost, Path: "/api/v1/webhooks", Tags: []string{"webhooks"},
		Summary: "Send events to an address from now on; for the owner", DefaultStatus: http.StatusCreated, Errors: []int{http.StatusConflict, http.StatusUnprocessableEntity},
	}, s.addWebhook)
	add(s, api, &huma.Operation{
		OperationID: "remove-webhook", Method: http.MethodDelete, Path: "/api/v1/webhooks/{webhook}", Tags: []string{"webhooks"},
		Summary: "Remove a webhook with all that is to be sent to it; for the owner", Errors: []int{http.StatusNotFound},
	}, s.removeWebhook)
	add(s, api, &huma.Operation{
		OperationID: "list-deliveries", Method: http.MethodGet, Path: "/api/v1/webhooks/{webhook}/deliveries", Tags: []string{"webhooks"},
		Summary: "List the latest deliveries to a webhook", Errors: []int{http.StatusNotFound},
	}, s.listDeliveries)
	add(s, api, &huma.Operation{
		OperationID: "test-webhook", Method: http.MethodPost, Path: "/api/v1/webhooks/{webhook}/test", Tags: []string{"webhooks"},
		Summary: "Send a test to a webhook once, and say what was answered", Errors: []int{http.StatusNotFound, http.StatusUnprocessableEntity},
	}, s.testWebhook)
	add(s, api, &huma.Operation{
		OperationID: "retry-webhook", Method: http.MethodPost, Path: "/api/v1/webhooks/{webhook}/retry", Tags: []string{"webhooks"},
		Summary: "Send again what was given up or waits, and enable the webhook if it is disabled", Errors: []int{http.StatusNotFound},
	}, s.retryWebhook)
}

type webhookName struct {
	Name string `path:"webhook" doc:"name of a webhook"`
}

type listWebhooksOutput struct {
	Body struct {
		Webhooks []webhook.View `json:"webhooks"`
	}
}

func (s *Server) listWebhooks(ctx context.Context, _ *struct{}) (*listWebhooksOutput, error) {
	out := &listWebhooksOutput{}
	var err error
	out.Body.Webhooks, err = webhook.Views(ctx, s.opts.Webhooks, os.Getenv)
	return out, err
}

// AddWebhook is a webhook to add.
type AddWebhook struct {
	Name      string         `json:"name" maxLength:"63" example:"ops"`
	URL       string         `json:"url" maxLength:"2000" doc:"https, or http to the server's own machine" example:"https://hooks.example.com/claude-force"`
	SecretEnv string         `json:"secret_env" maxLength:"128" doc:"variable of the server's environment that has the secret, which is never written down" example:"OPS_WEBHOOK_SECRET"`
	Events    []webhook.Type `json:"events,omitempty" maxItems:"16" doc:"run.finished, approval.wanted and budget.reached; all if none is given"`
}

func (s *Server) addWebhook(ctx context.Context, in *struct{ Body AddWebhook }) (*struct{ Body webhook.Hook }, error) {
	h := &webhook.Hook{Name: in.Body.Name, URL: in.Body.URL, SecretEnv: in.Body.SecretEnv, Events: in.Body.Events}
	err := h.Complete(time.Now())
	if err != nil {
		return nil, fault.Input(err)
	}
	if h.Marks, err = s.feed.Now(ctx); err != nil {
		return nil, err
	}
	if err := s.opts.Webhooks.Add(ctx, h); err != nil {
		return nil, webhookProblem(err)
	}
	s.log.Info("webhook added", "webhook", h.Name, "url", h.URL)
	return &struct{ Body webhook.Hook }{*h}, nil
}

func (s *Server) removeWebhook(ctx context.Context, in *webhookName) (*struct{}, error) {
	if err := s.opts.Webhooks.Remove(ctx, in.Name); err != nil {
		return nil, webhookProblem(err)
	}
	s.log.Info("webhook removed", "webhook", in.Name)
	return nil, nil //nolint:nilnil // the answer has no body
}

type listDeliveriesInput struct {
	Name  string `path:"webhook" doc:"name of a webhook"`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"most deliveries"`
}

type listDeliveriesOutput struct {
	Body struct {
		Deliveries []webhook.Delivery `json:"deliveries" doc:"the latest first"`
	}
}

func (s *Server) listDeliveries(ctx context.Context, in *listDeliveriesInput) (*listDeliveriesOutput, error) {
	h, err := webhook.Find(ctx, s.opts.Webhooks, in.Name)
	if err != nil {
		return nil, webhookProblem(err)
	}
	out := &listDeliveriesOutput{}
	out.Body.Deliveries, err = s.opts.Webhooks.Deliveries(ctx, h, in.Limit)
	return out, err
}

func (s *Server) testWebhook(ctx context.Context, in *webhookName) (*struct{ Body webhook.TestResult }, error) {
	h, err := webhook.Find(ctx, s.opts.Webhooks, in.Name)
	if err != nil {
		return nil, webhookProblem(err)
	}
	secrets, err := webhook.Secrets(h.SecretEnv, os.Getenv)
	if err != nil {
		return nil, fault.Input(err)
	}
	sender := webhook.NewSender()
	defer sender.Close()
	result := sender.Try(ctx, h, secrets, strings.ToLower(rand.Text()), time.Now())
	result.Body = "" // of a host that the caller of the API may not reach
	return &struct{ Body webhook.TestResult }{result}, nil
}

type retryWebhookOutput struct {
	Body struct {
		Due int `json:"due" doc:"deliveries that are sent now"`
	}
}

func (s *Server) retryWebhook(ctx context.Context, in *webhookName) (*retryWebhookOutput, error) {
	marks, err := s.feed.Now(ctx)
	if err != nil {
		return nil, err
	}
	out := &retryWebhookOutput{}
	out.Body.Due, err = s.opts.Webhooks.Retry(ctx, in.Name, marks, time.Now())
	return out, webhookProblem(err)
}

// webhookProblem returns an error of the store of webhooks as the caller's own, if it is.
func webhookProblem(err error) error {
	switch {
	case errors.Is(err, webhook.ErrNotFound):
		return &Problem{Status: http.StatusNotFound, Code: "not_found", Detail: err.Error()}
	case errors.Is(err, webhook.ErrExists):
		return &Problem{Status: http.StatusConflict, Code: "exists", Detail: err.Error()}
	case errors.Is(err, webhook.ErrTooMany):
		return &Problem{Status: http.StatusUnprocessableEntity, Code: "request", Detail: fmt.Sprintf("%v: at most %d", err, webhook.MaxHooks)}
	}
	return err
}
