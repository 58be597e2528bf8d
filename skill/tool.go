package skill

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/tool"
	"github.com/claude-force/claude-force/tool/permission"
	"github.com/claude-force/claude-force/toolset"
)

// ToolName is the name of the tool that loads skills.
const ToolName = "Skill"

// Session is what the tool needs of the task that it works in.
type Session interface {
	// Policy returns what the task may do now.
	Policy() *permission.Policy
	// Allow lets the task do what rules say, from the next call on.
	Allow(rules ...permission.Rule)
	// Ask asks the user about a call. Without anyone to ask, the answer is no.
	Ask(ctx context.Context, name string, input json.RawMessage, reason string) (bool, error)
	// Call runs a tool that comes with the program, under the task's permissions,
	// whether or not the agent is offered it.
	Call(ctx context.Context, env *tool.Env, name string, input json.RawMessage) tool.Result
	// Start starts an agent of a type and returns its report, or false if no agent may
	// be started.
	Start(ctx context.Context, env *tool.Env, which, prompt string) (result tool.Result, ok bool, err error)
}

// NewTool returns the tool with which an agent loads a skill of the set. A skill that
// wants an agent of its own is done by one, whose report is the result, unless no agent
// may be started: then it is loaded as others are.
func NewTool(set *Set, session Session) tool.Tool { return &loadTool{set, session} }

type loadTool struct {
	set     *Set
	session Session
}

func (*loadTool) Definition() llm.Tool {
	return llm.Tool{Name: ToolName, Description: `Loads a skill: instructions for a kind of task, and the files that belong to them.

- skill is the name of one that is listed in this conversation, as it is written there; args are its arguments, if it takes any.
- Load a skill before you start on what it is for. Its instructions follow the result.
- When the user names a command such as /review, load the skill of that name.
- Do not load a skill again whose instructions you have.`, InputSchema: json.RawMessage(`{
	"type": "object", "additionalProperties": false, "required": ["skill"],
	"properties": {
		"skill": {"type": "string", "description": "name of the skill"},
		"args": {"type": "string", "description": "its arguments"}
	}}`)}
}

func (*loadTool) Concurrent(json.RawMessage) bool { return false }

func (t *loadTool) Call(ctx context.Context, env *tool.Env, input json.RawMessage) (tool.Result, error) {
	var in struct{ Skill, Args string }
	if err := json.Unmarshal(input, &in); err != nil {
		return tool.Result{}, fmt.Errorf("reading the input: %w", err)
	}
	k, err := t.set.Lookup(in.Skill)
	if err != nil {
		return tool.Failed("<tool_use_error>" + err.Error() + "</tool_use_error>"), nil
	}
	if k.UserOnly {
		return tool.Failed(fmt.Sprintf("<tool_use_error>%s is loaded by users only (disable-model-invocation).</tool_use_error>", k.Name)), nil
	}
	if result, ok, err := t.permit(ctx, env, k, input); err != nil || !ok {
		return result, err
	}
	if err := t.showFiles(env, k); err != nil {
		return tool.Result{}, err
	}
	x, err := k.Expand(ctx, in.Args, HostOf(func(ctx context.Context, name string, input json.RawMessage) (string, bool) {
		r := t.session.Call(ctx, env, name, input)
		return r.Text, !r.IsError && r.Blocks == nil
	}))
	if err != nil {
		return tool.Result{}, err
	}
	text := k.Instructions(x)
	if k.Fork {
		report, ok, err := t.session.Start(ctx, env, k.Agent, strings.Join(append([]string{text}, x.Files...), "\n\n"))
		if ok || err != nil {
			return report, err
		}
	}
	result := tool.Text("Launching skill: " + k.Name)
	if !env.Remember(fmt.Sprintf("skill %s %x", k.Name, sha256.Sum256([]byte(text)))) {
		result.Notes = []llm.Block{llm.TextBlock(fmt.Sprintf("The skill %s is loaded already: follow the instructions above.", k.Name))}
		return result, nil
	}
	for _, text := range append([]string{text}, x.Files...) {
		result.Notes = append(result.Notes, llm.TextBlock(text))
	}
	return result, nil
}

