package main

import (
	"context"
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
	var f callFlags
	cmd := &cobra.Command{
		Use:   "mcp",
		Short: "Serve this project over MCP, and trust the MCP servers that agents use",
		Long: `Without a command, when a client starts it, mcp is "mcp serve": an MCP server for
the agents and workflows of this project.

MCP servers give agents more tools: mcp__SERVER__TOOL. They are configured in
.mcp.json of the project, in ~/.claude.json, and in mcp.json of your configuration
folder, as for Claude Code.

A server runs as you do, without the sandbox. Those of a project are started only after
you trusted them, for this project, with this command and these tools; what changes
later is refused until you trust it again. Your own servers are trusted, and what they
offer is kept at their first use.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.typed {
				return cmd.Help()
			}
			return a.serveMCP(cmd.Context(), &f)
		},
	}
	registerServing(cmd, &f)
	cmd.AddCommand(a.mcpServe(), a.mcpList(), a.mcpTrust(), a.mcpUntrust(), a.mcpTest())
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
	return mcpclient.Sources{
		Given: f.given, Strict: f.strict, Advice: func(server string) string { return "mcp trust " + server },
	}
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
