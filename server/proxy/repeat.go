package proxy

import (
	"bytes"
	"hash/maphash"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/claude-force/claude-force/llm"
)

// maxRepeats bounds the bytes of the requests that are remembered.
const maxRepeats = 16 << 20

// repeats remembers requests that were answered from the response cache: who asks the
// same once asks it often. A request of the same bytes is then compared with what was
// read before, which takes a tenth of reading and hashing it again. It is safe for
// concurrent use.
type repeats struct {
	seed maphash.Seed

	mu    sync.Mutex // guards the fields below
	bytes int        // of all bodies
	order []uint64   // the oldest first
	byKey map[uint64]*repeat
}

// repeat is a request that was read.
type repeat struct {
	asked string // what [reading.headers] and the policy depend on, beside the body
	body  []byte
	req   *llm.Request // is not modified
}

func newRepeats() *repeats { return &repeats{seed: maphash.MakeSeed(), byKey: map[uint64]*repeat{}} }

// askedOf returns what the reading of a request depends on beside its body: two requests
// with the same bodies and the same text are read in the same way.
func askedOf(header http.Header, query string, share sharing) string {
	var names []string
	for name := range header {
		if countsForReading(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString(string(share.mode) + strconv.FormatBool(share.refresh) + strconv.Quote(query))
	for _, name := range names {
		for _, value := range header[name] {
			b.WriteString(name + strconv.Quote(value))
		}
	}
	return b.String()
}

// countsForReading reports whether [readRequest] reads a header.
func countsForReading(name string) bool {
	return strings.HasPrefix(name, "Anthropic-") || slices.Contains(sessionHeaders, name)
}

func (r *repeats) key(body []byte, asked string) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	_, _ = h.WriteString(asked) // never fails
	_, _ = h.Write(body)        // never fails
	return h.Sum64()
}

// find returns the request that was read from the same bytes, with headers to send on of
// its own, or nil.
func (r *repeats) find(body []byte, asked string) *llm.Request {
	r.mu.Lock()
	found := len(r.byKey) > 0
	r.mu.Unlock()
	if !found {
		return nil
	}
	key := r.key(body, asked)
	r.mu.Lock()
	known := r.byKey[key]
	r.mu.Unlock()
	if known == nil || known.asked != asked || !bytes.Equal(known.body, body) {
		return nil
	}
	req, wire := *known.req, *known.req.Wire
	req.Wire = &wire
	return &req
}

// add remembers a request, in place of the oldest ones.
func (r *repeats) add(req *llm.Request, asked string) {
	body := req.Wire.Body
	if len(body) > maxRepeats/16 {
		return
	}
	key := r.key(body, asked)
	kept, wire := *req, *req.Wire
	wire.Header = nil // of one request
	kept.Wire = &wire
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byKey[key] != nil {
		return
	}
	r.byKey[key] = &repeat{asked, body, &kept}
	r.order = append(r.order, key)
	r.bytes += len(body)
	for r.bytes > maxRepeats || len(r.order) > maxRepeats>>12 {
		r.bytes -= len(r.byKey[r.order[0]].body)
		delete(r.byKey, r.order[0])
		r.order = r.order[1:]
	}
}

// bodies keeps the memory of bodies that turned out to be repeats, for those to come.
type bodies struct{ pool sync.Pool }

// maxKeptBody is the largest body whose memory is kept.
const maxKeptBody = 1 << 20

func (b *bodies) get(size int) []byte {
	if kept, ok := b.pool.Get().(*[]byte); ok && cap(*kept) >= size && cap(*kept) <= 2*size+4096 {
		return (*kept)[:size]
	}
	return make([]byte, size)
}

// put takes a body that nothing refers to.
func (b *bodies) put(body []byte) {
	if cap(body) <= maxKeptBody {
		b.pool.Put(&body)
	}
}
