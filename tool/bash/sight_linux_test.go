package bash_test

import (
	"strings"
	"testing"

	"github.com/claude-force/claude-force/sandbox"
	"github.com/claude-force/claude-force/tool/bash"
)

// A command that changes nothing depends on the working folder; any other may have
// seen and done anything.
func TestWhatACommandSees(t *testing.T) {
	for _, c := range []struct {
		options bash.Options
		input   object
		want    string
	}{
		{bash.Options{}, object{"command": "wc -l *"}, "tree"},
		{bash.Options{}, object{"command": "false"}, "tree"},
		{bash.Options{}, object{"command": "echo x > /tmp/a"}, "tree"},
		{bash.Options{}, object{"command": "echo x > a"}, "opaque"},
		{bash.Options{}, object{"command": "true", "run_in_background": true}, "opaque"},
		{bash.Options{}, object{"command": "read -t 3600 < <(sleep 3600)", "timeout": 200}, "opaque tree"},
		{bash.Options{Policy: sandbox.Policy{Network: sandbox.HostNetwork}}, object{"command": "true"}, "opaque"},
		{bash.Options{Policy: sandbox.Policy{Off: true}}, object{"command": "true"}, "opaque"},
	} {
		a := newAgent(t, c.options)
		a.call("Bash", c.input)
		var kinds []string
		for _, o := range a.env.Observed() {
			kinds = append(kinds, o.Kind)
		}
		if got := strings.Join(kinds, " "); got != c.want {
			t.Errorf("%v with %+v: %q, want %q", c.input, c.options, got, c.want)
		}
	}
}
