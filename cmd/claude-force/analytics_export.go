package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"reflect"
	"time"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsdb"
)

// callRow is a call as it is exported, and as `slowest --json` prints it.
type callRow struct {
	Time         time.Time `json:"time" parquet:"time"`
	Project      string    `json:"project" parquet:"project"`
	Workflow     string    `json:"workflow" parquet:"workflow"`
	Run          string    `json:"run" parquet:"run"`
	Step         string    `json:"step" parquet:"step"`
	Item         string    `json:"item" parquet:"item"`
	Agent        string    `json:"agent" parquet:"agent"`
	Asked        string    `json:"model_asked" parquet:"model_asked"`
	Model        string    `json:"model" parquet:"model"`
	Source       string    `json:"source" parquet:"source"`
	InputTokens  int       `json:"input_tokens" parquet:"input_tokens"`
	OutputTokens int       `json:"output_tokens" parquet:"output_tokens"`
	CacheRead    int       `json:"cache_read_tokens" parquet:"cache_read_tokens"`
	CacheWrite   int       `json:"cache_write_tokens" parquet:"cache_write_tokens"`
	CostUSD      *float64  `json:"cost_usd" parquet:"cost_usd"`
	SavedUSD     float64   `json:"saved_usd" parquet:"saved_usd"`
	Seconds      float64   `json:"seconds" parquet:"seconds"`
	FirstToken   float64   `json:"first_token_seconds" parquet:"first_token_seconds"`
	Attempts     int       `json:"attempts" parquet:"attempts"`
	Outcome      string    `json:"outcome" parquet:"outcome"`
	StopReason   string    `json:"stop_reason" parquet:"stop_reason"`
	Service      *float64  `json:"service_seconds" parquet:"service_seconds"`
	Waited       *float64  `json:"waited_seconds" parquet:"waited_seconds"`
	ProjectPath  string    `json:"project_path" parquet:"project_path"` // empty if only the name is known
}

func rowOf(c *analytics.Call, known projects) callRow {
	r := callRow{
		Time: c.Time.UTC(), Project: known[c.Project].Name, ProjectPath: known[c.Project].Path, Workflow: c.Workflow, Run: c.Run, Step: c.Step, Item: c.Item, Agent: c.Agent, Asked: c.Asked, Model: c.Model, Source: string(c.Source),
		InputTokens: c.Usage.InputTokens, OutputTokens: c.Usage.OutputTokens, CacheRead: c.Usage.CacheReadTokens, CacheWrite: c.Usage.CacheWrite5m + c.Usage.CacheWrite1h,
		SavedUSD: c.Saved.Total().USD(), Seconds: c.Duration.Seconds(), FirstToken: c.FirstToken.Seconds(), Attempts: c.Attempts, Outcome: "ok", StopReason: c.StopReason,
	}
	if c.Code != 0 {
		r.Outcome = c.Code.String()
	}
	if c.Service > 0 {
		r.Service, r.Waited = new(c.Service.Seconds()), new(c.Waited.Seconds())
	}
	if !c.Unpriced {
		r.CostUSD = new(c.Cost.USD())
	}
	return r
}

func (a *app) analyticsExport() *cobra.Command {
	var period periodFlags
	var format, output string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write calls as CSV, JSON lines or Parquet",
		Example: `  claude-force analytics export --format csv > calls.csv
  claude-force analytics export --format json --days 30 | jq .cost_usd
  claude-force analytics export --format parquet --output calls.parquet`,
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
			write := map[string]func(io.Writer, iter.Seq2[callRow, error]) error{"csv": writeCSV, "json": writeLines, "parquet": writeParquet}[format]
			if write == nil {
				return badInput("--format %q is none of csv, json and parquet", format)
			}
			if format == "parquet" && output == "" && a.answersOnTerminal {
				return badInput("Parquet is not for a terminal; give --output FILE")
			}
			return a.withCalls(cmd.Context(), func(ctx context.Context, store *callsdb.Store) error {
				var err error
				if f.Project, err = a.project(ctx, store, period.project); err != nil {
					return err
				}
				known, err := knownProjects(ctx, store)
				if err != nil {
					return err
				}
				rows := callRows(store.Calls(ctx, f), known)
				_, notes, err := sinceRows(ctx, store, f)
				if err != nil {
					return err
				}
				for _, n := range notes {
					a.say("%s", n)
				}
				if output == "" {
					return write(a.stdout, rows)
				}
				out, err := os.OpenFile(output, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
				if err != nil {
					return inputError{fmt.Errorf("writing calls: %w", err)}
				}
				return closing(write(out, rows), out)
			})
		},
	}
	period.register(cmd, 0)
	cmd.Flags().StringVar(&format, "format", "csv", "csv, json (one object a line) or parquet")
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write; the standard output if not given")
	return cmd
}

// callRows returns calls in the form of an export. It stops after an error.
func callRows(calls iter.Seq2[analytics.Call, error], known projects) iter.Seq2[callRow, error] {
	return func(yield func(callRow, error) bool) {
		for c, err := range calls {
			if !yield(rowOf(&c, known), err) || err != nil {
				return
			}
		}
	}
}

func writeLines(w io.Writer, rows iter.Seq2[callRow, error]) error {
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

func writeCSV(w io.Writer, rows iter.Seq2[callRow, error]) error {
	out := newCSV(w)
	kind := reflect.TypeFor[callRow]()
	out.row(csvHead(kind)...)
	for r, err := range rows {
		if err != nil {
			return err
		}
		out.row(csvValues(reflect.ValueOf(r), kind)...)
		if out.err != nil {
			break
		}
	}
	return out.flush()
}
