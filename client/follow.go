package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

const (
	// maxMessage bounds a message of a stream, in bytes: the outputs of steps are in it.
	maxMessage = 256 << 20

	// maxRetries is how many connections in a row may break off without a message.
	maxRetries = 30
)

// Follow yields the events of a run with a higher sequence number, as they happen, and
// what becomes of the run; the last change is that of the run when it makes no more
// events. A connection that breaks off is made again, also to a server that was restarted:
// no event is lost or repeated.
func (c *Client) Follow(ctx context.Context, id string, after int64) iter.Seq2[runs.Change, error] {
	return func(yield func(runs.Change, error) bool) {
		s := stream{client: c, run: id, after: after, retry: c.retry}
		for tries := 1; ; tries++ {
			before := s.messages
			done, err := s.read(ctx, yield)
			if done {
				return
			}
			if s.messages > before {
				tries = 0
			}
			if p, ok := errors.AsType[*Error](err); ok && p.Status < http.StatusInternalServerError && p.Status != http.StatusTooManyRequests {
				yield(runs.Change{}, err) // it would be refused again
				return
			}
			if tries == maxRetries {
				yield(runs.Change{}, err)
				return
			}
			select {
			case <-time.After(s.retry):
			case <-ctx.Done():
				yield(runs.Change{}, ctx.Err())
				return
			}
		}
	}
}

// stream reads server-sent events over one connection after the other.
type stream struct {
	client   *Client
	run      string
	after    int64 // sequence number of the last event
	retry    time.Duration
	messages int // read so far
}

// message is a server-sent event.
type message struct {
	id, event, data string
}

// read follows the run over one connection. done is set if the run has ended, or if the
// caller wants no more.
func (s *stream) read(ctx context.Context, yield func(runs.Change, error) bool) (done bool, err error) {
	last := ""
	if s.after > 0 {
		last = strconv.FormatInt(s.after, 10)
	}
	res, err := s.client.send(ctx, http.MethodGet, runPath(s.run)+"/stream", nil, nil, "Accept", "text/event-stream", "Last-Event-ID", last)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxMessage)
	var m message
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			m.id = value
		case "event":
			m.event = value
		case "data":
			m.data += value
		case "retry":
			if ms, err := strconv.Atoi(value); err == nil && ms > 0 {
				s.retry = min(time.Duration(ms)*time.Millisecond, s.client.retry)
			}
		}
		if lines.Text() != "" || m.data == "" {
			continue
		}
		change, err := s.change(m)
		if err != nil {
			yield(runs.Change{}, err)
			return true, nil
		}
		if !yield(change, nil) || m.event == "end" {
			return true, nil
		}
		m = message{}
	}
	if err := lines.Err(); err != nil {
		return false, s.client.unreachable(ctx, err)
	}
	return false, s.client.unreachable(ctx, io.ErrUnexpectedEOF)
}

// change returns what a message says.
func (s *stream) change(m message) (runs.Change, error) {
	s.messages++
	if m.event != "" {
		var run journal.Run
		err := json.Unmarshal([]byte(m.data), &run)
		return runs.Change{Run: run}, unreadable(err)
	}
	ev := &journal.Event{}
	if err := json.Unmarshal([]byte(m.data), ev); err != nil {
		return runs.Change{}, unreadable(err)
	}
	s.after = ev.Seq
	return runs.Change{Event: ev}, nil
}

func unreadable(err error) error {
	if err != nil {
		return fault.Input(fmt.Errorf("the server is of another version: %w", err))
	}
	return nil
}
