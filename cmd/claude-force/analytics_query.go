package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/internal/csvtext"
)

func (a *app) analyticsQuery() *cobra.Command {
	var asJSON, asCSV bool
	limits := analytics.QueryLimits{Time: analytics.DefaultQueryTime}
	cmd := &cobra.Command{
		Use:   "query SQL",
		Short: "Ask the calls in SQL",
		Long: `Run one SELECT of SQLite over the views calls, attempts, hourly, daily and
workflow_runs, whose columns are in docs/analytics.md. Nothing can be changed, and
nothing else of the store be read. The first interrupt ends it, and so do limits
on its time, its memory (256 MB) and its result (64 MB).`,
		Example: `  claude-force analytics query "SELECT agent, sum(cost_usd) FROM calls GROUP BY agent"
  claude-force analytics query --json "SELECT * FROM workflow_runs ORDER BY seconds DESC LIMIT 5"
  claude-force analytics query --csv "SELECT * FROM daily WHERE kind = 'agent'" > agents.csv`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limits.Time <= 0 {
				return badInput("--timeout must be above 0")
			}
			if asJSON && asCSV {
				return badInput("give one of --json and --csv")
			}
			return a.withCalls(cmd.Context(), func(ctx context.Context, store analytics.Store) error {
				rows := [][]string{}
				objects := []map[string]any{}
				out := csvtext.New(a.stdout)
				err := store.Query(ctx, args[0], limits, func(columns []string, values []any) error {
					switch {
					case asCSV && values == nil:
						head := make([]any, len(columns))
						for i, name := range columns {
							head[i] = name
						}
						out.Row(head...)
						return out.Err()
					case asCSV:
						out.Row(values...)
						return out.Err()
					case values == nil:
						rows = append(rows, columns)
						return nil
					case asJSON:
						object := make(map[string]any, len(columns))
						for i, name := range columns {
							object[name] = values[i]
						}
						objects = append(objects, object)
						return nil
					}
					cells := make([]string, len(values))
					for i, v := range values {
						cells[i] = cell(v)
					}
					rows = append(rows, cells)
					return nil
				})
				if _, wrong := errors.AsType[*analytics.QueryError](err); wrong {
					return inputError{fmt.Errorf("running the query: %w", err)}
				}
				switch {
				case err != nil:
					return err
				case asCSV:
					return out.Flush()
				case asJSON:
					return printJSON(a.stdout, objects)
				}
				return table(a.stdout, rows)
			})
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&asJSON, "json", false, "print a JSON array of objects")
	flags.BoolVar(&asCSV, "csv", false, "print CSV")
	flags.DurationVar(&limits.Time, "timeout", limits.Time, "how long it may take")
	return cmd
}

func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case float64:
		return strconv.FormatFloat(v, 'g', 10, 64)
	case []byte:
		return fmt.Sprintf("%x", v)
	}
	return fmt.Sprint(v)
}
