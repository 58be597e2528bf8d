package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// answer is one answer of the simulated model.
type answer struct {
	id           string
	content      []content
	stopReason   string
	stopSequence *string
	details      any            // stop_details
	output       int            // tokens, thinking included
	thought      int            // thinking tokens
	latency      *time.Duration // of a scripted answer; nil for the server's
	usage        scriptedUsage
	serverTools  serverToolCounts
}

// content is one block of an answer.
type content struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	Thinking  string          `json:"thinking"`
	Signature string          `json:"signature"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`

	citations []json.RawMessage // of a text
	whole     json.RawMessage   // the block's JSON, of types that are sent in one piece
}

// MarshalJSON encodes all fields of the block's type and no others.
func (c content) MarshalJSON() ([]byte, error) {
	if c.whole != nil {
		return c.whole, nil
	}
	switch c.Type {
	case "compaction":
		return json.Marshal(struct {
			Type      string  `json:"type"`
			Content   *string `json:"content"`
			Encrypted *string `json:"encrypted_content"`
		}{c.Type, orNull(c.Text), orNull(c.Signature)})
	case "server_tool_use":
		return json.Marshal(struct {
			Type   string            `json:"type"`
			ID     string            `json:"id"`
			Name   string            `json:"name"`
			Input  json.RawMessage   `json:"input"`
			Caller map[string]string `json:"caller"`
		}{c.Type, c.ID, c.Name, c.Input, direct})
	case "thinking":
		return json.Marshal(struct {
			Type      string `json:"type"`
			Thinking  string `json:"thinking"`
			Signature string `json:"signature"`
		}{c.Type, c.Thinking, c.Signature})
	case "tool_use":
		return json.Marshal(struct {
			Type  string          `json:"type"`
			ID    string          `json:"id"`
			Name  string          `json:"name"`
			Input json.RawMessage `json:"input"`
		}{c.Type, c.ID, c.Name, c.Input})
	}
	return json.Marshal(struct {
		Type      string            `json:"type"`
		Text      string            `json:"text"`
		Citations []json.RawMessage `json:"citations"`
	}{c.Type, c.Text, c.citations})
}

// orNull returns nil for an empty text, which is null in JSON.
func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// source is the randomness of an answer. It is a function of the request,
// whether that is streamed or not.
type source struct {
	digest [sha256.Size]byte
	rng    *rand.Rand
}

func newSource(body []byte) *source {
	digest := sha256.Sum256(stripStreamFlag(stripBreakpoints(body)))
	seed := func(i int) uint64 { return binary.LittleEndian.Uint64(digest[i:]) }
	return &source{digest, rand.New(rand.NewPCG(seed(0), seed(8)))}
}

// stripStreamFlag returns a body without the field that asks for a stream. The
// field's name cannot be within a string, where the quotes are escaped.
func stripStreamFlag(body []byte) []byte {
	name := []byte(`"stream"`)
	for from := 0; ; {
		at := bytes.Index(body[from:], name)
		if at < 0 {
			return body
		}
		at += from
		from = at + len(name)
		rest, ok := bytes.CutPrefix(bytes.TrimLeft(body[from:], " \t\r\n"), []byte(":"))
		if !ok {
			continue // a value
		}
		rest = bytes.TrimLeft(rest, " \t\r\n")
		after, yes := bytes.CutPrefix(rest, []byte("true"))
		if !yes {
			var no bool
			if after, no = bytes.CutPrefix(rest, []byte("false")); !no {
				continue
			}
		}
		before, comma := bytes.CutSuffix(bytes.TrimRight(body[:at], " \t\r\n"), []byte(","))
		if !comma {
			after = bytes.TrimPrefix(bytes.TrimLeft(after, " \t\r\n"), []byte(","))
		}
		return slices.Concat(before, after)
	}
}

