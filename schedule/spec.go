package schedule

import (
	"encoding/json"
	"time"

	"github.com/claude-force/claude-force/internal/unixtime"
)

// spec is what does not change of a schedule, as stores keep it.
type spec struct {
	Workflow string            `json:"workflow"`
	Params   map[string]string `json:"params,omitempty"`
	Model    string            `json:"model,omitempty"`
	Budget   *float64          `json:"budget_usd,omitempty"`
	Cron     string            `json:"cron"`
	Zone     string            `json:"time_zone"`
	Overlap  Overlap           `json:"overlap"`
	CatchUp  CatchUp           `json:"catch_up"`
	Window   int64             `json:"window_seconds"`
	Created  int64             `json:"created"`
}

// EncodeSpec returns, for a [Store], what does not change of a schedule, without its id,
// its name and its project.
func (s *Schedule) EncodeSpec() (string, error) {
	data, err := json.Marshal(spec{
		s.Workflow, s.Params, s.Model, s.Budget, s.Cron, s.Zone, s.Overlap, s.CatchUp, int64(s.Window / time.Second), unixtime.Seconds(s.Created),
	})
	return string(data), err
}

// DecodeSpec sets what [Schedule.EncodeSpec] returned of a schedule.
func (s *Schedule) DecodeSpec(data []byte) error {
	var is spec
	if err := json.Unmarshal(data, &is); err != nil {
		return err
	}
	s.Workflow, s.Params, s.Model, s.Budget = is.Workflow, is.Params, is.Model, is.Budget
	s.Cron, s.Zone, s.Overlap, s.CatchUp = is.Cron, is.Zone, is.Overlap, is.CatchUp
	s.Window, s.Created = time.Duration(is.Window)*time.Second, unixtime.FromSeconds(is.Created)
	return nil
}
