package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// counter counts the requests to a server by method and path.
type counter struct {
	mu   sync.Mutex
	seen map[string]int
}

func (c *counter) add(r *http.Request) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[r.Method+" "+r.URL.Path]++
	return c.seen[r.Method+" "+r.URL.Path]
}

// listen starts a server that steps of workflows send requests to, at $WEB, and another
// one that it redirects to.
func listen(ts *testscript.TestScript, _ bool, _ []string) {
	count := &counter{seen: map[string]int{}}
	echo := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		w.Header().Set("X-Seen", r.Header.Get("Authorization"))
		w.Header().Set("Set-Cookie", "session=1")
		_ = json.NewEncoder(w).Encode(map[string]string{
			"method": r.Method, "uri": r.RequestURI, "auth": r.Header.Get("Authorization"), "type": r.Header.Get("Content-Type"), "body": string(body),
		})
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count.add(&http.Request{Method: "other " + r.Method, URL: r.URL})
		echo(w, r)
	}))
	ts.Defer(other.Close)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := count.add(r)
		switch path := r.URL.Path; {
		case path == "/data":
			_, _ = io.WriteString(w, `{"id": 12345678901234567890, "rate": 1.50}`)
		case path == "/flaky" && n < 3:
			w.Header().Set("Retry-After", "0")
			http.Error(w, "busy", http.StatusServiceUnavailable)
		case path == "/missing":
			http.Error(w, "no such thing for "+r.Header.Get("Authorization"), http.StatusNotFound)
		case path == "/plain":
			_, _ = io.WriteString(w, "no JSON")
		case path == "/slow":
			<-r.Context().Done()
		case path == "/big":
			_, _ = io.WriteString(w, strings.Repeat("x", 9<<20))
		case path == "/other":
			http.Redirect(w, r, other.URL+"/x", http.StatusFound)
		case path == "/again":
			http.Redirect(w, r, "/echo", http.StatusTemporaryRedirect)
		case path == "/cross":
			http.Redirect(w, r, other.URL+"/x", http.StatusPermanentRedirect)
		case path == "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		default:
			echo(w, r)
		}
	}))
	ts.Defer(server.Close)
	ts.Setenv("WEB", server.URL)
	counters.Store(ts.Getenv("WORK"), count)
}

// counters are those of the scripts that listen, by their folder.
var counters sync.Map

// served checks how often the server of listen was asked: served 'GET /data' 2.
func served(ts *testscript.TestScript, _ bool, args []string) {
	v, _ := counters.Load(ts.Getenv("WORK"))
	count, ok := v.(*counter)
	if !ok {
		ts.Fatalf("served comes after listen")
	}
	count.mu.Lock()
	defer count.mu.Unlock()
	if got := fmt.Sprint(count.seen[args[0]]); got != args[1] {
		ts.Fatalf("%s was asked %s times; want %s (%v)", args[0], got, args[1], count.seen)
	}
}
