// Command control runs a workflow, while a second process observes the run,
// cancels it after its first step, and resumes it. The two share the run's id and
// the data folder. Without the simulator, they ask Claude.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"time"

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
	opts := claudeforce.Options{Simulator: sim.New(sim.Options{Latency: sim.Fixed(2 * time.Second)})}
	orch, err := claudeforce.New(ctx, opts)
	check(err)
	defer orch.Close()
	if len(os.Args) > 1 {
		control(ctx, orch, os.Args[1])
		return
	}
	wf, err := claudeforce.ParseWorkflow("", "design.yaml", []byte(text))
	check(err)
	second := exec.CommandContext(ctx, os.Args[0])
	second.Stdout = os.Stdout
	res, err := orch.RunWorkflow(ctx, wf, claudeforce.RunOptions{OnStart: func(_ context.Context, id string) {
		second.Args = append(second.Args, id)
		check(second.Start())
	}})
	if _, stopped := errors.AsType[*claudeforce.RunError](err); !stopped {
		check(err)
	}
	fmt.Println("first process: the run is", res.Status)
	check(second.Wait())
}

// control is the second process.
func control(ctx context.Context, orch *claudeforce.Orchestrator, id string) {
	store, err := orch.History(ctx)
	check(err)
	for change, err := range runs.Watch(ctx, store, id) {
		check(err)
		if change.Event != nil && change.Event.Type == journal.StepFinished {
			fmt.Println("second process: canceling after", change.Event.Step)
			_, err := runs.Cancel(ctx, store, id)
			check(err)
		}
	}
	res, err := orch.ResumeRun(ctx, id, claudeforce.ResumeOptions{})
	check(err)
	fmt.Println("second process: the run is", res.Status)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
