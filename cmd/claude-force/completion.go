package main

import (
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/modelselect"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
)

// maxCompletions bounds what is offered from a store.
const maxCompletions = 50

// addCompletions tells the shell completion what values flags and arguments
// take, for a command and all below it. What a command has set itself stays.
func (a *app) addCompletions(cmd *cobra.Command) {
	flags := a.flagCompletions()
	arguments := a.argumentCompletions()
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		path := strings.TrimPrefix(cmd.CommandPath(), "claude-force ")
		for name, complete := range flags {
			command, flag, ok := strings.Cut(name, " --")
			if !ok {
				command, flag = path, name
			}
			if f := cmd.LocalFlags().Lookup(flag); f == nil || command != path {
				continue
			}
			if _, done := cmd.GetFlagCompletionFunc(flag); !done {
				if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
					panic(err) // the flag was looked up above
				}
			}
		}
		if complete, ok := arguments[path]; ok {
			cmd.ValidArgsFunction = complete
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(cmd)
}

// flagCompletions returns the completions of flags, by the flag's name, or by
// "command --flag" where only one command takes such values.
func (a *app) flagCompletions() map[string]cobra.CompletionFunc {
	return map[string]cobra.CompletionFunc{
		"agent":                     completeAgents,
		"model":                     completeModels,
		"models":                    completeModels,
		"judge":                     completeModels,
		"fallback-models":           completeModels,
		"param":                     a.completeParams,
		"from":                      a.completeStepsOfFile,
		"only":                      a.completeStepsOfFile,
		"step":                      a.completeSteps,
		"again":                     a.completeSteps,
		"item":                      a.completeItems,
		"runs list --workflow":      a.completeWorkflows,
		"execute --task":            completeTaskAgents,
		"allow-env":                 completeVariables,
		"on-exceed":                 oneOf("stop", "ask", "downgrade", "partial"),
		"hedge":                     oneOf("off", "p90", "p95", "p99"),
		"simulate":                  oneOf("realistic", "instant", "1s"),
		"latency":                   oneOf("realistic", "instant", "1s"),
		"batch-latency":             oneOf("realistic", "instant", "10s"),
		"log-level":                 oneOf("debug", "info", "warn", "error"),
		"log-format":                oneOf("text", "json"),
		"by":                        oneOf("day", "week", "month", "agent", "model", "workflow", "source", "project", "key", "team"),
		"workflow graph --format":   oneOf("text", "mermaid", "svg"),
		"workflow import --from":    oneOf(formatNames()...),
		"analytics export --format": oneOf("csv", "json", "parquet"),
		"data-dir":                  completeFolders,
		"record":                    completeFolders,
		"replay":                    completeFolders,
	}
}

// argumentCompletions returns the completions of arguments, by command.
func (a *app) argumentCompletions() map[string]cobra.CompletionFunc {
	return map[string]cobra.CompletionFunc{
		"run":               firstArgument(completeWorkflowFiles),
		"plan":              firstArgument(completeWorkflowFiles),
		"workflow validate": completeWorkflowFiles,
		"workflow graph":    firstArgument(completeWorkflowFiles),
		"cache show":        firstArgument(a.completeCacheKeys),
		"runs approve":      a.completeApprovals,
		"mcp trust":         a.completeServers,
		"mcp untrust":       a.completeServers,
		"mcp test":          a.completeServers,
	}
}

// oneOf completes to fixed values.
func oneOf(values ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
}

// firstArgument completes the first argument and no other.
func firstArgument(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(cmd, args, typed)
	}
}

