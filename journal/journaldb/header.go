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
)

type stmt = sqlite3.Stmt

// header is a row of runs, but for its spec. Zero stands for null.
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
	token          string
	process        process.ID
	since          int64
	heartbeat      int64

	dirty bool // it differs from the row
}

const headerColumns = `n, id, workflow, file, status, started, finished, steps, usd, tokens, seq, token, host, boot, pid, born, since, heartbeat, sum, exit`

// readHeader reads headerColumns.
func readHeader(row *stmt) (*header, error) {
	h := &header{
		n: row.ColumnInt64(0), id: row.ColumnText(1), workflow: row.ColumnBlob(2, nil), file: row.ColumnBlob(3, nil),
		status: journal.Status(row.ColumnText(4)), started: row.ColumnInt64(5), finished: row.ColumnInt64(6),
		steps: row.ColumnInt64(7), usd: row.ColumnFloat(8), tokens: row.ColumnInt64(9), seq: row.ColumnInt64(10),
		token:   row.ColumnText(11),
		process: process.ID{Host: row.ColumnText(12), Boot: row.ColumnText(13), PID: row.ColumnInt(14), Born: row.ColumnInt64(15)},
		since:   row.ColumnInt64(16), heartbeat: row.ColumnInt64(17), exit: row.ColumnBlob(19, nil),
	}
	if !bytes.Equal(h.sum(), row.ColumnRawBlob(18)) {
		return nil, errDamaged
	}
	return h, nil
}

// sum returns the checksum of all that the row has but its number and spec.
func (h *header) sum() []byte {
	var d digest
	d.texts(h.id, string(h.status), h.token, h.process.Host, h.process.Boot)
	d.blobs(h.workflow, h.file)
	d.numbers(h.started, h.finished, h.steps, h.tokens, int64(math.Float64bits(h.usd)), h.seq, int64(h.process.PID), h.process.Born, h.since, h.heartbeat)
	if len(h.exit) > 0 { // without it the sum is that of rows from before there was one
		d.blobs(h.exit)
	}
	return d.sum()
}

// insert makes the row.
func (h *header) insert(conn *sqlitefile.Conn, spec []byte) error {
	var specSum any
	if spec != nil {
		var d digest
		d.texts(h.id)
		d.blobs(spec)
		specSum = d.sum()
	}
	if err := conn.Run(`INSERT INTO runs (id, workflow, file, spec, spec_sum, status, started, steps, usd, tokens, seq, sum)
		VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, x'')`, h.id, nonNil(h.workflow), nonNil(h.file), spec, specSum, string(h.status), h.started); err != nil {
		return err
	}
	h.n = conn.LastInsertRowID()
	return nil
}

// update writes what can change of a row.
func (h *header) update(conn *sqlitefile.Conn) error {
	var finished any
	if h.finished != 0 {
		finished = h.finished
	}
	var token, host, boot, pid, born, since, heartbeat any
	if h.token != "" {
		token, host, boot, pid, born, since, heartbeat = []byte(h.token), h.process.Host, h.process.Boot, h.process.PID, h.process.Born, h.since, h.heartbeat
	}
	var exit any
	if len(h.exit) > 0 {
		exit = h.exit
	}
	h.dirty = false
	return conn.Run(`UPDATE runs SET status = ?, finished = ?, steps = ?, usd = ?, tokens = ?, seq = ?,
		token = ?, host = ?, boot = ?, pid = ?, born = ?, since = ?, heartbeat = ?, sum = ?, exit = ? WHERE n = ?`,
		string(h.status), finished, h.steps, h.usd, h.tokens, h.seq, token, host, boot, pid, born, since, heartbeat, h.sum(), exit, h.n)
}

// event returns the id of one of the run's events.
func (h *header) event(seq int64) int64 { return h.n<<32 | seq }

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

// own gives the run to a log.
func (h *header) own(token string, self process.ID, now time.Time) {
	h.token, h.process, h.since, h.heartbeat = token, self, now.UnixNano(), now.UnixNano()
	h.status, h.finished, h.exit, h.dirty = journal.StatusRunning, 0, nil, true
}

// free takes the run from whoever owns it.
func (h *header) free() {
	h.token, h.process, h.since, h.heartbeat, h.dirty = "", process.ID{}, 0, 0, true
}

// owner returns the process that owns the run, as self sees it; nil if none does.
func (h *header) owner(self process.ID, now time.Time) *journal.Owner {
	if h.token == "" {
		return nil
	}
	silent := now.Sub(time.Unix(0, h.heartbeat)).Abs() // a clock may have been set
	return &journal.Owner{
		Host: h.process.Host, PID: h.process.PID, Since: instant(h.since),
		Alive: silent < journal.LeaseTTL && !h.process.Dead(self),
	}
}

func instant(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}

// nonNil returns data for a column that cannot be null.
func nonNil(data []byte) []byte {
	if data == nil {
		return []byte{}
	}
	return data
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

// bound returns what sealed data is bound to.
func bound(parts ...string) []byte {
	var d digest
	d.texts(parts...)
	return d.data
}
