package cachedb

import (
	"testing"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cache"
)

func TestDecodedAnswersAreBounded(t *testing.T) {
	var d decoded
	const rows = 1000
	for n := range 2 * rows { // each twice
		key := llm.Key{byte(n % rows), byte(n % rows >> 8)}
		d.keep(&decodedRow{entry: cache.Entry{Key: key, Response: &llm.Response{}}, data: make([]byte, maxDecoded/100)})
		size := 0
		for _, r := range d.rows {
			size += len(r.data)
		}
		if size != d.size || size > maxDecoded || len(d.order) != len(d.rows) || d.rows[key] == nil {
			t.Fatalf("after %d rows: %d bytes, counted as %d, of %d rows, of which %d are in order", n+1, size, d.size, len(d.rows), len(d.order))
		}
	}
}
