package claudeforce_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/tool/bash"
	"github.com/claude-force/claude-force/tool/permission"
	"github.com/claude-force/claude-force/toolset"
)

// BenchmarkCommandSteps runs 1,000 steps with the command true, one after the other, and
// as many such commands in a loop that only starts them in the same sandbox. The ratio of
// their times is what a step costs beside its command.
func BenchmarkCommandSteps(b *testing.B) {
	const steps = 1000
	dir := b.TempDir()
	cfg, err := config.Load(config.Sources{Dir: dir, Home: dir, Getenv: os.Getenv})
	if err != nil {
		b.Fatal(err)
	}
	options := &toolset.Options{Dir: dir, Policy: permission.Policy{Mode: permission.ModeBypass}}
	orch, err := claudeforce.New(b.Context(), claudeforce.Options{Dir: dir, Config: cfg, KeyOptional: true, Toolset: options})
	if err != nil {
		b.Fatal(err)
	}
	defer orch.Close()
	var file strings.Builder
	file.WriteString("name: many\nmax_parallel: 1\nsteps:\n")
	for i := range steps {
		fmt.Fprintf(&file, "  - {id: s%d, run: 'true'}\n", i)
	}
	path := filepath.Join(dir, "many.yaml")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	wf, err := orch.LoadWorkflow(path)
	if err != nil {
		b.Fatal(err)
	}
	project, err := toolset.Open(*options)
	if err != nil {
		b.Fatal(err)
	}
	commands, err := project.Commands(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer commands.Close()
	var inSteps, inLoop time.Duration
	half := func() {
		began := time.Now()
		for range steps / 2 {
			if _, err := commands.Run(b.Context(), nil, bash.Command{Script: "true"}); err != nil {
				b.Fatal(err)
			}
		}
		inLoop += time.Since(began)
	}
	for b.Loop() {
		half() // before and after, since other programs run too
		began := time.Now()
		if _, err := orch.RunWorkflow(b.Context(), wf, claudeforce.RunOptions{File: path}); err != nil {
			b.Fatal(err)
		}
		inSteps += time.Since(began)
		half()
	}
	perCommand := float64(steps * b.N)
	b.ReportMetric(inSteps.Seconds()*1e3/perCommand, "ms/step")
	b.ReportMetric(inLoop.Seconds()*1e3/perCommand, "ms/command")
	b.ReportMetric(float64(inSteps)/float64(inLoop), "ratio")
}
