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

// keysURL is the page on which API keys are managed.
const keysURL = "https://platform.claude.com/settings/keys"

// callError converts the SDK's error err. resp is the response, if any; req is
// nil for requests other than model calls.
//
// The SDK's error is not wrapped: it holds the whole request, including headers
// and prompt.
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
		// The body is truncated or malformed; the status is enough.
		return c.serviceError(req, resp.StatusCode, resp.Header, nil)
	}
	return c.setupError(ctx, err)
}

// serviceError returns the error for a response with the given status, or for
// an error event in a stream with that status. req is nil for requests other
// than model calls.
func (c *Client) serviceError(req *llm.Request, status int, header http.Header, body []byte) error {
	w := parseServiceError(body)
	e := &llm.Error{
		Code:        w.code(status),
		Status:      status,
		RequestID:   cmp.Or(header.Get(requestIDHeader), header.Get("X-Amzn-Requestid"), w.RequestID),
		ServiceCode: w.name(),
		RetryAfter:  -1,
	}
	// The headers of a stream precede its failure and do not describe it.
	if status >= 300 {
		e.Code = applyShouldRetry(header.Get("X-Should-Retry"), e.Code)
		e.RetryAfter = retryAfter(header)
	}
	detail := c.clean(w.message, req)
	switch {
	case detail != "":
	case status < 300:
		detail = c.host + " reported an error in the middle of the answer"
	default:
		detail = fmt.Sprintf("%s answered HTTP %d", c.host, status)
		if text := http.StatusText(status); text != "" {
			detail += " " + text
		}
	}
	e.Message = c.explain(e.Code, status, w, detail, req)
	if hint := c.pathHint(status); hint != "" && !strings.Contains(e.Message, hint) {
		e.Message += ": " + hint
	}
	return e
}

// pathHint returns what to do about a base URL that holds the beginning of the
// paths that are added to it, if a response says that there is nothing.
func (c *Client) pathHint(status int) string {
	switch status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusForbidden, http.StatusBadRequest, http.StatusGone, http.StatusNotImplemented:
	default:
		return ""
	}
	path := strings.TrimRight(c.opts.BaseURL, "/")
	for _, end := range []string{"/v1", "/v1/messages"} {
		if strings.HasSuffix(path, end) {
			return "ANTHROPIC_BASE_URL must not end in " + end + ", which is added to it"
		}
	}
	return ""
}

// explain returns the message for the user: what happened, then what to do.
func (c *Client) explain(code llm.Code, status int, w serviceError, detail string, req *llm.Request) string {
	switch {
	case status >= 300 && status < 400:
		return fmt.Sprintf("%s redirects the call and redirects are not followed: set ANTHROPIC_BASE_URL to the API's address", c.host)
	case status == http.StatusProxyAuthRequired:
		return "the proxy requires authentication: check HTTPS_PROXY"
	case code == llm.CodeAuth && w.errorCode == "organization_on_hold":
		return "the organization is on hold: " + detail
	case code == llm.CodeAuth && (status == http.StatusForbidden || w.typ == "permission_error"):
		return fmt.Sprintf("the %s is not allowed to do this: %s", c.opts.credentialName(), detail)
	case code == llm.CodeAuth && c.opts.Backend == BackendAnthropic:
		return fmt.Sprintf("the %s was rejected (%s): check it or create a new one at %s", c.opts.credentialName(), detail, keysURL)
	case code == llm.CodeAuth:
		return fmt.Sprintf("the %s was rejected: %s", c.opts.credentialName(), detail)
	case code == llm.CodeBilling:
		return fmt.Sprintf("the account cannot pay: %s (see the billing page of https://platform.claude.com)", detail)
	case code == llm.CodeSpendLimit:
		return fmt.Sprintf("a spending limit is reached, so a retry does not help: %s (raise it on the limits page of https://platform.claude.com, or wait for the next period)", detail)
	case code == llm.CodeNotFound && req == nil:
		return detail
	case code == llm.CodeNotFound && (w.typ != "" || c.opts.BaseURL == ""):
		return fmt.Sprintf("%s has no model %q, or it is retired: %s; check the name, or use haiku, sonnet or opus", c.host, req.Model, detail)
	case code == llm.CodeNotFound:
		return fmt.Sprintf("there is no Messages API at %s: check ANTHROPIC_BASE_URL", c.host)
	case code == llm.CodeTooLarge:
		return detail + ": send less, a call may have at most 32 MB"
	}
	return detail
}

// applyShouldRetry adjusts the code to the x-should-retry header. No code
// stands for a server failure that must not be retried, so such a call becomes
// invalid. The header does not change a spending limit.
func applyShouldRetry(header string, code llm.Code) llm.Code {
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

// serviceError is a parsed error body.
type serviceError struct {
	kind      string // top-level type; "error" for the API's errors
	typ       string
	message   string
	errorCode string
	RequestID string
}

// parseServiceError parses the error bodies of the API, of the clouds that
// serve Claude, and of common gateways. It leaves unknown formats empty: an
// HTML page has no message worth showing.
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
	// A field of an unexpected type leaves the others readable.
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

// name returns the service's error code if it has the form of one.
func (w serviceError) name() string {
	if len(w.errorCode) > 64 || strings.ContainsFunc(w.errorCode, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
		return ""
	}
	return w.errorCode
}

// code maps the service's error name, or else the HTTP status, to an
// [llm.Code].
func (w serviceError) code(status int) llm.Code {
	switch w.errorCode {
	case "enforced_spend_limit_reached", "contract_spend_limit_reached":
		return llm.CodeSpendLimit
	case "organization_on_hold":
		return llm.CodeAuth
	}
	switch w.typ {
	case "invalid_request_error", "validationException":
		// Two kinds have no type of their own in the API.
		switch {
		case strings.HasPrefix(w.message, "You have reached your specified API usage limits"):
			return llm.CodeSpendLimit
		case strings.Contains(strings.ToLower(w.message), "credit balance") && strings.Contains(w.message, "low"):
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
	// 5xx, and errors in a stream that started with 200.
	return llm.CodeServer
}
