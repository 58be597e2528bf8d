package sim

import (
	"cmp"
	"encoding/json"
	"net/http"
)

// apiError is an error response of the API.
type apiError struct {
	status     int
	kind       string // error.type; empty for the status's default
	message    string
	code       string // error.details.error_code; may be empty
	retryAfter string // header; may be empty
}

func invalid(message string) *apiError {
	return &apiError{status: http.StatusBadRequest, message: message}
}

// errorType returns the documented error type of a status.
func errorType(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusPaymentRequired:
		return "billing_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusConflict:
		return "conflict_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	case http.StatusGatewayTimeout:
		return "timeout_error"
	case 529:
		return "overloaded_error"
	}
	if status >= 500 {
		return "api_error"
	}
	return "invalid_request_error"
}

// envelope returns the JSON body of the error.
func (e *apiError) envelope(requestID string) []byte {
	type details struct {
		Code string `json:"error_code"`
	}
	var body struct {
		Type  string `json:"type"`
		Error struct {
			Type    string   `json:"type"`
			Message string   `json:"message"`
			Details *details `json:"details,omitempty"`
		} `json:"error"`
		RequestID string `json:"request_id,omitempty"`
	}
	body.Type, body.RequestID = "error", requestID
	body.Error.Type, body.Error.Message = cmp.Or(e.kind, errorType(e.status)), e.message
	if e.code != "" {
		body.Error.Details = &details{e.code}
	}
	data, err := json.Marshal(body)
	if err != nil {
		return []byte(`{"type":"error","error":{"type":"api_error","message":"unreadable"}}`)
	}
	return data
}

// fail writes an error response. Call it at most once, before anything else is
// written.
func (s *Server) fail(w http.ResponseWriter, e *apiError) {
	s.stats.failed(e.status, cmp.Or(e.code, e.kind, errorType(e.status)))
	if e.retryAfter != "" {
		w.Header().Set("retry-after", e.retryAfter)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.status)
	w.Write(e.envelope(w.Header().Get("request-id")))
}
