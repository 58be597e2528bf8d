//go:build linux

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// client follows runs, or has a page open.
type client struct {
	b      *bench
	n      int
	slot   *slot
	random *rand.Rand
}

func (b *bench) newClient(n int) *client {
	return &client{b, n, b.slots[n%slots], rand.New(rand.NewPCG(1, uint64(n)))}
}

// follow does what the client is for until there are no more runs. Of each ten clients,
// two have the first page open and one has the page of a run.
func (c *client) follow(ctx context.Context) {
	if c.n/slots%10 < 2 {
		c.followNow(ctx)
		return
	}
	for n := 0; ; n++ {
		id := c.slot.run(ctx, n)
		if id == "" {
			return
		}
		var err error
		if c.n/slots%10 == 2 {
			err = c.followPage(ctx, id)
		} else {
			err = c.followRun(ctx, id)
		}
		if err != nil && ctx.Err() == nil {
			c.b.record.problem("client %d, run %s: %v", c.n, id, err)
		}
	}
}

// seen is what a client got of a run.
type seen struct {
	run      string
	last     int64           // sequence number of the last event
	finished map[string]bool // items
	since    time.Time       // when the client connected: events from before are not late
	ended    bool
}

// errDropped is the error of a connection that the client drops.
var errDropped = errors.New("dropped")

