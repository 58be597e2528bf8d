package llm

import (
	"encoding/json"
	"time"
)

// Batch is a set of calls that a provider answers together, later and at a lower
// price.
type Batch struct {
	ID       string
	Requests int // calls in it
	Created  time.Time
	Expires  time.Time // calls without an answer by then never get one
	Ended    bool      // every call has its result
}

// BatchItem is one call of a batch to create.
type BatchItem struct {
	ID     string          // names the result; of letters, digits, - and _, at most 64 of them
	Params json.RawMessage // the call's body, as the provider writes it
}

// BatchOutcome is how one call of a batch ended.
type BatchOutcome string

// Outcomes of a call.
const (
	BatchSucceeded BatchOutcome = "succeeded"
	BatchErrored   BatchOutcome = "errored"
	BatchCanceled  BatchOutcome = "canceled" // the batch was canceled before its turn
	BatchExpired   BatchOutcome = "expired"  // the batch expired before its turn
)

// BatchResult is the result of one call of a batch.
type BatchResult struct {
	ID       string // that of its [BatchItem]
	Outcome  BatchOutcome
	Response *Response // set if it succeeded
	Err      error     // an [*Error], set if it errored
}
