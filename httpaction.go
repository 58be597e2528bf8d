package claudeforce

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/tool/web"
	"github.com/claude-force/claude-force/toolset"
	"github.com/claude-force/claude-force/workflow"
)

// requestTimeout is how long a request of a step without a timeout may take.
const requestTimeout = 5 * time.Minute

// shortestSecret is how many bytes a secret of a request has at least: a shorter one
// could not be distinguished from other text in the answer.
const shortestSecret = 6

// answered is what a server answered to a request of a step, as a recording keeps it.
type answered struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Binary  bool              `json:"binary,omitempty"` // the body was no text, and is not kept
}

// request makes one attempt at a step that sends a request. A replay sends none: it
// takes the recorded answer.
func (o *Orchestrator) request(ctx context.Context, a engine.Attempt, r workflow.HTTPRequest) (llm.Outcome, error) {
	var was answered
	source, err := o.recorded(a, "WebFetch", &was, func() (bool, error) {
		acting, err := o.acting(ctx, a)
		if err != nil {
			return false, err
		}
		send, err := requestOf(r)
		if err != nil {
			return false, invalid(err)
		}
		ctx, cancel := context.WithTimeout(journal.WithTurns(withAsk(ctx, a), a.Turns), cmp.Or(a.Step.Timeout, requestTimeout))
		defer cancel()
		send.Expects = a.Step.HTTP.Expects
		sent := false
		send.Permit = func(ctx context.Context, method, url, body string) error {
			ask := toolset.Request{Method: method, URL: url, Body: body}
			if sent && r.Method != http.MethodGet && r.Method != http.MethodHead {
				// After a question the whole request would be sent again.
				return o.tools.CheckRequest(ctx, a.Step.Allow, ask, false)
			}
			sent = true
			return acting.PermitRequest(ctx, a.Step.Allow, ask)
		}
		answer, err := o.commands.sending(o.tools).Send(ctx, send)
		if err != nil {
			return false, requestError(ctx, err, cmp.Or(a.Step.Timeout, requestTimeout))
		}
		if answer.Cut && a.Step.HTTP.Expects(answer.Status) {
			return false, llm.NewError(llm.CodeTooLarge, fmt.Sprintf("the answer is longer than %d MiB", web.MaxResponse>>20), nil)
		}
		was = answered{Status: answer.Status, Headers: map[string]string{}, Body: answer.Body}
		if !utf8.ValidString(was.Body) {
			was.Body, was.Binary = "", true
		}
		for name, values := range answer.Header {
			if name != "Set-Cookie" { // it is a secret of who asked
				was.Headers[strings.ToLower(name)] = strings.Join(values, ", ")
			}
		}
		return a.Step.HTTP.Expects(was.Status), nil
	})
	out := llm.Outcome{Source: source, CostUSD: new(0.0)}
	if err == nil {
		out.Output, err = bodyOf(a.Step.HTTP, r, was)
	}
	return out, err
}

// sending returns what requests of workflows are sent with.
func (c *commands) sending(project *toolset.Project) *web.Sender {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sender == nil {
		c.sender = web.NewSender(project.NamesHost)
	}
	return c.sender
}

// requestOf returns a request with its secrets, which are read here and kept nowhere.
func requestOf(r workflow.HTTPRequest) (web.Request, error) {
	send := web.Request{Method: r.Method, URL: r.URL, Header: http.Header{}, Body: r.Body}
	for _, h := range r.Headers {
		value := h.Value
		if h.Env != "" {
			secret, err := secretOf(h.Env)
			if err != nil {
				return send, fmt.Errorf("header %s: %w", h.Name, err)
			}
			send.Secrets = append(send.Secrets, secret)
			value = h.Prefix + secret
		}
		send.Header.Set(h.Name, value)
	}
	return send, nil
}

// secretOf returns the value of a variable of the environment. No error holds it.
func secretOf(name string) (string, error) {
	secret := strings.TrimSpace(os.Getenv(name))
	switch {
	case secret == "":
		return "", fmt.Errorf("the environment variable %s is not set", name)
	case len(secret) < shortestSecret:
		return "", fmt.Errorf("the value of %s has fewer than %d characters, so that it could not be kept out of the output; write a value that is no secret in the file", name, shortestSecret)
	case strings.ContainsFunc(secret, func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError }):
		return "", fmt.Errorf("the value of %s holds a line break or another character that no header can have", name)
	}
	return secret, nil
}