// id returns an id in the API's form: a prefix and 24 letters and digits.
func (s *source) id(prefix, distinct string) string {
	sum := sha256.Sum256(fmt.Appendf(s.digest[:], "%s%s", prefix, distinct))
	return prefix + "01" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:22])
}

// answer generates the model's answer to a valid request. The serial makes its
// id differ from the ids of other answers to the request. The scripted answer is
// nil unless a script has one.
func (r *request) answer(body []byte, serial string, scripted *scriptedAnswer) *answer {
	src := newSource(body)
	a := r.generateAnswer(src, scripted)
	if r.context.compacts {
		r.compact(a, src)
	}
	a.id = src.id("msg_", serial)
	return a
}

func (r *request) generateAnswer(src *source, scripted *scriptedAnswer) *answer {
	if *r.MaxTokens == 0 { // the call only warms the prompt cache
		return &answer{stopReason: "max_tokens"}
	}
	if scripted != nil {
		return r.play(scripted, src)
	}
	a := &answer{stopReason: "end_turn"}
	r.think(a, src)
	switch calls := r.toolCalls(src); {
	case len(calls) > 0:
		if !r.forced() {
			a.content = append(a.content, content{Type: "text", Text: "Simulated: I call " + calls[0].Name + " for this."})
		}
		a.content = append(a.content, calls...)
		a.stopReason = "tool_use"
	case r.format() != nil:
		a.content = append(a.content, content{Type: "text", Text: string(generate(r.format(), generator{task: r.task(), src: src}))})
	default:
		a.content = append(a.content, content{Type: "text", Text: r.prose(src)})
	}
	a.limit(r)
	return a
}

// thinking reports whether the model thinks about the request.
func (r *request) thinking() bool {
	switch {
	case r.forced():
		return false
	case r.Thinking == nil:
		return r.model.thinks()
	}
	return r.Thinking.Type == "adaptive" || r.Thinking.Type == "enabled"
}

// think adds the thinking block with which the answers of models that think
// begin.
func (r *request) think(a *answer, src *source) {
	if !r.thinking() {
		return
	}
	display := ""
	if r.Thinking != nil {
		display = r.Thinking.Display
	}
	thought := content{Type: "thinking", Signature: src.id("sim", "1")}
	if display == "summarized" || display == "" && !r.model.dense() {
		thought.Thinking = "The task is: " + quote(r.task(), 120) + ". I look at what was given and answer."
	}
	a.content = append(a.content, thought)
	a.thought = min(20+src.rng.IntN(60), *r.MaxTokens/2)
}

// limit ends the answer at a stop sequence or at max_tokens, and counts its
// tokens.
func (a *answer) limit(r *request) {
	last := &a.content[len(a.content)-1]
	if last.Type == "text" {
		for _, stop := range r.StopSequences {
			if i := strings.Index(last.Text, stop); stop != "" && i >= 0 {
				last.Text = last.Text[:i]
				a.stopReason, a.stopSequence = "stop_sequence", new(stop)
			}
		}
	}
	if last.Text == "" && last.Type == "text" { // the API has no empty blocks
		a.content = a.content[:len(a.content)-1]
	}
	a.output = a.thought
	for i := range a.content {
		c := &a.content[i]
		a.output += r.model.count(len(c.Text)+len(c.Input)) + 2
	}
	if over := a.output - *r.MaxTokens; over > 0 {
		// Cut the text in proportion. A tool's input is never cut to invalid
		// JSON here.
		keep := max(0, len(last.Text)*(*r.MaxTokens)/a.output)
		if last.Type == "text" && last.Text != "" {
			last.Text = strings.ToValidUTF8(last.Text[:min(keep, len(last.Text))], "")
			if last.Text == "" {
				a.content = a.content[:len(a.content)-1]
			}
		}
		a.output, a.stopReason, a.stopSequence = *r.MaxTokens, "max_tokens", nil
		a.thought = min(a.thought, a.output)
	}
}

