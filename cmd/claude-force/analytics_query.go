package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/analytics/sqlite"
)

func (a *app) analyticsQuery() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "query SQL",
		Short: "Ask the calls in SQL",
		Long: `Run one SELECT of SQLite over the views calls, hourly, daily and workflow_runs,
whose columns are in docs/analytics.md. Nothing can be changed, and nothing else
of the store be read.`,
		Example: `  claude-force analytics query "SELECT agent, sum(cost_usd) FROM calls GROUP BY agent"
  claude-force analytics query --json "SELECT * FROM workflow_runs ORDER BY seconds DESC LIMIT 5"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCalls(cmd.Context(), func(store *sqlite.Store) error {
				rows := [][]string{}
				objects := []map[string]any{}
				err := store.Query(cmd.Context(), args[0], func(columns []string, values []any) error {
					if values == nil {
						rows = append(rows, columns)
						return nil
					}
					if asJSON {
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
				if _, wrong := errors.AsType[*sqlite.QueryError](err); wrong {
					return inputError{fmt.Errorf("running the query: %w", err)}
				}
				switch {
				case err != nil:
					return err
				case asJSON:
					return printJSON(a.stdout, objects)
				}
				return table(a.stdout, rows)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array of objects")
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
