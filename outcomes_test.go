package claudeforce_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// reply is how the service answers one request.
type reply struct {
	status int    // of a refusal; 0 for an answer
	body   string // of a refusal

	blocks []string // content blocks as they start, as JSON; a text block has its text in them
	stop   string   // stop_reason; empty for end_turn
	broken string   // the type of an error that ends the stream behind the blocks, or "cut"
}

func says(text string) reply {
	data, _ := json.Marshal(text)
	return reply{blocks: []string{`{"type":"text","text":` + string(data) + `}`}}
}

// service is a Messages API that answers as it is scripted. It shares no code with
// the simulator.
type service struct {
	answer func(n int, prompt string) reply // n is the number of the request, from 1

	dir     string // of the orchestrator
	mu      sync.Mutex
	prompts []string
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/messages" {
		http.NotFound(w, r)
		return
	}
	data, _ := io.ReadAll(r.Body)
	var body struct {
		Model    string `json:"model"`
		Messages []struct {
			Content json.RawMessage `json:"content"`
		} `json:"messages"`
	}
	_ = json.Unmarshal(data, &body)
	prompt := string(body.Messages[len(body.Messages)-1].Content)
	s.mu.Lock()
	s.prompts = append(s.prompts, prompt)
	n := len(s.prompts)
	s.mu.Unlock()
	re := s.answer(n, prompt)
	if re.status != 0 {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(re.status)
		_, _ = io.WriteString(w, re.body)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(name, data string) { fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, data) }
	send("message_start", `{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"`+body.Model+`","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"output_tokens":1}}}`)
	for i, b := range re.blocks {
		send("content_block_start", fmt.Sprintf(`{"type":"content_block_start","index":%d,"content_block":%s}`, i, b))
		send("content_block_stop", fmt.Sprintf(`{"type":"content_block_stop","index":%d}`, i))
	}
	_ = http.NewResponseController(w).Flush()
	switch re.broken {
	case "":
	case "cut":
		panic(http.ErrAbortHandler)
	default:
		send("error", `{"type":"error","error":{"type":"`+re.broken+`","message":"scripted"}}`)
		return
	}
	stop := re.stop
	if stop == "" {
		stop = "end_turn"
	}
	send("message_delta", `{"type":"message_delta","delta":{"stop_reason":"`+stop+`","stop_sequence":null},"usage":{"output_tokens":5}}`)
	send("message_stop", `{"type":"message_stop"}`)
}

func (s *service) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.prompts)
}

// live opens an orchestrator in a folder of its own that calls the service.
func (s *service) live(t *testing.T) *claudeforce.Orchestrator {
	t.Helper()
	tcp := httptest.NewServer(s)
	t.Cleanup(tcp.Close)
	t.Setenv("ANTHROPIC_API_KEY", "sk-ant-test")
	t.Setenv("ANTHROPIC_BASE_URL", tcp.URL)
	dir := t.TempDir()
	s.dir = dir
	cfg, err := config.Load(config.Sources{Dir: dir, Home: dir})
	if err != nil {
		t.Fatal(err)
	}
	return open(t, nil, func(o *claudeforce.Options) { o.Dir, o.Config, o.Simulator = dir, cfg, nil })
}

