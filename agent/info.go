package agent

// Info is an agent as commands and servers list it. Its JSON keys are part of the
// command's interface.
type Info struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Tools       []string `json:"tools"` // null for an agent that may use all
	Model       string   `json:"model"`
	Source      string   `json:"source"`
	Prompt      string   `json:"prompt,omitempty"` // of an agent that is shown alone
}

// Info returns the agent's entry in a list: all but its prompt.
func (a *Agent) Info() Info {
	info := Info{Name: a.Name, Description: a.Description, Model: a.Model, Source: a.Source}
	if !a.AllTools {
		info.Tools = append([]string{}, a.Tools...)
	}
	return info
}

// Detail returns the agent as it is shown alone: its entry and its prompt.
func (a *Agent) Detail() Info {
	info := a.Info()
	info.Prompt = a.Prompt
	return info
}
