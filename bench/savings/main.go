// Command savings measures what each way of paying less saves on one workload,
// alone and together: the response cache, prompt caching, message batches and
// the choice of the model.
//
//	go run ./bench/savings           # the table
//	go run ./bench/savings -gate     # fails if the ways together save less than 30 %, also without the choice of the model
//
// The workload is a team's afternoon with three agents and the workflow of code
// quality: pushes that each change some of the modules, and check all of them;
// questions by many about one document; single tasks, some of which a user
// else has asked already. It runs on the simulator, whose answers have the
// lengths that it makes up; what is measured is what is billed, by the usage it
// reports and the price table. The agents name the models they come with. Each
// row is a run of its own with a store of its own. A cheaper model answers
// differently; what that is worth is for `claude-force models compare` to show.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/modelselect"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/sim"
)

// target is the least part of the cost that all together must save.
const target = 0.30

type settings struct {
	pushes, modules, changed int // checked by the workflow
	moduleOf                 int // tokens
	questions, documentOf    int // tokens
	singles, repeated        int // single tasks, and how many in a hundred were asked before
}

func main() {
	var s settings
	flag.IntVar(&s.pushes, "pushes", 4, "pushes")
	flag.IntVar(&s.modules, "modules", 4, "modules that each push checks")
	flag.IntVar(&s.changed, "changed", 3, "modules that each push changes")
	flag.IntVar(&s.moduleOf, "module", 4000, "size of a module in tokens")
	flag.IntVar(&s.questions, "questions", 20, "questions about the document")
	flag.IntVar(&s.documentOf, "document", 20_000, "size of the document in tokens")
	flag.IntVar(&s.singles, "singles", 60, "single tasks")
	flag.IntVar(&s.repeated, "repeated", 20, "single tasks of a hundred that were asked before")
	gate := flag.Bool("gate", false, "exit with 1 if the target is missed")
	flag.Parse()
	ok, err := s.measure(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, "savings:", err)
		os.Exit(1)
	}
	if *gate && !ok {
		os.Exit(1)
	}
}

// way is a combination of the ways of paying less.
type way struct {
	name                          string
	cache, prompts, batch, choose bool
	totals                        pipeline.Totals
}

func (s settings) measure(ctx context.Context) (ok bool, err error) {
	ways := []*way{
		{name: "nothing"},
		{name: "response cache", cache: true},
		{name: "prompt cache", prompts: true},
		{name: "batches", batch: true},
		{name: "model choice", choose: true},
		{name: "all but model choice, live", cache: true, prompts: true},
		{name: "all, live", cache: true, prompts: true, choose: true},
		{name: "all, in batches", cache: true, prompts: true, batch: true, choose: true},
	}
	for _, w := range ways {
		if err := s.run(ctx, w); err != nil {
			return false, fmt.Errorf("%s: %w", w.name, err)
		}
	}
	fmt.Printf("%d pushes that check %d modules of %d tokens and change %d of them, %d questions about a document of %d tokens,\n%d single tasks of which %d %% were asked before: %d calls\n\n",
		s.pushes, s.modules, s.moduleOf, s.changed, s.questions, s.documentOf, s.singles, s.repeated, ways[0].totals.Calls)
	tw := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "\tlive calls\tinput\tcache reads\toutput\tcost\tsaved\t")
	base := ways[0].totals.CostUSD
	least := 1.0
	for _, w := range ways {
		t := w.totals
		saved := 1 - t.CostUSD/base
		if w.cache && w.prompts {
			least = min(least, saved)
		}
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\t$%.4f\t%.1f %%\t\n", w.name, t.Live, t.Usage.PromptTokens(), t.Usage.CacheReadTokens, t.Usage.OutputTokens, t.CostUSD, saved*100)
	}
	if err := tw.Flush(); err != nil {
		return false, fmt.Errorf("writing the table: %w", err)
	}
	fmt.Printf("\ntarget: together they save at least %.0f %%, also without the choice of the model\n", target*100)
	return least >= target, nil
}

