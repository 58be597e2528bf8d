// Package memory keeps runs in memory: for tests, and for runs that no user wants
// to keep.
//
//	store := memory.New()
//	log, err := store.Create(ctx, journal.Run{ID: id})
//
// It keeps to the contract of [journal.Store], except that nothing outlives the
// process. It starts no goroutine, so that it can be used where time is faked.
package memory

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/claude-force/claude-force/journal"
)

var _ journal.Joiner = (*Store)(nil)

// Store is a [journal.Store]. It is safe for concurrent use.
type Store struct {
	host string

	mu     sync.Mutex // guards the fields below, and the runs
	closed bool
	runs   map[string]*run
	count  int // runs ever made

	notices []journal.Notice
	noticed int64 // notices ever
}

// run is a run with its events.
type run struct {
	journal.Run // with Spec; Owner is that of log
	store       *Store
	number      int // by age
	events      []journal.Event
	live        journal.Live
	log         *log // that owns it; nil if none does

	parts map[journal.Unit]*log // of a run that an engine owns, those that joined last
}

// New makes an empty store.
func New() *Store {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return &Store{host: host, runs: map[string]*run{}}
}

// Abandon makes the owners of all runs dead to who wants to take them over, as
// the end of their process would; they do not know of it, and may write until
// they are taken over. It is for tests of what comes after a crash.
func (s *Store) Abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.runs {
		if r.Owner != nil {
			r.Owner.Alive = false
		}
	}
}

// Close ends the use of the store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// ready reports why the store cannot be used now. The caller holds mu.
func (s *Store) ready(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if s.closed {
		return errors.New("using the runs in memory: they are closed")
	}
	return nil
}

// Create adds a run. See [journal.Store].
func (s *Store) Create(ctx context.Context, header journal.Run) (journal.Log, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	err := header.CheckNew()
	if err == nil && s.runs[header.ID] != nil {
		err = fmt.Errorf("creating run %s: %w", header.ID, journal.ErrExists)
	}
	if err != nil {
		return nil, fmt.Errorf("creating a run: %w", err)
	}
	s.count++
	now := time.Now().UTC()
	r := &run{store: s, number: s.count, Run: journal.Run{
		ID: header.ID, Workflow: header.Workflow, File: header.File, StartedAt: now, Spec: bytes.Clone(header.Spec), Engine: header.Engine, StartedBy: header.StartedBy,
	}}
	s.runs[r.ID] = r
	r.add(journal.Event{Type: journal.RunStarted, Time: now})
	if r.Engine != "" {
		r.Status = journal.StatusRunning
		return s.join(r, journal.Unit{}), nil
	}
	return s.own(r), nil
}

// Acquire makes the caller the owner of a run. See [journal.Store].
func (s *Store) Acquire(ctx context.Context, id string) (journal.Log, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	r := s.runs[id]
	if r == nil {
		return nil, journal.ErrNotFound
	}
	if err := r.CheckAcquire(); err != nil {
		return nil, err
	}
	r.Engine = ""
	return s.own(r), nil
}

// Join returns the log of a part of a run. See [journal.Joiner].
func (s *Store) Join(ctx context.Context, id, engine string, part journal.Unit) (log journal.Log, last int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(ctx); err != nil {
		return nil, 0, err
	}
	r := s.runs[id]
	if r == nil {
		return nil, 0, journal.ErrNotFound
	}
	if err := r.CheckJoin(engine); err != nil {
		return nil, 0, err
	}
	return s.join(r, part), int64(len(r.events)), nil
}

// Signaled returns the runs to which people have sent something. See [journal.Joiner].
func (s *Store) Signaled(ctx context.Context, after map[string]int64) (last map[string]int64, err error) {
	return journal.LookForSignals(ctx, s, after)
}

func (s *Store) join(r *run, part journal.Unit) *log {
	if r.parts == nil {
		r.parts = map[journal.Unit]*log{}
	}
	l := &log{store: s, run: r, part: &part}
	r.parts[part] = l
	return l
}

