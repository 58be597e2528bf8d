package journalpg_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journalpg"
)

// TestChangedBetweenSteps has others write between two steps of a run what its owner does
// not know. The second step is written as if the owner had read all of it.
func TestChangedBetweenSteps(t *testing.T) {
	t.Parallel()
	sql := func(statements ...string) func(*testing.T, string) {
		return func(t *testing.T, address string) {
			t.Helper()
			conn, err := pgx.Connect(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(t.Context())
			for _, s := range statements {
				if _, err := conn.Exec(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	signal := func(t *testing.T, address string) {
		t.Helper()
		other := openAs(t, address, journalpg.Options{}, "elsewhere", 1)
		if err := other.Signal(t.Context(), journal.Event{Run: "run", Type: journal.CancelAsked}); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		change func(*testing.T, string)
		want   error
		steps  []string // that are stored in the end
		seq    int64    // of the last event
	}{
		"nothing":                {func(*testing.T, string) {}, nil, []string{"first", "second", "third"}, 4},
		"a signal":               {signal, nil, []string{"first", "second", "third"}, 5},
		"two signals":            {func(t *testing.T, address string) { signal(t, address); signal(t, address) }, nil, []string{"first", "second", "third"}, 6},
		"another owner":          {sql(`UPDATE journal_runs SET token = 'other'`), journal.ErrLost, []string{"first"}, 2},
		"no owner":               {sql(`UPDATE journal_runs SET token = NULL, writer = NULL`), journal.ErrLost, []string{"first"}, 2},
		"removed":                {sql(`DELETE FROM journal_events`, `DELETE FROM journal_runs`), journal.ErrLost, nil, 0},
		"a sum":                  {sql(`UPDATE journal_runs SET steps = steps + 100`), nil, []string{"first", "second", "third"}, 4},
		"the same row again":     {sql(`UPDATE journal_runs SET seq = seq`), nil, []string{"first", "second", "third"}, 4},
		"this process is gone":   {sql(`DELETE FROM journal_writers`), nil, []string{"first", "second", "third"}, 4},
		"locked and not changed": {sql(`BEGIN`, `SELECT FROM journal_runs FOR UPDATE`, `COMMIT`), nil, []string{"first", "second", "third"}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := postgrestest.URL(t)
			s := openStore(t, address)
			log, err := s.Create(t.Context(), journal.Run{ID: "run"})
			if err != nil {
				t.Fatal(err)
			}
			step := func(name string) error {
				return log.Append(journal.Event{Type: journal.StepFinished, Step: name, Output: name})()
			}
			if err := step("first"); err != nil {
				t.Fatal(err)
			}
			tt.change(t, address)
			for _, name := range []string{"second", "third"} {
				if err := step(name); !errors.Is(err, tt.want) {
					t.Errorf("the %s step: %v; want %v", name, err, tt.want)
				}
			}
			var steps []string
			var last int64
			for ev, err := range s.Events(t.Context(), "run", 0) {
				if errors.Is(err, journal.ErrNotFound) && tt.seq == 0 {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if last = ev.Seq; ev.Type == journal.StepFinished {
					steps = append(steps, ev.Step)
				}
			}
			if diff := cmp.Diff(tt.steps, steps); diff != "" || last != tt.seq {
				t.Errorf("the last event is %d, want %d; steps (-want +got):\n%s", last, tt.seq, diff)
			}
			if name != "a sum" {
				return
			}
			if run, err := s.Find(t.Context(), "run"); err != nil || run.Steps != 103 {
				t.Errorf("%d steps, %v; want the 100 that another has added and 3", run.Steps, err)
			}
		})
	}
}

// TestStepTakesOneRoundTrip counts what a store asks of the database for the steps of a
// run that it owns.
func TestStepTakesOneRoundTrip(t *testing.T) {
	t.Parallel()
	const steps = 100
	address, asked := counted(t, postgrestest.URL(t))
	s := openStore(t, address)
	log, err := s.Create(t.Context(), journal.Run{ID: "run"})
	if err != nil {
		t.Fatal(err)
	}
	var before int64
	for i := range steps + 1 { // the first prepares statements
		if i == 1 {
			before = asked.Load()
		}
		if err := log.Append(journal.Event{Type: journal.StepStarted, Step: "a"}, journal.Event{Type: journal.StepFinished, Step: "a", Output: "done"})(); err != nil {
			t.Fatal(err)
		}
	}
	// A process says every few seconds that it lives, and asks whether the schema is still
	// its own. Reading the run before each step would be another round trip for each.
	if n := asked.Load() - before; n < steps || n > steps*3/2 {
		t.Errorf("%d round trips for %d steps", n, steps)
	}
}

// counted returns the address of a database by way of a relay that counts the round trips:
// what clients end with a message to synchronize.
func counted(t *testing.T, address string) (string, *atomic.Int64) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, n := u.Host, &atomic.Int64{}
	var relaying sync.WaitGroup
	relaying.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", server)
			if err != nil {
				t.Error(err)
				client.Close()
				return
			}
			relaying.Go(func() {
				defer client.Close()
				io.Copy(client, to)
			})
			relaying.Go(func() {
				defer to.Close()
				for head := make([]byte, 4); ; head = make([]byte, 5) { // only the first message has no type
					if _, err := io.ReadFull(client, head); err != nil {
						return
					}
					if len(head) == 5 && head[0] == 'S' {
						n.Add(1)
					}
					to.Write(head)
					if _, err := io.CopyN(to, client, int64(binary.BigEndian.Uint32(head[len(head)-4:]))-4); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { // after the store is closed
		listener.Close()
		relaying.Wait()
	})
	u.Host = listener.Addr().String()
	return u.String(), n
}
