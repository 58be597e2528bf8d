package proxy

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"

	"github.com/claude-force/claude-force/llm"
)

// statusOverloaded is what the API answers when it is overloaded.
const statusOverloaded = 529

// errorTypes are the names that the API gives errors, by status.
var errorTypes = map[int]string{
	http.StatusBadRequest:            "invalid_request_error",
	http.StatusUnauthorized:          "authentication_error",
	http.StatusPaymentRequired:       "billing_error",
	http.StatusForbidden:             "permission_error",
	http.StatusNotFound:              "not_found_error",
	http.StatusMethodNotAllowed:      "invalid_request_error",
	http.StatusRequestEntityTooLarge: "request_too_large",
	http.StatusMisdirectedRequest:    "permission_error",
	http.StatusUnsupportedMediaType:  "invalid_request_error",
	http.StatusTooManyRequests:       "rate_limit_error",
	http.StatusGatewayTimeout:        "timeout_error",
	statusOverloaded:                 "overloaded_error",
}

// WriteError answers a request with an error in the form that the API gives its own.
func WriteError(w http.ResponseWriter, status int, message string) {
	typ := errorTypes[status]
	if typ == "" {
		typ = "api_error"
	}
	id := newRequestID()
	type detail struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	data, err := json.Marshal(struct {
		Type      string `json:"type"`
		Error     detail `json:"error"`
		RequestID string `json:"request_id"`
	}{"error", detail{typ, message}, id})
	if err != nil {
		panic(err) // texts
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Request-Id", id)
	h.Del("Content-Length")
	w.WriteHeader(status)
	_, _ = w.Write(data) // the client may be gone
}

// newRequestID returns an id for an answer that the service did not give.
func newRequestID() string { return "req_cf_" + strings.ToLower(rand.Text()[:22]) }

// statuses are the statuses of errors that the service did not answer with.
var statuses = map[llm.Code]int{
	llm.CodeInvalid:    http.StatusBadRequest,
	llm.CodeAuth:       http.StatusServiceUnavailable, // of the operator, not of the client
	llm.CodeBilling:    http.StatusPaymentRequired,
	llm.CodeSpendLimit: http.StatusPaymentRequired,
	llm.CodeNotFound:   http.StatusNotFound,
	llm.CodeTooLarge:   http.StatusRequestEntityTooLarge,
	llm.CodeRateLimit:  http.StatusTooManyRequests,
	llm.CodeOverloaded: statusOverloaded,
	llm.CodeTimeout:    http.StatusGatewayTimeout,
	llm.CodeCanceled:   http.StatusServiceUnavailable,
	llm.CodeInternal:   http.StatusInternalServerError,
}

// writeCallError answers with the error of a call that the service did not answer with
// one.
func writeCallError(w http.ResponseWriter, err error) {
	status := statuses[llm.CodeOf(err)]
	if status == 0 {
		status = http.StatusBadGateway
	}
	message := "the server failed; its log says why"
	if e, ok := errors.AsType[*llm.Error](err); ok {
		message = e.Message
		if e.Status == http.StatusForbidden { // the client's key does not allow it
			status = e.Status
		}
		if e.RetryAfter > 0 {
			w.Header().Set("Retry-After", fmt.Sprint(math.Ceil(e.RetryAfter.Seconds())))
		}
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("X-Should-Retry", "false")
	}
	WriteError(w, status, message)
}
