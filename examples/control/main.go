// Command control runs a workflow that a second process observes, cancels and resumes.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/sim"
)

const text = `steps:
- {id: design, agent: code-reviewer, task: Design a cache}
- {id: review, agent: code-reviewer, task: "Review this: ${{ steps.design.output }}", dependencies: [design]}`

func main() {
	ctx := context.Background()
	service := sim.New(sim.Options{})
	orch := must(claudeforce.New(ctx, claudeforce.Options{Simulator: service}))
	defer orch.Close()
	if len(os.Args) > 1 {
		control(ctx, orch, os.Args[1])
		return
	}
	service.Inject(sim.Fault{Kind: sim.FaultSilence, Match: "Review this"}) // until the run is cancelled
	second := &exec.Cmd{Path: os.Args[0], Stdout: os.Stdout}
	res, err := orch.RunWorkflow(ctx, must(claudeforce.ParseWorkflow("", "design.yaml", []byte(text))), claudeforce.RunOptions{
		OnStart: func(_ context.Context, id string) {
			second.Args = []string{os.Args[0], id} // it has the same data folder
			must(0, second.Start())
		},
	})
	fmt.Printf("first process: the run is %s (%v)\n", res.Status, err) // a *claudeforce.RunError
	must(0, second.Wait())
}

// control does what the second process does.
func control(ctx context.Context, orch *claudeforce.Orchestrator, id string) {
	store := must(orch.History(ctx))
	for change, err := range runs.Watch(ctx, store, id) {
		if must(change, err).Event != nil && change.Event.Type == journal.StepFinished {
			fmt.Println("second process: canceling after", change.Event.Step)
			must(runs.Cancel(ctx, store, id))
		}
	}
	fmt.Println("second process: the run is", must(orch.ResumeRun(ctx, id, claudeforce.ResumeOptions{})).Status)
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
