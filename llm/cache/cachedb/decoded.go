package cachedb

import (
	"bytes"
	"math"
	"sync"

	"github.com/claude-force/claude-force/internal/seal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/cache/sealed"
)

// decoded keeps the answers that were read last, decoded: an answer that is read again
// and again is compared with what its row held then, which takes a fraction of checking
// and decoding it. The row is read each time, so that nothing is answered that is not in
// the store any more.
type decoded struct {
	mu    sync.Mutex // guards the fields below
	rows  map[llm.Key]*decodedRow
	order []llm.Key // of rows, the oldest first
	size  int       // bytes of the rows' data
}

// decodedRow is a row whose checksum was right, and what it says. It is not modified.
type decodedRow struct {
	entry     cache.Entry
	tokens    int64
	sum, data []byte
}

// maxDecoded bounds the bytes of data whose answers are kept decoded.
const maxDecoded = 2 << 20

// open completes an entry, as [sealed.Open] does. The caller keeps sum and data.
func (d *decoded) open(box *seal.Box, e *cache.Entry, tokens int64, sum, data []byte) (*cache.Entry, error) {
	d.mu.Lock()
	known := d.rows[e.Key]
	d.mu.Unlock()
	if known != nil && known.is(e, tokens, sum, data) {
		e.Prompt, e.Response = known.entry.Prompt, known.entry.Response.Clone()
		return e, nil
	}
	e, err := sealed.Open(box, e, tokens, sum, data)
	if err != nil || len(data) > maxDecoded/16 {
		return e, err
	}
	kept := &decodedRow{*e, tokens, bytes.Clone(sum), bytes.Clone(data)}
	kept.entry.Response = e.Response.Clone()
	d.keep(kept)
	return e, nil
}

// is reports whether a row is the one that was decoded, in all that its checksum covers.
func (r *decodedRow) is(e *cache.Entry, tokens int64, sum, data []byte) bool {
	was := &r.entry
	return bytes.Equal(sum, r.sum) && bytes.Equal(data, r.data) && tokens == r.tokens &&
		e.Agent == was.Agent && e.Model == was.Model && e.Truncated == was.Truncated &&
		e.CreatedAt.Equal(was.CreatedAt) && e.ExpiresAt.Equal(was.ExpiresAt) && samePrice(e.CostUSD, was.CostUSD)
}

func samePrice(a, b *float64) bool {
	if a == nil || b == nil {
		return a == b
	}
	return math.Float64bits(*a) == math.Float64bits(*b)
}

// keep keeps a row in place of the oldest ones.
func (d *decoded) keep(r *decodedRow) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rows == nil {
		d.rows = map[llm.Key]*decodedRow{}
	}
	if was := d.rows[r.entry.Key]; was != nil {
		d.size -= len(was.data)
	} else {
		d.order = append(d.order, r.entry.Key)
	}
	d.rows[r.entry.Key] = r
	d.size += len(r.data)
	for d.size > maxDecoded {
		d.size -= len(d.rows[d.order[0]].data)
		delete(d.rows, d.order[0])
		d.order = d.order[1:]
	}
}
