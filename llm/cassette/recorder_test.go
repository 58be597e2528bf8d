package cassette_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/llmtest"
)

func TestSameAnswerIsRecordedOnce(t *testing.T) {
	r, dir := create(t)
	layer := r.Layer(llmtest.Echo{})
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			req := llmtest.Request("the same")
			req.Agent = fmt.Sprint("agent", i%3)
			if _, err := llm.Collect(layer.Stream(t.Context(), req)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	closeRecorder(t, r)
	if n := len(callFiles(t, dir)); n != 1 {
		t.Errorf("%d files for one call, want 1", n)
	}
	m := open(t, dir).Model()
	for range 50 { // more often than recorded
		if got := llmtest.MustCollect(t, m, llmtest.Request("the same")).Text(); got != "echo: the same" {
			t.Errorf("replayed %q", got)
		}
	}
}

func TestEverySourceIsRecorded(t *testing.T) {
	r, dir := create(t)
	sources := []llm.Source{llm.SourceLive, llm.SourceCache, llm.SourceCoalesced, llm.SourceJournal}
	for _, source := range sources {
		resp := llmtest.Response("from " + string(source))
		resp.Source = source
		llmtest.MustCollect(t, r.Layer(llmtest.NewScript([]llmtest.Step{llmtest.Done(resp)})), llmtest.Request(string(source)))
	}
	closeRecorder(t, r)
	m := open(t, dir).Model()
	for _, source := range sources {
		if got := llmtest.MustCollect(t, m, llmtest.Request(string(source))).Text(); got != "from "+string(source) {
			t.Errorf("replayed %q", got)
		}
	}
}

func TestCanceledCallIsNotRecorded(t *testing.T) {
	r, dir := create(t)
	layer := r.Layer(llmtest.NewScript([]llmtest.Step{llmtest.Start(), llmtest.Text("half"), llmtest.Hang()}))
	ctx, cancel := context.WithCancel(t.Context())
	for ev := range layer.Stream(ctx, llmtest.Request("x")) {
		if ev.Type == llm.EventText {
			cancel()
		}
	}
	for range layer.Stream(t.Context(), llmtest.Request("y")) {
		break
	}
	cancel()
	closeRecorder(t, r)
	if files := callFiles(t, dir); len(files) != 0 {
		t.Errorf("recorded %q", files)
	}
	_, err := llm.Collect(open(t, dir).Model().Stream(t.Context(), llmtest.Request("x")))
	if err == nil || !strings.Contains(err.Error(), "holds no calls") {
		t.Errorf("error %v of an empty cassette", err)
	}
}

func TestCloseReportsMissingCalls(t *testing.T) {
	r, dir := create(t)
	if err := os.RemoveAll(filepath.Join(dir, "calls")); err != nil {
		t.Fatal(err)
	}
	if got := play(t.Context(), r.Layer(llmtest.Echo{}), llm.PolicyDefault); got != "echo: x" {
		t.Errorf("the call came to %q, want its answer", got)
	}
	if err := r.Close(); err == nil || !strings.Contains(err.Error(), "is missing a call") {
		t.Errorf("Close = %v, want what is missing", err)
	}
	if open(t, dir).Complete() {
		t.Error("the cassette says that it is complete")
	}
}
