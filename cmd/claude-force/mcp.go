package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/internal/nearest"
	"github.com/claude-force/claude-force/internal/terminal"
	"github.com/claude-force/claude-force/mcpclient"
)

func (a *app) mcp() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mcp",
		Short: "Show, trust and try the MCP servers that agents use",
		Long: `MCP servers give agents more tools: mcp__SERVER__TOOL. They are configured in
.mcp.json of the project, in ~/.claude.json, and in mcp.json of your configuration
folder, as for Claude Code.

A server runs as you do, without the sandbox. Those of a project are started only after
you trusted them, for this project, with this command and these tools; what changes
later is refused until you trust it again. Your own servers are trusted, and what they
offer is kept at their first use.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.mcpList(), a.mcpTrust(), a.mcpUntrust(), a.mcpTest())
	return cmd
}

// mcpFlags are the flags that name MCP servers.
type mcpFlags struct {
	given  []string
	strict bool
}

func (f *mcpFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.given, "mcp-config", nil, "more MCP servers, in a `file` like .mcp.json or as its JSON text; may be repeated")
	flags.BoolVar(&f.strict, "strict-mcp-config", false, "only the MCP servers of --mcp-config")
}

func (f *mcpFlags) sources() mcpclient.Sources {
	return mcpclient.Sources{Given: f.given, Strict: f.strict}
}

// mcpProject is what the commands about servers work on.
type mcpProject struct {
	servers []mcpclient.Server
	store   *mcpclient.Store
}

// mcpOptions are the flags of the commands about servers.
type mcpOptions struct {
	mcpFlags
	dir    string
	asJSON bool
}

func (o *mcpOptions) register(cmd *cobra.Command) {
	o.mcpFlags.register(cmd)
	cmd.Flags().StringVar(&o.dir, "dir", ".", "the project's `folder`")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON")
}

func (a *app) mcpOpen(o *mcpOptions) (*mcpProject, error) {
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return nil, badInput("--dir: %w", err)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, badInput("--dir: %s is not a folder", dir)
	}
	cfg, err := a.settingsIn(dir)
	if err != nil {
		return nil, err
	}
	sources, err := claudeforce.MCPSources(claudeforce.Options{Dir: dir, MCP: o.sources()}, cfg)
	if err != nil {
		return nil, err
	}
	servers, notes, err := mcpclient.Load(sources)
	if err != nil {
		return nil, badInput("%w", err)
	}
	for _, text := range notes {
		a.say("note: %s", text)
	}
	return &mcpProject{servers, claudeforce.MCPStore(cfg)}, nil
}

// named returns the server with a name.
func (p *mcpProject) named(name string) (mcpclient.Server, error) {
	var names []string
	for _, s := range p.servers {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	if near := nearest.Name(name, names); near != "" {
		return mcpclient.Server{}, badInput("there is no MCP server %q; did you mean %s?", name, near)
	}
	if len(names) == 0 {
		return mcpclient.Server{}, badInput("there is no MCP server %q: none is configured", name)
	}
	return mcpclient.Server{}, badInput("there is no MCP server %q; there are %s", name, strings.Join(names, ", "))
}

// serverJSON is a server as commands print it. Values of variables, of the
// environment and of headers are left out.
type serverJSON struct {
	Name      string          `json:"name"`
	Scope     mcpclient.Scope `json:"scope"`
	Source    string          `json:"source,omitempty"`
	Transport string          `json:"transport"`
	Command   string          `json:"command"`
	Env       []string        `json:"env,omitempty"`
	Headers   []string        `json:"headers,omitempty"`
	Variables []string        `json:"variables,omitempty"`
	State     mcpclient.State `json:"state"`
	Trusted   *time.Time      `json:"trusted,omitempty"`
	Tools     []string        `json:"tools"`
}

func (p *mcpProject) describe(s mcpclient.Server) (serverJSON, mcpclient.Pin, error) {
	state, pin, err := p.store.State(s)
	j := serverJSON{
		Name: s.Name, Scope: s.Scope, Source: s.Source, Transport: s.Transport, Command: s.Shown(),
		Env: slices.Sorted(maps.Keys(s.Env)), Headers: slices.Sorted(maps.Keys(s.Headers)), Variables: s.Variables(), State: state, Tools: []string{},
	}
	if !pin.Time.IsZero() {
		j.Trusted = &pin.Time
	}
	for _, t := range pin.Tools {
		j.Tools = append(j.Tools, t.Name)
	}
	return j, pin, err
}

func (a *app) mcpList() *cobra.Command {
	var o mcpOptions
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the MCP servers, and whether they are trusted",
		Example: `  claude-force mcp list
  claude-force mcp list --json | jq -r '.[] | select(.state != "trusted") | .name'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			p, err := a.mcpOpen(&o)
			if err != nil {
				return err
			}
			list := []serverJSON{}
			rows := [][]string{{"server", "scope", "state", "tools", "command or address"}}
			for _, s := range p.servers {
				j, _, err := p.describe(s)
				if err != nil {
					return err
				}
				list = append(list, j)
				rows = append(rows, []string{j.Name, string(j.Scope), string(j.State), fmt.Sprint(len(j.Tools)), j.Command})
			}
			if o.asJSON {
				return printJSON(a.stdout, list)
			}
			if len(list) == 0 {
				a.say("no MCP servers are configured")
				return nil
			}
			return table(a.stdout, rows)
		},
	}
	o.register(cmd)
	return cmd
}

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
	agreed, err := a.agrees(ctx, text.String()+"Start it to see its tools?", yes)
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
	agreed, err = a.agrees(ctx, offerText(s, pin.Offer, offer, !pin.Time.IsZero())+fmt.Sprintf("Trust it with %s?", plural(len(offer.Tools), "tool")), yes)
	if err != nil || !agreed {
		return false, err
	}
	if _, err := p.store.Trust(s, offer); err != nil {
		return false, err
	}
	a.say("MCP server %s is trusted with %s", s.Name, plural(len(offer.Tools), "tool"))
	return true, nil
}

