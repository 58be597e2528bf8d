//go:build unix

package relay_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	common "go.temporal.io/api/common/v1"
	enums "go.temporal.io/api/enums/v1"
	history "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	taskqueue "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/claude-force/claude-force/temporal/relay"
	"github.com/claude-force/claude-force/temporal/stand"
)

var update = flag.Bool("update", false, "record the histories again, with a real server and real workers")

// secret is in all prompts, and the service's answers begin with answer.
const (
	secret = "secretprompt"
	answer = "did "
)

// recording is a run whose histories are in testdata.
type recording struct {
	file     string                                                // of the workflow
	flags    []string                                              // of the worker
	held     string                                                // a unit that is not answered before during has ended
	during   func(*testing.T, *stand.Stand, client.Client, string) // called with the run under way
	status   string                                                // of the run at its end; "completed" if empty
	contains []enums.EventType                                     // what it is recorded for
}

var recordings = map[string]recording{
	"graph": {
		file: `name: graph
steps:
  - {id: first, agent: worker, task: "[unit graph first] secretprompt"}
  - {id: left, agent: worker, task: "[unit graph left] secretprompt ${{ steps.first.output }}"}
  - {id: right, agent: worker, task: "[unit graph right] secretprompt ${{ steps.first.output }}"}
  - {id: list, value: [x, y, z]}
  - {id: each, foreach: "${{ steps.list.json }}", agent: worker, task: "[unit graph each ${{ item }}] secretprompt ${{ steps.left.output }}"}
  - {id: last, agent: worker, task: "[unit graph last] secretprompt ${{ steps.each.output }} ${{ steps.right.output }}"}
`,
		contains: []enums.EventType{enums.EVENT_TYPE_MARKER_RECORDED, enums.EVENT_TYPE_ACTIVITY_TASK_COMPLETED},
	},
	"foreach": {
		file: fmt.Sprintf(`name: foreach
steps:
  - {id: list, value: [%s]}
  - {id: each, foreach: "${{ steps.list.json }}", max_parallel: 4, agent: worker, task: "[unit foreach each ${{ item }}] secretprompt"}
  - {id: last, agent: worker, task: "[unit foreach last] secretprompt"}
`, numbers(205)),
		flags:    []string{"-part", "20"},
		contains: []enums.EventType{enums.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED},
	},
	"approval": {
		file: `name: approval
steps:
  - {id: where, approval: {message: "secretprompt?", choices: [left, right], timeout: 1h}}
  - {id: way, agent: worker, task: "[unit approval way] secretprompt ${{ steps.where.output }}"}
`,
		during: func(t *testing.T, s *stand.Stand, c client.Client, run string) {
			waitFor(t, c, run, enums.EVENT_TYPE_TIMER_STARTED)
			if _, err := s.Command(t.Context(), "runs", "approve", run, "where", "--choice", "left"); err != nil {
				t.Fatal(err)
			}
		},
		contains: []enums.EventType{enums.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED, enums.EVENT_TYPE_TIMER_STARTED, enums.EVENT_TYPE_TIMER_CANCELED},
	},
	"cancel": {
		file: `name: cancel
steps:
  - {id: long, agent: worker, task: "[unit cancel long] secretprompt"}
  - {id: after, agent: worker, task: "[unit cancel after] secretprompt"}
`,
		held: "long",
		during: func(t *testing.T, s *stand.Stand, c client.Client, run string) {
			waitFor(t, c, run, enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
			if err := c.CancelWorkflow(t.Context(), run, ""); err != nil {
				t.Fatal(err)
			}
			waitFor(t, c, run, enums.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED)
		},
		status:   "cancelled",
		contains: []enums.EventType{enums.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED},
	},
	"continued": {
		file: `name: continued
steps:
  - {id: a, agent: worker, task: "[unit continued a] secretprompt"}
  - {id: b, agent: worker, task: "[unit continued b] secretprompt ${{ steps.a.output }}"}
  - {id: c, agent: worker, task: "[unit continued c] secretprompt ${{ steps.b.output }}"}
  - {id: d, agent: worker, task: "[unit continued d] secretprompt ${{ steps.c.output }}"}
`,
		flags:    []string{"-history-events", "15"},
		contains: []enums.EventType{enums.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW},
	},
}

func numbers(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint(i)
	}
	return strings.Join(list, ", ")
}

