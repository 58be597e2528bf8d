package journal

import (
	"crypto/sha256"
	"encoding/json"

	"github.com/claude-force/claude-force/llm"
)

// saw is a call of a tool and what it gave, as digests: of a unit that has finished
// no more is kept, so that the state of a long run stays small.
type saw struct {
	asked, given [sha256.Size]byte // given is zero if the call has not ended
}

// SawOtherwise returns the first call of a tool that gave another result than the same
// call did in an earlier run of the unit that finished, all calls before being the
// same. It returns false if there is none.
func (t *Turns) SawOtherwise(was *UnitState) (use llm.Block, ok bool) {
	if t == nil || was == nil {
		return llm.Block{}, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, known := range t.turns {
		for _, use := range known.answer.Response.ToolUses() {
			if n >= len(was.saw) {
				return llm.Block{}, false
			}
			now, before := known.saw(use), was.saw[n]
			if now.asked != before.asked {
				return llm.Block{}, false
			}
			if unended := [sha256.Size]byte{}; now.given != before.given && now.given != unended && before.given != unended {
				return use, true
			}
			n++
		}
	}
	return llm.Block{}, false
}

// saw returns what a call of the turn gave.
func (t *turn) saw(use llm.Block) saw {
	s := saw{asked: sha256.Sum256([]byte(use.Name + "\x00" + string(use.Input)))}
	c := t.calls[use.ID]
	if c == nil || c.Blocks == nil {
		return s
	}
	h := sha256.New()
	for _, b := range c.Blocks {
		// The id of the call is another in each run.
		b.ID = ""
		if b.Raw != nil {
			var fields map[string]json.RawMessage
			if json.Unmarshal(b.Raw, &fields) == nil {
				delete(fields, "tool_use_id")
				b.Raw, _ = json.Marshal(fields) // texts that were JSON are
			}
		}
		data, err := json.Marshal(b)
		if err != nil {
			return s
		}
		h.Write(data)
	}
	h.Sum(s.given[:0])
	return s
}

// keepSaw replaces the turns of a unit that has finished by what its tools gave.
func (u *UnitState) keepSaw() {
	u.saw = nil
	for _, known := range u.turns {
		for _, use := range known.answer.Response.ToolUses() {
			u.saw = append(u.saw, known.saw(use))
		}
	}
	u.turns = nil
}
