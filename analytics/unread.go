package analytics

import (
	"slices"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// CacheUse is an attempt that read from the service's prompt cache, or wrote to it.
type CacheUse struct {
	Start   time.Time
	Agent   string
	Model   string
	Read    int       // tokens
	Written int       // tokens, after those that were read
	Extra   llm.Money // see [Attempt.WriteExtra]

	unread int
}

// Unread returns what of its writes nothing has read, in tokens and in what they
// cost above the plain price.
func (u *CacheUse) Unread() (tokens int, cost llm.Money) {
	if u.Written == 0 {
		return 0, 0
	}
	return u.unread, llm.Money(float64(u.Extra) * float64(u.unread) / float64(u.Written))
}

// cacheLife is how long the service keeps what nothing reads, at most.
const cacheLife = time.Hour

// maxCandidates bounds the writes of an agent that one read is compared with.
const maxCandidates = 1000

// MatchReads finds for each write to the prompt cache which of its tokens were
// read. uses are in the order in which the attempts started.
//
// The service reports numbers of tokens, and reads a prompt up to the end of an
// entry. So an attempt that read n tokens has read the latest write of its model
// that ended at n. If none did, it has read the first part, up to n, of the latest
// write of its agent that went on beyond n, as one does that placed several
// breakpoints.
func MatchReads(uses []CacheUse) {
	type family struct {
		model, agent string
		end          int // 0 for all of the agent
	}
	writes := map[family][]int{} // indexes in uses
	for i := range uses {
		u := &uses[i]
		if u.Read > 0 {
			if w := latest(uses, writes[family{u.Model, u.Agent, u.Read}], u); w != nil {
				w.unread = 0
			} else if w := latest(uses, writes[family{model: u.Model, end: u.Read}], u); w != nil {
				w.unread = 0
			} else {
				list := writes[family{model: u.Model, agent: u.Agent}]
				for k := len(list) - 1; k >= max(0, len(list)-maxCandidates) && u.Start.Sub(uses[list[k]].Start) <= cacheLife; k-- {
					if w := &uses[list[k]]; w.Read < u.Read && u.Read < w.Read+w.Written && w.Start.Before(u.Start) {
						w.unread = min(w.unread, w.Read+w.Written-u.Read)
						break
					}
				}
			}
		}
		if u.unread = u.Written; u.Written > 0 {
			end := u.Read + u.Written
			for _, f := range [...]family{{u.Model, u.Agent, end}, {model: u.Model, end: end}, {model: u.Model, agent: u.Agent}} {
				writes[f] = append(writes[f], i)
			}
		}
	}
}

// latest returns the latest of some writes that started before a read.
func latest(uses []CacheUse, writes []int, read *CacheUse) *CacheUse {
	for _, i := range slices.Backward(writes) {
		if w := &uses[i]; w.Start.Before(read.Start) {
			return w
		}
	}
	return nil
}

// UnreadWrites is what was written to the prompt cache and not read afterwards.
type UnreadWrites struct {
	Writes  int       // attempts, of all that wrote
	Unread  int       // of these, those of which something was not read
	Tokens  int       // that were not read
	Cost    llm.Money // of them, above the plain price
	Written llm.Money // of all writes, above the plain price
}
