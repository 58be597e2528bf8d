// Package client talks to a server of claude-force: it starts runs, follows, answers,
// stops and resumes them, and manages keys and schedules.
//
//	c, err := client.New(client.Options{URL: "http://127.0.0.1:8484", Key: key})
//	run, err := c.Start(ctx, client.StartRun{Workflow: "review.yaml"}, requestID)
//	for change, err := range c.Follow(ctx, run.ID, 0) { … }
//
// Its types are those of the server's description, /openapi.json.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

// Options say which server is meant. URL and Key must be set.
type Options struct {
	URL  string // such as https://force.example.com
	Key  string
	HTTP *http.Client // nil for one of its own, which follows no redirect

	// Retry is the time before a connection that broke off is made again; 0 means two
	// seconds. A server may ask for less.
	Retry time.Duration
}

// Client sends requests to a server. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	key   string
	http  *http.Client
	retry time.Duration
}

// ErrNoKey says that a client was given no key.
var ErrNoKey = fault.New(fault.KindInput, "the server needs a key")

// New returns a client. It sends nothing. The error of a URL that would send the key in the
// clear to another machine is a [fault.InputError].
func New(opts Options) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(opts.URL, "/"))
	switch {
	case err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https":
		return nil, fault.Input(fmt.Errorf("%q is no address of a server, such as http://127.0.0.1:8484", redacted(opts.URL)))
	case base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return nil, fault.Input(errors.New("the address of a server has no user, query or fragment"))
	case base.Scheme == "http" && !loopback(base.Hostname()):
		return nil, fault.Input(fmt.Errorf("the key would be sent to %s in the clear; use https", base.Host))
	case opts.Key == "":
		return nil, ErrNoKey
	}
	c := &Client{base: base, key: opts.Key, http: opts.HTTP, retry: opts.Retry}
	if c.http == nil {
		// The key is for this server alone.
		c.http = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if c.retry == 0 {
		c.retry = 2 * time.Second
	}
	return c, nil
}

// redacted returns an address without what may be a secret in it.
func redacted(address string) string {
	if at := strings.LastIndexByte(address, '@'); at >= 0 {
		return address[at+1:]
	}
	return address
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// Error is an answer that is a problem, as RFC 9457 describes it.
type Error struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Errors []struct {
		Message string `json:"message"`
		Pointer string `json:"pointer"`
		File    string `json:"file"`
		Line    int    `json:"line"`
		Column  int    `json:"column"`
	} `json:"errors"`
}

func (e *Error) Error() string { return e.Detail }

// FaultKind returns the kind of error that the status says.
func (e *Error) FaultKind() fault.Kind {
	switch e.Status {
	case http.StatusNotFound:
		return fault.KindNotFound
	case http.StatusConflict:
		return fault.KindConflict
	case http.StatusPaymentRequired:
		return fault.KindBudget
	}
	if e.Status >= http.StatusInternalServerError {
		return 0
	}
	return fault.KindInput
}

// maxProblem bounds what is read of an answer that is an error.
const maxProblem = 1 << 20

// send sends a request. The answer has a status below 300; its body must be closed.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, body any, headers ...string) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(data)
	}
	to := c.base.String() + "/api/v1" + path
	if len(query) > 0 {
		to += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, to, content)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] != "" {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if res.StatusCode < http.StatusMultipleChoices {
		return res, nil
	}
	defer res.Body.Close()
	p := &Error{}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxProblem))
	if err != nil || json.Unmarshal(data, p) != nil || p.Detail == "" {
		p = &Error{Code: "answer", Detail: fmt.Sprintf("%s answered %s, which is not an answer of claude-force", c.base.Host, res.Status)}
	}
	p.Status = res.StatusCode
	if p.Status == http.StatusUnauthorized {
		p.Detail = fmt.Sprintf("%s does not accept the key", c.base.Host)
	}
	return nil, p
}

// unreachable returns the error of a request that got no answer, without its address, which
// has a query.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		return fmt.Errorf("no server answers at %s: %w", c.base.Host, e.Err)
	}
	return fmt.Errorf("asking %s: %w", c.base.Host, err)
}

// read sends a request and reads its answer.
func (c *Client) read(ctx context.Context, to any, method, path string, query url.Values, body any, headers ...string) error {
	res, err := c.send(ctx, method, path, query, body, headers...)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(to); err != nil {
		return c.unreachable(ctx, fmt.Errorf("reading the answer: %w", err))
	}
	return nil
}

