package anthropic

import (
	"io"
	"net"
	"net/http"
	"time"

	"github.com/anthropics/anthropic-sdk-go/v2/option"
)

// betaHeader names the beta features of a call, in canonical form.
const betaHeader = "Anthropic-Beta"

// maxErrorBody is how much of a failed call's body is read.
const maxErrorBody = 1 << 20

// newHTTPClient is a client for hundreds of parallel streams to one host.
func newHTTPClient() *http.Client {
	dialer := &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:             http.ProxyFromEnvironment,
			DialContext:       dialer.DialContext,
			ForceAttemptHTTP2: true,
			// A server without HTTP/2 gets one connection per call in flight;
			// they are kept for the next wave of calls.
			MaxIdleConns:        1024,
			MaxIdleConnsPerHost: 1024,
			IdleConnTimeout:     90 * time.Second,
			TLSHandshakeTimeout: 15 * time.Second,
			// No limit on the whole call, but one on a server that accepts it
			// and never answers.
			ResponseHeaderTimeout: 10 * time.Minute,
			// All streams of an HTTP/2 connection hang if it dies silently.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		},
		// A redirect would hand the prompt and the custom headers to a host
		// that nobody named.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// capture keeps the response in *seen, which outlasts the SDK's errors, and
// bounds the body of a failure, which the SDK reads whole.
func capture(seen **http.Response) option.RequestOption {
	return option.WithMiddleware(func(req *http.Request, next option.MiddlewareNext) (*http.Response, error) {
		resp, err := next(req)
		if err == nil && resp != nil {
			*seen = resp
			if resp.StatusCode >= 400 && resp.Body != nil {
				resp.Body = struct {
					io.Reader
					io.Closer
				}{io.LimitReader(resp.Body, maxErrorBody), resp.Body}
			}
		}
		return resp, err
	})
}
