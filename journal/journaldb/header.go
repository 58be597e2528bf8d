package journaldb

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/internal/process"
	"github.com/claude-force/claude-force/internal/sqlitefile"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journalrow"
)

type stmt = sqlite3.Stmt

// header is a row of runs, but for its spec. Zero stands for null.
type header struct {
	journalrow.Header
	heartbeat int64
}

const headerColumns = `n, id, workflow, file, status, started, finished, steps, usd, tokens, seq, token, host, boot, pid, born, since, heartbeat, sum, exit, engine, started_by`

// readHeader reads headerColumns.
func readHeader(row *stmt) (*header, error) {
	h := &header{Header: journalrow.Header{
		N: row.ColumnInt64(0), ID: row.ColumnText(1), Workflow: row.ColumnBlob(2, nil), File: row.ColumnBlob(3, nil),
		Status: journal.Status(row.ColumnText(4)), Started: row.ColumnInt64(5), Finished: row.ColumnInt64(6),
		Steps: row.ColumnInt64(7), USD: row.ColumnFloat(8), Tokens: row.ColumnInt64(9), Seq: row.ColumnInt64(10),
		Token:   row.ColumnText(11),
		Process: process.ID{Host: row.ColumnText(12), Boot: row.ColumnText(13), PID: row.ColumnInt(14), Born: row.ColumnInt64(15)},
		Since:   row.ColumnInt64(16), Exit: row.ColumnBlob(19, nil), Engine: row.ColumnText(20), StartedBy: row.ColumnText(21),
	}, heartbeat: row.ColumnInt64(17)}
	if !bytes.Equal(h.sum(), row.ColumnRawBlob(18)) {
		return nil, errDamaged
	}
	return h, nil
}

// sum returns the checksum of all that the row has but its number and spec.
func (h *header) sum() []byte {
	var d digest
	d.texts(h.ID, string(h.Status), h.Token, h.Process.Host, h.Process.Boot)
	d.blobs(h.Workflow, h.File)
	d.numbers(h.Started, h.Finished, h.Steps, h.Tokens, int64(math.Float64bits(h.USD)), h.Seq, int64(h.Process.PID), h.Process.Born, h.Since, h.heartbeat)
	if len(h.Exit) > 0 { // without it the sum is that of rows from before there was one
		d.blobs(h.Exit)
	}
	if h.Engine != "" { // likewise
		d.texts(h.Engine)
	}
	if h.StartedBy != "" { // likewise
		d.texts("started by", h.StartedBy)
	}
	return d.sum()
}

// insert makes the row.
func (h *header) insert(conn *sqlitefile.Conn, spec []byte) error {
	var sum any
	if spec != nil {
		sum = specSum(h.ID, spec)
	}
	var startedBy any
	if h.StartedBy != "" {
		startedBy = h.StartedBy
	}
	if err := conn.Run(`INSERT INTO runs (id, workflow, file, spec, spec_sum, status, started, steps, usd, tokens, seq, sum, started_by)
		VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, x'', ?)`, h.ID, h.Workflow, h.File, spec, sum, string(h.Status), h.Started, startedBy); err != nil {
		return err
	}
	h.N = conn.LastInsertRowID()
	return nil
}

// update writes what can change of a row.
func (h *header) update(conn *sqlitefile.Conn) error {
	var finished any
	if h.Finished != 0 {
		finished = h.Finished
	}
	var token, host, boot, pid, born, since, heartbeat any
	if h.Token != "" {
		token, host, boot, pid, born, since, heartbeat = []byte(h.Token), h.Process.Host, h.Process.Boot, h.Process.PID, h.Process.Born, h.Since, h.heartbeat
	}
	var exit any
	if len(h.Exit) > 0 {
		exit = h.Exit
	}
	var engine any
	if h.Engine != "" {
		engine = h.Engine
	}
	h.Dirty = false
	return conn.Run(`UPDATE runs SET status = ?, finished = ?, steps = ?, usd = ?, tokens = ?, seq = ?,
		token = ?, host = ?, boot = ?, pid = ?, born = ?, since = ?, heartbeat = ?, sum = ?, exit = ?, engine = ? WHERE n = ?`,
		string(h.Status), finished, h.Steps, h.USD, h.Tokens, h.Seq, token, host, boot, pid, born, since, heartbeat, h.sum(), exit, engine, h.N)
}

// event returns the id of one of the run's events.
func (h *header) event(seq int64) int64 { return h.N<<32 | seq }

// own gives the run to a log.
func (h *header) own(token string, self process.ID, now time.Time) {
	h.Own(token, self, now)
	h.heartbeat = now.UnixNano()
}

// release takes the run from its owner.
func (h *header) release(now time.Time) {
	h.Release(now)
	h.heartbeat = 0
}

// owner returns the process that owns the run, as self sees it; nil if none does.
func (h *header) owner(self process.ID, now time.Time) *journal.Owner {
	silent := now.Sub(time.Unix(0, h.heartbeat)).Abs() // a clock may have been set
	return h.Owner(self, silent < journal.LeaseTTL)
}

// digest adds up what a row says, without ambiguity.
type digest struct{ data []byte }

func (d *digest) texts(texts ...string) {
	for _, s := range texts {
		d.data = append(binary.AppendUvarint(d.data, uint64(len(s))), s...)
	}
}

func (d *digest) blobs(blobs ...[]byte) {
	for _, b := range blobs {
		d.data = append(binary.AppendUvarint(d.data, uint64(len(b))), b...)
	}
}

func (d *digest) numbers(numbers ...int64) {
	for _, n := range numbers {
		d.data = binary.LittleEndian.AppendUint64(d.data, uint64(n))
	}
}

// sum returns half a SHA-256: it finds damage, not malice.
func (d *digest) sum() []byte {
	sum := sha256.Sum256(d.data)
	return sum[:16]
}
