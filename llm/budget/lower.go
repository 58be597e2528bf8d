package budget

import (
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// The worst case of a call is mostly an answer as long as max_tokens allows, which
// few are: with the usual limit of 16,384 tokens, ten small calls in flight hold
// back a hundred times what they cost. So where a budget has no room for that, the
// answer's limit is lowered to what there is room for. How far depends on how long
// the answers of the same agent and model have been.

const (
	// unknownLength is the lowest limit, in tokens, for an agent that has not
	// answered yet: most answers are shorter.
	unknownLength = 1024
	// comfort is how many times the longest answer so far a limit must be while
	// other calls are in flight, which may leave more room. Lengths of answers vary
	// by less than that in most runs.
	comfort = 4
)

// lengths are the longest answers so far. It is safe for concurrent use.
type lengths struct {
	mu      sync.Mutex // guards the fields below
	longest map[lengthKey]int
	asked   map[lengthKey]time.Time // when [Options.Longest] was called last
}

type lengthKey struct{ agent, model string }

func (l *lengths) add(req *llm.Request, tokens int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.longest == nil {
		l.longest = map[lengthKey]int{}
	}
	k := lengthKey{req.Agent, req.Model}
	l.longest[k] = max(l.longest[k], tokens)
}

// of returns the longest answer to requests like req; 0 if there was none.
func (l *lengths) of(req *llm.Request) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.longest[lengthKey{req.Agent, req.Model}]
}

// due reports whether it is time to call [Options.Longest] for req: a call that
// waits comes here many times a second, and an answer in the store costs opening it.
func (l *lengths) due(req *llm.Request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	k, now := lengthKey{req.Agent, req.Model}, time.Now()
	if last, ok := l.asked[k]; ok && now.Sub(last) < longestPoll {
		return false
	}
	if l.asked == nil {
		l.asked = map[lengthKey]time.Time{}
	}
	l.asked[k] = now
	return true
}

// least returns the lowest limit of the answer to which a budget may lower that of
// the call, at the end of a budget and while other calls are in flight.
func (c *call) least() (atEnd, inFlight int) {
	longest := c.b.lengths.of(c.req)
	if longest == 0 && c.b.opts.Longest != nil && c.b.lengths.due(c.req) {
		if longest = c.b.opts.Longest(c.req.Agent, c.req.Model); longest > 0 {
			c.b.lengths.add(c.req, longest)
		}
	}
	atEnd, inFlight = unknownLength, c.asked.MaxTokens
	if longest > 0 {
		atEnd, inFlight = longest+longest/4+1, max(comfort*longest, unknownLength/4)
	}
	if c.partial() {
		atEnd = min(atEnd, c.asked.MaxTokens/4)
	}
	least := thinking(c.req) + 1
	return min(max(atEnd, least), c.asked.MaxTokens), min(max(inFlight, least), c.asked.MaxTokens)
}

// partial reports whether a scope of the call takes an answer that was cut.
func (c *call) partial() bool {
	return slices.ContainsFunc(c.scopes, func(s Scope) bool { return s.OnBreach == ActionPartial })
}

// less lowers the answer's limit to what the accounts have room for now, and
// returns the worst case with it. ok is false if that is too little; later reports
// whether it can become enough when calls in flight have ended.
func (c *call) less(short *Insufficient) (need Amount, ok, later bool) {
	if short.Kind != Dollars && short.Kind != Tokens || c.needed != (Amount{}) || c.req.Wire != nil { // which is sent as it is
		return Amount{}, false, false
	}
	accounts := c.accounts()
	now := make([]Balance, len(accounts))
	inFlight := false
	for i, a := range accounts {
		var err error
		if now[i], err = c.b.ledger.Balance(a.Key); err != nil {
			return Amount{}, false, false
		}
		inFlight = inFlight || now[i].Reserved != (Amount{})
	}
	atEnd, least := c.least()
	share := max(c.b.line.waiting(accounts), 1)
	if !inFlight {
		least, share = atEnd, 1
	}
	fits := func(balances []Balance, share int) func(n int) bool {
		return func(n int) bool {
			need, err := c.need(n)
			if err != nil || c.insufficientAlone(need) != nil {
				return false
			}
			return Check(accounts, balances, Amount{need.Money * llm.Money(share), need.Tokens * int64(share), need.Calls}) == nil
		}
	}
	ended := make([]Balance, len(now))
	for i := range now {
		ended[i].Spent = now[i].Spent
	}
	later = fits(ended, 1)(min(atEnd, c.req.MaxTokens))
	if fits(now, 1)(c.req.MaxTokens) { // others have left room since
		need, err := c.need(c.req.MaxTokens)
		return need, err == nil, later
	}
	n := longestFit(least, c.req.MaxTokens, fits(now, share))
	if n < least && fits(now, 1)(least) {
		n = least
	}
	need, ok = c.lower(n, least)
	return need, ok, later
}

// lowerAlone lowers the answer's limit to what the limits of the single call have
// room for, and reports whether it did.
func (c *call) lowerAlone() bool {
	least, _ := c.least()
	n := longestFit(least, c.req.MaxTokens, func(n int) bool {
		need, err := c.need(n)
		return err == nil && c.insufficientAlone(need) == nil
	})
	_, ok := c.lower(n, least)
	return ok
}

// lower sets the answer's limit to n, unless that is less than least or nothing
// changes.
func (c *call) lower(n, least int) (Amount, bool) {
	if c.req.Wire != nil {
		return Amount{}, false // it is sent as it is
	}
	if n < least || n >= c.req.MaxTokens || c.needed != (Amount{}) {
		return Amount{}, false
	}
	need, err := c.need(n)
	if err != nil {
		return Amount{}, false
	}
	lowered := *c.req
	lowered.MaxTokens = n
	c.req = &lowered
	if c.b.opts.OnLower != nil {
		c.b.opts.OnLower(c.req, c.asked.MaxTokens)
	}
	return need, true
}

// need returns what the call must still reserve if its answer has at most n tokens.
func (c *call) need(n int) (Amount, error) {
	try := *c.req
	try.MaxTokens = n
	need, err := c.b.worst(c.scopes, &try, c.input+c.added, c.hour)
	if c.charged() {
		need.Calls = 0
	}
	return need, err
}

// longestFit returns the largest n from least to most for which fits is true; less
// than least if there is none. What fits shrinks as n grows.
func longestFit(least, most int, fits func(n int) bool) int {
	return least + sort.Search(max(most-least+1, 0), func(i int) bool { return !fits(least + i) }) - 1
}
