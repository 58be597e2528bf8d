package sqlite

import "testing"

func TestDeadProcesses(t *testing.T) {
	t.Parallel()
	self := thisProcess()
	if self.boot == "" {
		t.Skip("this system does not tell which processes run")
	}
	reused, gone, elsewhere, rebooted := self, self, self, self
	reused.born++
	gone.pid = 1<<22 + 1 // above the largest there can be
	elsewhere.host, elsewhere.pid = "elsewhere", gone.pid
	rebooted.boot, rebooted.pid = "another", gone.pid
	for name, test := range map[string]struct {
		process process
		want    bool
	}{
		"this one":                      {self, false},
		"another with this one's pid":   {reused, true},
		"none":                          {gone, true},
		"none, of another machine":      {elsewhere, false},
		"none, of another boot or pids": {rebooted, false},
	} {
		if got := test.process.dead(self); got != test.want {
			t.Errorf("%s: dead = %v", name, got)
		}
	}
}