// run runs the workload in one way.
func (s settings) run(ctx context.Context, w *way) (err error) {
	dir, err := os.MkdirTemp("", "savings")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cfg, err := claudeforce.LoadConfig(dir)
	if err != nil {
		return err
	}
	cfg.DataDir, cfg.Store = filepath.Join(dir, "data"), ""
	cfg.Cache.Enabled, cfg.Jobs = w.cache, 20
	orch, err := claudeforce.New(ctx, claudeforce.Options{
		Dir: dir, Config: cfg, Simulator: sim.New(sim.Options{NoPromptCache: !w.prompts}),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, orch.Close()) }()
	for push := range s.pushes {
		if err := s.push(ctx, orch, w, dir, push); err != nil {
			return err
		}
	}
	// The second half comes when the first has been answered: who asks again
	// does so later.
	tasks := s.tasks(w)
	for _, part := range [][]claudeforce.Task{tasks[:len(tasks)/2], tasks[len(tasks)/2:]} {
		for _, res := range orch.ExecuteMultiple(ctx, part) {
			if res.Err != nil {
				return res.Err
			}
		}
	}
	w.totals = orch.Totals()
	return nil
}

func (w *way) policy() llm.Policy {
	if w.cache {
		return llm.PolicyDefault
	}
	return llm.PolicyOff // nor shared with the same call in flight
}

func (w *way) model() string {
	if w.choose {
		return modelselect.Auto
	}
	return ""
}

const codeQuality = `name: Code Quality Check
params: {path: {description: the module}}
steps:
  - {id: linter, agent: linter, task: Check code style, files: ["${{ params.path }}"]}
  - {id: type-check, agent: type-checker, task: Check types, files: ["${{ params.path }}"]}
  - {id: review, agent: code-reviewer, task: Final review, files: ["${{ params.path }}"], dependencies: [linter, type-check]}
`

// push checks every module, after some of them were changed.
func (s settings) push(ctx context.Context, orch *claudeforce.Orchestrator, w *way, dir string, push int) error {
	wf, err := claudeforce.ParseWorkflow(dir, "code-quality.yaml", []byte(codeQuality))
	if err != nil {
		return err
	}
	for m := range s.modules {
		name := fmt.Sprintf("module%d.py", m)
		if push == 0 || m < s.changed {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text(fmt.Sprintf("module %d, version %d", m, push), s.moduleOf)), 0o600); err != nil {
				return err
			}
		}
		res, err := orch.RunWorkflow(ctx, wf, claudeforce.RunOptions{
			Params: map[string]string{"path": name}, Policy: w.policy(), Model: w.model(), Batch: w.batch,
		})
		if err != nil {
			return err
		}
		if failed := res.Failed(wf); len(failed) > 0 {
			return fmt.Errorf("step %s failed: %s", failed[0], *res.Steps[failed[0]].Error)
		}
	}
	return nil
}

// tasks returns the questions about the document, which half of the askers put
// later, and the single tasks.
func (s settings) tasks(w *way) []claudeforce.Task {
	document := text("the handbook", s.documentOf)
	agents := []string{"python-expert", "security-specialist", "code-reviewer"}
	var tasks []claudeforce.Task
	for i := range s.questions {
		tasks = append(tasks, claudeforce.Task{Agent: "python-expert", Prompt: fmt.Sprintf("What does the handbook say about topic %d?", i), SharedContext: []string{document}})
	}
	fresh := s.singles * (100 - s.repeated) / 100
	for i := range s.singles {
		n := i
		if i >= fresh {
			n = (i - fresh) * fresh / max(s.singles-fresh, 1) // a user's from before
		}
		tasks = append(tasks, claudeforce.Task{Agent: agents[n%len(agents)], Prompt: fmt.Sprintf("Task %d: explain how you would go about it.", n)})
	}
	for i := range tasks {
		tasks[i].Policy, tasks[i].Model, tasks[i].Batch = w.policy(), w.model(), w.batch
	}
	return tasks
}

// text returns about so many tokens, of which the first say what it is.
func text(name string, tokens int) string {
	const line = "value = compute(value, other) if ready else None\n"
	return "# " + name + "\n" + strings.Repeat(line, tokens*4*10/13/len(line))
}
