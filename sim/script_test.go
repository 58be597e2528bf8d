package sim_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/sim"
)

func exampleScript(t *testing.T) *sim.Script {
	t.Helper()
	data, err := os.ReadFile("../examples/simulated/agents.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := sim.ParseScript("agents.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// conversation is a client's side of an agent that runs tools.
type conversation struct {
	t        *testing.T
	server   *sim.Server
	system   string
	messages []object
	last     reply
}

// ask sends the conversation and appends the answer. It retries as long as the
// service is overloaded.
func (c *conversation) ask() reply {
	c.t.Helper()
	for range 3 {
		c.last = answerTo(c.t, c.server, encode(c.t, object{
			"model": "claude-opus-5-5", "max_tokens": 9000, "system": c.system, "messages": c.messages,
			"tools": []object{{"name": "Read", "input_schema": object{"type": "object"}}},
		}))
		if c.last.Error.Type != "overloaded_error" {
			break
		}
	}
	var content []object
	for _, b := range c.last.Content {
		switch b.Type {
		case "tool_use":
			content = append(content, object{"type": "tool_use", "id": b.ID, "name": b.Name, "input": b.Input})
		case "text":
			content = append(content, object{"type": "text", "text": b.Text})
		case "thinking":
			content = append(content, object{"type": "thinking", "thinking": b.Thinking, "signature": b.Signature})
		}
	}
	c.messages = append(c.messages, object{"role": "assistant", "content": content})
	return c.last
}

// answerTools answers the calls of the last answer, as Claude Code does: with a
// system message behind the results.
func (c *conversation) answerTools(result string, isError bool) {
	var content []object
	for _, b := range c.last.Content {
		if b.Type == "tool_use" {
			content = append(content, object{"type": "tool_result", "tool_use_id": b.ID, "content": result, "is_error": isError})
		}
	}
	c.messages = append(c.messages, object{"role": "user", "content": content}, object{"role": "system", "content": "9,000 tokens left"})
}

// calls returns the tool calls of the last answer.
func (c *conversation) calls() string {
	var calls []string
	for _, b := range c.last.Content {
		if b.Type == "tool_use" {
			calls = append(calls, b.Name+string(b.Input))
		}
	}
	return strings.Join(calls, " ")
}

func start(t *testing.T, server *sim.Server, system, task string) *conversation {
	return &conversation{t: t, server: server, system: system, messages: []object{{"role": "user", "content": []object{
		{"type": "text", "text": "<system-reminder>Count the stars</system-reminder>"}, {"type": "text", "text": task}}}}}
}

func TestScriptsPlayAgents(t *testing.T) {
	t.Parallel()
	server := sim.New(sim.Options{Script: exampleScript(t)})
	c := start(t, server, "You are a coding agent.", "Fix the greeting")
	for i, want := range []string{
		`Read{"file_path":"hello.txt"}`,
		`Edit{"file_path":"hello.txt","old_string":"Helo","new_string":"Hello"}`,
		`Bash{"command":"cat hello.txt","description":"Show the file"} Agent{"description":"Review","prompt":"Review hello.txt","subagent_type":"reviewer","run_in_background":false}`,
		"",
	} {
		r := c.ask()
		if got := c.calls(); got != want {
			t.Fatalf("request %d calls %s; want %s", i+1, got, want)
		}
		if i == 0 && (r.Content[0].Type != "thinking" || r.Content[0].Thinking != "The greeting is in hello.txt." || r.Content[1].Text != "I read the file first.") {
			t.Errorf("the first answer is %+v", r.Content)
		}
		c.answerTools("done", false)
	}
	if stats := server.Stats(); c.last.StopReason != "end_turn" || stats.Requests != 5 {
		t.Errorf("stopped by %s; %+v", c.last.StopReason, stats)
	}

	review := start(t, server, "You review code. Be brief.", "Review hello.txt")
	review.ask()
	review.answerTools("Hello", false)
	r := review.ask()
	if last := r.Content[len(r.Content)-1]; last.Text != "Approved in request 2." || r.Usage.Input != 1200 || r.Usage.Output != 8 {
		t.Errorf("the review is %+v", r)
	}

	count := start(t, server, "", "Count")
	for i := 1; i <= 5; i++ {
		count.ask()
		if want := fmt.Sprintf(`Write{"file_path":"n%d.txt","content":"%d"}`, i, i); count.calls() != want {
			t.Fatalf("request %d calls %s", i, count.calls())
		}
		count.answerTools("ok", false)
	}
	if r := count.ask(); r.StopReason != "end_turn" {
		t.Errorf("the count goes on: %+v", r)
	}

	for result, want := range map[string]string{"it passed": "The check passed.", "it broke": "The check failed."} {
		check := start(t, server, "", "Check the code")
		check.ask()
		check.answerTools(result, result == "it broke")
		r := check.ask()
		if last := r.Content[len(r.Content)-1]; last.Text != want {
			t.Errorf("%s: answered %q", result, last.Text)
		}
	}
	if r := start(t, server, "", "Something else").ask(); !strings.Contains(r.Content[len(r.Content)-1].Text, "simulated") {
		t.Errorf("no rule matches, and the answer is %+v", r)
	}
}

// TestScriptsInEveryWay checks that a streamed, a plain and a batched answer of
// a script are the same.
func TestScriptsInEveryWay(t *testing.T) {
	t.Parallel()
	server := sim.New(sim.Options{Script: exampleScript(t)})
	_, plain := post(t, server, `{"model":"claude-haiku-5-5","max_tokens":900,"messages":[{"role":"user","content":"Count"}]}`)
	_, stream := post(t, server, `{"model":"claude-haiku-5-5","max_tokens":900,"stream":true,"messages":[{"role":"user","content":"Count"}]}`)
	for _, answer := range []string{plain, stream} {
		if !strings.Contains(answer, `"Write"`) || !strings.Contains(answer, `"stop_reason":"tool_use"`) {
			t.Errorf("answered %s", answer)
		}
	}
	_, created := postTo(t, server, "/v1/messages/batches", `{"requests":[{"custom_id":"a","params":{"model":"claude-haiku-5-5","max_tokens":900,"messages":[{"role":"user","content":"Count"}]}}]}`)
	var batch struct{ ID string }
	if err := json.Unmarshal([]byte(created), &batch); err != nil {
		t.Fatal(err)
	}
	if _, results := getFrom(t, server, "/v1/messages/batches/"+batch.ID+"/results"); !strings.Contains(results, "n1.txt") {
		t.Errorf("the batch answered %s", results)
	}
}

func TestScriptedErrorsAndLatency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		script, err := sim.ParseScript("s.yaml", []byte(`
strict: true
rules:
- {when: {task: slow}, text: late, latency: 3s}
- {when: {task: broken}, text: a b c d e f g h i j k, error: {kind: cut_stream, after: 4}}
- {when: {task: limited}, error: {status: 429, type: rate_limit_error, code: ramp_limit_exceeded, message: too fast, retry_after: "7"}}
- {when: {task: refused}, stop_reason: refusal}
- {when: {task: long}, text: "`+strings.Repeat("word ", 400)+`"}
`))
		if err != nil {
			t.Fatal(err)
		}
		server := sim.New(sim.Options{Script: script, Latency: sim.Fixed(time.Second)})
		body := func(task string) string {
			return `{"model":"claude-haiku-5-5","max_tokens":100,"messages":[{"role":"user","content":"` + task + `"}]}`
		}
		begin := time.Now()
		if r := answerTo(t, server, body("slow")); r.text() != "late" || time.Since(begin) != 3*time.Second {
			t.Errorf("%+v after %v", r, time.Since(begin))
		}
		res, text := post(t, server, body("limited"))
		if res.StatusCode != 429 || res.Header.Get("retry-after") != "7" || !strings.Contains(text, "ramp_limit_exceeded") || !strings.Contains(text, "too fast") {
			t.Errorf("%d %s", res.StatusCode, text)
		}
		if r := answerTo(t, server, body("refused")); r.StopReason != "refusal" || len(r.Content) != 0 {
			t.Errorf("%+v", r)
		}
		if r := answerTo(t, server, body("long")); r.StopReason != "max_tokens" || r.Usage.Output != 100 {
			t.Errorf("%+v", r.Usage)
		}
		if _, text := post(t, server, body("other")); !strings.Contains(text, `no rule of the script matches request 1 of the turn with the task \"other\"`) {
			t.Errorf("a strict script answers %s", text)
		}
	})
}

