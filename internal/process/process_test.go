package process

import (
	"testing"

	"github.com/claude-force/claude-force/internal/citest"
)

func TestDeadProcesses(t *testing.T) {
	t.Parallel()
	self := This()
	if self.Boot == "" {
		citest.Missing(t, "this system does not tell which processes run")
	}
	reused, gone, elsewhere, rebooted := self, self, self, self
	reused.Born++
	gone.PID = 1<<22 + 1 // above the largest there can be
	elsewhere.Host, elsewhere.PID = "elsewhere", gone.PID
	rebooted.Boot, rebooted.PID = "another", gone.PID
	for name, test := range map[string]struct {
		process ID
		want    bool
	}{
		"this one":                      {self, false},
		"another with this one's pid":   {reused, true},
		"none":                          {gone, true},
		"none, of another machine":      {elsewhere, false},
		"none, of another boot or pids": {rebooted, false},
	} {
		if got := test.process.Dead(self); got != test.want {
			t.Errorf("%s: dead = %v", name, got)
		}
	}
}