// requestError returns the error of a request that was not answered, with the code that
// says whether another attempt may succeed.
func requestError(ctx context.Context, err error, limit time.Duration) error {
	switch denied, ok := errors.AsType[*toolset.DeniedError](err); {
	case ok:
		return denied
	case errors.Is(ctx.Err(), context.Canceled):
		return err
	case ctx.Err() != nil:
		return llm.NewError(llm.CodeTimeout, fmt.Sprintf("the request was not answered within %v", limit), nil)
	case fault.KindOf(err) == fault.KindInput:
		return err
	case web.Lasting(err):
		return llm.NewError(llm.CodeInvalid, err.Error(), nil)
	}
	return llm.NewError(llm.CodeConnection, err.Error(), nil)
}

// bodyOf returns the output of a step whose request was answered. A status that is
// not expected is an error: one that retries apply to if it may be another next time.
func bodyOf(h *workflow.HTTP, r workflow.HTTPRequest, was answered) (string, error) {
	if !h.Expects(was.Status) {
		text := fmt.Sprintf("%s %s was answered with %d %s", r.Method, r.URL, was.Status, http.StatusText(was.Status))
		if start := firstLines(was.Body); start != "" {
			text += ": " + start
		}
		err := llm.NewError(statusCode(was.Status), text, nil)
		err.RetryAfter = retryAfter(was.Headers["retry-after"], time.Now())
		return "", err
	}
	if was.Binary {
		return "", llm.NewError(llm.CodeOutput, "the answer is no UTF-8 text ("+cmp.Or(was.Headers["content-type"], "of no type")+")", nil)
	}
	if h.Output == workflow.OutputResponse {
		data, err := json.Marshal(was)
		return string(data), err
	}
	v, err := workflow.Decode(h.Output, was.Body)
	if err != nil {
		return was.Body, llm.NewError(llm.CodeOutput, fmt.Sprintf("the answer is not %s: %v", h.Output, err), nil)
	}
	if h.Output == workflow.OutputLines {
		return workflow.Encode(v)
	}
	return was.Body, nil // as it was sent
}

// statusCode returns the code of a status that is not expected.
func statusCode(status int) llm.Code {
	switch {
	case status == http.StatusRequestTimeout:
		return llm.CodeTimeout
	case status == http.StatusTooManyRequests:
		return llm.CodeRateLimit
	case status >= 500:
		return llm.CodeServer
	}
	return llm.CodeInvalid
}

// retryAfter returns how long a header asks to wait; negative without a hint.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(header); err == nil && seconds >= 0 {
		return time.Duration(min(seconds, 24*60*60)) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(0, at.Sub(now))
	}
	return -1
}

// startOfAnswer is how many characters of an answer an error quotes.
const startOfAnswer = 500

// firstLines returns the beginning of an answer, for an error.
func firstLines(text string) string {
	text = strings.TrimSpace(text)
	if runes := []rune(text[:min(len(text), 4*startOfAnswer+4)]); len(runes) > startOfAnswer {
		return string(runes[:startOfAnswer]) + "…"
	}
	return text
}

// checkRequest reports a request of a step that may not be sent. One whose host is not
// known yet may; with asks, a user can be asked about it.
func (o *Orchestrator) checkRequest(ctx context.Context, s *workflow.Step, env workflow.Env, asks bool) error {
	for name := range s.HTTP.Secrets() {
		if _, err := secretOf(name); err != nil {
			return fault.Input(err)
		}
	}
	url, known := s.HTTP.Target(env)
	if !known {
		return nil
	}
	if err := o.tools.CheckRequest(ctx, s.Allow, toolset.Request{Method: s.HTTP.Method, URL: url}, asks); err != nil {
		return err
	}
	if err := o.commands.sending(o.tools).Check(url); err != nil {
		return fault.Input(err)
	}
	return nil
}
