package anthropic

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	sdk "github.com/anthropics/anthropic-sdk-go/v2"

	"github.com/claude-force/claude-force/llm"
)

const requestIDHeader = "Request-Id"

// keysURL is where keys are made and looked after.
const keysURL = "https://platform.claude.com/settings/keys"

// callError is the error of a call for which the SDK returned err; resp is
// the response, if there was one, and req nil if it was not a call of a model.
//
// The SDK's error is not wrapped: it holds the whole request, headers and
// prompt included.
func (c *Client) callError(ctx context.Context, req *llm.Request, resp *http.Response, err error) error {
	if ctx.Err() != nil {
		return llm.ContextError(ctx)
	}
	if e, ok := errors.AsType[*sdk.Error](err); ok {
		header := http.Header{}
		if e.Response != nil {
			header = e.Response.Header
		}
		return c.serviceError(req, e.StatusCode, header, []byte(e.RawJSON()))
	}
	if resp != nil && resp.StatusCode >= 300 {
		// The body broke off or makes no sense; the status says enough.
		return c.serviceError(req, resp.StatusCode, resp.Header, nil)
	}
	return c.setupError(ctx, err)
}

// serviceError is the error for a response of the given status, or for an
// error event in a stream that began with it. req is nil if the response is not
// to a call.
func (c *Client) serviceError(req *llm.Request, status int, header http.Header, body []byte) error {
	w := parseServiceError(body)
	e := &llm.Error{
		Code:        w.code(status),
		Status:      status,
		RequestID:   cmp.Or(header.Get(requestIDHeader), header.Get("X-Amzn-Requestid"), w.RequestID),
		ServiceCode: w.name(),
		RetryAfter:  -1,
	}
	// In a stream the headers belong to its beginning, not to its failure.
	if status >= 300 {
		e.Code = heed(header.Get("X-Should-Retry"), e.Code)
		e.RetryAfter = retryAfter(header)
	}
	said := c.clean(w.message, req)
	switch {
	case said != "":
	case status < 300:
		said = c.host + " reported an error in the middle of the answer"
	default:
		said = fmt.Sprintf("%s answered HTTP %d", c.host, status)
		if text := http.StatusText(status); text != "" {
			said += " " + text
		}
	}
	e.Message = c.explain(e.Code, status, w, said, req)
	return e
}

// explain is the message for a person: what happened, then what to do.
func (c *Client) explain(code llm.Code, status int, w serviceError, said string, req *llm.Request) string {
	switch {
	case status >= 300 && status < 400:
		return fmt.Sprintf("%s redirects the call, which is not followed: set ANTHROPIC_BASE_URL to where the API is", c.host)
	case status == http.StatusProxyAuthRequired:
		return "the proxy wants a login: check HTTPS_PROXY"
	case code == llm.CodeAuth && w.errorCode == "organization_on_hold":
		return "the organization is on hold: " + said
	case code == llm.CodeAuth && (status == http.StatusForbidden || w.typ == "permission_error"):
		return fmt.Sprintf("the %s is not allowed to do this: %s", c.opts.credentialName(), said)
	case code == llm.CodeAuth && c.opts.Backend == BackendAnthropic:
		return fmt.Sprintf("the %s was refused (%s): check it or make a new one at %s", c.opts.credentialName(), said, keysURL)
	case code == llm.CodeAuth:
		return fmt.Sprintf("the %s was refused: %s", c.opts.credentialName(), said)
	case code == llm.CodeBilling:
		return fmt.Sprintf("the account cannot pay: %s (see the billing page of https://platform.claude.com)", said)
	case code == llm.CodeSpendLimit:
		return fmt.Sprintf("a spending limit is reached and trying again does not help: %s (raise it on the limits page of https://platform.claude.com, or wait for the next period)", said)
	case code == llm.CodeNotFound && req == nil:
		return said
	case code == llm.CodeNotFound && (w.typ != "" || c.opts.BaseURL == ""):
		return fmt.Sprintf("%s has no model %q, or it is retired: %s; check the name, or use haiku, sonnet or opus", c.host, req.Model, said)
	case code == llm.CodeNotFound:
		return fmt.Sprintf("there is no Messages API at %s: check ANTHROPIC_BASE_URL, which must not end in /v1", c.host)
	case code == llm.CodeTooLarge:
		return said + ": send less, the limit is 32 MB for a call"
	}
	return said
}

