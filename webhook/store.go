package webhook

import (
	"context"
	"errors"
	"time"
)

// Errors of a [Store].
var (
	ErrNotFound = errors.New("there is no such webhook")
	ErrExists   = errors.New("there is a webhook of this name")
	ErrTooMany  = errors.New("there are too many webhooks")
)

// Bounds of a [Store].
const (
	MaxHooks   = 20
	MaxPending = 10_000 // of a webhook; what happens beyond it is enqueued later
	MaxSettled = 1_000  // of a webhook; the oldest are forgotten
)

// Lease is how long a process has what it claimed for itself. It is longer than an
// attempt takes.
const Lease = 2 * sendTime

// Store keeps webhooks and what is to be sent to them. Package webhooktest checks one.
// Times are kept to the millisecond. It is safe for concurrent use, also by several
// processes if it outlives one.
type Store interface {
	// Add adds a webhook. The error is ErrExists if another has its name.
	Add(ctx context.Context, h *Hook) error

	// Remove removes a webhook with all that is to be sent to it, or returns ErrNotFound.
	Remove(ctx context.Context, name string) error

	// List lists the webhooks, by name.
	List(ctx context.Context) ([]Hook, error)

	// Enqueue moves the marks of a webhook on, and enqueues what was found up to there. It
	// reports false and changes nothing if another process was there first, or the webhook
	// was removed or disabled. An event that is enqueued already stays as it is.
	Enqueue(ctx context.Context, h *Hook, to Marks, events []Event, now time.Time) (bool, error)

	// Claim returns at most n deliveries to a webhook that are due, the oldest first, and
	// leases them to this process until [Lease] has passed. Each counts as an attempt. A
	// process that is known to be dead has lost its leases.
	Claim(ctx context.Context, h *Hook, n int, now time.Time) ([]Delivery, error)

	// Settle writes down the outcome of an attempt, unless its lease was lost.
	Settle(ctx context.Context, d *Delivery, o Outcome) error

	// Retry makes what was given up pending again, and what is pending due, and enables the
	// webhook with marks if it is disabled. It returns how many deliveries are due, or
	// ErrNotFound.
	Retry(ctx context.Context, name string, marks Marks, now time.Time) (int, error)

	// Deliveries returns at most limit deliveries to a webhook without their bodies, the
	// latest first.
	Deliveries(ctx context.Context, h *Hook, limit int) ([]Delivery, error)

	// Summary returns how many deliveries to a webhook there are by state, and the one that
	// was attempted last; nil if none was.
	Summary(ctx context.Context, h *Hook) (map[State]int, *Delivery, error)

	Close() error
}

// Delivery is an event that is to be sent to a webhook, or was.
type Delivery struct {
	ID       string    `json:"webhook_id" doc:"of the header webhook-id"`
	Type     Type      `json:"type"`
	Subject  string    `json:"subject" doc:"what it is about: a run, with the step that asks, or a budget"`
	State    State     `json:"state" doc:"pending, delivered or failed"`
	Created  time.Time `json:"created_at"`
	Attempts int       `json:"attempts" doc:"that were begun"`
	Last     time.Time `json:"last_attempt_at,omitzero"`
	Status   int       `json:"status,omitempty" doc:"that was answered last"`
	Problem  string    `json:"problem,omitempty" doc:"why it was not taken"`
	Next     time.Time `json:"next_attempt_at,omitzero"`

	Body  []byte `json:"-"` // nil if the store cannot decrypt it
	Lease string `json:"-"` // that Settle needs
}

// Event returns the event that is delivered.
func (d *Delivery) Event() *Event {
	return &Event{ID: d.ID, Type: d.Type, Subject: d.Subject, Body: d.Body}
}

// View is a webhook as it is shown.
type View struct {
	Hook
	Pending   int       `json:"pending"`
	Failed    int       `json:"failed" doc:"given up, of the latest that are kept"`
	Delivered int       `json:"delivered" doc:"of the latest that are kept"`
	Last      *Delivery `json:"last_delivery,omitempty" doc:"that was attempted last"`
	Problem   string    `json:"problem,omitempty" doc:"why this process cannot send to it"`
}

// Views returns the webhooks of a store as they are shown by a process with an
// environment.
func Views(ctx context.Context, store Store, getenv func(string) string) ([]View, error) {
	list, err := store.List(ctx)
	views := []View{}
	for i := range list {
		count, last, err := store.Summary(ctx, &list[i])
		if err != nil {
			return nil, err
		}
		v := View{Hook: list[i], Pending: count[Pending], Failed: count[Failed], Delivered: count[Delivered], Last: last}
		if _, err := Secrets(v.SecretEnv, getenv); err != nil {
			v.Problem = err.Error()
		}
		views = append(views, v)
	}
	return views, err
}
