package journalpg

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/process"
	"github.com/claude-force/claude-force/journal"
)

// header is a row of journal_runs, but for its spec, with what is known of its owner.
type header struct {
	n              int64
	id             string
	workflow, file []byte // as stored
	exit           []byte // the same
	status         journal.Status
	started        int64
	finished       int64
	steps, tokens  int64
	usd            float64
	seq            int64
	token          string // empty for none, as writer
	writer         string
	since          int64

	process process.ID // that owns it
	fresh   bool       // it has been heard of within its lease

	stored int64 // seq of the row, when the header was read
	dirty  bool  // it differs from the row
}

// headerColumns are of runs as r, left joined with their writers as w.
const headerColumns = `r.n, r.id, r.workflow, r.file, r.exit, r.status, r.started, r.finished, r.steps, r.tokens, r.usd, r.seq,
	coalesce(r.token, ''), coalesce(r.writer, ''), r.since,
	coalesce(w.host, ''), coalesce(w.boot, ''), coalesce(w.pid, 0), coalesce(w.born, 0),
	coalesce(w.seen > clock_timestamp() - $1::interval, false)`

const headerTables = ` FROM journal_runs r LEFT JOIN journal_writers w ON w.id = r.writer `

// lease is the first argument of every statement with headerColumns.
const lease = journal.LeaseTTL

// readHeader reads headerColumns, and what further columns there are into more.
func readHeader(row pgx.CollectableRow, more ...any) (*header, error) {
	h := &header{}
	var status string
	err := row.Scan(append([]any{
		&h.n, &h.id, &h.workflow, &h.file, &h.exit, &status, &h.started, &h.finished, &h.steps, &h.tokens, &h.usd, &h.seq,
		&h.token, &h.writer, &h.since, &h.process.Host, &h.process.Boot, &h.process.PID, &h.process.Born, &h.fresh,
	}, more...)...)
	h.status = journal.Status(status)
	return h, err
}

// add takes in what an event adds.
func (h *header) add(row *eventRow) {
	r := &row.adds
	h.steps += int64(r.Steps)
	h.usd += r.CostUSD
	h.tokens += int64(r.Tokens)
	if r.Status != "" {
		h.status, h.exit = r.Status, row.exit
	}
	if !r.FinishedAt.IsZero() {
		h.finished = r.FinishedAt.UnixNano()
	}
	h.dirty = true
}

// own gives the run to a log of this process.
func (h *header) own(s *Store, token string, now time.Time) {
	h.token, h.writer, h.since, h.process, h.fresh = token, s.writer, now.UnixNano(), s.self, true
	h.status, h.finished, h.exit, h.dirty = journal.StatusRunning, 0, nil, true
}

// free takes the run from whoever owns it.
func (h *header) free() {
	h.token, h.writer, h.since, h.process, h.dirty = "", "", 0, process.ID{}, true
}

// owner returns the process that owns the run, as self sees it; nil if none does.
func (h *header) owner(self process.ID) *journal.Owner {
	if h.token == "" {
		return nil
	}
	return &journal.Owner{Host: h.process.Host, PID: h.process.PID, Since: instant(h.since), Alive: h.fresh && !h.process.Dead(self)}
}

// run returns what the header says, without the spec.
func (s *Store) run(h *header) (journal.Run, error) {
	run := journal.Run{
		ID: h.id, Status: h.status, StartedAt: instant(h.started), FinishedAt: instant(h.finished),
		Steps: int(h.steps), CostUSD: h.usd, Tokens: int(h.tokens), Owner: h.owner(s.self),
	}
	workflow, workflowErr := s.box.Open(h.workflow, bound("workflow", h.id))
	file, fileErr := s.box.Open(h.file, bound("file", h.id))
	if workflowErr != nil || fileErr != nil {
		return journal.Run{}, fmt.Errorf("run %s: %w", h.id, errDamaged)
	}
	run.Workflow, run.File = string(workflow), string(file)
	if len(h.exit) > 0 {
		plain, err := s.box.Open(h.exit, bound("exit", h.id))
		if err != nil || json.Unmarshal(plain, &run.Exit) != nil {
			return journal.Run{}, fmt.Errorf("run %s: %w", h.id, errDamaged)
		}
	}
	return run, nil
}

func instant(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}

// bound returns what sealed data is bound to, without ambiguity.
func bound(parts ...string) []byte {
	var b []byte
	for _, s := range parts {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

// orNull returns a text for a column that is null for an empty one.
func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}
