package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// piece is one position of a prompt's prefix: a tool, a system block or a
// content block.
type piece struct {
	tokens  int
	raw     []byte
	control *cacheControl

	inMessage bool
}

// prefix yields the prompt's pieces in the order in which they are cached:
// tools, system, messages.
func (r *request) prefix(yield func(piece) bool) {
	for _, t := range r.Tools {
		if t.Deferred { // not in the prompt until the model asks for it
			continue
		}
		if !yield(piece{tokens: r.model.count(len(t.raw)), raw: t.raw, control: t.CacheControl}) {
			return
		}
	}
	for _, b := range r.System {
		if !yield(piece{tokens: r.model.count(b.size), raw: b.raw, control: b.CacheControl}) {
			return
		}
	}
	const perMessage = 4 // for the role and its frame
	for at, m := range r.Messages {
		if at < r.promptFrom[0] {
			continue
		}
		for i, b := range m.Content {
			if at == r.promptFrom[0] && i < r.promptFrom[1] {
				continue
			}
			p := piece{r.model.count(b.size) + b.mediaTokens(r.model), append([]byte(m.Role+"\x00"), b.raw...), b.CacheControl, true}
			if i == 0 {
				p.tokens += perMessage
			}
			if !yield(p) {
				return
			}
		}
	}
}

// stripBreakpoint returns a block or tool without its breakpoint, because
// prompts share a prefix wherever their breakpoints are.
func stripBreakpoint(raw []byte) []byte {
	name := []byte(`"cache_control"`)
	at := bytes.LastIndex(raw, name)
	if at < 0 {
		return raw
	}
	rest := bytes.TrimLeft(raw[at+len(name):], " \t\r\n")
	if !bytes.HasPrefix(rest, []byte(":")) {
		return raw
	}
	dec := json.NewDecoder(bytes.NewReader(rest[1:]))
	var value json.RawMessage
	if dec.Decode(&value) != nil {
		return raw
	}
	before := bytes.TrimRight(raw[:at], " \t\r\n")
	after := bytes.TrimLeft(rest[1+dec.InputOffset():], " \t\r\n")
	if cut, ok := bytes.CutSuffix(before, []byte(",")); ok {
		before = cut
	} else {
		after = bytes.TrimPrefix(after, []byte(","))
	}
	return slices.Concat(before, after)
}

const (
	maxBreakpoints = 4
	lookback       = 20 // positions that a read goes back from a breakpoint
)

func (r *request) checkCache(string) *apiError {
	explicit, short := 0, false
	var last *cacheControl // of the last piece
	for p := range r.prefix {
		if last = p.control; p.control == nil {
			continue
		}
		explicit++
		switch {
		case p.control.Type != "ephemeral":
			return invalid("cache_control.type: Input should be 'ephemeral'")
		case p.control.TTL != "" && p.control.TTL != "5m" && p.control.TTL != "1h":
			return invalid("cache_control.ttl: Input should be '5m' or '1h'")
		case p.control.TTL == "1h" && short:
			return invalid("cache_control: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block")
		}
		short = short || p.control.TTL != "1h"
	}
	if r.CacheControl != nil {
		explicit++
		if last != nil && lifetime(last) != lifetime(r.CacheControl) {
			return invalid("cache_control: the last block has a cache_control with another ttl than the request's own")
		}
	}
	if explicit > maxBreakpoints {
		return invalid("A maximum of 4 blocks with cache_control may be provided.")
	}
	return nil
}

// promptCache holds the cached prefixes and their expiry times.
type promptCache struct {
	off     bool       // ignore breakpoints
	mu      sync.Mutex // guards the field below
	entries map[[sha256.Size]byte]cacheEntry
}

// cacheEntry is one cached prefix. A hit renews its lifetime.
type cacheEntry struct {
	until    time.Time
	lifetime time.Duration
}

