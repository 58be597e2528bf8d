package claudeforce_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// recorder is a service that answers by the user's text and keeps what it was sent.
type recorder struct {
	mu     sync.Mutex
	answer func(user string) string
	sent   []string
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	var sent struct {
		Model    string `json:"model"`
		Messages []struct {
			Content json.RawMessage `json:"content"`
		} `json:"messages"`
	}
	_ = json.Unmarshal(body, &sent)
	var user strings.Builder
	for _, m := range sent.Messages {
		var text string
		var blocks []struct {
			Text string `json:"text"`
		}
		if json.Unmarshal(m.Content, &text) == nil {
			user.WriteString(text)
		} else if json.Unmarshal(m.Content, &blocks) == nil {
			for _, b := range blocks {
				user.WriteString(b.Text)
			}
		}
	}
	r.mu.Lock()
	r.sent = append(r.sent, user.String())
	text := r.answer(user.String())
	r.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	event := func(kind, data string) { fmt.Fprintf(w, "event: %s\ndata: %s\n\n", kind, data) }
	quoted, _ := json.Marshal(text)
	event("message_start", `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"`+sent.Model+`","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"output_tokens":1}}}`)
	event("content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`)
	event("content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":`+string(quoted)+`}}`)
	event("content_block_stop", `{"type":"content_block_stop","index":0}`)
	event("message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":5}}`)
	event("message_stop", `{"type":"message_stop"}`)
}

// oddScalars are texts that YAML or a number parser takes for something else.
var oddScalars = []string{
	"1.10", "01234", "09999", "0x10", "0o17", "0b11", "1_000", "1e400", "1E5", "1e3", "-0", "+5", ".5", "5.", "1.0", "100.00", "0.1",
	"12345678901234567890", "9007199254740993", "9223372036854775808", "-9223372036854775809", "1e21", "123456789012345678901234567890.5",
	".inf", "-.inf", ".nan", ".NaN", "~", "null", "Null", "yes", "no", "on", "off", "y", "n", "true", "True", "TRUE", "false", "False",
	"2024-01-01", "2001-12-14t21:59:43.10-05:00", "12:30:45", "190:20:30", "1:30", "<<", "=", "1,000", "0", "-1", "1e-7", "0.0000001", "NaN", "Infinity",
	"", " ", "a ", " a", "a\n", "\n", "a\r\nb", "\ttab", "é", "e\u0301", "\ufeff", "\u0000", "\u2028", "𝒳", "${{", "$${{ x }}", "}}", "'", "\"", "\\", "{}", "[]", "# x", "<b>", "&amp;",
}

func valueTexts() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom(oddScalars),
		rapid.String(),
		rapid.StringMatching(`-?[0-9]{1,40}`),
		rapid.StringMatching(`-?[0-9]{1,12}\.[0-9]{1,25}`),
		rapid.StringMatching(`-?[1-9](\.[0-9]{1,5})?[eE][+-]?[0-9]{1,4}`),
		rapid.StringMatching(`[12][0-9]{3}-[01][0-9]-[0-3][0-9]`),
	)
}