func TestScriptProblems(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                   "s.yaml: the script is empty (write rules",
		"# only a comment\n": "s.yaml: the script is empty (write rules",
		"rules: []":          "s.yaml:1:8: rules must have an entry",
		"strict: true":       "rules are missing",
		"- a":                "the script must be a mapping, not a list",
		"rules:\n  - when: {tsk: a}\n    text: b":              "s.yaml:2:12: unknown key \"tsk\" in when (the keys are agent, model, result, system, task, turn)",
		"rules:\n  - {when: {task: a}}":                        "s.yaml:2:5: the answer is missing (write text",
		"rules: [{text: a, turns: [{text: b}]}]":               "has both turns and an answer of its own",
		"rules: [{when: {turn: 0}, text: a}]":                  `turn must be a number from 1 or a range, not "0" (write 2, "2-5" or "3-")`,
		"rules: [{when: {turn: 5-2}, text: a}]":                `a range, not "5-2"`,
		"rules: [{when: {task: '/(/'}, text: a}]":              "s.yaml:1:23: task: error parsing regexp",
		"rules: [{tools: [{input: {}}]}]":                      "s.yaml:1:18: the tool call has no name (write name: Read)",
		"rules: [{tools: [{name: A, input: [1]}]}]":            "input must be a mapping, not a list",
		"rules: [{tools: [{name: A, input: {x: .nan}}]}]":      ".nan has no form in JSON",
		"rules: [{stop_reason: ende}]":                         `unknown stop_reason "ende" (known are end_turn`,
		"rules: [{text: a, latency: 5}]":                       `latency must be a duration, not "5" (write it like "300ms"`,
		"rules: [{text: a, usage: {output_tokens: -1}}]":       `output_tokens must be a whole number of at least 0, not "-1"`,
		"rules: [{error: {status: 200}}]":                      "status 200 is not an error status (write error: {status: 529}",
		"rules: [{error: {kind: cut}}]":                        `unknown kind "cut"`,
		"rules: [{text: a, times: 0}]":                         "times must be a whole number of at least 1",
		"rules: [{text: a, text: b}]":                          "text is given twice",
		"agents: {a: x}\nrules: [{when: {agent: b}, text: c}]": `s.yaml:2:24: unknown agent "b" (the names are those under agents)`,
		"rules:\n\t- a":                                        "YAML",
		"a: &a [*a]":                                           "",
		"rules: [{text: [1]}, {text: {a: b}}]":                 "text must be a text, not a mapping",
	} {
		_, err := sim.ParseScript("s.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %s", text, err, want)
		}
	}
	if _, err := sim.ParseScript("s.json", []byte(`{"rules": [{"text": "a\/b"}]}`)); err != nil {
		t.Errorf("JSON: %v", err)
	}
}

