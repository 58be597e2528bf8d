package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/memory"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// BenchmarkApart measures the steps of a foreach, which are advanced in ranges of 500 of its
// items, and those of a graph of chains, that are advanced and attempted apart. Beside it, in
// the same run, one process runs all of them.
func BenchmarkApart(b *testing.B) {
	for _, items := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprint("items=", items), func(b *testing.B) {
			list := make([]string, items)
			for i := range list {
				list[i] = fmt.Sprintf("item %d", i)
			}
			benchmarkApart(b, "[\""+strings.Join(list, "\",\"")+"\"]", items+1, `
steps:
- {id: list, agent: x, task: list}
- {id: each, agent: x, foreach: "${{ steps.list.json }}", task: "work on ${{ item }}"}
`)
		})
	}
	for _, chains := range []int{5, 20, 80} {
		b.Run(fmt.Sprint("chains=", chains), func(b *testing.B) {
			const length = 15
			var source strings.Builder
			source.WriteString("steps:\n")
			for i := range chains {
				before := "list"
				for j := range length {
					id := fmt.Sprintf("chain%dstep%d", i, j)
					fmt.Fprintf(&source, "- {id: %s, agent: x, task: \"after ${{ steps.%s.output }}\"}\n", id, before)
					before = id
				}
			}
			source.WriteString("- {id: list, agent: x, task: list}\n")
			benchmarkApart(b, "done", chains*length+1, source.String())
		})
	}
}

func benchmarkApart(b *testing.B, output string, units int, source string) {
	wf := parseFiles(b, source, nil)
	options := func(log journal.Log, past *journal.State) engine.Options {
		return engine.Options{RunID: bookID, Log: log, Past: past, Wide: 200, Identify: identityOf(nil), Execute: func(_ context.Context, a engine.Attempt) (llm.Outcome, error) {
			if a.Step.ID == "list" {
				return llm.Outcome{Output: output, CostUSD: new(0.0)}, nil
			}
			return llm.Outcome{Output: "done", CostUSD: new(0.0)}, nil
		}}
	}
	var whole, apart float64
	for b.Loop() {
		start := b.Elapsed()
		run(b.Context(), wf, options(newBook(b).log, nil))
		whole += (b.Elapsed() - start).Seconds()
		start = b.Elapsed()
		runApart(b, wf, options)
		apart += (b.Elapsed() - start).Seconds()
	}
	steps := float64(b.N * units)
	b.ReportMetric(whole/steps*1e6, "us/step-in-one")
	b.ReportMetric(apart/steps*1e6, "us/step-apart")
	b.ReportMetric(0, "ns/op")
}

// runApart advances and attempts each step of a run by itself, by one process.
func runApart(b *testing.B, wf *workflow.Workflow, options func(journal.Log, *journal.State) engine.Options) {
	b.Helper()
	ctx, store := b.Context(), memory.New()
	log, err := store.Create(ctx, journal.Run{ID: bookID, Engine: relayEngine})
	if err != nil {
		b.Fatal(err)
	}
	replica, memo := journal.NewReplica(store, bookID), &engine.Memo{}
	part := func(unit journal.Unit) engine.Options {
		joined, last, err := store.Join(ctx, bookID, relayEngine, unit)
		if err == nil {
			err = log.Release()
		}
		log = joined
		var past *journal.State
		if err == nil {
			past, err = replica.StateAt(ctx, last)
		}
		if err != nil {
			b.Fatal(err)
		}
		opts := options(log, past)
		opts.Memo = memo
		return opts
	}
	attempt := func(f *engine.Frontier) {
		for _, ready := range f.Ready {
			if _, err := engine.AttemptUnit(ctx, wf, part(ready.Unit), ready.Unit); err != nil {
				b.Fatal(err)
			}
		}
	}
	for {
		f, err := engine.Advance(ctx, wf, part(journal.Unit{}), nil)
		if err != nil {
			b.Fatal(err)
		}
		if f.Result != nil {
			return
		}
		attempt(f)
		for _, wide := range f.Wide {
			for from := 0; from < wide.Items; from += 500 {
				items := engine.Items{Of: wide.Unit, From: from, To: from + 500, Most: 50}
				for {
					f, err := engine.AdvanceItems(ctx, wf, part(items.Part()), items, nil)
					if err != nil {
						b.Fatal(err)
					}
					if f.Done {
						break
					}
					attempt(f)
				}
			}
		}
	}
}
