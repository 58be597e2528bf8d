package agent

import (
	"errors"
	"fmt"
	"slices"
)

// efforts are the values of [Agent.Effort].
var efforts = []string{"low", "medium", "high", "xhigh", "max"}

// Validate reports what is wrong with an agent that is defined in code. Agents
// that [Parse] returns are valid. The models are not checked: which there are is
// known to the price table alone.
func (a *Agent) Validate() error {
	if a == nil {
		return errors.New("the agent is nil")
	}
	if a.Name == "" {
		return errors.New("the agent has no name")
	}
	var errs []error
	if a.Effort != "" && !slices.Contains(efforts, a.Effort) {
		errs = append(errs, fmt.Errorf("agent %s: there is no effort %q; use low, medium, high, xhigh or max", a.Name, a.Effort))
	}
	if a.MaxTokens < 0 {
		errs = append(errs, fmt.Errorf("agent %s: MaxTokens is %d; use a number above 0, or 0 for the default", a.Name, a.MaxTokens))
	}
	if a.CacheTTL < 0 {
		errs = append(errs, fmt.Errorf("agent %s: CacheTTL is %v; use a time span above 0, or NoCache to keep answers out of the cache", a.Name, a.CacheTTL))
	}
	return errors.Join(errs...)
}