// Instructions returns the expanded body as the model reads it.
func (s *Skill) Instructions(x Expanded) string {
	if s.Command {
		return x.Text
	}
	return "Base directory for this skill: " + s.Dir + "\n\n" + x.Text
}

// permit decides whether a skill may be loaded. One that asks for rules needs
// permission. The rules hold from then on if the user's own skill or a plugin asks for
// them, or if the user said yes to this call; a rule of the user's that allows a
// project's skill does not grant what the project's file says.
func (t *loadTool) permit(ctx context.Context, env *tool.Env, k *Skill, input json.RawMessage) (result tool.Result, ok bool, err error) {
	rules, bad := k.Rules()
	if bad != "" {
		return tool.Failed(bad), false, nil
	}
	policy := t.session.Policy()
	if len(rules) == 0 || policy.Mode == permission.ModeBypass {
		return tool.Result{}, true, nil
	}
	if policy.Names(ToolName, k.Name) {
		if k.Origin != Project {
			t.session.Allow(rules...)
			for _, r := range rules {
				env.Remember(toolset.AllowFact + r.String() + toolset.AllowedBySkill + k.Name)
			}
		}
		return tool.Result{}, true, nil
	}
	reason := fmt.Sprintf("The skill %s needs permission: it asks for %s.", k.Name, strings.Join(texts(rules), ", "))
	if policy.Mode == permission.ModeDontAsk {
		return tool.Failed(reason + " This mode asks no one."), false, nil
	}
	yes, err := t.session.Ask(ctx, ToolName, input, reason)
	if err != nil || !yes {
		return tool.Failed(reason), false, err
	}
	t.allow(env, rules...)
	return tool.Result{}, true, nil
}

// allow lets the task do what rules say, also if it goes on in another process.
func (t *loadTool) allow(env *tool.Env, rules ...permission.Rule) {
	t.session.Allow(rules...)
	for _, r := range rules {
		env.Remember(toolset.AllowFact + r.String())
	}
}

// Rules returns the permission rules that the skill asks for and that widen
// something: reading in the project needs no permission, and no skill is granted
// reading elsewhere. bad says, for the model, which of them is none.
func (s *Skill) Rules() (rules []permission.Rule, bad string) {
	for _, text := range s.AllowedTools {
		rule, err := permission.ParseRule(text)
		if err != nil {
			return nil, fmt.Sprintf("%s cannot be loaded: allowed-tools: %v", s.Name, err)
		}
		if !rule.All || !slices.Contains([]string{"Read", "Glob", "Grep", "LS", "NotebookRead", "TodoWrite", ToolName, "Agent"}, rule.Tool) {
			rules = append(rules, rule)
		}
	}
	return rules, ""
}

func texts(rules []permission.Rule) []string {
	list := make([]string, len(rules))
	for i, r := range rules {
		list[i] = r.String()
	}
	return list
}

// showFiles lets the agent read the files of a skill that is outside the project.
func (t *loadTool) showFiles(env *tool.Env, k *Skill) error {
	if k.Command || k.Origin == Project {
		return nil
	}
	t.allow(env, k.ReadRule())
	return env.GrantRead(k.folder())
}

// folder returns the folder whose files belong to the skill. Scripts of a plugin are
// often shared by its skills.
func (s *Skill) folder() string { return cmp.Or(s.Root, s.Dir) }

// ReadRule returns the rule that allows reading the files that belong to the skill.
func (s *Skill) ReadRule() permission.Rule { return permission.FolderRule("Read", s.folder()) }

// HostOf returns what bodies may use with a function that calls tools under the
// permissions of a task, and reports whether a call gave a text.
func HostOf(call func(ctx context.Context, name string, input json.RawMessage) (text string, ok bool)) Host {
	with := func(ctx context.Context, name, key, value string) (string, bool) {
		input, err := json.Marshal(map[string]string{key: value})
		if err != nil {
			return err.Error(), false
		}
		return call(ctx, name, input)
	}
	return Host{
		Run: func(ctx context.Context, command string) (string, error) {
			text, ok := with(ctx, "Bash", "command", command)
			if !ok {
				return "", errors.New(text)
			}
			return text, nil
		},
		Read: func(ctx context.Context, path string) (string, bool) { return with(ctx, "Read", "file_path", path) },
	}
}
