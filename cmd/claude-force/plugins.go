package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/plugin"
)

func (a *app) plugins() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plugins",
		Short: "Install plugins: agents, skills, commands, workflows and MCP servers",
		Long: `A plugin has agents, skills, commands, workflows and MCP servers, under its name: the
agent reviewer of the plugin tools is tools:reviewer. A plugin is pinned in the project's
claude-force.lock, by commit and by a hash of its content, and refused if the content
changes. Nothing of it is run when it is installed, and hooks are not run at all.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.pluginsAdd(), a.pluginsList(), a.pluginsRemove(), a.pluginsVerify())
	return cmd
}

// pluginStore returns the plugins of the project in the working directory.
func (a *app) pluginStore() (*plugin.Store, error) {
	cfg, err := a.settings()
	if err != nil {
		return nil, err
	}
	return claudeforce.OpenPlugins(cfg, ".")
}

// pluginJSON is a plugin in JSON.
type pluginJSON struct {
	plugin.Entry
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
}

func (a *app) pluginsAdd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "add SOURCE[@REF][#PLUGIN]",
		Short: "Install a plugin and pin it",
		Long: `SOURCE is a folder, or the URL of a Git repository (https, ssh or file); REF is a
branch, a tag or a commit. PLUGIN is a plugin of a marketplace, which is a source with a
.claude-plugin/marketplace.json. A plugin of the same name is replaced.`,
		Example: `  claude-force plugins add ./my-plugin
  claude-force plugins add https://example.com/team/plugin.git@v1.2.0
  claude-force plugins add https://example.com/team/marketplace.git#review`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := a.pluginStore()
			if err != nil {
				return err
			}
			entry, err := store.Add(cmd.Context(), args[0])
			if err != nil {
				return inputError{err}
			}
			if asJSON {
				return printJSON(a.stdout, entry)
			}
			a.say("installed %s, pinned in %s", entry.Name, plugin.LockName)
			p, err := store.Read(entry)
			if err != nil {
				return err
			}
			for _, list := range []struct {
				what  string
				names []string
			}{{"agents in", p.Agents}, {"skills in", p.Skills}, {"commands in", p.Commands}, {"workflows in", p.Workflows}, {"MCP servers:", slices.Sorted(maps.Keys(p.MCPServers))}, {"hooks, which are not run, in", p.Hooks}} {
				if len(list.names) > 0 {
					a.say("it has %s %s", list.what, strings.Join(list.names, ", "))
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

func (a *app) pluginsList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the plugins of the project",
		Example: `  claude-force plugins list
  claude-force plugins list --json | jq -r '.[].name'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.printPlugins(asJSON)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func (a *app) pluginsVerify() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Compare the plugins with what was pinned",
		Long: `Compares the content of each plugin with the hash in claude-force.lock. Exit code 1
says that one has changed or is not installed.`,
		Example: `  claude-force plugins verify
  claude-force plugins verify --json | jq '.[] | select(.ok | not)'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			bad, err := a.printPlugins(asJSON)
			if err == nil && bad {
				return errReported
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// printPlugins prints the plugins and what is wrong with them, and reports whether
// something is.
func (a *app) printPlugins(asJSON bool) (bad bool, err error) {
	store, err := a.pluginStore()
	if err != nil {
		return false, err
	}
	entries, err := store.List()
	if err != nil {
		return false, inputError{err}
	}
	list := []pluginJSON{}
	rows := [][]string{{"NAME", "STATE", "COMMIT", "SOURCE"}}
	for _, e := range entries {
		j := pluginJSON{Entry: e, OK: true}
		state := "ok"
		if err := store.Verify(e); err != nil {
			bad, j.OK, j.Problem, state = true, false, err.Error(), "changed"
			if p, ok := errors.AsType[*plugin.Problem](err); ok && p.Missing {
				state = "missing"
			}
			if !asJSON {
				a.say("warning: %v", err)
			}
		}
		list = append(list, j)
		source := e.Source
		if e.Ref != "" {
			source += "@" + e.Ref
		}
		rows = append(rows, []string{e.Name, state, fmt.Sprintf("%.12s", e.Commit), source})
	}
	switch {
	case asJSON:
		return bad, printJSON(a.stdout, list)
	case len(list) == 0:
		a.say("there are no plugins")
		return false, nil
	}
	return bad, table(a.stdout, rows)
}

func (a *app) pluginsRemove() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a plugin and its content",
		Example: `  claude-force plugins remove review
  claude-force plugins remove review --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			store, err := a.pluginStore()
			if err != nil {
				return err
			}
			if err := store.Remove(args[0]); err != nil {
				if _, unknown := errors.AsType[*plugin.UnknownError](err); unknown {
					return inputError{err}
				}
				return err
			}
			a.say("removed %s", args[0])
			if asJSON {
				return printJSON(a.stdout, struct {
					Name string `json:"name"`
				}{args[0]})
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}
