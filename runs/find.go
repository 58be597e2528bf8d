package runs

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
)

// idPrefix starts the id of every run.
const idPrefix = "run_"

// idDigits is how many characters follow it: 60 random bits.
const idDigits = 12

// NewID returns a random id for a run.
func NewID() string { return idPrefix + strings.ToLower(rand.Text()[:idDigits]) }

// IDFor returns the id of the run that a request starts: the same for the same
// request, so that it starts no second one when it is sent again.
func IDFor(request string) string {
	sum := sha256.Sum256([]byte(request))
	return idPrefix + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:idDigits])
}

// Find returns the run with the given id. The id may be a unique prefix, with or
// without "run_", or "latest". If no run or several runs match, the error is a
// [fault.InputError].
func Find(ctx context.Context, store journal.Store, id string) (journal.Run, error) {
	run, err := store.Find(ctx, fullID(id))
	if err == nil {
		return run, nil
	}
	_, ambiguous := errors.AsType[*journal.AmbiguousError](err)
	failed := fmt.Errorf("finding run %s: %w", id, err)
	if ambiguous || errors.Is(err, journal.ErrNotFound) {
		failed = fault.Input(failed)
	}
	return journal.Run{}, failed
}

// fullID returns an id, or the start of one, in the form in which stores have it.
func fullID(id string) string {
	if id == journal.Latest || strings.HasPrefix(idPrefix, id) || strings.HasPrefix(id, idPrefix) {
		return id
	}
	return idPrefix + strings.ToLower(id)
}

// StatusCrashed is the status of a run whose process ended without a word. No
// store keeps it: it follows from a run that has not ended and has no owner.
const StatusCrashed journal.Status = "crashed"

// StatusOf returns the status of a run, which may be [StatusCrashed].
func StatusOf(run journal.Run) journal.Status {
	if !run.Status.Ended() && !run.Owned() {
		return StatusCrashed
	}
	return run.Status
}

// Name returns the name of a run's workflow, or that of its file if it has none.
func Name(run journal.Run) string {
	if run.Workflow != "" {
		return run.Workflow
	}
	return run.File[strings.LastIndexAny(run.File, `/\`)+1:]
}

// WithStatus returns the run with its status as [StatusOf] reports it, for JSON.
func WithStatus(run journal.Run) journal.Run {
	run.Status = StatusOf(run)
	return run
}