func completeFolders(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// completeWorkflowFiles completes to the names of workflows; to files once what is typed
// is the beginning of no name.
func completeWorkflowFiles(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	var names []string
	// Without the folders there is nothing to offer.
	if set, err := claudeforce.Workflows(""); err == nil && typed != "" {
		for _, f := range set.All() {
			if f.ShadowedBy == "" && strings.HasPrefix(f.Name, typed) {
				names = append(names, f.Name+"\t"+string(f.Origin)+" workflow")
			}
		}
	}
	if len(names) > 0 {
		return names, cobra.ShellCompDirectiveDefault
	}
	return []string{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt
}

func completeModels(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	table := llm.Prices()
	names := append([]string{modelselect.Auto}, table.AliasNames()...)
	for _, m := range table.Models {
		names = append(names, m.ID)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func completeAgents(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	set, _, err := claudeforce.Agents("")
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, a := range set.All() {
		names = append(names, a.Name+"\t"+firstLine(a.Description, 60))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeTaskAgents completes the agent of AGENT=TEXT.
func completeTaskAgents(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	names, directive := completeAgents(cmd, args, typed)
	return beforeEquals(names), directive | cobra.ShellCompDirectiveNoSpace
}

// completeVariables completes to the names of environment variables.
func completeVariables(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		names = append(names, name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeParams completes the name of NAME=VALUE to the parameters of the
// workflow that was named.
func (a *app) completeParams(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if wf := a.namedWorkflow(args); wf != nil {
		for _, p := range wf.Params {
			names = append(names, p.Name+"\t"+firstLine(p.Description, 60))
		}
	}
	return beforeEquals(names), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// beforeEquals adds = to names, before their descriptions.
func beforeEquals(names []string) []string {
	for i, name := range names {
		name, description, _ := strings.Cut(name, "\t")
		names[i] = strings.TrimSuffix(name+"=\t"+description, "\t")
	}
	return names
}

// completeStepsOfFile completes to the steps of the workflow that was named.
func (a *app) completeStepsOfFile(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if wf := a.namedWorkflow(args); wf != nil {
		for _, s := range wf.Steps {
			names = append(names, s.ID)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// namedWorkflow returns the workflow that the first argument names; nil if there
// is none or it has errors.
func (a *app) namedWorkflow(args []string) *workflow.Workflow {
	if len(args) == 0 || args[0] == "-" {
		return nil
	}
	wf, err := a.loadWorkflow(args[0], nil)
	if err != nil {
		return nil
	}
	return wf
}

// completeWorkflows completes to the workflows of the latest runs.
func (a *app) completeWorkflows(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	// Without a history there is nothing to offer.
	_ = a.withHistory(cmd.Context(), func(store journal.Store) error {
		for run, err := range store.Runs(cmd.Context(), journal.Filter{Limit: maxCompletions}) {
			if err != nil {
				return err
			}
			if run.Workflow != "" && !slices.Contains(names, run.Workflow) {
				names = append(names, run.Workflow)
			}
		}
		return nil
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeItems completes to the items of the step that --step names.
func (a *app) completeItems(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	step, err := cmd.Flags().GetString("step")
	if err != nil || step == "" || len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	// Without the run there is nothing to offer.
	_ = a.withRun(cmd.Context(), args[0], func(d *runs.Detail) error {
		if s := d.Result.Steps[step]; s != nil {
			for _, item := range s.Items {
				names = append(names, item.Key+"\t"+firstLine(item.Item, 60))
			}
		}
		return nil
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeApprovals completes a run, and then those of its steps that wait for
// an approval.
func (a *app) completeApprovals(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return a.completeRun(cmd, args, typed)
	}
	var names []string
	// Without the run there is nothing to offer.
	_ = a.withRun(cmd.Context(), args[0], func(d *runs.Detail) error {
		for _, u := range d.State.Order {
			if u.Type == journal.ApprovalAsked && u.Decision == nil {
				names = append(names, u.String())
			}
		}
		return nil
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeCacheKeys completes to the abbreviated keys of the newest answers.
func (a *app) completeCacheKeys(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	var keys []string
	err := a.withCache(cmd.Context(), func(store cache.Backend) error {
		for e, err := range store.List(cmd.Context(), cache.Filter{}) {
			if err != nil {
				return err
			}
			key := e.Key.String()
			if !strings.HasPrefix(key, typed) {
				continue
			}
			short := key[:max(12, len(typed))]
			keys = append(keys, short+"\t"+e.Agent+": "+firstLine(e.Prompt, 60))
			if len(keys) == maxCompletions {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return keys, cobra.ShellCompDirectiveNoFileComp
}
