package journaltest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
)

// The details of the events that [BenchmarkAppend] appends.
var (
	StartedDetail  = journal.Detail(journal.Started{Agent: "linter", Model: "claude-haiku-5-5", Task: "check the style"})
	FinishedDetail = journal.Detail(journal.Finished{Outcome: llm.Outcome{Source: llm.SourceLive, Usage: llm.Usage{InputTokens: 900, OutputTokens: 500}, CostUSD: new(0.01)}})
)

// BenchmarkAppend makes steps durable in as many goroutines, each of which waits for
// its own: a start and an end with 2 KB of output, at least so many steps in each round.
// Beside it, in the same run, plain writes the same rows with nothing around them, with
// as many steps in each transaction as there are goroutines.
func BenchmarkAppend(b *testing.B, s journal.Store, appenders, steps int, plain func(steps int, text func() string)) {
	log, err := s.Create(b.Context(), journal.Run{ID: "run"})
	if err != nil {
		b.Fatal(err)
	}
	each := max(16, steps/appenders)
	text := func() string { // that no other step has
		return fmt.Sprintf("%016x", rand.Uint64()) + strings.Repeat("x", 2032)
	}
	// The first transactions prepare statements.
	if err := log.Append(journal.Event{Type: journal.StepFinished, Output: text()})(); err != nil {
		b.Fatal(err)
	}
	plain(1, text)
	var ours, theirs time.Duration
	for b.Loop() {
		start := time.Now()
		var all sync.WaitGroup
		for range appenders {
			all.Go(func() {
				for range each {
					if err := log.Append(
						journal.Event{Type: journal.StepStarted, Step: "step", Attempt: 1, Detail: StartedDetail},
						journal.Event{Type: journal.StepFinished, Step: "step", Attempt: 1, Key: llm.Key{1}, Output: text(), Detail: FinishedDetail},
					)(); err != nil {
						b.Error(err)
					}
				}
			})
		}
		all.Wait()
		ours += time.Since(start)
		start = time.Now()
		for range each {
			plain(appenders, text)
		}
		theirs += time.Since(start)
	}
	events := float64(2 * appenders * each * b.N)
	b.ReportMetric(events/ours.Seconds(), "events/s")
	b.ReportMetric(events/theirs.Seconds(), "grouped-events/s")
	b.ReportMetric(ours.Seconds()/theirs.Seconds(), "x-grouped-commit")
	if err := log.Release(); err != nil {
		b.Fatal(err)
	}
}
