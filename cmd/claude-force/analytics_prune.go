package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/pipeline"
)

func (a *app) analyticsPrune() *cobra.Command {
	var rows, hours string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Drop old calls, but keep their sums by day",
		Long: `Drop calls, and sums of hours, that are older than is to be kept. The same is
done of itself once a day, by the settings analytics.keep_rows (365d) and
analytics.keep_hours (730d). "forever" keeps all.`,
		Example: `  claude-force analytics prune --rows 90d
  claude-force analytics prune --rows 90d --hours 180d`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keep, err := a.retention(rows, hours)
			if err != nil {
				return err
			}
			return a.withCalls(cmd.Context(), func(ctx context.Context, store analytics.Store) error {
				done, err := store.Prune(ctx, keep, time.Now())
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(a.stdout, done)
				}
				a.say("dropped %s and %s of hours", plural(int(done.Rows), "call"), plural(int(done.Hours), "sum"))
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&rows, "rows", "", "how long calls are kept one by one (default: the setting analytics.keep_rows)")
	cmd.Flags().StringVar(&hours, "hours", "", "how long sums of hours are kept (default: the setting analytics.keep_hours)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was done as JSON")
	return cmd
}

// retention returns what is kept by the flags, and by the settings where there are
// none.
func (a *app) retention(rows, hours string) (keep analytics.Retention, err error) {
	cfg, err := a.settings()
	if err != nil {
		return keep, err
	}
	keep = pipeline.Retention(cfg)
	for _, f := range []struct {
		flag, text string
		to         *time.Duration
	}{{"--rows", rows, &keep.Rows}, {"--hours", hours, &keep.Hours}} {
		if f.text == "" {
			continue
		}
		if *f.to, err = config.ParseKeep(f.text); err != nil {
			return keep, badInput("%s %q %w", f.flag, f.text, err)
		}
	}
	if err := keep.Check(); err != nil {
		return keep, badInput("%w; give --hours too", err)
	}
	return keep, nil
}