// parse reads a workflow that has no file.
func parse(t *testing.T, text string) *workflow.Workflow {
	t.Helper()
	wf, err := claudeforce.ParseWorkflow(t.TempDir(), "test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return wf
}

// TestBrokenAnswersAreRetriedUnlessStreamed breaks the first answer behind its
// first words.
func TestBrokenAnswersAreRetriedUnlessStreamed(t *testing.T) {
	for _, broken := range []string{"overloaded_error", "api_error", "cut"} {
		t.Run(broken, func(t *testing.T) {
			s := &service{answer: func(n int, _ string) reply {
				re := says("whole")
				if n == 1 {
					re = says("half an")
					re.broken = broken
				}
				return re
			}}
			orch := s.live(t)
			res, err := orch.RunWorkflow(t.Context(), parse(t, "steps:\n- {id: a, agent: linter, task: one}\n"), claudeforce.RunOptions{})
			if err != nil || res.Output != "whole" || s.requests() != 2 {
				t.Fatalf("a step: %v, %+v, %d requests", err, res, s.requests())
			}
			s.prompts = nil
			for _, res := range orch.ExecuteMultiple(t.Context(), []claudeforce.Task{{Agent: "linter", Prompt: "two"}}) {
				if res.Err != nil || res.Output != "whole" {
					t.Errorf("a task of several: %v, %q", res.Err, res.Output)
				}
			}
			s.prompts = nil
			shown := ""
			one, err := orch.Execute(t.Context(), claudeforce.Task{Agent: "linter", Prompt: "three"}, func(piece string) { shown += piece })
			if !llm.CodeOf(err).Transient() || one.Output != "half an" || shown != "half an" || s.requests() != 1 {
				t.Errorf("a streamed task: %v, %q, shown %q, %d requests", err, one.Output, shown, s.requests())
			}
		})
	}
}

// TestAnswersThatAreNoneAreNotKept gives what is no answer: the step fails with a
// code, its dependents are skipped, and the call is made again next time.
func TestAnswersThatAreNoneAreNotKept(t *testing.T) {
	text := says("Yes, bu").blocks[0]
	tool := `{"type":"tool_use","id":"t","name":"cat","input":{}}`
	for name, c := range map[string]struct {
		reply reply
		code  llm.Code
	}{
		"full window":   {reply{blocks: []string{text}, stop: "model_context_window_exceeded"}, llm.CodeTooLarge},
		"empty":         {reply{}, llm.CodeOutput},
		"blank":         {says(" \n"), llm.CodeOutput},
		"a tool":        {reply{blocks: []string{text, tool}, stop: "tool_use"}, llm.CodeOutput},
		"unknown block": {reply{blocks: []string{text, `{"type":"hologram","data":"x"}`}}, llm.CodeOutput},
		"pause":         {reply{blocks: []string{text}, stop: "pause_turn"}, llm.CodeOutput},
		"compaction":    {reply{blocks: []string{text}, stop: "compaction"}, llm.CodeOutput},
	} {
		t.Run(name, func(t *testing.T) {
			s := &service{answer: func(int, string) reply { return c.reply }}
			orch := s.live(t)
			wf := parse(t, "steps:\n- {id: a, agent: linter, task: one}\n- {id: b, agent: linter, task: two, dependencies: [a]}\n")
			for want := 1; want <= 2; want++ {
				res, err := orch.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{})
				if err == nil || res.Steps["a"].Status != engine.StatusFailed || res.Steps["b"].Status != engine.StatusSkipped {
					t.Fatalf("%v: %+v", err, res.Steps["a"])
				}
				if res.NotDone[0].Code != c.code.String() || s.requests() != want {
					t.Errorf("code %s, %d requests; want %s, %d", res.NotDone[0].Code, s.requests(), c.code, want)
				}
			}
		})
	}
}

const severity = "schema: {type: object, required: [severity], properties: {severity: {enum: [low, high]}}}"

// TestOutputsThatBreakTheirSchemaFail gives answers that obey a schema never, or
// with the second attempt.
func TestOutputsThatBreakTheirSchemaFail(t *testing.T) {
	for name, c := range map[string]struct {
		step   string
		good   int // the first request that is answered well; 0 for none
		status engine.Status
		a, b   engine.Status
		output string // of b
	}{
		"fails":      {"on_failure: fail", 0, engine.StatusFailed, engine.StatusFailed, engine.StatusSkipped, ""},
		"is kept":    {"on_failure: continue", 0, engine.StatusCompleted, engine.StatusFailed, engine.StatusCompleted, "b of true"},
		"falls back": {"on_failure: {fallback: c}", 0, engine.StatusCompleted, engine.StatusFailed, engine.StatusCompleted, "b of false"},
		"retries":    {"retries: {max: 1, backoff: 1ms}", 3, engine.StatusCompleted, engine.StatusCompleted, engine.StatusCompleted, "b of false"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &service{}
			s.answer = func(n int, prompt string) reply {
				switch {
				case strings.Contains(prompt, "ask b"):
					return says(fmt.Sprintf("b of %t", strings.Contains(prompt, "dreadful")))
				case strings.Contains(prompt, "ask c"):
					return says("c")
				case c.good > 0 && n >= c.good:
					return says(`{"severity":"low"}`)
				}
				return says("dreadful")
			}
			orch := s.live(t)
			wf := parse(t, "steps:\n- {id: a, agent: linter, task: ask a, "+c.step+", "+severity+"}\n- {id: b, agent: linter, task: ask b, dependencies: [a]}\n- {id: c, agent: linter, task: ask c}\n")
			res, err := orch.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{})
			if (err == nil) != (c.status == engine.StatusCompleted) || res.Status != c.status {
				t.Errorf("the run is %s: %v", res.Status, err)
			}
			if a, b := res.Steps["a"], res.Steps["b"]; a.Status != c.a || b.Status != c.b || b.Output != c.output {
				t.Errorf("a is %s, b is %s: %q", a.Status, b.Status, b.Output)
			}
		})
	}
}

