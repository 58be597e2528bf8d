package plan

// Problem is something that will stop a run, or a step of it, and is known before
// anything is spent.
type Problem struct {
	Step    string `json:"step,omitempty"` // path; empty if it concerns the whole run
	Item    string `json:"item,omitempty"` // the item, for people
	Message string `json:"message"`
	File    string `json:"file,omitempty"` // the file of the step, and the line at which it begins
	Line    int    `json:"line,omitempty"`
	// Tolerated reports that the run goes on without the step, as its on_failure
	// says.
	Tolerated bool `json:"tolerated,omitempty"`
}

// Blocked reports whether the run cannot succeed.
func (p *Plan) Blocked() bool {
	for _, problem := range p.Problems {
		if !problem.Tolerated {
			return true
		}
	}
	return false
}