// agrees shows a text that ends in a question and reports whether the user agrees.
func (a *app) agrees(ctx context.Context, text string, yes bool) (bool, error) {
	if !yes {
		return a.confirm(ctx, text)
	}
	shown, _ := cutLast(text)
	if shown != "" {
		a.say("%s", shown)
	}
	return true, nil
}

// cutLast returns a text without its last line, and that line.
func cutLast(text string) (rest, last string) {
	i := strings.LastIndexByte(text, '\n')
	if i < 0 {
		return "", text
	}
	return text[:i], text[i+1:]
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

// testJSON is the result of `mcp test --json`.
type testJSON struct {
	Name    string          `json:"name"`
	State   mcpclient.State `json:"state"`
	OK      bool            `json:"ok"`
	Problem string          `json:"problem,omitempty"`
	Seconds float64         `json:"seconds"`
	Tools   []string        `json:"tools"`
	Changed []string        `json:"changed,omitempty"` // since it was trusted
	New     []string        `json:"new,omitempty"`
}

func (a *app) mcpTest() *cobra.Command {
	var o mcpOptions
	cmd := &cobra.Command{
		Use:   "test [NAME]",
		Short: "Start MCP servers and compare their tools with what was trusted",
		Long: `Starts a server, or all, and lists its tools. A server of the project that is not
trusted is not started.

Exit code 1 says that a server could not be started, is not trusted, or changed.`,
		Example: `  claude-force mcp test
  claude-force mcp test github --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.mcpOpen(&o)
			if err != nil {
				return err
			}
			servers := p.servers
			if len(args) > 0 {
				s, err := p.named(args[0])
				if err != nil {
					return err
				}
				servers = []mcpclient.Server{s}
			}
			m := mcpclient.New(mcpclient.Options{Servers: servers, Store: p.store, Version: version()})
			results := []testJSON{}
			for _, s := range servers {
				result, err := a.testServer(cmd.Context(), p, m, s)
				if err != nil {
					return closing(err, m)
				}
				results = append(results, result)
			}
			if err := m.Close(); err != nil {
				return err
			}
			if o.asJSON {
				if err := printJSON(a.stdout, results); err != nil {
					return err
				}
			} else if err := a.printTests(results); err != nil {
				return err
			}
			if slices.ContainsFunc(results, func(r testJSON) bool { return !r.OK }) {
				return errReported
			}
			return nil
		},
	}
	o.register(cmd)
	return cmd
}

func (a *app) testServer(ctx context.Context, p *mcpProject, m *mcpclient.Manager, s mcpclient.Server) (testJSON, error) {
	state, pin, err := p.store.State(s)
	result := testJSON{Name: s.Name, State: state, Tools: []string{}}
	if err != nil {
		return result, err
	}
	if state == mcpclient.Untrusted || state == mcpclient.Changed {
		result.Problem = "it is not started: trust it with claude-force mcp trust " + s.Name
		return result, nil
	}
	started := time.Now()
	offer, notes, err := m.Inspect(ctx, s.Name)
	result.Seconds = time.Since(started).Seconds()
	if ctx.Err() != nil {
		return result, errInterrupted
	}
	if err != nil {
		result.Problem = err.Error()
		return result, nil
	}
	for _, n := range notes {
		a.say("note: MCP server %s: %s", s.Name, n)
	}
	for _, t := range offer.Tools {
		result.Tools = append(result.Tools, t.Name)
	}
	if state == mcpclient.Trusted {
		result.Changed, result.New = mcpclient.Compare(pin.Offer, offer)
	}
	result.OK = len(result.Changed) == 0
	if !result.OK {
		result.Problem = "tools changed since it was trusted; look at them with claude-force mcp trust " + s.Name
	}
	return result, nil
}

func (a *app) printTests(results []testJSON) error {
	if len(results) == 0 {
		a.say("no MCP servers are configured")
		return nil
	}
	var rows [][]string
	for _, r := range results {
		outcome := "ok"
		if !r.OK {
			outcome = "failed"
		}
		detail := fmt.Sprintf("%s in %.1f s", plural(len(r.Tools), "tool"), r.Seconds)
		if r.Problem != "" {
			detail = r.Problem
		}
		if len(r.New) > 0 {
			detail += fmt.Sprintf("; %d new, not used until trusted", len(r.New))
		}
		rows = append(rows, []string{r.Name, outcome, terminal.Line(detail)})
	}
	return table(a.stdout, rows)
}

// completeServers offers the names of MCP servers.
func (a *app) completeServers(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	p, err := a.mcpOpen(&mcpOptions{dir: "."})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, s := range p.servers {
		names = append(names, s.Name+"\t"+s.Shown())
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
