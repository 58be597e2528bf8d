// Package webhook tells other programs what happened in runs, by requests to addresses
// that the operator has named, in the form of Standard Webhooks
// (https://www.standardwebhooks.com).
//
// An event has an id that is the same however often it is sent, so that a receiver can
// leave out what it has. [Sender] sends one request, [Judge] says what follows from its
// answer, and a [Store] keeps what is still to be sent.
package webhook

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Type is the type of an event.
type Type string

// Types of events.
const (
	RunFinished    Type = "run.finished"    // Data is a RunData
	ApprovalWanted Type = "approval.wanted" // Data is an ApprovalData
	BudgetReached  Type = "budget.reached"  // Data is a BudgetData
	Test           Type = "webhook.test"    // Data is a TestData; it is sent when the operator asks for it
)

// Types are those that a [Hook] can have.
var Types = []Type{RunFinished, ApprovalWanted, BudgetReached}

// Hook is an address that events are sent to.
type Hook struct {
	ID        string    `json:"id" doc:"of this webhook, also if another has had its name"`
	Name      string    `json:"name"`
	URL       string    `json:"url"`
	Events    []Type    `json:"events" doc:"run.finished, approval.wanted, budget.reached"`
	SecretEnv string    `json:"secret_env" doc:"variable of the server's environment that has the secret"`
	Created   time.Time `json:"created_at"`
	Disabled  string    `json:"disabled,omitempty" doc:"why nothing is sent"`

	Marks Marks `json:"-"` // what came until then is enqueued
}

// Marks say how far events were looked for.
type Marks struct {
	Runs    int64     // number of a notice of a run
	RunsAt  time.Time // of that notice; zero if there was none yet
	Budgets int64     // number of a budget that was exceeded
}

// Event is something that happened, as it is sent.
type Event struct {
	ID      string // see [EventID]
	Type    Type
	Subject string // what it is about, for people
	Body    []byte // see [Body]
}

// RunData is the data of a run that has ended.
type RunData struct {
	RunID      string    `json:"run_id"`
	Workflow   string    `json:"workflow"` // its name
	Project    string    `json:"project"`  // name of its folder
	Status     string    `json:"status"`   // completed, failed or cancelled
	CostUSD    float64   `json:"cost_usd"` // as far as prices are known
	Tokens     int       `json:"tokens"`
	Steps      int       `json:"steps"` // that have finished, items of foreach counted singly
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at"`
	Simulated  bool      `json:"simulated,omitempty"` // no model was called
	URL        string    `json:"url,omitempty"`       // of its page
}

// ApprovalData is the data of a question that a run waits for the answer to. The question
// itself may have been written by a model and is not part of it.
type ApprovalData struct {
	RunID     string    `json:"run_id"`
	Workflow  string    `json:"workflow"`
	Project   string    `json:"project"`
	Step      string    `json:"step"`                // that asks, or calls a tool
	Tool      string    `json:"tool,omitempty"`      // that a call of is asked about
	Deadline  time.Time `json:"deadline,omitzero"`   // no answer by then means no
	CostUSD   float64   `json:"cost_usd"`            // of the run so far
	Simulated bool      `json:"simulated,omitempty"` // no model is called
	URL       string    `json:"url,omitempty"`       // of the page of the run
	Page      string    `json:"page_url,omitempty"`  // of all open questions
}

// BudgetData is the data of a budget that has no room left.
type BudgetData struct {
	Level  string  `json:"level"`            // run, day, agent, step, key, team or all
	Name   string  `json:"name"`             // of the run, agent, key or team
	Period string  `json:"period,omitempty"` // day or time at which it began
	Unit   string  `json:"unit"`             // dollars, tokens or calls
	Limit  float64 `json:"limit"`
	Spent  float64 `json:"spent"`            // when that was found
	RunID  string  `json:"run_id,omitempty"` // of the budget of a run
	URL    string  `json:"url,omitempty"`    // of the page of the run, or of budgets
}

// TestData is the data of a test.
type TestData struct {
	Webhook string `json:"webhook"` // its name
}

// Body returns the body of an event.
func Body(typ Type, at time.Time, data any) ([]byte, error) {
	body, err := json.Marshal(struct {
		Type      Type      `json:"type"`
		Timestamp time.Time `json:"timestamp"`
		Data      any       `json:"data"`
	}{typ, at.UTC().Truncate(time.Millisecond), data})
	if err == nil && len(body) > maxBody {
		err = fmt.Errorf("the body of %s has %d bytes; at most %d are sent", typ, len(body), maxBody)
	}
	return body, err
}

// maxBody is the most bytes of a body. Names are short.
const maxBody = 20 << 10

// EventID returns the id of an event: the same for the same thing that happened, and
// another for each webhook. key tells things of a type apart.
func EventID(h *Hook, typ Type, key string) string {
	sum := sha256.Sum256([]byte(h.ID + "\n" + string(typ) + "\n" + key))
	return "msg_" + strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:15]))
}

// Wants reports whether events of a type are sent to a webhook now.
func (h *Hook) Wants(typ Type) bool { return h.Disabled == "" && slices.Contains(h.Events, typ) }

var (
	validName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`) })
	validEnv  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`) })
)

// Complete fills in what is not set, and returns what is wrong with the rest, as errors
// that are joined. now is the time at which the webhook is made.
func (h *Hook) Complete(now time.Time) error {
	var problems []error
	if h.ID == "" {
		h.ID = strings.ToLower(rand.Text())
	}
	if !validName().MatchString(h.Name) {
		problems = append(problems, fmt.Errorf("the name %q is not 1 to 63 of a-z, 0-9, - and _, beginning with a letter or digit", h.Name))
	}
	if err := CheckURL(h.URL); err != nil {
		problems = append(problems, err)
	}
	if !validEnv().MatchString(h.SecretEnv) {
		problems = append(problems, errors.New("the secret is named by a variable of the environment of the server, such as WEBHOOK_SECRET; it is never written down"))
	}
	if len(h.Events) == 0 {
		h.Events = slices.Clone(Types)
	}
	for _, typ := range h.Events {
		if !slices.Contains(Types, typ) {
			problems = append(problems, fmt.Errorf("there is no event %q; events are run.finished, approval.wanted and budget.reached", typ))
		}
	}
	slices.Sort(h.Events)
	h.Events = slices.Compact(h.Events)
	h.Created = now.UTC().Truncate(time.Millisecond)
	return errors.Join(problems...)
}
