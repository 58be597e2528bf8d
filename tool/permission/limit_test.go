package permission_test

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/tool/permission"
)

func rulesOf(t interface{ Fatal(...any) }, text string) []permission.Rule {
	parsed, err := permission.ParseRules(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestLimits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	agent := permission.Limit{By: "the agent's file", Rules: rulesOf(t, "Read(src/**), Bash(git:*), Edit(src/**), Write, Grep"), Named: true}
	step := permission.Limit{By: "the step", Rules: rulesOf(t, "Edit(docs/**), Bash(go test:*)")}
	cases := []struct {
		name, tool, input string
		limits            []permission.Limit
		want              permission.Outcome
	}{
		{"agent: the command", "Bash", `{"command":"git push"}`, []permission.Limit{agent}, permission.Allow},
		{"agent: another", "Bash", `{"command":"make"}`, []permission.Limit{agent}, permission.Deny},
		{"agent: both", "Bash", `{"command":"git push && make"}`, []permission.Limit{agent}, permission.Deny},
		{"agent: one that reads", "Bash", `{"command":"ls src"}`, []permission.Limit{agent}, permission.Allow},
		{"agent: reads there", "Read", `{"file_path":"src/a.go"}`, []permission.Limit{agent}, permission.Allow},
		{"agent: reads elsewhere", "Read", `{"file_path":"b.go"}`, []permission.Limit{agent}, permission.Deny},
		{"agent: searches anywhere", "Grep", `{"pattern":"x"}`, []permission.Limit{agent}, permission.Allow},
		{"agent: edits there", "Edit", `{"file_path":"src/a.go"}`, []permission.Limit{agent}, permission.Allow},
		{"agent: edits elsewhere", "Edit", `{"file_path":"b.go"}`, []permission.Limit{agent}, permission.Deny},
		{"agent: a tool without rule", "WebFetch", `{"url":"https://example.com"}`, []permission.Limit{agent}, permission.Allow},
		{"step: reads", "Read", `{"file_path":"b.go"}`, []permission.Limit{step}, permission.Allow},
		{"step: edits there", "Write", `{"file_path":"docs/a.md"}`, []permission.Limit{step}, permission.Allow},
		{"step: edits elsewhere", "Write", `{"file_path":"a.md"}`, []permission.Limit{step}, permission.Deny},
		{"step: a tool without rule", "WebFetch", `{"url":"https://example.com"}`, []permission.Limit{step}, permission.Deny},
		{"step: starts an agent", "Agent", `{}`, []permission.Limit{step}, permission.Allow},
		{"both", "Bash", `{"command":"go test ./..."}`, []permission.Limit{agent, step}, permission.Deny},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := &permission.Policy{Mode: permission.ModeBypass, Dir: dir, Limits: c.limits}
			if d := p.Check(c.tool, json.RawMessage(c.input), dir); d.Outcome != c.want {
				t.Errorf("outcome %d (%s); want %d", d.Outcome, d.Reason, c.want)
			}
		})
	}
}

// A limit allows nothing that the policy without it does not.
func TestALimitOnlyNarrows(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	modes := []permission.Mode{permission.ModeDefault, permission.ModeAcceptEdits, permission.ModePlan, permission.ModeDontAsk, permission.ModeBypass}
	rule := rapid.SampledFrom([]string{"Bash", "Bash(git:*)", "Bash(go test:*)", "Edit(src/**)", "Edit", "Write", "Read", "Read(//etc/**)", "WebFetch(domain:a.b)", "Agent(x)", "mcp__s", "*"})
	call := rapid.SampledFrom([][2]string{
		{"Bash", `{"command":"git push"}`}, {"Bash", `{"command":"go test ./... > out"}`}, {"Bash", `{"command":"rm -rf src"}`},
		{"Read", `{"file_path":"/etc/passwd"}`}, {"Read", `{"file_path":"a"}`}, {"Write", `{"file_path":"src/a"}`}, {"Edit", `{"file_path":".git/config"}`},
		{"WebFetch", `{"url":"https://a.b/c"}`}, {"Agent", `{"subagent_type":"x"}`}, {"mcp__s__t", `{}`},
	})
	rapid.Check(t, func(t *rapid.T) {
		some := func(label string) (list []permission.Rule) {
			for _, text := range rapid.SliceOfN(rule, 0, 3).Draw(t, label) {
				list = append(list, rulesOf(t, text)...)
			}
			return list
		}
		p := permission.Policy{Mode: rapid.SampledFrom(modes).Draw(t, "mode"), Allow: some("allow"), Ask: some("ask"), Deny: some("deny"), Dir: dir}
		narrow := p
		narrow.Limits = []permission.Limit{{By: "a test", Rules: some("limit"), Named: rapid.Bool().Draw(t, "named")}}
		c := call.Draw(t, "call")
		was, is := p.Check(c[0], json.RawMessage(c[1]), dir), narrow.Check(c[0], json.RawMessage(c[1]), dir)
		if is.Outcome > was.Outcome {
			t.Fatalf("%v without the limit, %v with it", was, is)
		}
	})
}
