package anthropic

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/anthropics/anthropic-sdk-go/v2/option"
)

// betaHeader is the header with a call's beta features, in canonical form.
const betaHeader = "Anthropic-Beta"

// maxErrorBody is the number of bytes read from an error response.
const maxErrorBody = 1 << 20

// newHTTPClient returns a client for hundreds of parallel streams to one host.
func newHTTPClient() *http.Client {
	dialer := &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}
	dialer.Control = func(_, address string, _ syscall.RawConn) error { return refuseLinkLocal(address) }
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := dialer.DialContext(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return copyingConn{conn}, nil
			},
			ForceAttemptHTTP2: true,
			// Without HTTP/2 each call in flight has its own connection; they
			// are kept for the next calls.
			MaxIdleConns:        1024,
			MaxIdleConnsPerHost: 1024,
			IdleConnTimeout:     90 * time.Second,
			TLSHandshakeTimeout: 15 * time.Second,
			// There is no limit on the whole call, only on a server that
			// accepts it and never answers.
			ResponseHeaderTimeout: 10 * time.Minute,
			// If an HTTP/2 connection dies silently, all of its streams hang.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		},
		// A redirect would send the prompt and the custom headers to a host
		// that the user did not name.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// copyingConn is a connection that sends large bodies with memory that is kept: without
// TLS, Go's own takes 32 kB for each.
type copyingConn struct{ net.Conn }

// copyBuffers holds *[]byte.
var copyBuffers = sync.Pool{New: func() any { return new(make([]byte, 64<<10)) }}

// ReadFrom sends what r holds.
func (c copyingConn) ReadFrom(r io.Reader) (int64, error) {
	buf, _ := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{c.Conn}, r, *buf)
}

// capture stores the response in *seen, which the SDK's errors do not keep, and
// bounds the body of an error response, which the SDK reads whole.
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
