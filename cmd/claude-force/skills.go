package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"unicode"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/skill"
)

func (a *app) skills() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "skills",
		Short: "Show skills and commands",
		Long: `Skills are instructions that agents load when a task needs them
(.claude/skills/NAME/SKILL.md). Commands are instructions that a task starts with
(.claude/commands/NAME.md): claude-force execute AGENT "/NAME arguments". Both are the
project's, the user's or a plugin's.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.skillsList(), a.skillsShow())
	return cmd
}

// skillSet returns the skills and commands that apply in the working directory.
func (a *app) skillSet() (*skill.Set, error) {
	cfg, err := a.settings()
	if err != nil {
		return nil, err
	}
	plugins, err := claudeforce.PluginSkills(cfg, ".")
	if err != nil {
		return nil, inputError{err}
	}
	home, _ := os.UserHomeDir() // without one there are no skills of the user's
	set, err := skill.Discover(skill.Options{Dir: ".", Home: home, Plugins: plugins})
	if err != nil {
		return nil, err
	}
	for _, problem := range set.Problems {
		a.say("warning: %s", problem)
	}
	return set, nil
}

func (a *app) skillsList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the skills and commands",
		Example: `  claude-force skills list
  claude-force skills list --json | jq -r '.[] | select(.command) | .name'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			set, err := a.skillSet()
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(a.stdout, append([]*skill.Skill{}, set.All()...))
			}
			if len(set.All()) == 0 {
				a.say("there are no skills and no commands")
				return nil
			}
			rows := [][]string{{"NAME", "KIND", "FROM", "DESCRIPTION"}}
			for _, k := range set.All() {
				kind := "skill"
				if k.Command {
					kind = "command"
				}
				rows = append(rows, []string{k.Name, kind, string(k.Origin), brief(k.Description)})
			}
			return table(a.stdout, rows)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// brief returns the start of a description, on one line.
func brief(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > 80 {
		return string(runes[:79]) + "…"
	}
	return text
}

func (a *app) skillsShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show a skill or a command as it is written",
		Example: `  claude-force skills show review
  claude-force skills show review --json | jq -r .body`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			set, err := a.skillSet()
			if err != nil {
				return err
			}
			k, err := set.Lookup(args[0])
			if err != nil {
				return inputError{err}
			}
			if asJSON {
				return printJSON(a.stdout, struct {
					*skill.Skill
					Body string `json:"body"`
				}{k, k.Body})
			}
			rows := [][]string{{"Name:", k.Name}, {"From:", string(k.Origin)}, {"File:", k.File}, {"Description:", k.Description}}
			for _, row := range [][]string{{"When to use:", k.WhenToUse}, {"Arguments:", k.ArgumentHint}, {"Model:", k.Model}, {"Asks for:", strings.Join(k.AllowedTools, ", ")}} {
				if row[1] != "" {
					rows = append(rows, row)
				}
			}
			if err := table(a.stdout, rows); err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "\n%s\n", k.Body)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

// commandName matches what may be the name of a command. A path such as /etc/hosts
// has a second slash.
var commandName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[\pL\pN][\pL\pN_.:-]*$`) })

// startCommand replaces a task that names a command, /name arguments, with what the
// command says. A task that begins with a path is left alone.
func (a *app) startCommand(ctx context.Context, f *callFlags, t *claudeforce.Task) error {
	const mark = "/"
	text, slash := strings.CutPrefix(t.Prompt, mark)
	name, args := text, ""
	if i := strings.IndexFunc(text, unicode.IsSpace); i >= 0 {
		name, args = text[:i], strings.TrimSpace(text[i:])
	}
	if !slash || !commandName().MatchString(name) {
		return nil
	}
	set, err := a.skillSet()
	if err != nil {
		return err
	}
	k, err := set.Lookup(name)
	if err != nil {
		if _, exists := os.Lstat("/" + name); exists == nil {
			return nil // it is a path
		}
		return badInput("%w (a task that is no command may start with a blank)", err)
	}
	if k.ModelOnly {
		return badInput("%s is for agents alone (user-invocable: false)", k.Name)
	}
	rules, bad := k.Rules()
	if bad != "" {
		return badInput("%s", bad)
	}
	for _, r := range rules {
		if k.Origin == skill.Project {
			a.say("note: the command %s asks for %s, which a file of the project cannot grant; --allow '%s' does", k.Name, r, r)
			continue
		}
		f.tools.allow = append(f.tools.allow, r.String())
	}
	if !k.Command && k.Origin != skill.Project {
		f.tools.allow = append(f.tools.allow, k.ReadRule().String())
	}
	x, err := a.expandCommand(ctx, f, k, args)
	if err != nil {
		return err
	}
	for _, skipped := range x.Skipped {
		a.say("note: not run: %s", skipped)
	}
	t.Prompt = strings.Join(append([]string{k.Instructions(x)}, x.Files...), "\n\n")
	if t.Model == "" {
		t.Model = k.Model
	}
	return nil
}

// expandCommand fills in a command's arguments, with commands and files under the
// permissions of the flags.
func (a *app) expandCommand(ctx context.Context, f *callFlags, k *skill.Skill, args string) (x skill.Expanded, err error) {
	tools, err := a.toolsOf(ctx, "", "", &f.tools.permissionFlags, &f.mcp)
	if err != nil {
		return x, err
	}
	env, err := tools.Env()
	if err != nil {
		return x, err
	}
	defer func() { err = errors.Join(err, tools.Close(), env.Close()) }()
	return k.Expand(ctx, args, skill.HostOf(func(ctx context.Context, name string, input json.RawMessage) (string, bool) {
		r := tools.Set.Call(ctx, env, llm.Block{Type: llm.BlockToolUse, Name: name, Input: input})
		return r.Text, !r.IsError && r.Blocks == nil
	}))
}
