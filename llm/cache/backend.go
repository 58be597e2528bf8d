package cache

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Backend is a [Store] that commands and pages can look into, too. Package cachetest
// tests that an implementation keeps its contract.
type Backend interface {
	Store
	// List yields the entries that a filter chooses, the newest first, those that have
	// expired included. Of one that is damaged the prompt says so. The backend may be used
	// meanwhile.
	List(ctx context.Context, f Filter) iter.Seq2[*Entry, error]
	// Show returns the one entry whose key begins with prefix, in hexadecimal, whether or
	// not it has expired. It does not count as a use. The error is a [KeyError] if there is
	// no such entry or several are.
	Show(ctx context.Context, prefix string) (*Entry, error)
	// Clear removes entries and returns how many, and the bytes they counted for.
	Clear(ctx context.Context, f Filter) (n int, bytes int64, err error)
	// Stats returns what the backend holds and what it was good for, uses by other
	// processes included once they are written.
	Stats(ctx context.Context) (Stats, error)
	// Close writes what is still to be written, such as uses. Afterwards every use is an
	// error, except Close, which does nothing.
	Close() error
}

// Filter chooses answers. The zero value chooses all.
type Filter struct {
	Agent     string        // only this agent's; empty for all
	OlderThan time.Duration // only those stored longer ago than this; 0 for all
}

// Stats says what a backend holds and what it was good for, since it was made.
type Stats struct {
	Entries     int64    `json:"entries"`
	Bytes       int64    `json:"bytes"` // as they count against the limit
	Hits        int64    `json:"hits"`
	Misses      int64    `json:"misses"`
	HitRate     float64  `json:"hit_rate"` // hits of all reads, from 0 to 1; 0 without reads
	TokensSaved int64    `json:"tokens_saved"`
	USDSaved    *float64 `json:"usd_saved"` // by hits whose price is known; nil if there were hits and none was
}

// Used adds reads to the statistics: hits with the tokens they saved, of which the price
// of some is known, and misses.
func (s *Stats) Used(hits, misses, tokens, priced int64, usd float64) {
	s.Hits, s.Misses, s.TokensSaved = hits, misses, tokens
	if hits+misses > 0 {
		s.HitRate = float64(hits) / float64(hits+misses)
	}
	if hits == 0 || priced > 0 {
		s.USDSaved = &usd
	}
}

// KeyError reports that the beginning of a key names no entry, or several.
type KeyError struct{ message string }

func (e *KeyError) Error() string { return e.message }

// KeyRange returns the lowest and the highest key that begin with prefix, in hexadecimal.
// The error is a [KeyError].
func KeyRange(prefix string) (low, high llm.Key, err error) {
	prefix = strings.ToLower(prefix)
	digits := 2 * len(low)
	if prefix != "" && len(prefix) <= digits {
		rest := digits - len(prefix)
		_, lowErr := hex.Decode(low[:], []byte(prefix+strings.Repeat("0", rest)))
		_, highErr := hex.Decode(high[:], []byte(prefix+strings.Repeat("f", rest)))
		if lowErr == nil && highErr == nil {
			return low, high, nil
		}
	}
	return low, high, &KeyError{fmt.Sprintf("%q is not the beginning of a key", prefix)}
}

// OnlyOne returns the entry of those whose keys begin with prefix, at least two of them if
// there are several.
func OnlyOne(prefix string, found []*Entry) (*Entry, error) {
	switch len(found) {
	case 0:
		return nil, &KeyError{"there is no answer whose key begins with " + strings.ToLower(prefix)}
	case 1:
		return found[0], nil
	}
	return nil, &KeyError{fmt.Sprintf("several keys begin with %s; give more of it", strings.ToLower(prefix))}
}

// within reports whether a key is between two others, or one of them.
func within(key, low, high llm.Key) bool {
	return bytes.Compare(low[:], key[:]) <= 0 && bytes.Compare(key[:], high[:]) <= 0
}
