package llm

import (
	"crypto/sha256"
	"fmt"
	"net/http"
)

// Wire is a request as a client of the API wrote it, for a proxy. A [Request] with a
// Wire is sent as the client wrote it, byte for byte, and no layer changes it; its other
// fields only describe the request to the layers. Its events carry the bytes of the
// answer in [Event.Wire].
type Wire struct {
	Body   []byte
	Header http.Header // without credentials and what concerns the connection alone
	Query  string
	Stream bool // the client asks for a stream of events

	// Digest is over all of the request that may change its answer, and over what
	// separates the answers of one client from those of another. It stands for the
	// request in its key.
	Digest [sha256.Size]byte
}

// WireEvent is a piece of an answer as the service sent it. It may be shared between
// readers and must not be modified.
type WireEvent struct {
	Head   *WireHead // on the first event of an answer; else nil
	Bytes  []byte    // empty lines that end an event included
	Shared bool      // of a call that another reader made; set with Head
}

// WireHead is the head of the service's answer.
type WireHead struct {
	Status int
	Header http.Header // without what concerns the connection alone
}

// WireAnswer is the body of a whole answer as the service sent it: a stream of events,
// or one JSON document.
type WireAnswer struct {
	Stream bool   `json:"stream"`
	Body   []byte `json:"body"`
}

// WireError is inside the error of a call with a [Wire] that the service answered with
// an error.
type WireError struct {
	Head   *WireHead
	Before []byte // of a stream that reports an error, what came before it, if that was shown to no one
	Body   []byte // the error itself
}

func (e *WireError) Error() string { return fmt.Sprintf("the service answered HTTP %d", e.Head.Status) }
