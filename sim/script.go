package sim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	yaml "go.yaml.in/yaml/v4"
)

// Script holds the answers of scripted agents: a list of rules, each with the
// requests that it matches and the answers that these get. [ParseScript] reads
// one. A Script is immutable; servers can share it.
type Script struct {
	rules  []*rule
	agents map[string]pattern // how to recognize an agent by its system prompt
	strict bool               // refuse requests that no rule matches
	digest string
}

// Digest returns a short hash of the script's text, in hexadecimal. Answers of
// one script are not those of another.
func (s *Script) Digest() string { return s.digest }

// rule is one rule of a script.
type rule struct {
	name    string // for messages
	agent   string
	agentAt *yaml.Node // where agent is given
	system  pattern
	task    pattern
	model   pattern
	result  *resultPattern
	first   int // the first and the last request of a turn that match
	last    int
	times   int // requests that the rule answers; 0 for any number
	answers []*scriptedAnswer
	byTurn  bool // answer k is for request k of the turn; else one answer for all
}

// resultPattern matches a tool result.
type resultPattern struct {
	tool  string // empty for any
	text  pattern
	error *bool // nil for any
}

// scriptedAnswer is one answer of a script.
type scriptedAnswer struct {
	thinking   string
	text       string
	hasText    bool
	server     []scriptedServerCall
	tools      []scriptedCall
	stopReason string
	usage      scriptedUsage
	latency    *time.Duration
	fault      *Fault
}

type scriptedCall struct {
	name, id string
	input    json.RawMessage
}

// scriptedUsage holds the counts that replace the estimated ones; nil for the
// estimate.
type scriptedUsage struct{ input, output, read, write *int }

// pattern matches a text: by a part of it, or by a regular expression. The zero
// value matches every text.
type pattern struct {
	literal string
	re      *regexp.Regexp
}

func (p pattern) matches(text string) bool {
	if p.re != nil {
		return p.re.MatchString(text)
	}
	return strings.Contains(text, p.literal)
}

// scriptPlayer chooses a server's scripted answers. It counts the uses of rules
// that are limited.
type scriptPlayer struct {
	mu     sync.Mutex // guards the field below
	played map[*rule]int
}

func (p *scriptPlayer) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.played = map[*rule]int{}
}