// replay replays a recorded history with the workflows that register registers. It compares
// the inputs of what the workflow starts too, which a replayer does not.
func replay(t *testing.T, name string, register func(worker.WorkflowReplayer)) error {
	t.Helper()
	in := &inputs{DataConverter: converter.GetDefaultDataConverter()}
	r, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{DataConverter: in, DisableDeadlockDetection: true})
	if err != nil {
		t.Fatal(err)
	}
	register(r)
	h := read(t, name)
	began := h.Events[0].GetWorkflowExecutionStartedEventAttributes()
	options := worker.ReplayWorkflowHistoryOptions{OriginalExecution: workflow.Execution{ID: began.WorkflowId, RunID: began.OriginalExecutionRunId}}
	if err := r.ReplayWorkflowHistoryWithOptions(log.NewStructuredLogger(slog.New(slog.DiscardHandler)), h, options); err != nil {
		return err
	}
	for _, ev := range h.Events {
		var want *common.Payloads
		switch ev.EventType {
		case enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
			want = ev.GetActivityTaskScheduledEventAttributes().Input
		case enums.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
			want = ev.GetStartChildWorkflowExecutionInitiatedEventAttributes().Input
		case enums.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
			want = ev.GetWorkflowExecutionContinuedAsNewEventAttributes().Input
		default:
			continue
		}
		if !in.next(want) {
			return fmt.Errorf("the input of event %d is not that of the replay: %s", ev.EventId, want)
		}
	}
	return nil
}

// inputs is a converter that keeps what it encoded.
type inputs struct {
	converter.DataConverter

	mu      sync.Mutex
	encoded []*common.Payloads
}

// ToPayloads encodes values. See [converter.DataConverter].
func (c *inputs) ToPayloads(values ...any) (*common.Payloads, error) {
	p, err := c.DataConverter.ToPayloads(values...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.encoded = append(c.encoded, p)
	return p, err
}

// next reports whether payloads were encoded after those that it was called with before.
func (c *inputs) next(want *common.Payloads) bool {
	i := slices.IndexFunc(c.encoded, func(p *common.Payloads) bool { return proto.Equal(p, want) })
	c.encoded = c.encoded[i+1:]
	return i >= 0
}

// read reads a recorded history.
func read(t *testing.T, name string) *history.History {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h, err := client.HistoryFromJSON(f, client.HistoryJSONOptions{})
	if err != nil {
		t.Fatalf("reading %s: %v", name, err)
	}
	return h
}

// recorded returns the files with recorded histories.
func recorded(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil || len(files) < len(recordings) {
		t.Fatalf("found %d recorded histories: %v", len(files), err)
	}
	return files
}

// TestReplaysRecordedHistories checks that the workflow does again what it did in runs that
// were recorded: those that are under way when workers are replaced.
func TestReplaysRecordedHistories(t *testing.T) {
	t.Parallel()
	seen := map[string]map[enums.EventType]bool{}
	for _, name := range recorded(t) {
		if err := replay(t, name, func(r worker.WorkflowReplayer) { relay.RegisterWorkflows(r) }); err != nil {
			t.Errorf("%s: %v\nRuns that have begun would not continue. Use workflow.GetVersion, or, before the first release, record with -update.", name, err)
		}
		run, _, _ := strings.Cut(filepath.Base(name), ".")
		if seen[run] == nil {
			seen[run] = map[enums.EventType]bool{}
		}
		for _, ev := range read(t, name).Events {
			seen[run][ev.EventType] = true
		}
	}
	for run, rec := range recordings {
		for _, kind := range rec.contains {
			if !seen[run][kind] {
				t.Errorf("the histories of %s have no %s", run, kind)
			}
		}
	}
}

// TestReplayNoticesAnotherWorkflow checks that the test above can fail.
func TestReplayNoticesAnotherWorkflow(t *testing.T) {
	t.Parallel()
	for _, name := range recorded(t) {
		err := replay(t, name, func(r worker.WorkflowReplayer) {
			for _, name := range []string{"run", "items"} {
				r.RegisterWorkflowWithOptions(func(ctx workflow.Context, in relay.RunInput) error {
					if err := workflow.Sleep(ctx, time.Minute); err != nil {
						return err
					}
					return relay.Run(ctx, in)
				}, workflow.RegisterOptions{Name: name})
			}
		})
		if err == nil {
			t.Errorf("%s is replayed by a workflow that begins with a timer", name)
		}
	}
}

// path matches absolute paths of files.
var path = regexp.MustCompile(`(?i)/(root|home|tmp|usr|var|work|users|opt|src|go)/|[a-z]:\\`)

// TestHistoriesHoldNamesAlone checks that recorded histories have nothing of prompts and
// answers, and nothing of the machine that they were recorded on.
func TestHistoriesHoldNamesAlone(t *testing.T) {
	t.Parallel()
	for _, name := range recorded(t) {
		h := read(t, name)
		for _, text := range texts(h) {
			if strings.Contains(text, secret) || strings.Contains(text, answer) || path.MatchString(text) {
				t.Errorf("%s contains %q", name, text)
			}
		}
		was := proto.Clone(h)
		if scrub(h.ProtoReflect()); !proto.Equal(h, was) {
			t.Errorf("%s names the machine that it was recorded on", name)
		}
	}
}

// texts returns all texts in a history, with what payloads hold.
func texts(h *history.History) (list []string) {
	visit(h.ProtoReflect(), func(_ protoreflect.Message, f protoreflect.FieldDescriptor, v protoreflect.Value) {
		switch f.Kind() {
		case protoreflect.StringKind:
			list = append(list, v.String())
		case protoreflect.BytesKind:
			list = append(list, string(v.Bytes()))
		}
	})
	return list
}

// visit calls do for each field that has a single value, in a message and all within it.
func visit(m protoreflect.Message, do func(protoreflect.Message, protoreflect.FieldDescriptor, protoreflect.Value)) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				if f.MapValue().Message() != nil {
					visit(v.Message(), do)
				} else {
					do(m, f.MapValue(), v)
				}
				return true
			})
		case f.IsList():
			for i := range v.List().Len() {
				if f.Message() != nil {
					visit(v.List().Get(i).Message(), do)
				} else {
					do(m, f, v.List().Get(i))
				}
			}
		case f.Message() != nil:
			visit(v.Message(), do)
		default:
			do(m, f, v)
		}
		return true
	})
}