// plain reports whether a text can stand in a YAML file without quotes.
func plain(s string) bool {
	return s != "" && strings.Trim(s, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.+-_:~") == "" && !strings.HasSuffix(s, ":")
}

// TestValuesReachTheService draws texts and numbers and sends them on every way that
// values take: parameters of each type, defaults in YAML, items, JSON in answers, texts
// in answers, and expressions. Each must arrive as it was written, or be refused.
func TestValuesReachTheService(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "key")
	service := &recorder{}
	server := httptest.NewServer(service)
	defer server.Close()
	dir := t.TempDir()
	cfg, err := config.Load(config.Sources{Dir: dir, Home: dir})
	if err != nil {
		t.Fatal(err)
	}
	cfg.BaseURL, cfg.Tier, cfg.Cache.Enabled, cfg.Jobs = server.URL, "none", false, 8
	cfg.DataDir = dir
	orch, err := claudeforce.New(t.Context(), claudeforce.Options{Dir: dir, Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := orch.Close(); err != nil {
			t.Error(err)
		}
	}()
	values, each := 0, 100
	if testing.Short() {
		each = 10
	}
	rapid.Check(t, func(rt *rapid.T) {
		texts := rapid.SliceOfN(valueTexts(), each, each).Draw(rt, "texts")
		values += len(texts)
		var params, task, use, items []string
		given := map[string]string{}
		type probe struct{ mark, text, step string }
		var probes []probe
		show := func(to *[]string, expr, text, step string) {
			mark := fmt.Sprintf("%d.", len(probes))
			*to = append(*to, mark+"‹${{ "+expr+" }}›")
			probes = append(probes, probe{mark, text, step})
		}
		document := []json.RawMessage{}
		for i, text := range texts {
			add := func(kind, declared string, value *string) {
				name := fmt.Sprintf("%s%d", kind, i)
				one := "params:\n  " + name + ": " + declared + "\nsteps: [{id: a, agent: python-expert, task: t}]\n"
				wf, err := workflow.Parse("w.yaml", []byte(one), workflow.Options{})
				if err != nil {
					return // refused
				}
				set := map[string]string{}
				if value != nil {
					set[name] = *value
				}
				if _, err := wf.BindParams(set); err != nil {
					return
				}
				if value != nil {
					given[name] = *value
				}
				params = append(params, "  "+name+": "+declared)
				show(&task, "params."+name, text, "")
				show(&task, "[params."+name+"][0]", text, "")
			}
			add("text", "{type: string}", &text)
			add("integer", "{type: integer}", &text)
			add("number", "{type: number, default: 0}", &text)
			add("truth", "true", &text)
			add("quoted", strconv.QuoteToASCII(text), nil)
			if plain(text) {
				add("plain", text, nil)
				add("declared", "{type: string, default: "+text+"}", nil)
				add("figure", "{type: number, default: "+text+"}", nil)
			}
			raw, _ := json.Marshal(text)
			document = append(document, raw)
			if json.Valid([]byte(text)) && strings.Trim(text, "0123456789+-.eE") == "" {
				document = append(document, json.RawMessage(text))
			}
			for at := max(0, len(document)-2); at < len(document); at++ {
				want := text
				if at == len(document)-2 && string(document[at]) != string(raw) { // that of the text before
					continue
				}
				show(&use, fmt.Sprintf("steps.src.json[%d]", at), want, "src")
				show(&use, fmt.Sprintf("filter(steps.src.json, true)[%d]", at), want, "src")
				show(&use, fmt.Sprintf("string(fromJSON(steps.src.output)[%d] ?? '')", at), want, "src")
			}
			if i < 3 && !strings.Contains(text, "${{") { // that is an expression, or an escape
				items = append(items, text)
			}
		}
		answer := rapid.StringN(1, 200, -1).Filter(func(s string) bool { return strings.TrimSpace(s) != "" }).Draw(rt, "answer")
		list, _ := json.Marshal(document)
		itemTexts := make([]string, len(items))
		for i, s := range items {
			itemTexts[i] = strconv.QuoteToASCII(s)
		}
		file := "params:\n" + strings.Join(params, "\n") + "\nsteps:\n" +
			"- {id: src, agent: python-expert, task: STEP-SRC}\n" +
			"- {id: said, agent: python-expert, task: STEP-SAID}\n" +
			"- {id: each, agent: python-expert, foreach: [" + strings.Join(itemTexts, ", ") + "], task: \"item‹${{ item }}›\"}\n" +
			"- {id: more, agent: python-expert, task: \"said‹${{ steps.said.output }}›\"}\n"
		use = append(use, task...)
		for part := range slices.Chunk(use, 900) {
			file += fmt.Sprintf("- {id: use%d, agent: python-expert, task: %s}\n", len(file), strconv.QuoteToASCII("use "+strings.Join(part, " ")))
		}
		wf, err := orch.ParseWorkflow("w.yaml", []byte(file))
		if err != nil {
			rt.Fatal(err)
		}
		service.mu.Lock()
		service.sent = nil
		service.answer = func(user string) string {
			switch {
			case strings.Contains(user, "STEP-SRC"):
				return string(list)
			case strings.Contains(user, "STEP-SAID"):
				return answer
			}
			return "ok"
		}
		service.mu.Unlock()
		res, err := orch.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{Params: given})
		if err != nil || res.Status != engine.StatusCompleted {
			rt.Fatal(err)
		}
		if got := res.Steps["said"].Output; got != answer {
			rt.Fatalf("the answer %q became %q", answer, got)
		}
		service.mu.Lock()
		defer service.mu.Unlock()
		all := strings.Join(service.sent, "\n§\n")
		for _, p := range probes {
			if !strings.Contains(all, p.mark+"‹"+p.text+"›") && (p.step == "" || !strings.Contains(all, p.mark+"‹"+llm.Fence("step", "id", p.step, p.text)+"›")) {
				at := strings.Index(all, p.mark+"‹")
				rt.Fatalf("%q did not arrive as it is: %q", p.text, all[max(0, at):min(len(all), max(0, at)+80)])
			}
		}
		if !strings.Contains(all, "said‹"+llm.Fence("step", "id", "said", answer)+"›") {
			rt.Fatalf("the answer %q did not arrive as it is", answer)
		}
		for _, text := range items {
			if !slices.ContainsFunc(service.sent, func(s string) bool { return strings.Contains(s, "item‹"+text+"›") }) {
				rt.Fatalf("the item %q did not arrive as it is", text)
			}
		}
	})
	t.Logf("%d values", values)
}
