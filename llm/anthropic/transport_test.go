package anthropic

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestDefaultClientOverTCP makes calls over real connections, which must be
// reused after a complete answer: as many are made as there are calls at once.
func TestDefaultClientOverTCP(t *testing.T) {
	t.Parallel()
	const parallel = 100
	var connections, arrived atomic.Int32
	all := []chan struct{}{make(chan struct{}), make(chan struct{})} // closed when all calls of a wave are there
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := arrived.Add(1) - 6; n >= 0 {
			wave := all[n/parallel]
			if n%parallel == parallel-1 {
				close(wave)
			}
			<-wave
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for event := range strings.SplitAfterSeq(hello, "\n\n") {
			_, _ = io.WriteString(w, event)
			_ = http.NewResponseController(w).Flush()
		}
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	c := testClient(t, nil, func(o *Options) { o.HTTPClient, o.BaseURL = nil, server.URL })
	c.drain = time.Minute // the end of an answer may be slow to come
	for range 5 {
		if _, _, err := collect(c, t.Context(), testRequest()); err != nil {
			t.Fatal(err)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("5 calls in turn took %d connections, want 1", n)
	}
	for range all {
		var wg sync.WaitGroup
		for range parallel {
			wg.Go(func() {
				if resp, _, err := collect(c, t.Context(), testRequest()); err != nil || resp.Text() != "Hello there" {
					t.Errorf("response %v, %v", resp, err)
				}
			})
		}
		wg.Wait()
	}
	if n := connections.Load(); n != parallel {
		t.Errorf("2 waves of %d calls at once took %d connections", parallel, n)
	}
}

// TestDefaultClientSendsLargeBodies sends bodies that differ, of which several are under
// way at once, to a server that sends them back.
func TestDefaultClientSendsLargeBodies(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	}))
	t.Cleanup(server.Close)
	client := newHTTPClient()
	t.Cleanup(client.CloseIdleConnections)
	var wg sync.WaitGroup
	for n := range 16 {
		wg.Go(func() {
			want := strings.Repeat(fmt.Sprintf("body %d\n", n), 10_000*(n+1))
			resp, err := client.Post(server.URL, "text/plain", strings.NewReader(want))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if got, err := io.ReadAll(resp.Body); err != nil || string(got) != want {
				t.Errorf("body %d: %d bytes came back, %v; want the %d that were sent", n, len(got), err, len(want))
			}
		})
	}
	wg.Wait()
}

// TestDefaultClientFollowsNoRedirect checks that prompt and headers are sent to
// the named host only.
func TestDefaultClientFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	t.Cleanup(elsewhere.Close)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(server.Close)
	c := testClient(t, nil, func(o *Options) { o.HTTPClient, o.BaseURL = nil, server.URL })
	if _, _, err := collect(c, t.Context(), testRequest()); err == nil || !strings.Contains(err.Error(), "redirects") {
		t.Errorf("err = %v, want a word on the redirect", err)
	}
}

func TestDefaultClientSpeaksHTTP2(t *testing.T) {
	t.Parallel()
	var proto atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proto.Store(int32(r.ProtoMajor))
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, hello)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	client := newHTTPClient()
	client.Transport.(*http.Transport).TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	client.Transport.(*http.Transport).TLSClientConfig.NextProtos = nil
	c := testClient(t, nil, func(o *Options) { o.HTTPClient, o.BaseURL = client, server.URL })
	if _, _, err := collect(c, t.Context(), testRequest()); err != nil || proto.Load() != 2 {
		t.Errorf("HTTP/%d, err = %v; want HTTP/2", proto.Load(), err)
	}
	// An untrusted certificate is named in the error.
	c = testClient(t, nil, func(o *Options) { o.HTTPClient, o.BaseURL = nil, server.URL })
	if _, _, err := collect(c, t.Context(), testRequest()); err == nil || !strings.Contains(err.Error(), "certificate of 127.0.0.1") {
		t.Errorf("err = %v, want a word on the certificate", err)
	}
}
