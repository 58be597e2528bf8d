package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	units "github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/pipeline"
)

func (a *app) cache() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "Look into the response cache",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.cacheStats(), a.cacheList(), a.cacheShow(), a.cacheClear())
	return cmd
}

// withCache runs do with the store that is configured.
func (a *app) withCache(ctx context.Context, do func(cache.Backend) error) error {
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	store, err := pipeline.OpenCache(ctx, cfg)
	if err != nil {
		return storeError(err)
	}
	return storeError(closing(do(store), store))
}

func (a *app) cacheStats() *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Show what the cache holds and what it saved",
		Example: `  claude-force cache stats
  claude-force cache stats --json | jq .hit_rate`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withCache(cmd.Context(), func(store cache.Backend) error {
				s, err := store.Stats(cmd.Context())
				if err != nil {
					return err
				}
				if json {
					return printJSON(a.stdout, s)
				}
				return table(a.stdout, [][]string{
					{"entries", amount.Thousands(int(s.Entries))},
					{"size", units.BytesSize(float64(s.Bytes))},
					{"hits", amount.Thousands(int(s.Hits))},
					{"misses", amount.Thousands(int(s.Misses))},
					{"hit rate", fmt.Sprintf("%.1f %%", 100*s.HitRate)},
					{"tokens saved", amount.Thousands(int(s.TokensSaved))},
					{"money saved", dollars(s.USDSaved)},
				})
			})
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print a JSON object")
	return cmd
}

func (a *app) cacheList() *cobra.Command {
	var json bool
	var agent string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the answers in the cache, the newest first",
		Example: `  claude-force cache list --agent linter
  claude-force cache list --json | jq -r '.[].key'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withCache(cmd.Context(), func(store cache.Backend) error {
				list := []cache.Info{}
				for e, err := range store.List(cmd.Context(), cache.Filter{Agent: agent}) {
					if err != nil {
						return err
					}
					list = append(list, e.Info())
				}
				if json {
					return printJSON(a.stdout, list)
				}
				rows := [][]string{{"KEY", "AGENT", "MODEL", "AGE", "COST", "TASK"}}
				for _, e := range list {
					rows = append(rows, []string{e.Key[:12], e.Agent, e.Model, age(e.CreatedAt), dollars(e.CostUSD), firstLine(e.Prompt, 60)})
				}
				return table(a.stdout, rows)
			})
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print a JSON array")
	cmd.Flags().StringVar(&agent, "agent", "", "only the answers of this agent")
	return cmd
}

func (a *app) cacheShow() *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:     "show KEY",
		Short:   "Show one answer of the cache; the key may be abbreviated",
		Example: `  claude-force cache show 3f9a`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCache(cmd.Context(), func(store cache.Backend) error {
				e, err := store.Show(cmd.Context(), args[0])
				if err != nil {
					return inputError{err}
				}
				j := e.Detail()
				if json {
					return printJSON(a.stdout, j)
				}
				if err := table(a.stdout, [][]string{
					{"key", j.Key}, {"agent", j.Agent}, {"model", j.Model}, {"task", firstLine(j.Prompt, 100)},
					{"created", j.CreatedAt.Local().Format(time.DateTime)}, {"expires", j.ExpiresAt.Local().Format(time.DateTime)},
					{"cost", dollars(j.CostUSD)},
				}); err != nil {
					return err
				}
				_, err = fmt.Fprintf(a.stdout, "\n%s\n", j.Output)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print a JSON object")
	return cmd
}

func (a *app) cacheClear() *cobra.Command {
	var json bool
	var filter cache.Filter
	var older string
	cmd := &cobra.Command{
		Use:   "clear",
		Short: "Remove answers from the cache",
		Example: `  claude-force cache clear
  claude-force cache clear --agent linter --older-than 7d`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if older != "" {
				var err error
				if filter.OlderThan, err = config.ParseDuration(older); err != nil || filter.OlderThan == 0 {
					return badInput("--older-than %q is not a duration such as 72h or 7d", older)
				}
			}
			return a.withCache(cmd.Context(), func(store cache.Backend) error {
				n, bytes, err := store.Clear(cmd.Context(), filter)
				if err != nil {
					return err
				}
				if json {
					return printJSON(a.stdout, map[string]int64{"entries": int64(n), "bytes": bytes})
				}
				a.say("removed %s, %s", plural(n, "answer"), units.BytesSize(float64(bytes)))
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&filter.Agent, "agent", "", "only the answers of this agent")
	cmd.Flags().StringVar(&older, "older-than", "", "only answers older than this, such as 72h or 7d")
	cmd.Flags().BoolVar(&json, "json", false, "print what was removed as JSON")
	return cmd
}

// age returns the time since t in its largest unit, such as "3 days".
func age(t time.Time) string { return strings.ToLower(units.HumanDuration(time.Since(t))) }
