package journalpg_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/journal/journaltest"
)

// BenchmarkAppend measures steps made durable by as many goroutines, each of which waits for
// its own: a start and an end with 2 KB of output. Beside it, in the same run and on the
// same server, the same rows go through bare pgx, with as many steps in each transaction
// as there are goroutines, each transaction in one round trip.
func BenchmarkAppend(b *testing.B) {
	server := postgrestest.Start(b)
	for _, appenders := range []int{1, 32, 256} {
		b.Run(fmt.Sprint("appenders=", appenders), func(b *testing.B) { benchmarkAppend(b, server, appenders) })
	}
}

func benchmarkAppend(b *testing.B, server *postgrestest.Server, appenders int) {
	s := openStore(b, server.URL(b))
	plain := newGrouped(b, server.URL(b))
	journaltest.BenchmarkAppend(b, s, appenders, 2048, func(steps int, text func() string) { plain.commit(b, steps, text) })
}

// grouped writes what the store writes, with nothing around it.
type grouped struct {
	conn *pgx.Conn
	seq  int64
}

func newGrouped(b *testing.B, url string) *grouped {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close(context.WithoutCancel(b.Context())) })
	if _, err := conn.Exec(b.Context(), `INSERT INTO journal_runs (id, workflow, file, status, started, finished, steps, usd, tokens, seq, since)
		VALUES ('run', '', '', 'running', 1, 0, 0, 0, 0, 0, 0)`); err != nil {
		b.Fatal(err)
	}
	return &grouped{conn: conn}
}

func (g *grouped) commit(b *testing.B, steps int, text func() string) {
	b.Helper()
	var seqs, times []int64
	var types []string
	var hashes, outputs, data, details [][]byte
	for range steps {
		hash := make([]byte, 32)
		for i := range hash {
			hash[i] = byte(rand.Uint32())
		}
		seqs, times = append(seqs, g.seq+1, g.seq+2), append(times, time.Now().UnixNano(), time.Now().UnixNano())
		types, details = append(types, "step_started", "step_finished"), append(details, journaltest.StartedDetail, journaltest.FinishedDetail)
		outputs, hashes, data = append(outputs, nil, hash), append(hashes, hash), append(data, []byte(text()))
		g.seq += 2
	}
	send := &pgx.Batch{}
	send.Queue(`BEGIN`)
	send.Queue(`INSERT INTO journal_outputs (hash, data, refs) SELECT *, 1 FROM unnest($1::bytea[], $2::bytea[])`, hashes, data)
	send.Queue(`INSERT INTO journal_events (run, seq, time, type, step, item, attempt, output, detail)
		SELECT 1, seq, time, type, 'step', '', 1, output, detail FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bytea[], $5::bytea[]) AS e (seq, time, type, output, detail)`,
		seqs, times, types, outputs, details)
	send.Queue(`UPDATE journal_runs SET seq = $1, steps = steps + 1, tokens = tokens + 1, usd = usd + 1 WHERE n = 1`, g.seq)
	send.Queue(`COMMIT`)
	if err := g.conn.SendBatch(b.Context(), send).Close(); err != nil {
		b.Fatal(err)
	}
}