// followRun follows the events of a run to its end. Some clients come late, some drop their
// connections and continue.
func (c *client) followRun(ctx context.Context, id string) error {
	if c.n/slots%10 == 3 {
		select {
		case <-time.After(time.Duration(c.random.IntN(c.b.opts.items/6+1)) * time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	drops := c.n/slots%10 == 4
	s := &seen{run: id, finished: map[string]bool{}}
	for !s.ended {
		left := -1
		if drops {
			left = 20 + c.random.IntN(2*c.b.opts.items)
		}
		var headers []string
		if s.last > 0 {
			headers = []string{"Last-Event-ID", strconv.FormatInt(s.last, 10)}
		}
		s.since = time.Now()
		headers = append(headers, "Authorization", "Bearer "+c.b.server.key)
		err := c.stream(ctx, "/api/v1/runs/"+id+"/stream", headers, func(m *message) error {
			if left--; left == 0 {
				return errDropped
			}
			return c.take(s, m)
		})
		if errors.Is(err, errDropped) {
			c.b.record.count(func(n *counts) { n.drops++ })
			continue
		}
		if err != nil {
			return err
		}
	}
	c.b.record.count(func(n *counts) { n.followed++ })
	if len(s.finished) != c.b.opts.items {
		return fmt.Errorf("%d of %d items have finished", len(s.finished), c.b.opts.items)
	}
	c.b.record.sawEnd(id, s.last)
	return nil
}

// take looks at a message of the stream of a run. The error [io.EOF] says that it was the
// last.
func (c *client) take(s *seen, m *message) error {
	if m.event == "end" {
		s.ended = true
		return io.EOF
	}
	if m.id == 0 {
		return nil // the run as it is
	}
	var is struct {
		Run  string    `json:"run_id"`
		Seq  int64     `json:"seq"`
		Type string    `json:"type"`
		Item string    `json:"item"`
		Time time.Time `json:"time"`
	}
	if err := json.Unmarshal(m.data, &is); err != nil {
		return err
	}
	if is.Time.After(s.since) {
		c.b.record.delivered(time.Since(is.Time))
	}
	if is.Run != s.run || is.Seq != m.id {
		c.b.record.problem("client %d, run %s: message %d has event %d of run %s", c.n, s.run, m.id, is.Seq, is.Run)
	}
	switch {
	case m.id <= s.last:
		c.b.record.wrong(func(n *counts) { n.doubled++ }, "client %d, run %s: event %d after event %d", c.n, s.run, m.id, s.last)
		return nil
	case m.id > s.last+1:
		c.b.record.wrong(func(n *counts) { n.missing += m.id - s.last - 1 }, "client %d, run %s: event %d after event %d", c.n, s.run, m.id, s.last)
	}
	s.last = m.id
	if is.Type != "step_finished" || is.Item == "" {
		return nil
	}
	if s.finished[is.Item] {
		c.b.record.problem("client %d, run %s: item %s finishes twice", c.n, s.run, is.Item)
	}
	s.finished[is.Item] = true
	return nil
}

// followPage has the page of a run open until it says that the run has completed.
func (c *client) followPage(ctx context.Context, id string) error {
	err := c.page(ctx, "/runs/"+id, func(fragment, html string) error {
		if fragment == "run-head" && strings.Contains(html, `class="state s-completed"`) {
			return io.EOF
		}
		return nil
	})
	if err == nil {
		c.b.record.count(func(n *counts) { n.pages++ })
	}
	return err
}

// errOver is the error of a page that is closed.
var errOver = errors.New("closed")

// runID is the id of a run.
var runID = regexp.MustCompile(`run_[0-9a-z]+`)

// followNow has the first page open until all runs have ended. Each run must have been on
// it, and none at the end as one in progress.
func (c *client) followNow(ctx context.Context) {
	ctx, closePage := context.WithCancelCause(ctx)
	defer closePage(nil)
	go func() {
		select {
		case <-c.b.over:
			closePage(errOver)
		case <-ctx.Done():
		}
	}()
	shown := map[string]bool{}
	idle := false
	setIdle := func(is bool) {
		switch {
		case is && !idle:
			c.b.idle.Add(1)
		case idle && !is:
			c.b.idle.Add(-1)
		}
		idle = is
	}
	c.b.open.Add(1)
	defer func() {
		setIdle(false)
		c.b.open.Add(-1)
	}()
	err := c.page(ctx, "/", func(fragment, html string) error {
		if fragment == "now-runs" {
			setIdle(strings.Contains(html, "Nothing runs"))
			for _, id := range runID.FindAllString(html, -1) {
				shown[id] = true
			}
		}
		return nil
	})
	if !errors.Is(err, errOver) {
		if ctx.Err() == nil {
			c.b.record.problem("client %d, first page: %v", c.n, err)
		}
		return
	}
	for _, s := range c.b.slots {
		for _, id := range s.all() {
			if !shown[id] {
				c.b.record.problem("client %d, first page: run %s was never on it", c.n, id)
			}
		}
	}
	if !idle {
		c.b.record.problem("client %d, first page: all runs have ended, and it shows some in progress", c.n)
	}
	c.b.record.count(func(n *counts) { n.pages++ })
}

// page has a page open and gives its parts as they change to take, until that returns an
// error.
func (c *client) page(ctx context.Context, path string, take func(fragment, html string) error) error {
	return c.stream(ctx, "/live?page="+url.QueryEscape(path), []string{"Cookie", c.b.server.cookie}, func(m *message) error {
		var part struct{ ID, HTML string }
		if err := json.Unmarshal(m.data, &part); err != nil {
			return err
		}
		c.b.record.count(func(n *counts) { n.fragments++ })
		return take(part.ID, part.HTML)
	})
}

// message is a server-sent event.
type message struct {
	id    int64
	event string
	data  []byte
}

// errSilent is the error of a stream that sends nothing, not even that it lives.
var errSilent = fmt.Errorf("nothing came for %s", patience)

// stream opens a stream and gives its messages to take, until that returns an error, which
// is that of the stream. [io.EOF] ends it without one.
func (c *client) stream(ctx context.Context, path string, headers []string, take func(*message) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(patience, func() { cancel(errSilent) })
	defer silent.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.b.server.url+path, nil)
	if err != nil {
		return err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := c.b.streams.RoundTrip(req)
	if err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	defer res.Body.Close()
	if kind := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || kind != "text/event-stream" {
		return fmt.Errorf("%s, %s", res.Status, kind)
	}
	in := bufio.NewScanner(res.Body)
	in.Buffer(nil, 4<<20)
	var m message
	for in.Scan() {
		silent.Reset(patience)
		name, value, _ := bytes.Cut(in.Bytes(), []byte(": "))
		switch string(name) {
		case "id":
			if m.id, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return err
			}
		case "event":
			m.event = string(value)
		case "data":
			m.data = value
			switch err := take(&m); {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return err
			}
		case "":
			m = message{}
		}
	}
	return cmp.Or(context.Cause(ctx), in.Err(), io.ErrUnexpectedEOF)
}
