package groupcommit_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/groupcommit"
	"github.com/claude-force/claude-force/journal/journalrow"
)

// transaction is what the test's store writes: the types of events, in their order.
type transaction struct{ events []journal.EventType }

var (
	errClosed = errors.New("closed")
	errFull   = errors.New("full")
	errLost   = errors.New("lost")
)

// store commits when the test says so.
type store struct {
	queue   *groupcommit.Queue[*transaction]
	verdict error // of what is appended
	commit  chan error
	groups  chan int // how many jobs each transaction had
	written []journal.EventType
}

func open(t *testing.T) *store {
	t.Helper()
	s := &store{commit: make(chan error, 100), groups: make(chan int, 100)}
	s.queue = groupcommit.New(groupcommit.Store[*transaction]{
		Commit: func() {
			for range s.queue.Wake() {
				for {
					jobs, closed := s.queue.Take()
					if len(jobs) == 0 && closed {
						return
					}
					if len(jobs) == 0 {
						break
					}
					s.write(jobs)
				}
			}
		},
		Closed: func() error { return errClosed },
		Seal: func(_ string, events []journal.Event) (rows []journalrow.Event, size int, err error) {
			for i := range events {
				rows = append(rows, journalrow.Event{Event: &events[i]})
				size += len(events[i].Output)
			}
			return rows, size, nil
		},
		Append: func(tx *transaction, _ *groupcommit.Log[*transaction], rows []journalrow.Event) (verdict, err error) {
			if s.verdict != nil {
				return s.verdict, nil
			}
			for _, r := range rows {
				tx.events = append(tx.events, r.Event.Type)
			}
			return nil, nil
		},
		Release: func(*transaction, *groupcommit.Log[*transaction]) (verdict, err error) { return nil, nil },
	})
	t.Cleanup(func() {
		close(s.commit)
		s.queue.Close()
	})
	return s
}

// write writes jobs in one transaction, when the test lets it.
func (s *store) write(jobs []*groupcommit.Job[*transaction]) {
	s.groups <- len(jobs)
	tx := &transaction{}
	err := <-s.commit
	if err == nil {
		err = groupcommit.Do(tx, jobs)
	}
	if err != nil {
		groupcommit.Reset(jobs)
	} else {
		s.written = append(s.written, tx.events...)
	}
	groupcommit.Finish(jobs, err)
}

// log returns a log of a run that the store's queue keeps.
func (s *store) log(run string) *groupcommit.Log[*transaction] {
	l := s.queue.NewLog(run)
	l.Begin()
	return l
}

// hold queues a job and waits until the committer has it, so that what is queued behind it
// is of the next transaction.
func (s *store) hold(t *testing.T) {
	t.Helper()
	if err := s.queue.Put(&groupcommit.Job[*transaction]{Do: func(*transaction) (verdict, err error) { return nil, nil }}); err != nil {
		t.Fatal(err)
	}
	if n := <-s.groups; n != 1 {
		t.Fatalf("the first transaction has %d jobs, want 1", n)
	}
}

// TestGroup: what is queued while a transaction is written is one transaction, up to the
// bounds of number and size.
func TestGroup(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		jobs, size int
		want       []int
	}{
		"few":   {jobs: 10, want: []int{10}},
		"many":  {jobs: 2001, want: []int{1000, 1000, 1}},
		"large": {jobs: 5, size: 4 << 20, want: []int{2, 2, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			s.hold(t)
			l := s.log("a")
			var waits []func() error
			for range test.jobs {
				waits = append(waits, l.Append(journal.Event{Type: "x", Output: strings.Repeat("x", test.size)}))
			}
			s.commit <- nil
			for i, want := range test.want {
				if n := <-s.groups; n != want {
					t.Errorf("transaction %d has %d jobs, want %d", i, n, want)
				}
				s.commit <- nil
			}
			for _, wait := range waits {
				if err := wait(); err != nil {
					t.Fatal(err)
				}
			}
			if len(s.written) != test.jobs {
				t.Errorf("%d events were written, want %d", len(s.written), test.jobs)
			}
		})
	}
}

// TestFailedLog: what is appended behind something that failed is not written, also if it
// was queued before, and the run can still be given back.
func TestFailedLog(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ verdict, commit, want error }{
		"verdict":     {verdict: errLost, want: errLost},
		"transaction": {commit: errFull, want: errFull},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			s.hold(t)
			l := s.log("a")
			first := l.Append(journal.Event{Type: "first"})
			s.verdict = test.verdict
			s.commit <- nil
			<-s.groups
			second := l.Append(journal.Event{Type: "second"}) // queued before the first fails
			s.commit <- test.commit
			if err := first(); !errors.Is(err, test.want) {
				t.Errorf("the first ended with %v, want %v", err, test.want)
			}
			<-s.groups
			s.verdict = nil
			s.commit <- nil
			for _, wait := range []func() error{second, l.Append(journal.Event{Type: "third"})} {
				if err := wait(); !errors.Is(err, test.want) {
					t.Errorf("a later one ended with %v, want %v", err, test.want)
				}
			}
			s.commit <- nil
			if err := l.Release(); !errors.Is(err, test.want) {
				t.Errorf("giving the run back returned %v, want %v", err, test.want)
			}
			if len(s.written) > 0 || len(s.queue.Logs()) > 0 {
				t.Errorf("%v was written and %d logs are left, want none", s.written, len(s.queue.Logs()))
			}
		})
	}
}

// TestClose waits for what is queued, and ends what comes later.
func TestClose(t *testing.T) {
	t.Parallel()
	s := open(t)
	l := s.log("a")
	wait := l.Append(journal.Event{Type: "last"})
	s.commit <- nil
	if !s.queue.Close() || s.queue.Close() {
		t.Error("closing twice is not reported")
	}
	if err := wait(); err != nil || len(s.written) != 1 {
		t.Errorf("%v was written (%v), want the last event", s.written, err)
	}
	if err := l.Append(journal.Event{Type: "late"})(); !errors.Is(err, errClosed) {
		t.Errorf("appending to a closed queue returned %v", err)
	}
}
