package server

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/server/web"
)

// addPages adds the routes of the pages for people.
func (s *Server) addPages() {
	s.pages = web.New(web.Options{
		Store: s.store, Runs: s.runs, Dir: s.opts.Dir, Config: s.opts.Config, Version: s.opts.Version,
		Operations: s.pageOperations(),
		Problem: func(err error) (int, string) {
			p := problemOf(err)
			s.logFailure(p, "page failed", "err", err)
			return p.Status, p.Detail
		},
		Cancel: func(ctx context.Context, run string) error {
			_, err := s.Cancel(ctx, run)
			return err
		},
		Resume: func(ctx context.Context, run string, accept bool) error {
			_, err := s.Resume(ctx, run, ResumeRun{AcceptChanges: accept})
			return err
		},
		Answer: func(ctx context.Context, run, step string, d journal.Decision) error {
			_, err := s.decide(ctx, run, step, d)
			return err
		},
	})
	for _, route := range s.pages.Routes() {
		if route.Public {
			s.table.handlePublic(route.Pattern, route.Handle)
		} else {
			s.table.handlePage(route.Pattern, route.Handle)
		}
	}
	s.live = &live{server: s, views: map[string]*liveView{}}
	s.table.handlePage("GET /live", s.followPage)
	s.addLogin()
}

const (
	// renderEvery is how often a page is drawn again if nothing says that it has changed.
	renderEvery = 2 * time.Second

	// renderGap is the least time from one drawing of a page to the next.
	renderGap = 300 * time.Millisecond
)

// live draws each page that is looked at once, however many browsers look at it.
type live struct {
	server *Server

	mu    sync.Mutex // guards the field below, and the followers of views
	views map[string]*liveView
}

// liveView is a page that is looked at.
type liveView struct {
	target    string
	cancel    context.CancelFunc
	followers int

	mu      sync.Mutex // guards the fields below
	parts   []livePart // in the order of the page
	number  int        // of the last drawing in which a part changed
	err     error
	changed chan struct{} // closed when anything above changes
}

// livePart is an element of a page, by its id.
type livePart struct {
	web.Fragment
	message []byte // as it is sent
	number  int    // of the drawing in which it changed
}

// join returns the view of a page for one more follower. Call leave when it has gone.
func (l *live) join(ctx context.Context, target string) *liveView {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.views[target]
	if v == nil {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it outlasts this follower
		v = &liveView{target: target, cancel: cancel, changed: make(chan struct{})}
		l.views[target] = v
		go l.draw(ctx, v) // until the last follower leaves
	}
	v.followers++
	return v
}

// leave ends the view with its last follower.
func (l *live) leave(v *liveView) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if v.followers--; v.followers == 0 {
		v.cancel()
		if l.views[v.target] == v {
			delete(l.views, v.target)
		}
	}
}

// draw draws the page of a view again and again: after each event of the run that it is
// about, and every [renderEvery].
func (l *live) draw(ctx context.Context, v *liveView) {
	var run *topic
	var seq int64
	defer func() {
		if run != nil {
			l.server.hub.leave(run)
		}
	}()
	for ctx.Err() == nil {
		var changed <-chan struct{}
		if run != nil {
			n := run.after(seq)
			changed = n.changed
			if last := len(n.events) - 1; last >= 0 {
				seq = n.events[last].seq
			}
		}
		drawing, err := l.server.pages.Draw(ctx, v.target)
		v.set(drawing, err)
		if err != nil {
			l.mu.Lock()
			if l.views[v.target] == v {
				delete(l.views, v.target) // the next follower tries again
			}
			l.mu.Unlock()
			return
		}
		if run == nil && drawing.Run != "" && drawing.Seq > 0 {
			run, seq = l.server.hub.join(ctx, drawing.Run, drawing.Seq), drawing.Seq
			changed = run.after(seq).changed
		}
		select {
		case <-changed:
		case <-time.After(renderEvery):
		case <-ctx.Done():
		}
		select {
		case <-time.After(renderGap):
		case <-ctx.Done():
		}
	}
}

// set takes in a drawing.
func (v *liveView) set(d *web.Drawing, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	changed := err != nil
	v.err = err
	if err == nil {
		was := map[string]livePart{}
		for _, part := range v.parts {
			was[part.ID] = part
		}
		v.parts = v.parts[:0:0]
		for _, f := range d.Fragments {
			part, ok := was[f.ID]
			if !ok || part.HTML != f.HTML {
				text, err := appendMessage(nil, "fragment", 0, &f)
				if err != nil {
					v.err = err
				}
				part, changed = livePart{f, text, v.number + 1}, true
			}
			v.parts = append(v.parts, part)
		}
	}
	if changed {
		v.number++
		close(v.changed)
		v.changed = make(chan struct{})
	}
}

// since returns the messages of the parts that changed after a drawing, and the number of
// the last.
func (v *liveView) since(number int) (messages [][]byte, last int, changed <-chan struct{}, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, part := range v.parts {
		if part.number > number {
			messages = append(messages, part.message)
		}
	}
	return messages, v.number, v.changed, v.err
}

// followPage sends the parts of a page that change, as server-sent events.
func (s *Server) followPage(w http.ResponseWriter, r *http.Request) {
	target := web.LocalTarget(r.URL.Query().Get("page"))
	if u, err := url.Parse(target); err != nil || target == "" || u.Path == "/live" {
		writeProblem(w, r, &Problem{Status: http.StatusUnprocessableEntity, Code: "request", Detail: "page is not the address of a page"})
		return
	}
	if err := s.mayFollow(r, target); err != nil {
		writeProblem(w, r, problemOf(err))
		return
	}
	if _, err := s.pages.Draw(r.Context(), target); err != nil {
		writeProblem(w, r, problemOf(err))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // proxies would hold events back
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	st := &stream{w: w, control: http.NewResponseController(w)}
	if err := st.followView(r.Context(), s.live, target); err != nil && r.Context().Err() == nil {
		s.log.Info("page not followed any more", "err", err)
	}
}

// followView writes the parts of a page that change, and a comment when nothing does for
// long.
func (st *stream) followView(ctx context.Context, l *live, target string) error {
	v := l.join(ctx, target)
	defer l.leave(v)
	if err := st.write([]byte("retry: 2000\n\n")); err != nil {
		return err
	}
	quiet := time.NewTicker(heartbeat)
	defer quiet.Stop()
	for number := 0; ; {
		messages, last, changed, err := v.since(number)
		if err != nil {
			return err
		}
		for _, text := range messages {
			if err := st.queue(text); err != nil {
				return err
			}
		}
		if err := st.flush(); err != nil {
			return err
		}
		if last != number {
			number = last
			quiet.Reset(heartbeat)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-quiet.C:
			if err := st.write([]byte(": \n\n")); err != nil {
				return err
			}
		}
	}
}