// TestScriptsNeverPanic parses variations of a script, and plays those that are
// valid.
func TestScriptsNeverPanic(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../examples/simulated/agents.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		lines := strings.Split(string(data), "\n")
		for range rapid.IntRange(1, 5).Draw(t, "changes") {
			i := rapid.IntRange(0, len(lines)-1).Draw(t, "line")
			word := rapid.SampledFrom([]string{"", "-", "{", "when:", "turn: 9", "tools: {}", "text:", "*a", "&a", "? x", "turns: [{text: x}]", "null"}).Draw(t, "word")
			lines[i] = strings.Repeat(" ", rapid.IntRange(0, 8).Draw(t, "indent")) + word
		}
		script, err := sim.ParseScript("s.yaml", []byte(strings.Join(lines, "\n")))
		if (script == nil) != (err != nil) {
			t.Fatalf("a script of %v with the error %v", script, err)
		}
		if err != nil {
			return
		}
		server := sim.New(sim.Options{Script: script})
		for _, task := range []string{"Fix the greeting", "Count", "Check it", "Review hello.txt", "x"} {
			post(t, server, encode(t, object{"model": "claude-haiku-5-5", "max_tokens": 900, "stream": rapid.Bool().Draw(t, "stream"),
				"messages": []object{{"role": "user", "content": task}}}))
		}
	})
}