// userText returns the text of the last user message that has any.
func (r *request) userText() string {
	for i := len(r.Messages) - 1; i >= 0; i-- {
		if m := &r.Messages[i]; m.Role == "user" {
			var parts []string
			for j := range m.Content {
				if b := &m.Content[j]; b.Type == "text" {
					parts = append(parts, b.Text)
				}
			}
			if len(parts) > 0 {
				return strings.Join(parts, "\n")
			}
		}
	}
	return ""
}

// task returns the first line of the user's task, from the last text block that
// holds more than labelled sections.
func (r *request) task() string {
	for _, m := range slices.Backward(r.Messages) {
		if m.Role != "user" {
			continue
		}
		for _, b := range slices.Backward(m.Content) {
			if b.Type != "text" {
				continue
			}
			if line := firstLine(stripSections(b.Text)); line != "" {
				return line
			}
		}
	}
	return firstLine(r.userText())
}

// prose returns an answer as plain text.
func (r *request) prose(src *source) string {
	var sb strings.Builder
	fmt.Fprintf(&sb, "This is a simulated answer, not one of %s.\n\nTask: %s\n", r.model.name, quote(r.task(), 160))
	userText := r.userText()
	if results := r.results(); len(results) > 0 {
		for _, result := range results {
			fmt.Fprintf(&sb, "\nThe tool returned %s.", quote(firstLine(result), 160))
		}
		sb.WriteString("\n")
	}
	if files := sections(userText, "file", "path"); len(files) > 0 {
		fmt.Fprintf(&sb, "\nFiles given: %d\n", len(files))
		for _, f := range files[:min(len(files), 10)] {
			sb.WriteString("- " + describeFile(f) + "\n")
		}
	}
	if steps := sections(userText, "step", "id"); len(steps) > 0 {
		sb.WriteString("\nEarlier steps:\n")
		for _, s := range steps {
			fmt.Fprintf(&sb, "- %s (%d words): %s\n", s.name, len(strings.Fields(s.text)), quote(lastLine(s.text), 120))
		}
	}
	sb.WriteString("\nConclusion: " + conclude(src, topic(r.task())))
	return sb.String()
}

// conclude returns a few sentences on a topic. Their number varies, so that
// answers differ in length, time and cost as real ones do.
func conclude(src *source, topic string) string {
	sentences := []string{
		"A real model would now explain %s in its own words.",
		"What matters most about %s is stated first, details follow.",
		"The material given is enough to say something about %s.",
		"One risk with %s is to take an example for a rule.",
		"A small test would show whether %s behaves as described.",
		"For %s the simplest form that works is the best start.",
		"Nothing in the request contradicts this view of %s.",
		"Readers who know %s may skip the introduction.",
		"The next step for %s is to try it on real input.",
	}
	src.rng.Shuffle(len(sentences), func(i, j int) { sentences[i], sentences[j] = sentences[j], sentences[i] })
	var parts []string
	for range 1 + src.rng.IntN(3) {
		for _, s := range sentences[:2+src.rng.IntN(len(sentences)-2)] {
			parts = append(parts, fmt.Sprintf(s, topic))
		}
	}
	return strings.Join(parts, " ")
}

// quote returns the start of s, at most width characters, in quotes.
func quote(s string, width int) string {
	s = strings.TrimSpace(s)
	if runes := []rune(s); len(runes) > width {
		s = strings.TrimSpace(string(runes[:width-1])) + "…"
	}
	return `"` + s + `"`
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// lastLine returns the last line of a previous step's answer, which usually
// summarizes it.
func lastLine(s string) string {
	s = strings.TrimSpace(s)
	line := s[strings.LastIndexByte(s, '\n')+1:]
	return strings.TrimPrefix(line, "Conclusion: ")
}

// topic returns the last words of a task, without its first verb.
func topic(task string) string {
	words := strings.Fields(strings.Trim(task, ".!?: "))
	if len(words) == 0 {
		return "this"
	}
	return strings.Join(words[max(min(1, len(words)-1), len(words)-3):], " ")
}