func (s *Store) own(r *run) *log {
	r.log = &log{store: s, run: r}
	r.Owner = &journal.Owner{Host: s.host, PID: os.Getpid(), Since: time.Now().UTC(), Alive: true}
	r.Status, r.FinishedAt, r.Exit = journal.StatusRunning, time.Time{}, nil
	return r.log
}

// header returns a copy of what is known of the run.
func (r *run) header() journal.Run {
	h := r.Run
	h.Spec = bytes.Clone(h.Spec)
	if h.Owner != nil {
		h.Owner = new(*h.Owner)
	}
	if h.Exit != nil {
		h.Exit = new(*h.Exit)
	}
	return h
}

// add appends an event whose detail was checked.
func (r *run) add(ev journal.Event) {
	ev.Run, ev.Seq = r.ID, int64(len(r.events))+1
	if ev.Time.IsZero() {
		ev.Time = time.Now()
	}
	ev.Time = ev.Time.UTC()
	ev.Detail = bytes.Clone(ev.Detail)
	_ = r.Count(&ev) // checked before
	r.live.Add(&ev)
	r.Status = r.live.Status(r.Status)
	r.events = append(r.events, ev)
	r.store.notice(ev)
}

// Signal appends an event. See [journal.Store].
func (s *Store) Signal(ctx context.Context, ev journal.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(ctx); err != nil {
		return err
	}
	if err := check(ev); err != nil {
		return err
	}
	r := s.runs[ev.Run]
	if r == nil {
		return journal.ErrNotFound
	}
	if ev.Type == journal.ApprovalGiven {
		id := journal.Unit{Step: ev.Step, Item: ev.Item}
		state, err := journal.Fold(func(yield func(journal.Event, error) bool) {
			for _, e := range r.events {
				if (e.Step == "" || journal.Unit{Step: e.Step, Item: e.Item} == id) && !yield(e, nil) {
					return
				}
			}
		})
		if err != nil {
			return err
		}
		var d journal.Decision
		if err := ev.Decode(&d); err != nil {
			return err
		}
		if err := state.CheckDecision(id, time.Now(), &d); err != nil {
			return err
		}
	}
	r.add(ev)
	return nil
}

// check reports whether the details of events can be read.
func check(events ...journal.Event) error {
	for i := range events {
		if err := new(journal.Run).Count(&events[i]); err != nil {
			return err
		}
	}
	return nil
}

// Find returns the run with an id. See [journal.Store].
func (s *Store) Find(ctx context.Context, id string) (journal.Run, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(ctx); err != nil {
		return journal.Run{}, err
	}
	if id == journal.Latest {
		if all := s.sorted(); len(all) > 0 {
			return all[0].header(), nil
		}
		return journal.Run{}, journal.ErrNotFound
	}
	if r := s.runs[id]; r != nil {
		return r.header(), nil
	}
	var fit []string
	for known := range s.runs {
		if id != "" && strings.HasPrefix(known, id) {
			fit = append(fit, known)
		}
	}
	switch len(fit) {
	case 0:
		return journal.Run{}, journal.ErrNotFound
	case 1:
		return s.runs[fit[0]].header(), nil
	}
	slices.Sort(fit)
	return journal.Run{}, &journal.AmbiguousError{Prefix: id, IDs: fit[:min(len(fit), 10)]}
}

// sorted returns all runs, the latest first. The clock may have been set back between
// them.
func (s *Store) sorted() []*run {
	all := make([]*run, 0, len(s.runs))
	for _, r := range s.runs {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *run) int {
		return cmp.Compare(b.number, a.number)
	})
	return all
}

