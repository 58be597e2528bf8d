package journalrow

import (
	"encoding/json"
	"time"

	"github.com/claude-force/claude-force/internal/process"
	"github.com/claude-force/claude-force/internal/seal"
	"github.com/claude-force/claude-force/journal"
)

// Header is what the row of a run says, but for its spec. Times are in nanoseconds since
// 1970, and zero for none.
type Header struct {
	N              int64 // in the order of creation
	ID             string
	Workflow, File []byte // sealed
	Exit           []byte // the same; empty for none
	Status         journal.Status
	Started        int64
	Finished       int64
	Steps, Tokens  int64
	USD            float64
	Seq            int64      // of the last event
	Token          string     // of the log that owns the run; empty for none
	Process        process.ID // that owns the run
	Since          int64      // when it took it
	Engine         string     // that owns the run until it has ended, unless a process does; empty for none

	StartedBy string // name of the server's key that it was started with, in clear; empty for none

	Dirty bool // it differs from the row
}

// New returns the header of a run that is to be created, and its sealed spec, which is
// nil if it has none.
func New(box *seal.Box, run *journal.Run) (h Header, spec []byte) {
	h = Header{
		ID: run.ID, Status: journal.StatusRunning, Engine: run.Engine, StartedBy: run.StartedBy,
		Workflow: nonNil(box.Seal([]byte(run.Workflow), bound("workflow", run.ID))),
		File:     nonNil(box.Seal([]byte(run.File), bound("file", run.ID))),
	}
	if run.Spec != nil {
		spec = nonNil(box.Seal(run.Spec, bound("spec", run.ID)))
	}
	return h, spec
}

// OpenSpec returns the spec of a run from its sealed form.
func OpenSpec(box *seal.Box, run string, sealed []byte) ([]byte, error) {
	spec, err := box.Open(sealed, bound("spec", run))
	if err != nil {
		return nil, ErrDamaged
	}
	return spec, nil
}

// Add adds what an event says about its run.
func (h *Header) Add(e *Event) {
	r := &e.adds
	h.Steps += int64(r.Steps)
	h.USD += r.CostUSD
	h.Tokens += int64(r.Tokens)
	if r.Status != "" {
		h.Status, h.Exit = r.Status, e.exit
	}
	if !r.FinishedAt.IsZero() {
		h.Finished = r.FinishedAt.UnixNano()
	}
	h.Dirty = true
}

// Own gives the run to the log of a process with the given token.
func (h *Header) Own(token string, self process.ID, now time.Time) {
	h.Token, h.Process, h.Since, h.Engine = token, self, now.UnixNano(), ""
	h.Status, h.Finished, h.Exit, h.Dirty = journal.StatusRunning, 0, nil, true
}

// Release takes the run from its owner. A run that has not ended is interrupted.
func (h *Header) Release(now time.Time) {
	h.Token, h.Process, h.Since, h.Dirty = "", process.ID{}, 0, true
	if !h.Status.Ended() {
		h.Status, h.Finished = journal.StatusInterrupted, now.UnixNano()
	}
}

// OwnedRun returns what says whether the run is owned, which is clear in the row. owner is
// the process that owns it; nil for none.
func (h *Header) OwnedRun(owner *journal.Owner) *journal.Run {
	return &journal.Run{ID: h.ID, Status: h.Status, Engine: h.Engine, Owner: owner}
}

// Owner returns the process that owns the run, as self sees it; nil if none does. fresh
// says that there was a sign of life within [journal.LeaseTTL].
func (h *Header) Owner(self process.ID, fresh bool) *journal.Owner {
	if h.Token == "" {
		return nil
	}
	return &journal.Owner{Host: h.Process.Host, PID: h.Process.PID, Since: instant(h.Since), Alive: fresh && !h.Process.Dead(self)}
}

// Run returns what the header says. The error of one that is not what was stored is
// [ErrDamaged].
func (h *Header) Run(box *seal.Box, owner *journal.Owner) (journal.Run, error) {
	workflow, workflowErr := box.Open(h.Workflow, bound("workflow", h.ID))
	file, fileErr := box.Open(h.File, bound("file", h.ID))
	if workflowErr != nil || fileErr != nil {
		return journal.Run{}, ErrDamaged
	}
	run := journal.Run{
		ID: h.ID, Workflow: string(workflow), File: string(file), Status: h.Status, StartedAt: instant(h.Started), FinishedAt: instant(h.Finished),
		Steps: int(h.Steps), CostUSD: h.USD, Tokens: int(h.Tokens), Owner: owner, Engine: h.Engine, StartedBy: h.StartedBy,
	}
	if len(h.Exit) > 0 {
		plain, err := box.Open(h.Exit, bound("exit", h.ID))
		if err != nil || json.Unmarshal(plain, &run.Exit) != nil {
			return journal.Run{}, ErrDamaged
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
