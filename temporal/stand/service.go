//go:build unix

package stand

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Service stands for the Messages API and notes when it was asked for each unit. It shares
// no code with what asks it.
type Service struct {
	url    string
	server *http.Server
	delay  time.Duration

	mu    sync.Mutex
	asked map[string][]time.Time   // by unit
	held  map[string]chan struct{} // by unit; closed when it is to be answered
}

// Hold has the requests of a unit of a run wait until the function that it returns is called.
func (s *Service) Hold(run, unit string) (answer func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := make(chan struct{})
	s.held[run+" "+unit] = c
	return sync.OnceFunc(func() { close(c) })
}

// UnitOf finds the unit of a request in its prompt: the run, then the unit.
var UnitOf = regexp.MustCompile(`\[unit (\w+) ([^\]]+)\]`)

func newService(delay time.Duration) (*Service, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is at once
	if err != nil {
		return nil, err
	}
	s := &Service{url: "http://" + listener.Addr().String(), delay: delay, asked: map[string][]time.Time{}, held: map[string]chan struct{}{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/messages", s.answer)
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.server.Serve(listener) }() // until Close
	return s, nil
}

// answer answers a request with what follows from its prompt, but for the name of the run.
func (s *Service) answer(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	body, err := io.ReadAll(io.LimitReader(r.Body, 16<<20))
	if err != nil {
		return
	}
	var request struct {
		Model    string          `json:"model"`
		Messages json.RawMessage `json:"messages"`
	}
	if err := json.Unmarshal(body, &request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	unit := UnitOf.FindSubmatch(request.Messages)
	if unit == nil {
		http.Error(w, "the prompt names no unit", http.StatusBadRequest)
		return
	}
	name := string(unit[1]) + " " + string(unit[2])
	s.mu.Lock()
	s.asked[name] = append(s.asked[name], now)
	held := s.held[name]
	s.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-r.Context().Done():
			return
		}
	}
	select {
	case <-time.After(s.delay):
	case <-r.Context().Done():
		return
	}
	h := fnv.New64a()
	_, _ = h.Write(UnitOf.ReplaceAll(request.Messages, []byte("$2")))
	text := fmt.Sprintf("did %s %x", unit[2], h.Sum64())
	w.Header().Set("Content-Type", "text/event-stream")
	for _, ev := range []struct{ name, data string }{
		{"message_start", fmt.Sprintf(`{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":%q,"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"output_tokens":1}}}`, request.Model)},
		{"content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`},
		{"content_block_delta", fmt.Sprintf(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":%q}}`, text)},
		{"content_block_stop", `{"type":"content_block_stop","index":0}`},
		{"message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":5}}`},
		{"message_stop", `{"type":"message_stop"}`},
	} {
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", ev.name, ev.data)
	}
}

// Times returns when a unit of a run was asked for.
func (s *Service) Times(run, unit string) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Time(nil), s.asked[run+" "+unit]...)
}

// Units returns how many units of a run were asked for, and by how many requests.
func (s *Service) Units(run string) (units, requests int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, times := range s.asked {
		if strings.HasPrefix(name, run+" ") {
			units++
			requests += len(times)
		}
	}
	return units, requests
}
