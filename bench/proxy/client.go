//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// connections bounds those that are kept open to one process.
const connections = 256

// target is a process that clients ask.
type target struct {
	url    string
	key    string // of claude-force; empty for the others
	client *http.Client
}

func newTarget(url, key string) *target {
	return &target{url, key, &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: connections, DisableCompression: true}}}
}

// send sends bodies by clients at once and returns how long each request took.
// Claude-force must say that its answers come from where they should.
func (t *target) send(ctx context.Context, clients int, bodies [][]byte, source string) ([]time.Duration, error) {
	times := make([]time.Duration, len(bodies))
	failed := make([]error, clients)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := c; i < len(bodies); i += clients {
				start := time.Now()
				if failed[c] = t.post(ctx, bodies[i], source); failed[c] != nil {
					return
				}
				times[i] = time.Since(start)
			}
		})
	}
	wg.Wait()
	return times, errors.Join(failed...)
}

func (t *target) post(ctx context.Context, body []byte, source string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url+"/v1/messages", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Anthropic-Version", "2023-06-01")
	if t.key != "" {
		req.Header.Set("X-Api-Key", t.key)
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || string(text) != answer {
		return fmt.Errorf("%s answered with status %d: %.300s", t.url, resp.StatusCode, text)
	}
	if got := resp.Header.Get("X-Claude-Force-Cache"); t.key != "" && got != source {
		return fmt.Errorf("an answer is a %q; want a %q", got, source)
	}
	return nil
}

// differing returns bodies of about a size that no request had before.
func (b *bench) differing(size, n int) [][]byte {
	bodies := make([][]byte, n)
	for i := range bodies {
		b.sent++
		bodies[i] = body(size, b.sent)
	}
	return bodies
}

const (
	tool = `{"name":"tool_%d","description":"Reads a part of the file that is named, from a line on.","input_schema":{"type":"object","properties":{"path":{"type":"string"},"line":{"type":"integer"}},"required":["path"]}}`
	line = "	if err := do(ctx, \"path\", 42); err != nil { // one more line of a file\n"
)

// body returns the body of a request at temperature 0, whose answers are shared. Beyond
// a few hundred bytes it has tools, and the text of files.
func body(size, number int) []byte {
	var out bytes.Buffer
	out.WriteString(`{"model":"claude-haiku-4-5","max_tokens":64,"temperature":0,`)
	if size > 10_000 {
		tools := make([]string, 20)
		for i := range tools {
			tools[i] = fmt.Sprintf(tool, i)
		}
		fmt.Fprintf(&out, `"tools":[%s],`, strings.Join(tools, ","))
	}
	out.WriteString(`"messages":[{"role":"user","content":"`)
	escaped := strings.NewReplacer("\n", `\n`, "\t", `\t`, `"`, `\"`).Replace(line)
	for out.Len() < size-120 {
		out.WriteString(escaped)
	}
	fmt.Fprintf(&out, `What is wrong in part %d?"}]}`, number)
	return out.Bytes()
}

func repeated(body []byte, n int) [][]byte { return slices.Repeat([][]byte{body}, n) }
