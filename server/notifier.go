package server

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/claude-force/claude-force/webhook"
	"github.com/claude-force/claude-force/webhook/webhookfeed"
)

const (
	// notifyEvery is how often events are looked for: other processes make them too.
	notifyEvery = 2 * time.Second

	// sendAtOnce bounds the requests to a webhook that are in flight, so that one that
	// does not answer holds up no other.
	sendAtOnce = 4
)

// notifier sends events to webhooks. What is found is written down first, together with
// how far was looked: whoever dies in between, the next process enqueues it once, and
// sends it at least once.
type notifier struct {
	store   webhook.Store
	feed    *webhookfeed.Feed
	sender  *webhook.Sender
	retry   webhook.Retry
	log     *slog.Logger
	metrics *webhookMetrics // nil for none

	active sync.WaitGroup
	ended  chan struct{} // holds a value when a request has ended

	mu       sync.Mutex        // guards the fields below
	inFlight map[string]int    // requests, by the id of their webhook
	problems map[string]string // why nothing is sent, as the log has it, by the id of the webhook
}

// run finds and sends events until stop is closed or ctx ends, then waits for the requests
// in flight.
func (n *notifier) run(ctx context.Context, stop <-chan struct{}) {
	defer n.sender.Close()
	defer n.active.Wait()
	repeat(ctx, stop, n.ended, func() time.Duration {
		more, err := n.round(ctx)
		if err != nil && ctx.Err() == nil {
			n.log.Error("webhooks not followed", "err", err)
		}
		if more && err == nil {
			return 0
		}
		return notifyEvery
	})
}

// round enqueues what has happened, and begins to send what is due. It reports whether
// there is more to enqueue.
func (n *notifier) round(ctx context.Context) (more bool, err error) {
	list, err := n.store.List(ctx)
	if err != nil {
		return false, err
	}
	n.metrics.keep(list)
	for i := range list {
		h := &list[i]
		if h.Disabled != "" {
			continue
		}
		found, oneErr := n.enqueue(ctx, h)
		more = more || found
		err = errors.Join(err, oneErr, n.begin(ctx, h))
	}
	return more, err
}

// enqueue writes down what has happened that is for a webhook. It reports whether there
// may be more.
func (n *notifier) enqueue(ctx context.Context, h *webhook.Hook) (more bool, err error) {
	count, _, err := n.store.Summary(ctx, h)
	if err != nil || count[webhook.Pending] >= webhook.MaxPending {
		return false, err // the rest stays where it is found
	}
	to, events, err := n.feed.Next(ctx, h)
	if err != nil || to == h.Marks {
		return false, err
	}
	done, err := n.store.Enqueue(ctx, h, to, events, time.Now())
	return done, err
}

// begin begins to send what is due to a webhook.
func (n *notifier) begin(ctx context.Context, h *webhook.Hook) error {
	secrets, err := webhook.Secrets(h.SecretEnv, os.Getenv)
	n.report(h, err)
	if err != nil {
		return nil // another server may have it
	}
	n.mu.Lock()
	free := sendAtOnce - n.inFlight[h.ID]
	n.mu.Unlock()
	if free <= 0 {
		return nil
	}
	due, err := n.store.Claim(ctx, h, free, time.Now())
	n.mu.Lock()
	n.inFlight[h.ID] += len(due)
	n.mu.Unlock()
	for i := range due {
		n.active.Go(func() { n.deliver(ctx, h, secrets, &due[i]) })
	}
	return err
}

// report logs once why nothing can be sent to a webhook.
func (n *notifier) report(h *webhook.Hook, err error) {
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if was := n.problems[h.ID]; problem != "" && was != problem {
		n.log.Error("webhook cannot be sent to", "webhook", h.Name, "err", problem)
	}
	n.problems[h.ID] = problem
}

var errNoBody = errors.New("what is to be sent is encrypted with another key than that of this server")

// deliver sends one event, and writes down what came of it.
func (n *notifier) deliver(ctx context.Context, h *webhook.Hook, secrets []string, d *webhook.Delivery) {
	defer func() {
		n.mu.Lock()
		n.inFlight[h.ID]--
		n.mu.Unlock()
		select {
		case n.ended <- struct{}{}:
		default: // it knows already
		}
	}()
	answer, err := (*webhook.Answer)(nil), errNoBody
	if d.Body != nil {
		answer, err = n.sender.Send(ctx, h, secrets, d.Event())
	}
	if ctx.Err() != nil {
		return // the next process sends it again: whether it arrived is not known
	}
	o := webhook.Judge(n.retry, d, answer, err, time.Now(), rand.Float64())
	log := n.log.With("webhook", h.Name, "event", string(d.Type), "id", d.ID, "subject", d.Subject, "attempt", d.Attempts, "status", o.Status)
	switch {
	case o.State == webhook.Delivered:
		log.Info("webhook delivered")
	case o.Disable != "":
		log.Error("webhook disabled", "problem", o.Problem)
	case o.State == webhook.Failed:
		log.Error("webhook given up", "problem", o.Problem)
	default:
		log.Warn("webhook not delivered", "problem", o.Problem, "next", o.Next)
	}
	n.metrics.count(h.Name, o.State)
	if err := n.store.Settle(ctx, d, o); err != nil && ctx.Err() == nil {
		log.Error("outcome of a webhook not kept: it will be sent again", "err", err)
	}
}

// RunWebhooks sends events to webhooks in the background, until the server is drained.
func (s *Server) RunWebhooks() {
	if s.opts.Webhooks == nil {
		return
	}
	retry := s.opts.WebhookRetry
	if retry == (webhook.Retry{}) {
		retry = webhook.DefaultRetry
	}
	n := &notifier{
		store: s.opts.Webhooks, feed: s.feed, sender: webhook.NewSender(), retry: retry, log: s.log, metrics: s.webhookMetrics,
		ended: make(chan struct{}, 1), inFlight: map[string]int{}, problems: map[string]string{},
	}
	s.runner.background(n.run)
}
