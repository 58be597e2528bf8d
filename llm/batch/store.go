package batch

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Store is what a [Lane] remembers beyond its process. Everything that a method
// has returned from without an error survives a crash. [Dir] is one.
//
// A store is one of several that may share what is remembered, each with its
// lane; records belong to the store that wrote them until its process ends.
// Implementations are safe for concurrent use.
type Store interface {
	// Adopt takes over the records of stores whose processes have ended, and
	// returns them.
	Adopt() ([]Record, error)

	// Intent writes down that a batch of calls is about to be created. Calls
	// that are in the record of another store already are left out of it, and
	// returned in held, by their index; if all are, the record is zero. A call
	// that is to be Own is left out only if that other store's process has
	// ended, in which case the record has been adopted.
	Intent(calls []Wanted) (fresh Record, held map[int]Place, err error)

	// Submitted writes down the batch that an intent has become.
	Submitted(nonce, batchID string) error
	// Ended writes down that calls of a record, given by their indices, are
	// done with: their answers have been taken, or will not be. A record whose
	// calls have all ended is forgotten.
	Ended(nonce string, calls []int) error
	// Void forgets a record whose batch does not exist.
	Void(nonce string) error

	// Get is a record as it stands, zero if it is forgotten, and whether the
	// process it belongs to is alive.
	Get(nonce string) (rec Record, alive bool, err error)
}

// Wanted is a call that is to be in a batch.
type Wanted struct {
	Key llm.Key
	Own bool // shares no answer with an identical call
}

// Place is where a call is in a record of another store, or in one that was
// just adopted.
type Place struct {
	Record  Record
	Index   int
	Adopted bool // the record is this store's now
}

// Record is a batch as it is remembered: an intent until it has a BatchID.
type Record struct {
	Nonce   string    `json:"nonce"` // begins the custom_id of each of its calls
	Owner   string    `json:"owner"`
	BatchID string    `json:"batch_id,omitempty"`
	Created time.Time `json:"created"` // of the intent, by this machine's clock
	Calls   []Entry   `json:"calls"`
}

// Entry is a call in a record. The request itself is not remembered: who asks
// again has it.
type Entry struct {
	Key   llm.Key
	Copy  int // tells calls of the same key apart
	Ended bool
}

// storedEntry is an Entry in JSON.
type storedEntry struct {
	Key   string `json:"key"`
	Copy  int    `json:"copy,omitempty"`
	Ended bool   `json:"ended,omitempty"`
}

// MarshalJSON writes the key in hexadecimal.
func (e Entry) MarshalJSON() ([]byte, error) {
	return json.Marshal(storedEntry{e.Key.String(), e.Copy, e.Ended})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (e *Entry) UnmarshalJSON(data []byte) error {
	var s storedEntry
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	key, err := llm.ParseKey(s.Key)
	*e = Entry{key, s.Copy, s.Ended}
	return err
}

// The parts of a custom_id have fixed lengths: a nonce of 80 bits, and the
// call's key in base64.
const (
	nonceLen = 16
	keyLen   = 43
)

// CustomID returns the custom_id of a record's call: the nonce, which tells the
// batch, the key, which tells the call, and the number of a copy.
func (r Record) CustomID(i int) string {
	e := r.Calls[i]
	id := r.Nonce + base64.RawURLEncoding.EncodeToString(e.Key[:])
	if e.Copy > 0 {
		id += strconv.FormatInt(int64(e.Copy), 36)
	}
	return id
}

// nonceOf returns the nonce of a custom_id, empty if it is not one of ours.
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

// newRecord returns the record of the calls at some indices of a list.
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

func unknown(nonce string) error { return fmt.Errorf("no batch %s is remembered", nonce) }
