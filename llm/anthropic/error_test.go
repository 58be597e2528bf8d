package anthropic

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// apiError returns an error body of the API.
func apiError(typ, message, code string) string {
	details := ""
	if code != "" {
		details = `,"details":{"error_code":"` + code + `"}`
	}
	return `{"type":"error","error":{"type":"` + typ + `","message":"` + message + `"` + details + `},"request_id":"req_body"}`
}

func TestServiceCode(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{"ramp_limit_exceeded": "ramp_limit_exceeded", "": "", "Not a <code>": ""} {
		_, _, err := ask(t, respond(429, apiError("rate_limit_error", "slower", code), "Content-Type", "application/json"))
		if e, ok := errors.AsType[*llm.Error](err); !ok || e.ServiceCode != want {
			t.Errorf("error_code %q became %+v, want the service code %q", code, err, want)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	const html = "<html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>"
	cases := []struct {
		name   string
		status int
		body   string
		header []string
		code   llm.Code
		saying string
	}{
		{"400", 400, apiError("invalid_request_error", "max_tokens: too high", ""), nil, llm.CodeInvalid, "max_tokens: too high (invalid_request, HTTP 400, request req_1)"},
		{"400 own spending limit", 400, apiError("invalid_request_error", "You have reached your specified API usage limits. You will regain access on 2026-12-01.", ""), nil, llm.CodeSpendLimit, "regain access on 2026-12-01"},
		{"400 no credit", 400, apiError("invalid_request_error", "Your credit balance is too low to access the Anthropic API.", ""), nil, llm.CodeBilling, "cannot pay"},
		{"400 on hold", 400, apiError("invalid_request_error", "Disabled.", "organization_on_hold"), nil, llm.CodeAuth, "on hold"},
		{"400 worth a retry", 400, apiError("invalid_request_error", "odd", ""), []string{"X-Should-Retry", "true"}, llm.CodeServer, "odd"},
		{"401", 401, apiError("authentication_error", "invalid x-api-key", ""), nil, llm.CodeAuth, "the API key from ANTHROPIC_API_KEY was rejected (invalid x-api-key): check it or create a new one at https://platform.claude.com/settings/keys"},
		{"402", 402, apiError("billing_error", "payment failed", ""), nil, llm.CodeBilling, "payment failed"},
		{"403", 403, apiError("permission_error", "no access to this model", ""), nil, llm.CodeAuth, "the API key from ANTHROPIC_API_KEY is not allowed to do this: no access to this model"},
		{"404 model", 404, apiError("not_found_error", "model: claude-haiku-5-5", ""), nil, llm.CodeNotFound, `api.anthropic.com has no model "claude-haiku-5-5", or it is retired`},
		{"407", 407, "", nil, llm.CodeAuth, "HTTPS_PROXY"},
		{"408", 408, "", nil, llm.CodeServer, "HTTP 408 Request Timeout"},
		{"409", 409, apiError("conflict_error", "busy", ""), nil, llm.CodeServer, "busy"},
		{"413", 413, apiError("request_too_large", "Request exceeds the maximum size", ""), nil, llm.CodeTooLarge, "32 MB"},
		{"413 of the edge", 413, "<html>too large</html>", []string{"Content-Type", "text/html"}, llm.CodeTooLarge, "Request Entity Too Large"},
		{"413 after decoding", 413, apiError("invalid_request_error", "too large", "request_body_too_large_after_decoding"), nil, llm.CodeTooLarge, "too large"},
		{"418", 418, "", nil, llm.CodeInvalid, "teapot"},
		{"429", 429, apiError("rate_limit_error", "This request would exceed your rate limit", ""), []string{"Retry-After", "7"}, llm.CodeRateLimit, "would exceed"},
		{"429 ramp", 429, apiError("rate_limit_error", "grew too fast", "ramp_limit_exceeded"), nil, llm.CodeRateLimit, "grew too fast"},
		{"429 tier cap", 429, apiError("rate_limit_error", "cap reached", "enforced_spend_limit_reached"), nil, llm.CodeSpendLimit, "a retry does not help"},
		{"429 contract cap", 429, apiError("rate_limit_error", "cap reached", "contract_spend_limit_reached"), []string{"X-Should-Retry", "true"}, llm.CodeSpendLimit, "cap reached"},
		{"429 not worth a retry", 429, apiError("rate_limit_error", "no", ""), []string{"X-Should-Retry", "false"}, llm.CodeSpendLimit, "no"},
		{"500", 500, apiError("api_error", "Internal server error", ""), nil, llm.CodeServer, "Internal server error"},
		{"500 not worth a retry", 500, apiError("api_error", "hopeless", ""), []string{"X-Should-Retry", "false"}, llm.CodeInvalid, "hopeless"},
		{"500 that means overloaded", 500, apiError("overloaded_error", "Overloaded", ""), nil, llm.CodeOverloaded, "Overloaded"},
		{"502 HTML", 502, html, []string{"Content-Type", "text/html"}, llm.CodeServer, "api.anthropic.com answered HTTP 502 Bad Gateway (server, HTTP 502, request req_1)"},
		{"503", 503, apiError("api_error", "try later", "cmek_key_unreachable"), nil, llm.CodeServer, "try later"},
		{"504", 504, apiError("timeout_error", "timed out", ""), nil, llm.CodeServer, "timed out"},
		{"529", 529, apiError("overloaded_error", "Overloaded", ""), nil, llm.CodeOverloaded, "Overloaded"},
		{"529 of the edge", 529, "", nil, llm.CodeOverloaded, "api.anthropic.com answered HTTP 529 ("},
		{"unknown type", 422, apiError("brand_new", "odd", ""), nil, llm.CodeInvalid, "odd"},
		{"a gateway's string", 404, `{"error":"no such route"}`, nil, llm.CodeNotFound, "no such route"},
		{"Bedrock", 400, `{"message":"The provided model identifier is invalid."}`, nil, llm.CodeInvalid, "model identifier"},
		{"Vertex", 429, `[{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED"}}]`, nil, llm.CodeRateLimit, "Quota exceeded"},
	}
	for _, c := range cases {
		_, events, err := ask(t, respond(c.status, c.body, append([]string{"Content-Type", "application/json"}, c.header...)...))
		e, ok := errors.AsType[*llm.Error](err)
		if !ok {
			t.Errorf("%s: err = %v, want an *llm.Error", c.name, err)
			continue
		}
		if e.Code != c.code || e.Status != c.status || e.RequestID != "req_1" || !strings.Contains(e.Error(), c.saying) {
			t.Errorf("%s: err = %v (code %v, request %q), want code %v and %q", c.name, e, e.Code, e.RequestID, c.code, c.saying)
		}
		if len(events) != 0 || strings.Contains(e.Error(), "<html") || strings.Contains(e.Error(), testKey) {
			t.Errorf("%s: events %q, err = %v", c.name, events, e)
		}
	}
}

func TestTruncatedErrorBody(t *testing.T) {
	t.Parallel()
	_, _, err := ask(t, transport(func(r *http.Request) (*http.Response, error) {
		return response(r, 429, io.NopCloser(errReader{strings.NewReader(`{"type":`), io.ErrUnexpectedEOF}), "Retry-After", "3"), nil
	}))
	e, ok := errors.AsType[*llm.Error](err)
	if !ok || e.Code != llm.CodeRateLimit || e.RetryAfter != 3*time.Second {
		t.Errorf("err = %#v, want a rate limit with its delay", err)
	}
	// The call does not wait for the end of an endless body.
	_, _, err = ask(t, transport(func(r *http.Request) (*http.Response, error) {
		return response(r, 500, io.NopCloser(zeros{})), nil
	}))
	if llm.CodeOf(err) != llm.CodeServer {
		t.Errorf("endless error body: err = %v", err)
	}
}

func TestNotFoundWithBaseURL(t *testing.T) {
	t.Parallel()
	c := testClient(t, respond(404, "404 page not found", "Content-Type", "text/plain"), func(o *Options) { o.BaseURL = "http://127.0.0.1:8080/v1" })
	_, _, err := collect(c, t.Context(), testRequest())
	if llm.CodeOf(err) != llm.CodeNotFound || !strings.Contains(err.Error(), "no Messages API at 127.0.0.1:8080") {
		t.Errorf("err = %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().UTC().Truncate(time.Second)
		cases := []struct {
			header []string
			want   time.Duration
		}{
			{nil, -1},
			{[]string{"Retry-After", "7"}, 7 * time.Second},
			{[]string{"Retry-After", "0"}, 0},
			{[]string{"Retry-After", "0.25"}, 250 * time.Millisecond},
			{[]string{"Retry-After", now.Add(time.Minute).Format(http.TimeFormat)}, time.Until(now.Add(time.Minute))},
			{[]string{"Retry-After", now.Add(-time.Minute).Format(http.TimeFormat)}, 0},
			{[]string{"Retry-After-Ms", "1500", "Retry-After", "7"}, 1500 * time.Millisecond},
			{[]string{"Retry-After-Ms", "soon", "Retry-After", "7"}, 7 * time.Second},
			{[]string{"Retry-After", "-5"}, -1},
			{[]string{"Retry-After", "NaN"}, -1},
			{[]string{"Retry-After", "soon"}, -1},
			{[]string{"Retry-After", "1e999"}, 365 * 24 * time.Hour},
			{[]string{"Retry-After", "99999999999999999999"}, 365 * 24 * time.Hour},
		}
		for _, c := range cases {
			h := http.Header{}
			for i := 0; i < len(c.header); i += 2 {
				h.Set(c.header[i], c.header[i+1])
			}
			if got := retryAfter(h); got != c.want {
				t.Errorf("retryAfter(%v) = %v, want %v", c.header, got, c.want)
			}
		}
	})
}

// TestErrorsLeakNothing checks that no error contains a credential or the
// prompt, even if the service's message quotes them.
func TestErrorsLeakNothing(t *testing.T) {
	t.Parallel()
	const (
		long   = "The patient, Mr. Ignatius Featherstonehaugh, complains of a headache since Monday."
		short  = "pin 4711 for the door"
		header = "gw-5ecre7-token"
	)
	quotes := []string{
		long, "bad text: " + long + "!", long[10:60], short, testKey, "Bearer " + testKey, header,
		long + " " + short + " " + testKey, strings.Repeat(long, 20), strings.ReplaceAll(long, " ", "\\n  "),
	}
	req := testRequest()
	req.System = []llm.Block{llm.TextBlock(long)}
	req.Messages = []llm.Message{llm.UserText(short), {Role: "user", Content: []llm.Block{llm.ToolResult("toolu_1", "x"+long+"x", false)}}}
	for _, quote := range quotes {
		bodies := map[string]transport{
			"body":  respond(400, apiError("invalid_request_error", "refused: "+quote, ""), "Content-Type", "application/json"),
			"event": respond(200, sse(evStart, `{"type":"error","error":{"type":"api_error","message":"refused: `+quote+`"}}`)),
			"auth":  respond(401, apiError("authentication_error", "refused: "+quote, ""), "Content-Type", "application/json"),
			"plain": respond(500, "refused: "+quote, "Content-Type", "text/plain"),
			"net": func(*http.Request) (*http.Response, error) {
				return nil, errors.New("sending " + testKey + " " + header)
			},
		}
		for name, rt := range bodies {
			c := testClient(t, rt, func(o *Options) {
				o.Headers = http.Header{"X-Gateway": {"Token " + header}}
				o.BaseURL = "https://user:pa55word@gateway.example/px"
			})
			_, _, err := collect(c, t.Context(), req)
			if err == nil {
				t.Fatalf("%s: no error", name)
			}
			for _, secret := range []string{testKey, testKey[3:], header, "pa55word", short, "Featherstonehaugh", "headache since"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%s, quoting %q: the error holds %q: %v", name, quote, secret, err)
				}
			}
		}
	}
	// Text that is not a quote stays.
	_, _, err := collect(testClient(t, respond(400, apiError("invalid_request_error", "max_tokens must be below 128000", ""), "Content-Type", "application/json")), t.Context(), req)
	if !strings.Contains(err.Error(), "max_tokens must be below 128000") {
		t.Errorf("err = %v", err)
	}
}

func TestNetworkErrors(t *testing.T) {
	t.Parallel()
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	cases := []struct {
		name    string
		baseURL string
		err     error
		saying  []string
	}{
		{"no such host", "https://nowhere.example", dial(&net.DNSError{Err: "no such host", Name: "nowhere.example", IsNotFound: true}), []string{"nowhere.example", "ANTHROPIC_BASE_URL"}},
		{"refused", "http://127.0.0.1:1", dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), []string{"127.0.0.1:1 refuses", "ANTHROPIC_BASE_URL"}},
		{"refused by the API itself", "", dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), []string{"api.anthropic.com refuses", "HTTPS_PROXY"}},
		{"certificate", "https://gw.example", &tls.CertificateVerificationError{Err: errors.New("unknown authority")}, []string{"certificate of gw.example"}},
		{"timeout", "", dial(os.ErrDeadlineExceeded), []string{"api.anthropic.com does not answer in time"}},
		{"reset", "", &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, []string{"connection to api.anthropic.com broke", "reset"}},
		{"EOF", "", io.EOF, []string{"connection to api.anthropic.com broke"}},
	}
	for _, c := range cases {
		client := testClient(t, transport(func(*http.Request) (*http.Response, error) { return nil, c.err }), func(o *Options) { o.BaseURL = c.baseURL })
		_, _, err := collect(client, t.Context(), testRequest())
		if llm.CodeOf(err) != llm.CodeConnection {
			t.Errorf("%s: err = %v, want code connection", c.name, err)
			continue
		}
		for _, s := range c.saying {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: err = %v, want %q in it", c.name, err, s)
			}
		}
	}
	// An *llm.Error from the transport is kept.
	own := llm.NewError(llm.CodeBilling, "no coins", nil)
	_, _, err := ask(t, transport(func(*http.Request) (*http.Response, error) { return nil, own }))
	if err != error(own) {
		t.Errorf("err = %v, want the transport's own", err)
	}
}

func TestContextAlreadyEnded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := testClient(t, transport(func(*http.Request) (*http.Response, error) {
		t.Error("a call was made")
		return nil, io.EOF
	}))
	if _, _, err := collect(c, ctx, testRequest()); llm.CodeOf(err) != llm.CodeCanceled {
		t.Errorf("err = %v, want code canceled", err)
	}
}
