package sim_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/sim"
)

func TestPromptCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sim.New(sim.Options{Latency: sim.Fixed(10 * time.Second)})
		long := strings.Repeat("word ", 2000)
		body := func(task string) string {
			return `{"model":"claude-haiku-5-5","max_tokens":100,"system":[{"type":"text","text":"` + long + `","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"` + task + `"}]}`
		}
		first := answerTo(t, server, body("one")).Usage
		second := answerTo(t, server, body("two")).Usage
		if first.Write < 2000 || first.Read != 0 || second.Read != first.Write || second.Write != 0 || second.Input != first.Input {
			t.Errorf("first %+v, second %+v", first, second)
		}
		<-time.After(5 * time.Minute) // an entry expires five minutes after the start of the last read
		if third := answerTo(t, server, body("three")).Usage; third.Read != 0 || third.Write != first.Write {
			t.Errorf("after five minutes: %+v", third)
		}

		// Two concurrent calls both write: an entry is readable once the first
		// answer has started.
		server.Reset()
		var writes [2]int
		var calls sync.WaitGroup
		for i := range writes {
			calls.Go(func() { writes[i] = answerTo(t, server, body(strconv.Itoa(i))).Usage.Write })
		}
		calls.Wait()
		if diff := cmp.Diff([2]int{first.Write, first.Write}, writes); diff != "" {
			t.Error(diff)
		}

		short := answerTo(t, server, `{"model":"claude-haiku-5-5","max_tokens":100,"system":[{"type":"text","text":"short","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"x"}]}`).Usage
		if short.Write != 0 || short.Read != 0 {
			t.Errorf("a prefix below the minimum was cached: %+v", short)
		}
	})
}

func TestBreakpointsDoNotChangePrefixes(t *testing.T) {
	server := sim.New(sim.Options{})
	long := strings.Repeat("word ", 2000)
	const mark = `,"cache_control":{"type":"ephemeral"}`
	body := func(onSystem, onDocument string) string {
		return `{"model":"claude-haiku-5-5","max_tokens":100,"system":[{"type":"text"` + onSystem + `,"text":"` + long + `"}],` +
			`"messages":[{"role":"user","content":[{"type":"text","text":"the document speaks of \"cache_control\": {}"` + onDocument + `},{"type":"text","text":"Go."}]}]}`
	}
	wrote := answerTo(t, server, body(mark, mark)).Usage
	if read := answerTo(t, server, body("", mark)).Usage; read.Read != wrote.Write || read.Write != 0 || wrote.Write == 0 {
		t.Errorf("with one breakpoint fewer: %+v, written before: %+v", read, wrote)
	}
}
