package engine_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// file returns a workflow file with the steps, every other one in blocks of YAML. word is what its vars show.
func (p *plan) file(steps []*planned, most int, word string) string {
	m := map[string]any{"steps": p.stepsAsData(steps), "vars": map[string]any{"word": "no number", "made": "made " + word}}
	if most > 0 {
		m["max_parallel"] = most
	}
	if word == "at the top" {
		m["output"] = p.outputSource("all", steps)
	} else {
		m["params"] = map[string]any{"given": map[string]any{"type": "string"}}
	}
	data, err := json.MarshalIndent(m, "", " ")
	if p.seed%2 == 1 {
		data, err = yaml.Marshal(m)
	}
	if err != nil {
		panic(err) // texts, numbers, lists and mappings
	}
	return string(data)
}

// readSource returns an expression that reads a result.
func (p *plan) readSource(id string, optional bool) string {
	field, mark, instead := "output", "", ""
	if p.byID[id].each() {
		field, instead = "json", " ?? 'no list'"
	}
	if optional {
		mark, instead = "?", " ?? 'none'"
	}
	return fmt.Sprintf(" ${{ steps.%s%s.%s%s }}", id, mark, field, instead)
}

// textSource returns the text of a step, with its expressions.
func (p *plan) textSource(s *planned) string {
	var b strings.Builder
	b.WriteString("do " + s.id)
	if len(s.deps) > 0 && s.join == 0 {
		b.WriteString(p.readSource(s.deps[len(s.deps)-1], false))
	}
	for _, id := range s.reads {
		b.WriteString(p.readSource(id, false))
	}
	for _, id := range s.perhaps {
		b.WriteString(p.readSource(id, true))
		fmt.Fprintf(&b, " ${{ steps.%s.error == '' ? 'fine' : 'why' }}", id)
		if p.byID[id].kind == "approval" {
			fmt.Fprintf(&b, " ${{ steps.%s.reason }}", id)
		}
	}
	for _, id := range s.outer {
		b.WriteString(p.readSource(id, true))
	}
	for _, name := range s.shows {
		fmt.Fprintf(&b, " ${{ %s }}", name)
	}
	if of := p.standIn[s.id]; len(of) == 1 {
		fmt.Fprintf(&b, " ${{ steps.%s.error == '' ? 'fine' : 'why' }}", of[0])
	}
	return b.String()
}

// outputSource returns the output of steps together.
func (p *plan) outputSource(name string, steps []*planned) string {
	text := "of " + name
	for _, s := range steps {
		if !s.spare {
			text += p.readSource(s.id, true)
		}
	}
	return text
}

// stepsAsData returns the steps as they stand in a file.
func (p *plan) stepsAsData(steps []*planned) []map[string]any {
	var out []map[string]any
	for _, s := range steps {
		m := map[string]any{"id": s.id}
		set := func(key string, v any, if_ bool) {
			if if_ {
				m[key] = v
			}
		}
		text := p.textSource(s)
		switch s.kind {
		case "agent":
			m["agent"], m["task"] = "x", text
		case "run":
			m["run"] = []string{"tool", text}
		case "http":
			m["http"] = map[string]any{"url": "https://example.com/" + s.id, "body": text}
		case "read":
			m["read"] = text
		case "write":
			m["write"] = map[string]any{"path": s.id + ".txt", "content": text}
		case "value":
			m["value"] = map[string]any{"text": text, "mapping": map[string]any{"n": text}, "list": p.listed(s.id), "broken": "${{ int(vars.word) }}"}[s.form]
		case "approval":
			ask := map[string]any{"message": text, "timeout": "1h"}
			switch s.form {
			case "choices":
				ask["choices"] = []string{"x", "y"}
			case "form":
				ask["schema"] = map[string]any{"type": "object", "properties": map[string]any{"n": map[string]any{"type": "integer"}}}
			case "text":
				ask["schema"] = map[string]any{"type": "string"}
			}
			if s.onNo {
				ask["on_no"] = "exit"
			}
			m["approval"] = ask
		case "exit":
			m["exit"] = map[string]any{"": text, "failed": map[string]any{"status": "failed", "message": text}, "code": map[string]any{"message": text, "code": 7}}[s.form]
		case "group":
			m["steps"], m["output"] = p.stepsAsData(s.body), p.outputSource(s.id, s.body)
		case "file":
			p.files[s.id+".yaml"] = p.file(s.body, s.bodyMax, "of ${{ params.given }}")
			m["workflow"], m["output"] = s.id+".yaml", p.outputSource(s.id, s.body)
			m["with"] = map[string]any{"given": text}
		}
		set("dependencies", s.deps, len(s.deps) > 0)
		set("join", s.join, s.join > 0)
		set("join", "settled", s.join < 0)
		switch s.when {
		case "":
		case "true", "false":
			m["when"] = s.when == "true"
		default:
			m["when"] = "${{ steps." + s.when + ".status == 'completed' }}"
		}
		set("when", "steps."+s.whenNot+"?.status != 'completed'", s.whenNot != "")
		set("on_failure", s.onFailure, s.onFailure != "" && s.fallback == "")
		set("on_failure", map[string]string{"fallback": s.fallback}, s.fallback != "")
		p.repetition(s, set)
		set("retries", map[string]any{"max": s.retries, "backoff": "1ns", "max_backoff": "1ns"}, s.retries > 0)
		set("effects", "once", s.once)
		set("save", "saved/"+s.id+".txt", s.saved)
		out = append(out, m)
	}
	return out
}

// repetition sets the keys that say how often the step runs.
func (p *plan) repetition(s *planned, set func(key string, v any, if_ bool)) {
	var in any = s.items
	if s.listOf != "" {
		in = "${{ steps." + s.listOf + ".json }}"
	}
	over := s.items != nil || s.listOf != ""
	set("foreach", in, over && s.itemName == "")
	set("foreach", map[string]any{"item": s.itemName, "in": in}, over && s.itemName != "")
	set("matrix", map[string]any{"m": []string{"x", "y"}, "k": []int{1, 2}, "exclude": []any{map[string]any{"m": "x", "k": 2}}}, s.matrix)
	set("samples", s.samples, s.samples > 0)
	set("min_success", s.minSuccess, s.minSuccess >= 0)
	set("max_parallel", s.maxParallel, s.maxParallel > 0)
	if s.loop == 0 {
		return
	}
	loop := map[string]any{"max": s.loop}
	if s.state {
		loop["state"] = map[string]any{
			"n":    map[string]any{"initial": 1, "next": "${{ loop.state.n * 2 }}"},
			"last": map[string]any{"initial": "none yet", "next": "${{ steps." + s.id + ".output }}"},
		}
	}
	switch {
	case s.until > 0 && s.state:
		loop["until"] = fmt.Sprintf("loop.state.n >= %d", int(math.Pow(2, float64(s.until))))
	case s.until > 0:
		loop["until"] = fmt.Sprintf("${{ loop.index >= %d }}", s.until)
	}
	set("loop", loop, true)
}