func (c *promptCache) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries = map[[sha256.Size]byte]cacheEntry{}
}

// cached holds a prompt's tokens: those read, those written and the rest.
type cached struct {
	read, write5m, write1h, plain int
	commit                        func() // makes the written prefixes readable; called when the answer starts
}

// split divides a prompt's tokens into read, written and plain ones. Prompts
// that differ in credential, model or output format share no prefix; those that
// differ in tool choice, thinking or effort share tools and system only.
func (c *promptCache) split(r *request, credential string, start time.Time, scale float64) cached {
	var hashes [][sha256.Size]byte
	var ends, points []int // tokens up to each position; positions of breakpoints
	ttls := map[int]time.Duration{}
	state := sha256.Sum256([]byte(credential + "\x00" + r.model.id + "\x00" + string(r.format())))
	total, inMessages := 0, false
	for p := range r.prefix {
		if p.inMessage && !inMessages {
			inMessages = true
			state = sha256.Sum256(append(state[:], r.variant()...))
		}
		state = sha256.Sum256(append(state[:], p.raw...))
		total += p.tokens
		if p.control != nil {
			points = append(points, len(hashes))
			ttls[len(hashes)] = lifetime(p.control)
		}
		hashes, ends = append(hashes, state), append(ends, total)
	}
	if r.CacheControl != nil && len(hashes) > 0 && ttls[len(hashes)-1] == 0 {
		points = append(points, len(hashes)-1)
		ttls[len(hashes)-1] = lifetime(r.CacheControl)
	}
	if c.off {
		points = nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	hit := c.longest(hashes, points, start)
	out := cached{commit: func() {}}
	done := 0
	if hit >= 0 {
		out.read, done = ends[hit], ends[hit]
	}
	renew := func(at int, lifetime time.Duration) {
		c.entries[hashes[at]] = cacheEntry{start.Add(time.Duration(float64(lifetime) * scale)), lifetime}
	}
	if hit >= 0 {
		renew(hit, c.entries[hashes[hit]].lifetime)
	}
	fresh := map[[sha256.Size]byte]cacheEntry{}
	for _, at := range points {
		if ends[at] < r.model.minCache {
			continue
		}
		if at <= hit {
			if _, known := c.entries[hashes[at]]; known {
				renew(at, ttls[at])
			}
			continue
		}
		if ttls[at] == time.Hour {
			out.write1h += ends[at] - done
		} else {
			out.write5m += ends[at] - done
		}
		done = ends[at]
		fresh[hashes[at]] = cacheEntry{start.Add(time.Duration(float64(ttls[at]) * scale)), ttls[at]}
	}
	out.plain = total - done
	out.commit = func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		maps.Copy(c.entries, fresh)
	}
	return out
}

// longest returns the last position that can be read from the cache, or -1. The
// caller holds mu.
func (c *promptCache) longest(hashes [][sha256.Size]byte, points []int, now time.Time) int {
	best := -1
	for _, at := range points {
		for i := at; i > best && i > at-lookback && i >= 0; i-- {
			if entry, ok := c.entries[hashes[i]]; ok && now.Before(entry.until) {
				best = i
				break
			}
		}
	}
	return best
}

// variant returns the settings that the cached messages depend on, but not tools
// and system. What is left out equals its default.
func (r *request) variant() string {
	v := "\x00"
	if c := r.ToolChoice; c != nil && (c.Type != "auto" || c.DisableParallel) {
		v += fmt.Sprintf("%s\x00%s\x00%t", c.Type, c.Name, c.DisableParallel)
	}
	v += "\x00"
	if r.Thinking != nil {
		v += r.Thinking.Type
	}
	v += "\x00"
	if r.OutputConfig != nil {
		v += r.OutputConfig.Effort
	}
	return v
}

func lifetime(c *cacheControl) time.Duration {
	if c.TTL == "1h" {
		return time.Hour
	}
	return 5 * time.Minute
}
