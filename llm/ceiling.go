package llm

import "errors"

// Ceiling names the limit of a budget that had no room for a call. It is an error, so
// that it can be inside the one of the call.
type Ceiling struct {
	Of   string `json:"of"`   // day, run, step, agent or call
	Unit string `json:"unit"` // usd, tokens, calls or time
}

func (c *Ceiling) Error() string {
	return "the budget in " + c.Unit + " of the " + c.Of + " has no room"
}

// CeilingOf returns the limit that had no room for the call that failed with err, or
// nil if it failed for another reason.
func CeilingOf(err error) *Ceiling {
	if c, ok := errors.AsType[*Ceiling](err); ok {
		return c
	}
	return nil
}
