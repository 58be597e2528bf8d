package main

import (
	"fmt"
	"sync"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/llm/anthropic/cloud"
	"github.com/claude-force/claude-force/pipeline"
)

func (a *app) doctor() *cobra.Command {
	var asJSON, offline bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the key, the stores, the clock, the configuration, the sandbox and webhooks",
		Long: `Check what claude-force needs, and print how to fix what is wrong. The key is
tested by counting the tokens of a word, which is free of charge. Each store is opened,
read and written to; hosts of webhooks are connected to, and sent nothing. Checks run at
the same time, for at most 10 seconds each.

Exit code 2 if something is wrong that keeps agents from working.`,
		Example: `  claude-force doctor
  claude-force doctor --offline --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts := claudeforce.Options{}
			if cfg, err := a.settings(); err == nil {
				opts.Config = cfg
				opts.Cloud = cloud.Options(pipeline.Backend(cfg))
			}
			var hooks []claudeforce.Check
			var meanwhile sync.WaitGroup
			if opts.Config != nil {
				meanwhile.Go(func() { hooks = append(hooks, webhooksCheck(cmd.Context(), opts.Config, offline)) })
			}
			checks := append(claudeforce.Diagnose(cmd.Context(), opts, offline), sandboxCheck())
			meanwhile.Wait()
			checks = append(checks, hooks...)
			bad := false
			for i, c := range checks {
				checks[i].Hint = checkHint(c)
				bad = bad || c.Status == claudeforce.CheckFailed
			}
			if asJSON {
				if err := printJSON(a.stdout, checks); err != nil {
					return err
				}
			} else {
				marks := map[claudeforce.CheckStatus]string{claudeforce.CheckPassed: "ok", claudeforce.CheckWarned: "warning", claudeforce.CheckFailed: "PROBLEM", claudeforce.CheckSkipped: "skipped"}
				for _, c := range checks {
					fmt.Fprintf(a.stdout, "%-8s %-13s %s\n", marks[c.Status], c.Name, c.Detail)
					if c.Hint != "" {
						fmt.Fprintf(a.stdout, "%-8s %-13s -> %s\n", "", "", c.Hint)
					}
				}
			}
			if bad {
				return inputError{errReported}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	cmd.Flags().BoolVar(&offline, "offline", false, "send nothing: do not test the key or compare the clock")
	return cmd
}