// take returns the scripted answer of a request, and counts the rule as used.
// The answer is nil if no rule matches.
func (p *scriptPlayer) take(s *Script, r *request) (*scriptedAnswer, *apiError) {
	if s == nil {
		return nil, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	number := r.turnNumber()
	for _, rule := range s.rules {
		if rule.times > 0 && p.played[rule] >= rule.times || !s.matches(rule, r, number) {
			continue
		}
		a := rule.answers[0]
		if rule.byTurn {
			a = rule.answers[number-rule.first]
		}
		if err := r.checkServerCalls(a.server); err != nil {
			return nil, err
		}
		p.played[rule]++
		return a, nil
	}
	if s.strict {
		return nil, invalid(fmt.Sprintf("no rule of the script matches request %d of the turn with the task %s", number, quote(r.turnText(), 200)))
	}
	return nil, nil
}

func (s *Script) matches(rule *rule, r *request, number int) bool {
	return number >= rule.first && number <= rule.last &&
		s.isAgent(rule.agent, r.system()) &&
		rule.system.matches(r.system()) &&
		rule.task.matches(r.turnText()) &&
		rule.model.matches(r.model.id) &&
		(rule.result == nil || slices.ContainsFunc(r.latestResults(), rule.result.matches))
}

// isAgent reports whether a system prompt is that of the named agent.
func (s *Script) isAgent(name, system string) bool {
	if name == "" {
		return true
	}
	if p, ok := s.agents[name]; ok {
		return p.matches(system)
	}
	for rest := system; ; {
		before, after, ok := strings.Cut(rest, name)
		if !ok {
			return false
		}
		if !endsInName(before) && !startsWithName(after) {
			return true
		}
		rest = after
	}
}

func endsInName(s string) bool { return s != "" && isNameByte(s[len(s)-1]) }

func startsWithName(s string) bool { return s != "" && isNameByte(s[0]) }

func isNameByte(c byte) bool {
	return c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80
}

func (p *resultPattern) matches(res toolResult) bool {
	return (p.tool == "" || p.tool == res.tool) && (p.error == nil || *p.error == res.isError) && p.text.matches(res.text)
}

// toolResult is a tool result of a request.
type toolResult struct {
	tool, text string
	isError    bool
}

// system returns the text of the request's system prompt.
func (r *request) system() string {
	var parts []string
	for i := range r.System {
		parts = append(parts, r.System[i].Text)
	}
	return strings.Join(parts, "\n")
}

// turnNumber returns the request's number within its turn, from 1.
func (r *request) turnNumber() int {
	n := 1
	for _, m := range r.turn() {
		if m.Role == "assistant" {
			n++
		}
	}
	return n
}

// latestResults returns the results of the calls of the last answer.
func (r *request) latestResults() []toolResult {
	var results []toolResult
	turn := r.turn()
	last := len(turn) - 1
	for last >= 0 && turn[last].Role != "assistant" {
		last--
	}
	if last < 0 {
		return nil
	}
	tools := map[string]string{}
	for _, b := range turn[last].Content {
		tools[b.ID] = b.Name
	}
	for _, m := range turn[last+1:] {
		for i := range m.Content {
			if b := &m.Content[i]; b.Type == "tool_result" {
				results = append(results, toolResult{tools[b.ToolUseID], b.text(), b.IsError})
			}
		}
	}
	return results
}

// play turns a scripted answer into the answer of a request.
func (r *request) play(script *scriptedAnswer, src *source) *answer {
	a := &answer{stopReason: cmp.Or(script.stopReason, "end_turn"), latency: script.latency, usage: script.usage}
	number := strconv.Itoa(r.turnNumber())
	fill := func(text string) string { return turnReference().ReplaceAllString(text, number) }
	if script.thinking != "" {
		a.content = append(a.content, content{Type: "thinking", Thinking: fill(script.thinking), Signature: src.id("sim", "1")})
		a.thought = r.model.count(len(script.thinking))
	} else if script.stopReason != "refusal" {
		r.think(a, src)
	}
	citations := r.serverCalls(a, script.server, src, fill)
	if script.hasText && (script.text != "" || len(script.tools) == 0) {
		a.content = append(a.content, content{Type: "text", Text: fill(script.text), citations: citations})
	}
	for i, t := range script.tools {
		input := turnReference().ReplaceAll(t.input, []byte(number))
		a.content = append(a.content, content{Type: "tool_use", ID: cmp.Or(t.id, src.id("toolu_", strconv.Itoa(i))), Name: t.name, Input: input})
	}
	if len(script.tools) > 0 && script.stopReason == "" {
		a.stopReason = "tool_use"
	}
	if script.stopReason == "refusal" {
		a.details = map[string]any{"type": "refusal", "category": "general_harms", "explanation": "A simulated refusal."}
	}
	if len(a.content) > 0 {
		stop, sequence := a.stopReason, a.stopSequence
		if a.limit(r); script.stopReason != "" {
			a.stopReason, a.stopSequence = stop, sequence
		}
	}
	return a
}

// turnReference matches ${{ turn }} in a script's texts and inputs.
var turnReference = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\$\{\{ *turn *\}\}`) })

// bill replaces the usage of an answer by the script's counts.
func (u scriptedUsage) bill(to *usage) {
	for _, c := range []struct {
		from *int
		to   *int
	}{{u.input, &to.InputTokens}, {u.output, &to.OutputTokens}, {u.read, &to.CacheRead}, {u.write, &to.CacheCreation}} {
		if c.from != nil {
			*c.to = *c.from
		}
	}
	if u.write != nil {
		to.Writes = cacheCreation{Minutes: *u.write}
	}
	if u.output != nil {
		to.Details.Thinking = min(to.Details.Thinking, *u.output)
	}
}
