//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// pause is how long a client waits before it tries again.
const pause = 20 * time.Millisecond

// followed is a run and what a client was notified of it.
type followed struct {
	id       string
	seqs     []int64
	finished map[string]time.Time // items, and when the client was notified
	status   string
	cost     float64
}

// more reports whether clients begin something new.
func (l *loop) more(ctx context.Context) bool {
	select {
	case <-l.enough:
		return false
	default:
		return ctx.Err() == nil
	}
}

// next returns the address of the server that the next request is for.
func (l *loop) next() string { return l.hosts[l.sent.Add(1)%int64(len(l.hosts))].addr }

// send makes one request. The body is for the caller to close.
func (l *loop) send(ctx context.Context, method, path string, body any, headers ...string) (*http.Response, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+l.next()+path, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+l.key)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return http.DefaultClient.Do(req)
}

// ask makes a request until it is answered with a status, and decodes the answer into v.
// An attempt that takes longer than patience hangs.
func (l *loop) ask(ctx context.Context, status int, v any, method, path string, body any, headers ...string) (http.Header, error) {
	for {
		header, err := l.askOnce(ctx, status, v, method, path, body, headers...)
		switch {
		case err == nil || ctx.Err() != nil:
			return header, err
		case errors.Is(err, context.DeadlineExceeded):
			l.say(&l.rep.Hung, "%s %s: no answer within %s", method, path, patience)
			return nil, err
		case errors.Is(err, errRefused):
			l.say(&l.rep.Wrong, "%s %s: %v", method, path, err)
			return nil, err
		}
		time.Sleep(pause)
	}
}

// errRefused is the error of an answer that no restart explains.
var errRefused = errors.New("refused")

func (l *loop) askOnce(ctx context.Context, status int, v any, method, path string, body any, headers ...string) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	res, err := l.send(ctx, method, path, body, headers...)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return nil, err
	}
	if res.StatusCode != status {
		err := fmt.Errorf("%s: %s", res.Status, data)
		if res.StatusCode < 500 {
			err = fmt.Errorf("%w: %w", errRefused, err)
		}
		return nil, err
	}
	return res.Header, json.Unmarshal(data, v)
}

// startRuns starts runs, one after the other, and follows each to its end.
func (l *loop) startRuns(ctx context.Context, client int) {
	for n := 0; l.more(ctx); n++ {
		key := fmt.Sprintf("client-%d-%d", client, n)
		start := func() string {
			var run struct {
				ID string `json:"run_id"`
			}
			_, err := l.ask(ctx, http.StatusAccepted, &run, http.MethodPost, "/api/v1/runs", map[string]any{"workflow": "wf.yaml"}, "Idempotency-Key", key)
			if err != nil {
				return ""
			}
			return run.ID
		}
		id := start()
		if id == "" {
			return
		}
		if again := start(); again != "" && again != id {
			l.say(&l.rep.Twice, "%s has the runs %s and %s", key, id, again)
		}
		f := &followed{id: id, finished: map[string]time.Time{}}
		l.mu.Lock()
		l.runs[id] = f
		l.rep.Runs++
		l.mu.Unlock()
		for f.status == "" && ctx.Err() == nil {
			if err := l.follow(ctx, f); err != nil && ctx.Err() == nil {
				if errors.Is(err, errRefused) {
					l.say(&l.rep.Wrong, "following %s: %v", id, err)
					return
				}
				if errors.Is(context.Cause(ctx), context.DeadlineExceeded) || errors.Is(err, errSilent) {
					l.say(&l.rep.Hung, "following %s: %v", id, err)
				}
				l.mu.Lock()
				l.rep.Streams++
				l.mu.Unlock()
				time.Sleep(pause)
			}
		}
	}
}

// errSilent is the error of a stream that says nothing, not even that it lives.
var errSilent = errors.New("the stream is silent")

