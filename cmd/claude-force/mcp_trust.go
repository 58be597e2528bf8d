package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/internal/terminal"
	"github.com/claude-force/claude-force/mcpclient"
)

func (a *app) mcpTrust() *cobra.Command {
	var (
		o   mcpOptions
		yes bool
	)
	cmd := &cobra.Command{
		Use:   "trust [NAME]",
		Short: "Trust an MCP server, with its command and its tools",
		Long: `Shows what a server runs and what it is given, starts it if you agree, shows its
tools, and keeps them if you agree to that too. Without a name it asks about every
server of the project that is not trusted.

Exit code 1 says that a server was not trusted.`,
		Example: `  claude-force mcp trust
  claude-force mcp trust github
  claude-force mcp trust github --yes`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.mcpOpen(&o)
			if err != nil {
				return err
			}
			servers, err := p.toTrust(args)
			if err != nil {
				return err
			}
			if len(servers) == 0 {
				a.say("there is nothing to trust")
				if o.asJSON {
					return printJSON(a.stdout, []serverJSON{})
				}
				return nil
			}
			if !yes && !a.canAsk() {
				return badInput("there is no terminal to ask on; look at the server with mcp list, and give --yes to trust it")
			}
			failed := false
			list := []serverJSON{}
			for _, s := range servers {
				trusted, err := a.trustServer(cmd.Context(), p, s, yes)
				if err != nil {
					return err
				}
				failed = failed || !trusted
				j, _, err := p.describe(s)
				if err != nil {
					return err
				}
				list = append(list, j)
			}
			if o.asJSON {
				if err := printJSON(a.stdout, list); err != nil {
					return err
				}
			}
			if failed {
				return errReported
			}
			return nil
		},
	}
	o.register(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask: start the server and trust what it offers")
	return cmd
}

// toTrust returns the servers that are to be trusted: the one that args name, or those
// of the project that are not.
func (p *mcpProject) toTrust(args []string) ([]mcpclient.Server, error) {
	if len(args) > 0 {
		s, err := p.named(args[0])
		return []mcpclient.Server{s}, err
	}
	var servers []mcpclient.Server
	for _, s := range p.servers {
		state, _, err := p.store.State(s)
		if err != nil {
			return nil, err
		}
		if state == mcpclient.Untrusted || state == mcpclient.Changed {
			servers = append(servers, s)
		}
	}
	return servers, nil
}

// trustServer shows a server and trusts it if the user agrees.
func (a *app) trustServer(ctx context.Context, p *mcpProject, s mcpclient.Server, yes bool) (trusted bool, err error) {
	j, pin, err := p.describe(s)
	if err != nil {
		return false, err
	}
	text := &strings.Builder{}
	from := s.Source
	if from == "" {
		from = "the command line"
	}
	fmt.Fprintf(text, "MCP server %s of %s\n  %s: %s\n", s.Name, terminal.Line(from), s.Transport, j.Command)
	for _, list := range []struct {
		about string
		names []string
	}{{"variables it gets", j.Env}, {"headers it gets", j.Headers}, {"variables of yours in its entry", j.Variables}} {
		if len(list.names) > 0 {
			fmt.Fprintf(text, "  %s: %s\n", list.about, terminal.Line(strings.Join(list.names, ", ")))
		}
	}
	if j.State == mcpclient.Changed {
		text.WriteString("  its entry changed since you trusted it\n")
	}
	if s.Transport == "stdio" {
		fmt.Fprintf(text, "It runs as you do, without the sandbox, in %s.\n", terminal.Line(s.Project))
	}
	agreed, err := a.agrees(ctx, text.String(), "Start it to see its tools?", yes)
	if err != nil || !agreed {
		return false, err
	}
	m := mcpclient.New(mcpclient.Options{Servers: []mcpclient.Server{s}, Store: p.store, Version: version()})
	offer, notes, err := m.Inspect(ctx, s.Name)
	if err := errors.Join(err, m.Close()); err != nil {
		a.say("MCP server %s: %v", s.Name, err)
		return false, nil
	}
	for _, n := range notes {
		a.say("note: MCP server %s: %s", s.Name, n)
	}
	agreed, err = a.agrees(ctx, offerText(s, pin.Offer, offer, !pin.Time.IsZero()), fmt.Sprintf("Trust it with %s?", plural(len(offer.Tools), "tool")), yes)
	if err != nil || !agreed {
		return false, err
	}
	if _, err := p.store.Trust(s, offer); err != nil {
		return false, err
	}
	a.say("MCP server %s is trusted with %s", s.Name, plural(len(offer.Tools), "tool"))
	return true, nil
}

// agrees shows a text and reports whether the user agrees to the question after it.
func (a *app) agrees(ctx context.Context, text, question string, yes bool) (bool, error) {
	if !yes {
		return a.confirm(ctx, text+question)
	}
	a.say("%s", strings.TrimSuffix(text, "\n"))
	return true, nil
}

// offerText returns what a server offers, for the user who decides about it.
func offerText(s mcpclient.Server, before, now mcpclient.Offer, was bool) string {
	text := &strings.Builder{}
	differ, added := mcpclient.Compare(before, now)
	fmt.Fprintf(text, "Tools of MCP server %s:\n", s.Name)
	for _, t := range now.Tools {
		var marks []string
		if t.ReadOnly {
			marks = append(marks, "says that it only reads")
		}
		if was && slices.Contains(added, t.Name) {
			marks = append(marks, "new")
		}
		if was && slices.Contains(differ, t.Name) {
			marks = append(marks, "changed")
		}
		fmt.Fprintf(text, "  %s", terminal.Line(t.Name))
		if len(marks) > 0 {
			fmt.Fprintf(text, " (%s)", strings.Join(marks, ", "))
		}
		text.WriteByte('\n')
		for line := range strings.SplitSeq(strings.TrimSpace(terminal.Clean(t.Description)), "\n") {
			if line != "" {
				fmt.Fprintf(text, "      %s\n", line)
			}
		}
	}
	for _, name := range differ {
		if !slices.ContainsFunc(now.Tools, func(t mcpclient.Tool) bool { return t.Name == name }) {
			fmt.Fprintf(text, "  %s (gone)\n", terminal.Line(name))
		}
	}
	if now.Instructions != "" {
		text.WriteString("It tells the model:\n")
		for line := range strings.SplitSeq(strings.TrimSpace(terminal.Clean(now.Instructions)), "\n") {
			fmt.Fprintf(text, "      %s\n", line)
		}
	}
	return text.String()
}

func (a *app) mcpUntrust() *cobra.Command {
	var o mcpOptions
	cmd := &cobra.Command{
		Use:     "untrust NAME",
		Short:   "Trust an MCP server no longer",
		Long:    "Forgets what was trusted of a server. A server of the project is not started any more;\none of yours is trusted again at its next use, with what it offers then.",
		Example: `  claude-force mcp untrust github`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := a.mcpOpen(&o)
			if err != nil {
				return err
			}
			s, err := p.named(args[0])
			if err != nil {
				return err
			}
			was, err := p.store.Untrust(s)
			if err != nil {
				return err
			}
			if o.asJSON {
				return printJSON(a.stdout, map[string]any{"name": s.Name, "was_trusted": was})
			}
			if !was {
				a.say("MCP server %s was not trusted", s.Name)
				return nil
			}
			a.say("MCP server %s is trusted no longer", s.Name)
			return nil
		},
	}
	o.register(cmd)
	return cmd
}