// Runs lists runs. See [journal.Store].
func (s *Store) Runs(ctx context.Context, f journal.Filter) iter.Seq2[journal.Run, error] {
	return func(yield func(journal.Run, error) bool) {
		fit, err := s.fitting(ctx, f)
		if err != nil {
			yield(journal.Run{}, err)
			return
		}
		for _, r := range fit {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (s *Store) fitting(ctx context.Context, f journal.Filter) (fit []journal.Run, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	all := s.sorted()
	if f.Older != "" {
		i := slices.IndexFunc(all, func(r *run) bool { return r.ID == f.Older })
		if i < 0 {
			return nil, fmt.Errorf("listing runs older than %s: %w", f.Older, journal.ErrNotFound)
		}
		all = all[i+1:]
	}
	for _, r := range all {
		if f.Fits(&r.Run) && (f.Limit == 0 || len(fit) < f.Limit) {
			h := r.header()
			h.Spec = nil
			fit = append(fit, h)
		}
	}
	return fit, nil
}

// Events gives the events of a run. See [journal.Store].
func (s *Store) Events(ctx context.Context, id string, after int64) iter.Seq2[journal.Event, error] {
	return func(yield func(journal.Event, error) bool) {
		events, err := s.events(ctx, id)
		if err != nil {
			yield(journal.Event{}, err)
			return
		}
		// What is in the slice does not change any more.
		for _, ev := range events[min(max(after, 0), int64(len(events))):] {
			ev.Detail = bytes.Clone(ev.Detail)
			if !yield(ev, nil) {
				return
			}
		}
	}
}

// Outline gives the events of a run that are of no item. See [journal.Store].
func (s *Store) Outline(ctx context.Context, id string) iter.Seq2[journal.Event, error] {
	return func(yield func(journal.Event, error) bool) {
		for ev, err := range s.Events(ctx, id, 0) {
			if ev.Item == "" && !yield(ev, err) {
				return
			}
		}
	}
}

func (s *Store) events(ctx context.Context, id string) ([]journal.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	r := s.runs[id]
	if r == nil {
		return nil, journal.ErrNotFound
	}
	return r.events, nil
}

// Remove forgets runs. See [journal.Store].
func (s *Store) Remove(ctx context.Context, ids ...string) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(ctx); err != nil {
		return 0, err
	}
	for _, id := range ids {
		if r := s.runs[id]; r != nil && !r.Owned() {
			r.log = nil // a dead owner has lost it
			delete(s.runs, id)
			s.forget(id)
			n++
		}
	}
	return n, nil
}

// log is a [journal.Log].
type log struct {
	store *Store
	run   *run
	part  *journal.Unit // nil for all of the run

	released bool // guarded by the store's mu
}

// owns reports whether the log is the one to write the run, or its part.
func (l *log) owns() bool {
	if l.part == nil {
		return l.run.log == l
	}
	return l.run.Joined() && l.run.parts[*l.part] == l && l.store.runs[l.run.ID] == l.run
}

// lost reports why the log cannot be written to.
func (l *log) lost() error {
	switch {
	case l.released:
		return fmt.Errorf("writing run %s: it was given back", l.run.ID)
	case !l.owns():
		return journal.ErrLost
	case l.store.closed:
		return fmt.Errorf("writing run %s: the store is closed", l.run.ID)
	}
	return nil
}

// Append adds events. See [journal.Log].
func (l *log) Append(events ...journal.Event) (wait func() error) {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	err := l.lost()
	if err == nil {
		err = check(events...)
	}
	if err == nil {
		for _, ev := range events {
			l.run.add(ev)
		}
	}
	return func() error { return err }
}

// Release gives the run back. See [journal.Log].
func (l *log) Release() error {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if l.released {
		return nil
	}
	l.released = true
	r := l.run
	if l.part != nil { // the engine keeps the run, or has ended it
		if r.parts[*l.part] == l {
			delete(r.parts, *l.part)
		}
		return nil
	}
	if r.log != l {
		return journal.ErrLost
	}
	r.log, r.Owner = nil, nil
	if !r.Status.Ended() {
		r.Status, r.FinishedAt = journal.StatusInterrupted, time.Now().UTC()
	}
	return nil
}