// follow reads the stream of a run from where the client is, until it is cut off or the
// run has ended.
func (l *loop) follow(ctx context.Context, f *followed) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(patience, func() { cancel(errSilent) })
	defer silent.Stop()
	var headers []string
	if len(f.seqs) > 0 {
		headers = []string{"Last-Event-ID", strconv.FormatInt(f.seqs[len(f.seqs)-1], 10)}
	}
	res, err := l.send(ctx, http.MethodGet, "/api/v1/runs/"+f.id+"/stream", nil, headers...)
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		data, _ := io.ReadAll(res.Body)
		if res.StatusCode < 500 {
			return fmt.Errorf("%w: %s: %s", errRefused, res.Status, data)
		}
		return fmt.Errorf("%s: %s", res.Status, data)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 16<<20)
	var id int64
	var event string
	for lines.Scan() {
		silent.Reset(patience)
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			if id, err = strconv.ParseInt(value, 10, 64); err != nil {
				return err
			}
		case "event":
			event = value
		case "":
			id, event = 0, ""
		case "data":
			if err := f.take(id, event, []byte(value)); err != nil || f.status != "" {
				return err
			}
		}
	}
	return errors.Join(io.ErrUnexpectedEOF, lines.Err(), context.Cause(ctx))
}

// take notes a message of a stream.
func (f *followed) take(id int64, event string, data []byte) error {
	var is struct {
		Type   string  `json:"type"`
		Item   string  `json:"item"`
		Status string  `json:"status"`
		Cost   float64 `json:"cost_usd"`
	}
	if err := json.Unmarshal(data, &is); err != nil {
		return err
	}
	switch {
	case event == "end":
		f.status, f.cost = is.Status, is.Cost
	case id > 0:
		f.seqs = append(f.seqs, id)
		if is.Type == "step_finished" && is.Item != "" {
			f.finished[is.Item] = time.Now()
		}
	}
	return nil
}

// callProxy makes calls, one after the other. Once one is answered, it is sent until it
// is answered from the cache: from then on it must not reach the service.
func (l *loop) callProxy(ctx context.Context, client int) {
	for n := 0; l.more(ctx); n++ {
		job := fmt.Sprintf("job-proxy-%d-%d", client, n)
		body := map[string]any{
			"model": "claude-haiku-4-5", "max_tokens": 100, "temperature": 0, "stream": n%2 == 1,
			"messages": []any{map[string]any{"role": "user", "content": "Do " + job + " now"}},
		}
		if _, err := l.call(ctx, body); err != nil {
			return
		}
		at := time.Now()
		header, err := l.call(ctx, body)
		if err != nil {
			return
		}
		if source := header.Get("X-Claude-Force-Cache"); source != "hit" {
			l.say(&l.rep.Wrong, "%s was answered, and then is a %s", job, source)
		}
		l.mu.Lock()
		l.answered[job] = at
		l.rep.Calls++
		l.mu.Unlock()
	}
}

// call makes a call until its whole answer is there.
func (l *loop) call(ctx context.Context, body map[string]any) (http.Header, error) {
	if body["stream"] == false {
		var answer json.RawMessage
		return l.ask(ctx, http.StatusOK, &answer, http.MethodPost, "/v1/messages", body, "anthropic-version", "2023-06-01")
	}
	for {
		header, err := l.stream(ctx, body)
		switch {
		case err == nil || ctx.Err() != nil:
			return header, err
		case errors.Is(err, context.DeadlineExceeded):
			l.say(&l.rep.Hung, "a stream of the proxy: no end within %s", patience)
			return nil, err
		}
		time.Sleep(pause)
	}
}

func (l *loop) stream(ctx context.Context, body map[string]any) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	res, err := l.send(ctx, http.MethodPost, "/v1/messages", body, "anthropic-version", "2023-06-01")
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return nil, err
	}
	if !bytes.Contains(data, []byte("message_stop")) {
		return nil, fmt.Errorf("%s: %s", res.Status, data)
	}
	return res.Header, nil
}
