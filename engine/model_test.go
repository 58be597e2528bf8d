package engine_test

import (
	"fmt"
	"strings"

	"github.com/claude-force/claude-force/engine"
)

// model says how every unit of a plan must end, without a thought of time.
type model struct {
	*plan
	want map[string]string // by unit
}

// verdict is how a step ended, and what that is to others.
type verdict struct {
	status, counts string
	lets           bool // what depends on it go on
}

// level ends the steps of a frame and reports whether none failed for good.
func (m *model) level(steps []*planned, prefix, item string) bool {
	done, ok := map[string]verdict{}, true
	var end func(s *planned) verdict
	end = func(s *planned) verdict {
		if v, known := done[s.id]; known {
			return v
		}
		met, v := 0, verdict{status: "skipped", counts: "skipped"}
		for _, id := range s.deps {
			if end(m.byID[id]).lets {
				met++
			}
		}
		need := len(s.deps)
		if s.join != 0 {
			need = max(s.join, 0)
		}
		for _, id := range s.reads {
			if !end(m.byID[id]).lets {
				need = len(s.deps) + 1
			}
		}
		for _, id := range s.perhaps {
			end(m.byID[id])
		}
		switch {
		case met < need, s.when == "false", s.when != "" && s.when != "true" && done[s.when].counts != "completed":
		case m.run(s, prefix+s.id, item, done):
			v = verdict{"completed", "completed", true}
		default:
			v = verdict{status: "failed", counts: "failed"}
			switch {
			case s.fallback != "" && end(m.byID[s.fallback]).counts == "completed":
				v.counts, v.lets = "completed", true
			case s.onFailure == "continue" && !(s.each() && (s.listOf == "" || done[s.listOf].status == "completed")):
				v.lets = true
			case s.onFailure != "skip_dependents":
				ok = false
			}
		}
		done[s.id] = v
		m.want[unitName(prefix+s.id, item)] = v.status
		return v
	}
	for _, s := range steps {
		if !s.spare {
			end(s)
		}
	}
	if prefix == "" && ok { // a run in which nothing succeeds has failed
		continued := false
		for _, s := range steps {
			v := done[s.id]
			if v.counts == "completed" {
				return m.rest(steps, done, prefix, item, ok)
			}
			continued = continued || v.status == "failed" && s.onFailure == "continue"
		}
		ok = !continued
	}
	return m.rest(steps, done, prefix, item, ok)
}

// rest fills in what the steps in reserve come to, and returns ok.
func (m *model) rest(steps []*planned, done map[string]verdict, prefix, item string, ok bool) bool {
	for _, s := range steps { // of those in reserve, the rest
		if _, known := done[s.id]; !known {
			m.want[unitName(prefix+s.id, item)] = "skipped"
		}
	}
	return ok
}

// run reports whether a step that is begun completes.
func (m *model) run(s *planned, path, item string, done map[string]verdict) bool {
	switch {
	case s.each():
		items := s.items
		if s.listOf != "" {
			if done[s.listOf].status != "completed" {
				return false // no list
			}
			items = m.listed(s.listOf)
		}
		ok, some := true, len(items) == 0
		for _, key := range keysOf(items) {
			good := m.once(s, path, under(item, key))
			m.want[unitName(path, under(item, key))] = map[bool]string{true: "completed", false: "failed"}[good]
			ok, some = ok && good, some || good
		}
		return ok || some && s.onFailure == "continue"
	case s.loop > 0:
		for i := 1; i <= s.loop; i++ {
			for name := range m.want { // the result has the last iteration's
				_, of, _ := strings.Cut(name, " ")
				if strings.HasPrefix(name, fmt.Sprintf("%s@%d/", path, i-1)) && (item == "" || of == item || strings.HasPrefix(of, item+"/")) {
					delete(m.want, name)
				}
			}
			if !m.once(s, fmt.Sprintf("%s@%d", path, i), item) {
				return false
			}
			if s.until > 0 && i >= s.until {
				break
			}
		}
		return true
	}
	return m.once(s, path, item)
}

func (m *model) once(s *planned, path, item string) bool {
	switch s.kind {
	case "approval":
		_, d, answers := m.decide(path, item)
		return answers && d.Approved
	case "agent":
		for n := 1; n <= s.retries+1; n++ {
			if err := m.fails(path, item, n); err != errBusy {
				return err == nil
			}
		}
		return false
	}
	return m.level(s.body, path+"/", item)
}

// ends are the statuses in a result by unit, as in the model.
func ends(res *engine.Result, say func(*engine.StepResult) string) map[string]string {
	got := map[string]string{}
	var walk func(steps map[string]*engine.StepResult, prefix, item string)
	walk = func(steps map[string]*engine.StepResult, prefix, item string) {
		for id, s := range steps {
			path := prefix + id
			got[unitName(path, item)] = say(s)
			within := path
			if s.Iterations > 0 {
				within = fmt.Sprintf("%s@%d", path, s.Iterations)
			}
			walk(s.Steps, within+"/", item)
			for _, i := range s.Items {
				got[unitName(path, under(item, i.Key))] = say(i.StepResult)
				walk(i.Steps, path+"/", under(item, i.Key))
			}
		}
	}
	walk(res.Steps, "", "")
	return got
}

func statusOf(s *engine.StepResult) string { return string(s.Status) }
