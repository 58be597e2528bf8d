package batch

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Store holds the records of a [Batcher] durably. The effect of a method that
// returned without an error survives a crash. [Dir] is a Store.
//
// Several stores, each with its Batcher, may share their records. A record
// belongs to the store that wrote it until that store's process ends.
// Implementations are safe for concurrent use.
type Store interface {
	// Adopt takes over the records of stores whose processes have ended, and
	// returns them.
	Adopt() ([]Record, error)

	// Intent records that a batch of calls is about to be created. It omits
	// calls that are already in the record of another store and returns their
	// places in held, by their index; if it omits all, the record is zero. A
	// call with Own is omitted only if that other store's process has ended;
	// then the record has been adopted.
	Intent(calls []Wanted) (fresh Record, held map[int]Place, err error)

	// Submitted records the batch that an intent has become.
	Submitted(nonce, batchID string) error
	// Ended records that calls of a record, given by their indexes, are done:
	// their answers were taken, or will not be. A record whose calls have all
	// ended is deleted.
	Ended(nonce string, calls []int) error
	// Void deletes a record whose batch does not exist.
	Void(nonce string) error

	// Get returns the current record, zero if it was deleted, and whether the
	// process that owns it is alive.
	Get(nonce string) (rec Record, alive bool, err error)
}

// Wanted is a call to be submitted.
type Wanted struct {
	Key llm.Key
	Own bool // shares no answer with identical calls
}

// Place is the place of a call in a record of another store, or in one that was
// just adopted.
type Place struct {
	Record  Record
	Index   int
	Adopted bool // this store owns the record now
}

// Record is the stored state of a batch. Without a BatchID it is an intent.
type Record struct {
	Nonce   string    `json:"nonce"` // prefix of its calls' custom_ids
	Owner   string    `json:"owner"`
	BatchID string    `json:"batch_id,omitempty"`
	Created time.Time `json:"created"` // time of the intent by this machine's clock
	Calls   []Entry   `json:"calls"`
}

// Entry is a call in a record. The request itself is not stored: a repeated
// call brings it.
type Entry struct {
	Key   llm.Key `json:"key"`
	Copy  int     `json:"copy,omitempty"` // distinguishes calls with the same key
	Ended bool    `json:"ended,omitempty"`
}

// The parts of a custom_id have fixed lengths: a nonce of 80 bits, and the
// call's key in base64.
const (
	nonceLen = 16
	keyLen   = 43
)

// CustomID returns the custom_id of call i: the nonce, which identifies the
// batch, the key, which identifies the call, and the number of a copy.
func (r Record) CustomID(i int) string {
	e := r.Calls[i]
	id := r.Nonce + base64.RawURLEncoding.EncodeToString(e.Key[:])
	if e.Copy > 0 {
		id += strconv.FormatInt(int64(e.Copy), 36)
	}
	return id
}

// nonceOf returns the nonce of a custom_id, or "" if this package did not
// create it.
func nonceOf(customID string) string {
	if len(customID) < nonceLen+keyLen {
		return ""
	}
	return customID[:nonceLen]
}

// done reports whether all calls have ended.
func (r Record) done() bool {
	for _, e := range r.Calls {
		if !e.Ended {
			return false
		}
	}
	return true
}

// newRecord returns a record of the calls at the given indexes of a list.
func newRecord(nonce, owner string, calls []Wanted, at []int) Record {
	r := Record{Nonce: nonce, Owner: owner, Created: time.Now(), Calls: make([]Entry, 0, len(at))}
	copies := map[llm.Key]int{}
	for _, i := range at {
		key := calls[i].Key
		r.Calls = append(r.Calls, Entry{Key: key, Copy: copies[key]})
		copies[key]++
	}
	return r
}

func unknownRecord(nonce string) error { return fmt.Errorf("no record of batch %s", nonce) }
