package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/analytics/sqlite"
	"github.com/claude-force/claude-force/config"
)

func (a *app) analyticsPrune() *cobra.Command {
	var rows, hours string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Drop old calls, but keep their sums by day",
		Example: `  claude-force analytics prune --rows 90d
  claude-force analytics prune --rows 90d --hours 180d`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keep := sqlite.DefaultRetention
			for _, f := range []struct {
				flag, text string
				to         *time.Duration
			}{{"--rows", rows, &keep.Rows}, {"--hours", hours, &keep.Hours}} {
				if f.text == "" {
					continue
				}
				d, err := config.ParseDuration(f.text)
				if err != nil || d < 24*time.Hour {
					return badInput("%s %q is not a duration of at least a day, such as 90d", f.flag, f.text)
				}
				*f.to = d
			}
			if keep.Hours < keep.Rows {
				return badInput("hours must be kept for at least as long as rows; give --hours too")
			}
			return a.withCalls(cmd.Context(), func(store *sqlite.Store) error {
				done, err := store.Prune(cmd.Context(), keep, time.Now())
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(a.stdout, done)
				}
				a.say("dropped %s calls and %s sums of hours", thousands(int(done.Rows)), thousands(int(done.Hours)))
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&rows, "rows", "", "how long calls are kept one by one (default 365d)")
	cmd.Flags().StringVar(&hours, "hours", "", "how long sums of hours are kept (default 730d)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was done as JSON")
	return cmd
}