// TestContinueIsNoSuccess lets items and steps fail whose failures are tolerated.
func TestContinueIsNoSuccess(t *testing.T) {
	for name, c := range map[string]struct {
		steps  string
		status engine.Status
		each   engine.Status
	}{
		"none of the items":           {"{id: each, agent: linter, task: bad, on_failure: continue, foreach: [a, b]}", engine.StatusFailed, engine.StatusFailed},
		"none, and that is enough":    {"{id: each, agent: linter, task: bad, on_failure: continue, min_success: 0, foreach: [a, b]}", engine.StatusCompleted, engine.StatusCompleted},
		"one of the items":            {"{id: each, agent: linter, task: \"${{ item }}\", on_failure: continue, foreach: [good, bad]}", engine.StatusCompleted, engine.StatusCompleted},
		"one, and two are needed":     {"{id: each, agent: linter, task: \"${{ item }}\", on_failure: continue, min_success: 2, foreach: [good, bad]}", engine.StatusFailed, engine.StatusFailed},
		"one, without continue":       {"{id: each, agent: linter, task: \"${{ item }}\", foreach: [good, bad]}", engine.StatusFailed, engine.StatusFailed},
		"one, which is enough":        {"{id: each, agent: linter, task: \"${{ item }}\", min_success: 1, foreach: [good, bad]}", engine.StatusCompleted, engine.StatusCompleted},
		"an empty list of files":      {"{id: each, agent: linter, task: bad, foreach: {glob: [none/*.go, no.txt]}}", engine.StatusCompleted, engine.StatusCompleted},
		"an empty list, one needed":   {"{id: each, agent: linter, task: bad, min_success: 1, on_failure: continue, foreach: {glob: [none/*.go]}}", engine.StatusFailed, engine.StatusFailed},
		"the only step":               {"{id: each, agent: linter, task: bad, on_failure: continue}", engine.StatusFailed, engine.StatusFailed},
		"a step beside one that does": {"{id: each, agent: linter, task: bad, on_failure: continue}\n- {id: other, agent: linter, task: good}", engine.StatusCompleted, engine.StatusFailed},
	} {
		t.Run(name, func(t *testing.T) {
			s := &service{answer: func(_ int, prompt string) reply {
				if strings.Contains(prompt, "bad") {
					return reply{status: 400, body: `{"type":"error","error":{"type":"invalid_request_error","message":"bad"}}`}
				}
				return says("fine")
			}}
			res, err := s.live(t).RunWorkflow(t.Context(), parse(t, "steps:\n- "+c.steps+"\n"), claudeforce.RunOptions{})
			if (err == nil) != (c.status == engine.StatusCompleted) || res.Status != c.status || res.Steps["each"].Status != c.each {
				t.Errorf("the run is %s, each is %s: %v", res.Status, res.Steps["each"].Status, err)
			}
		})
	}
}

// TestResumeAfterAFileVanished resumes a run one of whose items failed and has lost
// its file.
func TestResumeAfterAFileVanished(t *testing.T) {
	s := &service{answer: func(_ int, prompt string) reply {
		if strings.Contains(prompt, "in b.txt") {
			return reply{status: 400, body: `{"type":"error","error":{"type":"invalid_request_error","message":"bad"}}`}
		}
		return says("fine")
	}}
	orch := s.live(t)
	write := func(name string) {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte("in "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a.txt", "b.txt", "c.txt"} {
		write(name)
	}
	wf := parse(t, "steps:\n- {id: each, agent: linter, task: Go, foreach: {glob: '*.txt'}, files: ['${{ item }}']}\n")
	res, err := orch.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{})
	if err == nil || s.requests() != 3 {
		t.Fatalf("%v, %d requests", err, s.requests())
	}
	if err := os.Remove(filepath.Join(s.dir, "b.txt")); err != nil {
		t.Fatal(err)
	}
	_, err = orch.ResumeRun(t.Context(), res.RunID, claudeforce.ResumeOptions{})
	if changed, ok := errors.AsType[*claudeforce.ChangedError](err); !ok || len(changed.Changes) != 1 || changed.Changes[0] != "file b.txt is gone" {
		t.Fatalf("resumed without a file: %v", err)
	}
	res, err = orch.ResumeRun(t.Context(), res.RunID, claudeforce.ResumeOptions{AcceptChanges: true})
	if err != nil || res.Status != engine.StatusCompleted || len(res.Steps["each"].Items) != 2 || s.requests() != 3 {
		t.Errorf("%v, %+v, %d requests", err, res, s.requests())
	}
}

// TestARefusalOfAllIsNotAskedAgain refuses the credential: the rest of a foreach is
// not asked, and a resume asks it.
func TestARefusalOfAllIsNotAskedAgain(t *testing.T) {
	for name, refusal := range map[string]reply{
		"credential": {status: 401, body: `{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}`},
		"balance":    {status: 400, body: `{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}`},
		"model":      {status: 404, body: `{"type":"error","error":{"type":"not_found_error","message":"model: x"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := &service{answer: func(int, string) reply { return refusal }}
			orch := s.live(t)
			var items []string
			for i := range 50 {
				items = append(items, fmt.Sprint("x", i))
			}
			wf := parse(t, "max_parallel: 2\nsteps:\n- {id: each, agent: linter, task: \"${{ item }}\", foreach: ["+strings.Join(items, ", ")+"]}\n")
			res, err := orch.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{})
			if err == nil || s.requests() > 2 {
				t.Fatalf("%v, %d requests", err, s.requests())
			}
			if reason := res.NotDone[0].Reason; !strings.Contains(reason, "were not asked, the first: x") {
				t.Errorf("the reason is %q", reason)
			}
		})
	}
}
