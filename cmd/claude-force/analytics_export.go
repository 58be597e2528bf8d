package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/internal/csvtext"
)

// rowOf returns a call as it is exported, and as `slowest --json` prints it.
func rowOf(c *analytics.Call, known projects) analytics.CallRow {
	return c.Row(known[c.Project].Name, known[c.Project].Path)
}

// toolRow is a call of a tool as it is exported.
type toolRow struct {
	Time        time.Time `json:"time" parquet:"time"`
	Project     string    `json:"project" parquet:"project"`
	Workflow    string    `json:"workflow" parquet:"workflow"`
	Run         string    `json:"run" parquet:"run"`
	Step        string    `json:"step" parquet:"step"`
	Item        string    `json:"item" parquet:"item"`
	Agent       string    `json:"agent" parquet:"agent"`
	Tool        string    `json:"tool" parquet:"tool"`
	Outcome     string    `json:"outcome" parquet:"outcome"`
	Seconds     float64   `json:"seconds" parquet:"seconds"`
	ProjectPath string    `json:"project_path" parquet:"project_path"`
}

func toolRowOf(c *analytics.ToolCall, known projects) toolRow {
	return toolRow{
		Time: c.Time.UTC(), Project: known[c.Project].Name, ProjectPath: known[c.Project].Path, Workflow: c.Workflow, Run: c.Run, Step: c.Step, Item: c.Item,
		Agent: c.Agent, Tool: c.Tool, Outcome: c.Outcome.String(), Seconds: c.Duration.Seconds(),
	}
}

// taskRow is a task of an agent with tools as it is exported.
type taskRow struct {
	Time        time.Time `json:"time" parquet:"time"`
	Project     string    `json:"project" parquet:"project"`
	Workflow    string    `json:"workflow" parquet:"workflow"`
	Run         string    `json:"run" parquet:"run"`
	Step        string    `json:"step" parquet:"step"`
	Item        string    `json:"item" parquet:"item"`
	Agent       string    `json:"agent" parquet:"agent"`
	Model       string    `json:"model" parquet:"model"`
	Turns       int       `json:"turns" parquet:"turns"`
	ToolCalls   int       `json:"tool_calls" parquet:"tool_calls"`
	Outcome     string    `json:"outcome" parquet:"outcome"`
	Seconds     float64   `json:"seconds" parquet:"seconds"`
	ProjectPath string    `json:"project_path" parquet:"project_path"`
}

func taskRowOf(t *analytics.ToolTask, known projects) taskRow {
	r := taskRow{
		Time: t.Time.UTC(), Project: known[t.Project].Name, ProjectPath: known[t.Project].Path, Workflow: t.Workflow, Run: t.Run, Step: t.Step, Item: t.Item,
		Agent: t.Agent, Model: t.Model, Turns: t.Turns, ToolCalls: t.ToolCalls, Outcome: "ok", Seconds: t.Duration.Seconds(),
	}
	if t.Failed {
		r.Outcome = "failed"
	}
	return r
}

func (a *app) analyticsExport() *cobra.Command {
	var period periodFlags
	var format, output, table string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write calls, also of tools, as CSV, JSON lines or Parquet",
		Example: `  claude-force analytics export --format csv > calls.csv
  claude-force analytics export --format json --days 30 | jq .cost_usd
  claude-force analytics export --format parquet --output calls.parquet
  claude-force analytics export --table tool_calls > tools.csv`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			now, err := a.now()
			if err != nil {
				return err
			}
			f, err := period.filter(now)
			if err != nil {
				return err
			}
			if !slices.Contains([]string{"csv", "json", "parquet"}, format) {
				return badInput("--format %q is none of csv, json and parquet", format)
			}
			export := map[string]func(context.Context, analytics.Store, projects, io.Writer) error{
				"calls": func(ctx context.Context, store analytics.Store, known projects, w io.Writer) error {
					return writeRows(w, format, exportRows(store.Calls(ctx, f), known, rowOf))
				},
				"tool_calls": func(ctx context.Context, store analytics.Store, known projects, w io.Writer) error {
					return writeRows(w, format, exportRows(store.ToolCalls(ctx, f), known, toolRowOf))
				},
				"tool_tasks": func(ctx context.Context, store analytics.Store, known projects, w io.Writer) error {
					return writeRows(w, format, exportRows(store.ToolTasks(ctx, f), known, taskRowOf))
				},
			}[table]
			if export == nil {
				return badInput("--table %q is none of calls, tool_calls and tool_tasks", table)
			}
			if format == "parquet" && output == "" && a.answersOnTerminal {
				return badInput("Parquet is not for a terminal; give --output FILE")
			}
			return a.withCalls(cmd.Context(), func(ctx context.Context, store analytics.Store) error {
				var err error
				if f.Project, err = a.project(ctx, store, period.project); err != nil {
					return err
				}
				known, err := knownProjects(ctx, store)
				if err != nil {
					return err
				}
				_, notes, err := sinceRows(ctx, store, f)
				if err != nil {
					return err
				}
				for _, n := range notes {
					a.say("%s", n)
				}
				if output == "" {
					return export(ctx, store, known, a.stdout)
				}
				out, err := os.OpenFile(output, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
				if err != nil {
					return inputError{fmt.Errorf("writing calls: %w", err)}
				}
				return closing(export(ctx, store, known, out), out)
			})
		},
	}
	period.register(cmd, 0)
	cmd.Flags().StringVar(&format, "format", "csv", "csv, json (one object a line) or parquet")
	cmd.Flags().StringVar(&table, "table", "calls", "calls (of models), tool_calls or tool_tasks (tasks of agents with tools)")
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write; the standard output if not given")
	return cmd
}

// exportRows returns what a store has in the form of an export. It stops after an
// error.
func exportRows[K, R any](kept iter.Seq2[K, error], known projects, rowOf func(*K, projects) R) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		for k, err := range kept {
			if !yield(rowOf(&k, known), err) || err != nil {
				return
			}
		}
	}
}

// writeRows writes rows in a format of an export.
func writeRows[R any](w io.Writer, format string, rows iter.Seq2[R, error]) error {
	switch format {
	case "parquet":
		return writeParquet(w, rows)
	case "json":
		return writeLines(w, rows)
	}
	return writeCSV(w, rows)
}

func writeLines[R any](w io.Writer, rows iter.Seq2[R, error]) error {
	enc := json.NewEncoder(w)
	for r, err := range rows {
		if err != nil {
			return err
		}
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("writing calls: %w", err)
		}
	}
	return nil
}

func writeCSV[R any](w io.Writer, rows iter.Seq2[R, error]) error {
	out := csvtext.New(w)
	kind := reflect.TypeFor[R]()
	out.Row(csvtext.Head(kind)...)
	for r, err := range rows {
		if err != nil {
			return err
		}
		out.Row(csvtext.Values(reflect.ValueOf(r), kind)...)
		if out.Err() != nil {
			break
		}
	}
	return out.Flush()
}