// heed applies the x-should-retry header. There is no code for a service's
// failure that is not worth a retry, so such a call counts as one that will
// fail again. A spending limit is what it is, whatever the header says.
func heed(header string, code llm.Code) llm.Code {
	switch {
	case header == "false" && code == llm.CodeRateLimit:
		return llm.CodeSpendLimit
	case header == "false" && code.Transient():
		return llm.CodeInvalid
	case header == "true" && code != llm.CodeSpendLimit && !code.Transient():
		return llm.CodeServer
	}
	return code
}

// serviceError is an error body, read.
type serviceError struct {
	kind      string // top-level type; "error" for errors of the API
	typ       string
	message   string
	errorCode string
	RequestID string
}

// parseServiceError reads the error bodies of the API, of the clouds that
// serve Claude, and of common gateways. What it cannot read stays empty: an
// HTML page has nothing to say to a user of ours.
func parseServiceError(body []byte) serviceError {
	body = bytes.TrimSpace(body)
	if list := []json.RawMessage(nil); json.Unmarshal(body, &list) == nil && len(list) > 0 {
		body = list[0]
	}
	var top struct {
		Type      string          `json:"type"`
		Error     json.RawMessage `json:"error"`
		Message   string          `json:"message"`
		RequestID string          `json:"request_id"`
	}
	// A field of an odd type leaves the others readable.
	_ = json.Unmarshal(body, &top)
	var inner struct {
		Type    string `json:"type"`
		Message string `json:"message"`
		Details struct {
			ErrorCode string `json:"error_code"`
		} `json:"details"`
	}
	_ = json.Unmarshal(top.Error, &inner)
	if inner.Message == "" {
		_ = json.Unmarshal(top.Error, &inner.Message)
	}
	return serviceError{
		kind:      top.Type,
		typ:       inner.Type,
		message:   cmp.Or(inner.Message, top.Message),
		errorCode: inner.Details.ErrorCode,
		RequestID: top.RequestID,
	}
}

// name is the service's own code of the error if it looks like one.
func (w serviceError) name() string {
	if len(w.errorCode) > 64 || strings.ContainsFunc(w.errorCode, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
		return ""
	}
	return w.errorCode
}

// code maps the service's own name of the error, and failing that the HTTP
// status, to ours.
func (w serviceError) code(status int) llm.Code {
	switch w.errorCode {
	case "enforced_spend_limit_reached", "contract_spend_limit_reached":
		return llm.CodeSpendLimit
	case "organization_on_hold":
		return llm.CodeAuth
	}
	switch w.typ {
	case "invalid_request_error", "validationException":
		// Two kinds have no name of their own on the wire.
		switch {
		case strings.HasPrefix(w.message, "You have reached your specified API usage limits"):
			return llm.CodeSpendLimit
		case strings.HasPrefix(w.message, "Your credit balance is too low"):
			return llm.CodeBilling
		case status == http.StatusRequestEntityTooLarge:
			return llm.CodeTooLarge
		}
		return llm.CodeInvalid
	case "authentication_error", "permission_error", "accessDeniedException":
		return llm.CodeAuth
	case "billing_error":
		return llm.CodeBilling
	case "not_found_error":
		return llm.CodeNotFound
	case "request_too_large":
		return llm.CodeTooLarge
	case "rate_limit_error", "throttlingException":
		return llm.CodeRateLimit
	case "overloaded_error":
		return llm.CodeOverloaded
	case "timeout_error", "conflict_error":
		return llm.CodeServer
	}
	return codeOfStatus(status)
}

func codeOfStatus(status int) llm.Code {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return llm.CodeAuth
	case http.StatusPaymentRequired:
		return llm.CodeBilling
	case http.StatusNotFound:
		return llm.CodeNotFound
	case http.StatusRequestEntityTooLarge:
		return llm.CodeTooLarge
	case http.StatusTooManyRequests:
		return llm.CodeRateLimit
	case 529:
		return llm.CodeOverloaded
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly:
		return llm.CodeServer
	}
	if status >= 300 && status < 500 {
		return llm.CodeInvalid
	}
	// 5xx, and errors inside a stream that began well.
	return llm.CodeServer
}