// do sends a request whose answer says nothing.
func (c *Client) do(ctx context.Context, method, path string) error {
	res, err := c.send(ctx, method, path, nil, nil)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

func runPath(id string) string { return "/runs/" + url.PathEscape(id) }

// ListRuns says which runs are listed. The zero value means all.
type ListRuns struct {
	Workflow string
	Key      string // name of the key that they were started with
	Statuses []journal.Status
	Since    time.Duration // started within it; 0 for any time
}

// Runs yields runs, the latest first, page by page.
func (c *Client) Runs(ctx context.Context, list ListRuns) iter.Seq2[journal.Run, error] {
	query := url.Values{}
	if list.Workflow != "" {
		query.Set("workflow", list.Workflow)
	}
	if list.Key != "" {
		query.Set("key", list.Key)
	}
	if list.Since > 0 {
		query.Set("since", list.Since.String())
	}
	return c.runs(ctx, query, list.Statuses, 0)
}

// Run returns a run with its steps. The id may be abbreviated, or be "latest".
func (c *Client) Run(ctx context.Context, id string) (*runs.View, error) {
	view := &runs.View{}
	return view, c.read(ctx, view, http.MethodGet, runPath(id), nil, nil)
}

// StartRun is what is run, and how.
type StartRun struct {
	Workflow    string            `json:"workflow"` // path of a file of the project, or a name
	Params      map[string]string `json:"params,omitempty"`
	Model       string            `json:"model,omitempty"`
	MaxParallel int               `json:"max_parallel,omitempty"`
	BudgetUSD   *float64          `json:"budget_usd,omitempty"` // 0 allows nothing that costs
	Refresh     bool              `json:"refresh,omitempty"`
	From        string            `json:"from,omitempty"`
	Only        string            `json:"only,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	Engine      string            `json:"engine,omitempty"` // that executes the run: temporal; empty for the server
}

// Start starts a run. Of requests with the same key, which no other request may have,
// only the first starts one, and all get its row: it can be sent again after an outage. An
// empty key is none.
func (c *Client) Start(ctx context.Context, start StartRun, key string) (*journal.Run, error) {
	run := &journal.Run{}
	return run, c.read(ctx, run, http.MethodPost, "/runs", nil, start, "Idempotency-Key", key)
}

// ResumeRun is how a run is resumed.
type ResumeRun struct {
	AcceptChanges bool     `json:"accept_changes,omitempty"`
	Failed        bool     `json:"failed,omitempty"`
	Again         []string `json:"again,omitempty"`
	MaxParallel   int      `json:"max_parallel,omitempty"`
	BudgetUSD     *float64 `json:"budget_usd,omitempty"`
}

// Resume resumes a run that was stopped, failed or crashed.
func (c *Client) Resume(ctx context.Context, id string, resume ResumeRun) (*journal.Run, error) {
	run := &journal.Run{}
	return run, c.read(ctx, run, http.MethodPost, runPath(id)+"/resume", nil, resume)
}

// Cancel stops a run, which can be resumed. It reports whether a process drives the run, which then
// stops soon.
func (c *Client) Cancel(ctx context.Context, id string) (signaled bool, err error) {
	var done struct {
		Signaled bool `json:"signaled"`
	}
	err = c.read(ctx, &done, http.MethodPost, runPath(id)+"/cancel", nil, nil)
	return done.Signaled, err
}

// Approval is an approval that a run waits for.
type Approval struct {
	Step string                   `json:"step"` // what to name in an answer
	Item string                   `json:"item,omitempty"`
	Ask  *journal.ApprovalRequest `json:"ask"`
}

// Approvals lists the approvals that a run waits for.
func (c *Client) Approvals(ctx context.Context, id string) ([]Approval, error) {
	var list struct {
		Approvals []Approval `json:"approvals"`
	}
	err := c.read(ctx, &list, http.MethodGet, runPath(id)+"/approvals", nil, nil)
	return list.Approvals, err
}

// Answer is the answer to an approval.
type Answer struct {
	Step     string          `json:"step,omitempty"` // needed if the run waits for several, or for a call of a tool
	Approved bool            `json:"approved"`
	Value    json.RawMessage `json:"value,omitempty"`
	Comment  string          `json:"comment,omitempty"`
	By       string          `json:"by,omitempty"`
	Question string          `json:"question,omitempty"` // digest of the question that is meant; empty for whatever is asked
}

// Approve answers an approval, with yes or no, and returns its step.
func (c *Client) Approve(ctx context.Context, id string, a Answer) (step string, err error) {
	var done struct {
		Step string `json:"step"`
	}
	err = c.read(ctx, &done, http.MethodPost, runPath(id)+"/approve", nil, a)
	return done.Step, err
}

// Failures lists what failed in a run.
func (c *Client) Failures(ctx context.Context, id string) ([]runs.Failure, error) {
	var list struct {
		Failures []runs.Failure `json:"failures"`
	}
	err := c.read(ctx, &list, http.MethodGet, runPath(id)+"/failures", nil, nil)
	return list.Failures, err
}

// Diff compares two runs, step by step; a step that is not empty alone.
func (c *Client) Diff(ctx context.Context, id, other, step string) ([]runs.StepDiff, error) {
	var list struct {
		Steps []runs.StepDiff `json:"steps"`
	}
	query := url.Values{}
	if step != "" {
		query.Set("step", step)
	}
	err := c.read(ctx, &list, http.MethodGet, runPath(id)+"/diff/"+url.PathEscape(other), query, nil)
	return list.Steps, err
}

// GetOutput says which output of a run is meant. The zero value means that of the run, as
// JSON.
type GetOutput struct {
	Step   string // only that of this step
	Item   string // with Step: only that of this item of its foreach
	All    bool   // those of all steps
	Format string // json, text, csv or jsonl
}

// Output returns the output of a run. The caller closes it.
func (c *Client) Output(ctx context.Context, id string, o GetOutput) (io.ReadCloser, error) {
	query := url.Values{}
	for name, value := range map[string]string{"step": o.Step, "item": o.Item, "format": o.Format} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if o.All {
		query.Set("all", "true")
	}
	res, err := c.send(ctx, http.MethodGet, runPath(id)+"/output", query, nil)
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

// Events yields the events of a run with a higher sequence number, page by page.
func (c *Client) Events(ctx context.Context, id string, after int64) iter.Seq2[journal.Event, error] {
	return c.events(ctx, id, after, url.Values{})
}