// scrub replaces the names of the machine and its processes.
func scrub(m protoreflect.Message) {
	visit(m, func(m protoreflect.Message, f protoreflect.FieldDescriptor, v protoreflect.Value) {
		switch f.Name() {
		case "identity":
			m.Set(f, protoreflect.ValueOfString("worker"))
		case "stack_trace":
			m.Clear(f)
		case "name":
			if q, ok := m.Interface().(*taskqueue.TaskQueue); ok && q.Kind == enums.TASK_QUEUE_KIND_STICKY {
				q.Name = "sticky"
			}
		case "build_id":
			m.Set(f, protoreflect.ValueOfString("build"))
		}
	})
}

// TestRecord records the histories.
func TestRecord(t *testing.T) { //nolint:paralleltest // it writes what others read
	if !*update {
		return
	}
	files := map[string]string{}
	for name, rec := range recordings {
		files[name+".yaml"] = rec.file
	}
	s, err := stand.New(t.Context(), stand.Options{Files: files, Programs: os.Getenv("PROGRAMS"), Worker: []string{"-stop-timeout", "1s"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := client.Dial(client.Options{HostPort: s.Temporal.Address, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	old, _ := filepath.Glob(filepath.Join("testdata", "*.json")) // the pattern is right
	for _, name := range old {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	for name, rec := range recordings {
		record(t, s, c, name, rec)
	}
}

// record records the histories of one run.
func record(t *testing.T, s *stand.Stand, c client.Client, name string, rec recording) {
	t.Helper()
	if err := s.AddWorker(rec.flags...); err != nil {
		t.Fatal(err)
	}
	defer s.KillWorker(0)
	if rec.held != "" {
		defer s.Service.Hold(name, rec.held)()
	}
	out, err := s.Command(t.Context(), "run", name+".yaml", "--engine", "temporal", "--detach", "--no-cache", "--no-tools")
	if err != nil {
		t.Fatal(err)
	}
	run := strings.TrimSpace(string(out))
	if rec.during != nil {
		rec.during(t, s, c, run)
	}
	waitFor(t, c, run, enums.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED)
	var exported struct {
		Result struct{ Status string }
	}
	if err := s.Read(t.Context(), &exported, "runs", "export", run); err != nil || exported.Result.Status != cmp.Or(rec.status, "completed") {
		t.Fatalf("run %s (%s) is %s: %v", run, name, exported.Result.Status, err)
	}
	histories, err := stand.Histories(t.Context(), c, run)
	if err != nil {
		t.Fatal(err)
	}
	child := 0
	for i, h := range histories {
		if h.ID != run {
			if child++; child > 1 { // they are all alike
				continue
			}
		}
		all := &history.History{Events: h.Events}
		scrub(all.ProtoReflect())
		text, err := temporalproto.CustomJSONMarshalOptions{Indent: " "}.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join("testdata", fmt.Sprintf("%s.%d.json", name, i)), append(text, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// waitFor waits until the newest history of a run has an event of a kind.
func waitFor(t *testing.T, c client.Client, run string, kind enums.EventType) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		for events := c.GetWorkflowHistory(ctx, run, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
			ev, err := events.Next()
			if _, none := errors.AsType[*serviceerror.NotFound](err); none {
				break // it is not started yet
			}
			if err != nil {
				t.Fatal(err)
			}
			if ev.EventType == kind {
				return
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("run %s has no %s", run, kind)
		}
	}
}
