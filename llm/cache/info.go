package cache

import "time"

// Info is an entry as commands and servers list it. Its JSON keys are part of the
// command's interface.
type Info struct {
	Key       string    `json:"key"`
	Agent     string    `json:"agent"`
	Model     string    `json:"model"`
	Prompt    string    `json:"prompt"` // the start of the task, on one line
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"` // zero for never
	Truncated bool      `json:"truncated"`
	CostUSD   *float64  `json:"cost_usd"`         // null if the model has no price
	Output    string    `json:"output,omitempty"` // of an entry that is shown alone
}

// Info returns the entry as it is listed: all but its answer.
func (e *Entry) Info() Info {
	return Info{
		Key: e.Key.String(), Agent: e.Agent, Model: e.Model, Prompt: e.Prompt,
		CreatedAt: e.CreatedAt, ExpiresAt: e.ExpiresAt, Truncated: e.Truncated, CostUSD: e.CostUSD,
	}
}

// Detail returns the entry as it is shown alone, with its answer's text.
func (e *Entry) Detail() Info {
	info := e.Info()
	info.Output = e.Response.Text()
	return info
}
