package journaldb_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journaldb"
	"github.com/claude-force/claude-force/journal/journaltest"
)

// BenchmarkAppend measures steps made durable by as many goroutines, each of which
// waits for its own: a start and an end with 2 KB of output. Beside it, in the
// same run, the same rows go through plain prepared statements, with as many
// steps in each transaction as there are goroutines.
func BenchmarkAppend(b *testing.B) {
	for _, appenders := range []int{1, 32, 256} {
		b.Run(fmt.Sprint("appenders=", appenders), func(b *testing.B) { benchmarkAppend(b, appenders) })
	}
}

func benchmarkAppend(b *testing.B, appenders int) {
	s := openStore(b, file(b), journaldb.Options{})
	plain := newGrouped(b)
	journaltest.BenchmarkAppend(b, s, appenders, 512, func(steps int, text func() string) { plain.commit(b, steps, text) })
}

// grouped writes what the store writes, with nothing around it.
type grouped struct {
	conn               *sqlite3.Conn
	event, output, run *sqlite3.Stmt
	seq                int64
}

func newGrouped(b *testing.B) *grouped {
	path := file(b)
	s := openStore(b, path, journaldb.Options{})
	log, err := s.Create(b.Context(), journal.Run{ID: "run"})
	if err != nil {
		b.Fatal(err)
	}
	if err := log.Release(); err != nil {
		b.Fatal(err)
	}
	g := &grouped{seq: 1}
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	g.conn, err = sqlite3.Open(path)
	must(err)
	b.Cleanup(func() { g.conn.Close() })
	must(g.conn.Exec(`PRAGMA synchronous = FULL`))
	g.event, _, err = g.conn.Prepare(`INSERT INTO events VALUES (?, ?, 'step_finished', 'step', '', 1, ?, ?, ?, ?)`)
	must(err)
	g.output, _, err = g.conn.Prepare(`INSERT INTO outputs (hash, data) VALUES (?, ?)`)
	must(err)
	g.run, _, err = g.conn.Prepare(`UPDATE runs SET seq = ?, steps = steps + 1, tokens = tokens + 1, usd = usd + 1, heartbeat = ?, sum = ? WHERE n = 1`)
	must(err)
	return g
}

func (g *grouped) commit(b *testing.B, steps int, text func() string) {
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	sum, hash := make([]byte, 16), make([]byte, 32)
	insert := func(output int64, detail []byte) {
		g.seq++
		must(g.event.BindInt64(1, 1<<32|g.seq))
		must(g.event.BindInt64(2, time.Now().UnixNano()))
		if output != 0 {
			must(g.event.BindBlob(3, hash))
			must(g.event.BindInt64(4, output))
		} else {
			must(g.event.BindNull(3))
			must(g.event.BindNull(4))
		}
		must(g.event.BindBlob(5, detail))
		must(g.event.BindBlob(6, sum))
		must(g.event.Exec())
	}
	tx, err := g.conn.BeginImmediate()
	must(err)
	for range steps {
		insert(0, journaltest.StartedDetail)
		for i := range hash {
			hash[i] = byte(rand.Uint32())
		}
		must(g.output.BindBlob(1, hash))
		must(g.output.BindBlob(2, []byte(text())))
		must(g.output.Exec())
		insert(g.conn.LastInsertRowID(), journaltest.FinishedDetail)
	}
	must(g.run.BindInt64(1, g.seq))
	must(g.run.BindInt64(2, time.Now().UnixNano()))
	must(g.run.BindBlob(3, sum))
	must(g.run.Exec())
	must(tx.Commit())
}
