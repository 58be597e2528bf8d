// Package sealed is the form in which stores keep answers: what is said is one block of
// data, encrypted if the store is, and a checksum over all columns lets no damaged or
// mixed up row be taken for an answer.
package sealed

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/claude-force/claude-force/internal/seal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cache"
)

// ErrDamaged is the error of a row whose contents are not what was stored.
var ErrDamaged = errors.New("the answer is damaged")

// said is what the data holds.
type said struct {
	Prompt   string        `json:"prompt"`
	Response *llm.Response `json:"response"`
}

// Data returns what is said in an entry, sealed by box and bound to the entry's key.
func Data(box *seal.Box, e *cache.Entry) ([]byte, error) {
	plain, err := json.Marshal(said{e.Prompt, e.Response})
	if err != nil {
		return nil, fmt.Errorf("writing an answer: %w", err)
	}
	return box.Seal(plain, e.Key[:]), nil
}

// Tokens returns how many tokens a hit saves.
func Tokens(e *cache.Entry) int64 { return int64(e.Response.Usage.TotalTokens()) }

// overhead is what a row takes beside its data, roughly: columns, indexes, the
// page's share.
const overhead = 300

// Size returns the bytes that an entry with the given data counts for.
func Size(e *cache.Entry, data []byte) int64 {
	return int64(len(data) + len(e.Agent) + len(e.Model) + overhead)
}

// Open completes an entry, which has all but what is said, if its checksum is right. Else
// the error is [ErrDamaged].
func Open(box *seal.Box, e *cache.Entry, tokens int64, sum, data []byte) (*cache.Entry, error) {
	if string(Checksum(e, tokens, data)) != string(sum) {
		return nil, ErrDamaged
	}
	plain, err := box.Open(data, e.Key[:])
	if err != nil {
		return nil, ErrDamaged
	}
	var what said
	if err := json.Unmarshal(plain, &what); err != nil || what.Response == nil {
		return nil, ErrDamaged
	}
	e.Prompt, e.Response = what.Prompt, what.Response
	return e, nil
}

// Damaged returns what is listed of an entry that is damaged.
func Damaged(e *cache.Entry) *cache.Entry {
	return &cache.Entry{Key: e.Key, Agent: e.Agent, Model: e.Model, Prompt: "(damaged)", Response: &llm.Response{}, CreatedAt: e.CreatedAt}
}

// Checksum returns the checksum of a key with everything its row says, so that rows cannot
// be mixed up and no damaged date or price is believed.
func Checksum(e *cache.Entry, tokens int64, data []byte) []byte {
	var expires int64
	usd := math.NaN()
	if !e.ExpiresAt.IsZero() {
		expires = e.ExpiresAt.UnixNano()
	}
	if e.CostUSD != nil {
		usd = *e.CostUSD
	}
	truncated := 0
	if e.Truncated {
		truncated = 1
	}
	b := append(make([]byte, 0, 256), e.Key[:]...)
	for _, n := range [...]uint64{uint64(len(e.Agent)), uint64(len(e.Model)), uint64(e.CreatedAt.UnixNano()), uint64(expires), uint64(tokens), math.Float64bits(usd), uint64(truncated)} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	b = append(append(b, e.Agent...), e.Model...)
	h := sha256.New()
	h.Write(b)
	h.Write(data)
	return h.Sum(nil)
}
