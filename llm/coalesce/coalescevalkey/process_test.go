package coalescevalkey_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claude-force/claude-force/internal/processtest"
	store "github.com/claude-force/claude-force/internal/valkey"
	"github.com/claude-force/claude-force/internal/valkey/valkeytest"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/coalesce"
	"github.com/claude-force/claude-force/llm/coalesce/coalescevalkey"
	"github.com/claude-force/claude-force/llm/llmtest"
)

func TestMain(m *testing.M) {
	os.Exit(processtest.Main(m, map[string]processtest.Job{"call": makeCalls}))
}

// makeCalls makes identical calls, as another process: arguments are the server, the service
// and how many calls. It prints that all have got a piece, and the text that each got.
func makeCalls(args []string) error {
	calls, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	client, err := store.New(args[0], store.Options{Timeout: time.Minute})
	if err != nil {
		return err
	}
	defer client.Close()
	provider, err := anthropic.New(anthropic.Options{APIKey: "sk-ant-canary", BaseURL: args[1]})
	if err != nil {
		return err
	}
	shared, err := coalescevalkey.New(provider, provider.Keyer(), client, []byte(strings.Repeat("k", 32)))
	if err != nil {
		return err
	}
	model := coalesce.New(shared, provider.Keyer(), coalesce.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var wg, begun sync.WaitGroup
	texts, errs := make([]string, calls), make([]error, calls)
	for i := range calls {
		begun.Add(1)
		wg.Go(func() {
			began := sync.OnceFunc(begun.Done)
			defer began()
			for ev, err := range model.Stream(ctx, llmtest.Request("the prompt is a canary")) {
				texts[i] += ev.Text
				errs[i] = err
				if ev.Text != "" {
					began()
				}
			}
		})
	}
	begun.Wait()
	fmt.Println("begun")
	wg.Wait()
	for _, text := range texts {
		fmt.Println(text)
	}
	return errors.Join(errs...)
}

// service is one that answers each request in pieces. It holds back the second half of an
// answer until it is released, and never answers the first request if that is to fail.
type service struct {
	requests atomic.Int64
	first    chan struct{} // closed when the first request has come
	silent   bool          // the first is never answered
	goOn     chan struct{}
	pieces   int
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // until then it is not noticed that the client is gone
	if s.requests.Add(1) == 1 {
		close(s.first)
		if s.silent {
			<-r.Context().Done()
			return
		}
	}
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(kind, data string) { fmt.Fprintf(w, "event: %s\ndata: %s\n\n", kind, data) }
	send("message_start", `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-5-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":1}}}`)
	send("content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`)
	for i := range s.pieces {
		if i == s.pieces/2 {
			<-s.goOn
		}
		send("content_block_delta", fmt.Sprintf(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"piece %d "}}`, i))
		w.(http.Flusher).Flush()
	}
	send("content_block_stop", `{"type":"content_block_stop","index":0}`)
	send("message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":9}}`)
	send("message_stop", `{"type":"message_stop"}`)
}

// TestProcessesShareACall has eight processes make 200 identical calls at once: the service
// gets one, and one more if the process that makes it is killed; every call of a process that
// lives gets every byte.
func TestProcessesShareACall(t *testing.T) {
	for name, kill := range map[string]bool{"the owner lives": false, "the owner is killed": true} {
		t.Run(name, func(t *testing.T) {
			server := valkeytest.Start(t)
			const processes, calls, pieces = 8, 25, 300
			s := &service{first: make(chan struct{}), silent: kill, goOn: make(chan struct{}), pieces: pieces}
			web := httptest.NewServer(s)
			defer web.Close()
			start := func() *processtest.Process {
				return processtest.Start(t.Context(), "call", server.URL(), web.URL, calls)
			}
			all := []*processtest.Process{start()} // the owner
			<-s.first
			for range processes - 1 {
				all = append(all, start())
			}
			want := processes * calls
			if kill {
				all[0].Kill()
				if err := all[0].Wait(); err == nil {
					t.Error("the owner was not killed")
				}
				all, want = all[1:], want-calls
			}
			for i, p := range all {
				if line, _ := p.Line(); line != "begun" {
					t.Errorf("process %d printed %q", i, line)
				}
			}
			close(s.goOn)
			var whole strings.Builder
			for i := range pieces {
				fmt.Fprintf(&whole, "piece %d ", i)
			}
			got := 0
			for _, p := range all {
				for line := range p.Lines() {
					if strings.TrimSpace(line) == strings.TrimSpace(whole.String()) {
						got++
					}
				}
				if err := p.Wait(); err != nil {
					t.Error(err)
				}
			}
			wantRequests := int64(1)
			if kill {
				wantRequests = 2
			}
			server.CheckKeys("piece", "canary", "haiku")
			if n := s.requests.Load(); got != want || n != wantRequests {
				t.Errorf("%d requests to the service and %d whole answers; want %d, %d", n, got, wantRequests, want)
			}
		})
	}
}
