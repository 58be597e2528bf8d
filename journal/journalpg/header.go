package journalpg

import (
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/process"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journalrow"
)

// header is a row of journal_runs, but for its spec, with what is known of its owner.
type header struct {
	journalrow.Header
	writer  string // empty for none
	fresh   bool   // it has been heard of within its lease
	stored  int64  // Seq of the row, when the header was read
	version string // of the row: the transaction that wrote it
}

// headerColumns are of runs as r, left joined with their writers as w.
const headerColumns = `r.n, r.id, r.workflow, r.file, r.exit, r.status, r.started, r.finished, r.steps, r.tokens, r.usd, r.seq,
	coalesce(r.token, ''), coalesce(r.writer, ''), r.since, r.engine, coalesce(r.started_by, ''),
	coalesce(w.host, ''), coalesce(w.boot, ''), coalesce(w.pid, 0), coalesce(w.born, 0),
	coalesce(w.seen > clock_timestamp() - $1::interval, false), r.xmin::text`

const headerTables = ` FROM journal_runs r LEFT JOIN journal_writers w ON w.id = r.writer `

// lease is the first argument of every statement with headerColumns.
const lease = journal.LeaseTTL

// readHeader reads headerColumns, and what further columns there are into more.
func readHeader(row pgx.CollectableRow, more ...any) (*header, error) {
	h := &header{}
	var status string
	err := row.Scan(append([]any{
		&h.N, &h.ID, &h.Workflow, &h.File, &h.Exit, &status, &h.Started, &h.Finished, &h.Steps, &h.Tokens, &h.USD, &h.Seq,
		&h.Token, &h.writer, &h.Since, &h.Engine, &h.StartedBy, &h.Process.Host, &h.Process.Boot, &h.Process.PID, &h.Process.Born, &h.fresh, &h.version,
	}, more...)...)
	h.Status = journal.Status(status)
	return h, err
}

// own gives the run to a log of this process.
func (h *header) own(s *Store, token string, now time.Time) {
	h.Own(token, s.self, now)
	h.writer, h.fresh = s.writer, true
}

// release takes the run from its owner.
func (h *header) release(now time.Time) {
	h.Release(now)
	h.writer = ""
}

// owner returns the process that owns the run, as self sees it; nil if none does.
func (h *header) owner(self process.ID) *journal.Owner { return h.Owner(self, h.fresh) }

// run returns what the header says, without the spec.
func (s *Store) run(h *header) (journal.Run, error) {
	run, err := h.Run(s.box, h.owner(s.self))
	if err != nil {
		return journal.Run{}, fmt.Errorf("run %s: %w", h.ID, errDamaged)
	}
	return run, nil
}

// orNull returns a text for a column that is null for an empty one.
func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}
