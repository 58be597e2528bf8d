package claudeforce

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/mcpclient"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/toolset"
)

// MCPSources returns where the MCP servers of a project are configured: its
// .mcp.json, ~/.claude.json, mcp.json in the user's configuration folder, and plugins.
// The error is for a plugin whose content has changed.
func MCPSources(opts Options, cfg *config.Config) (mcpclient.Sources, error) {
	s := opts.MCP
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return s, err
	}
	s.Dir = dir
	if s.Home == "" {
		s.Home, _ = os.UserHomeDir() // without one, there are no files of the user
	}
	if folder, err := os.UserConfigDir(); err == nil {
		s.UserFiles = append([]string{filepath.Join(folder, "claude-force", "mcp.json")}, s.UserFiles...)
	}
	plugins, err := loadPlugins(cfg, dir)
	if err != nil {
		return s, err
	}
	for _, p := range plugins {
		s.Plugins = append(s.Plugins, mcpclient.PluginServers{Plugin: p.Name, Dir: p.Dir, Servers: p.MCPServers})
	}
	return s, nil
}

// MCPStore returns the store of the MCP servers that the user trusts.
func MCPStore(cfg *config.Config) *mcpclient.Store {
	return mcpclient.NewStore(pipeline.DataDir(cfg.DataDir).MCPTrust())
}

// servers are the MCP servers of a project. Their files are read when an agent may
// use them first.
type servers struct {
	sources mcpclient.Sources
	store   *mcpclient.Store
	notice  func(ctx context.Context, text string)
	shared  bool // by the tasks of an orchestrator, which closes them

	opening sync.Mutex // guards the field below
	manager *mcpclient.Manager
}

// newServers returns the servers for the orchestrator o, which may be nil. Those that
// the user named must be possible to read.
func newServers(opts Options, cfg *config.Config, o *Orchestrator) (*servers, error) {
	sources, err := MCPSources(opts, cfg)
	if err != nil {
		return nil, err
	}
	given := sources
	given.Strict = true
	if _, _, err := mcpclient.Load(given); err != nil {
		return nil, invalid(err)
	}
	s := &servers{sources: sources, store: MCPStore(cfg), notice: opts.OnNotice}
	if o != nil {
		s.notice, s.shared, o.mcp = o.notice, true, s
	}
	return s, nil
}

// open returns the manager of the servers.
func (s *servers) open(ctx context.Context) *mcpclient.Manager {
	s.opening.Lock()
	defer s.opening.Unlock()
	if s.manager != nil {
		return s.manager
	}
	note := func(text string) {
		if s.notice != nil {
			s.notice(context.WithoutCancel(ctx), text)
		}
	}
	configured, notes, err := mcpclient.Load(s.sources)
	if err != nil {
		// A broken file of servers does not keep agents from their other tools.
		note("no MCP servers are used: " + err.Error())
	}
	for _, text := range notes {
		note(text)
	}
	s.manager = mcpclient.New(mcpclient.Options{Servers: configured, Store: s.store, Note: note, Advice: s.sources.Advice})
	return s.manager
}

// contribute adds the tools of the servers that the agent names.
func (s *servers) contribute(ctx context.Context, session *toolset.Session) (toolset.Contribution, error) {
	var names []string
	if !session.Agent.AllTools {
		for _, entry := range session.Agent.Tools {
			name, _, _ := strings.Cut(entry, "(")
			if mcpclient.Named(strings.TrimSpace(name)) {
				names = append(names, strings.TrimSpace(name))
			}
		}
		if names == nil {
			return toolset.Contribution{}, nil
		}
	}
	manager := s.open(ctx)
	if !s.shared {
		session.OnClose(s.close)
	}
	offered, err := manager.Offer(ctx, names)
	if err != nil {
		return toolset.Contribution{}, err
	}
	return toolset.Contribution{Tools: offered.Tools, Beyond: offered.Resources, Context: offered.Instructions}, nil
}

// close ends the servers.
func (s *servers) close() error {
	if s == nil {
		return nil
	}
	s.opening.Lock()
	defer s.opening.Unlock()
	if s.manager == nil {
		return nil
	}
	manager := s.manager
	s.manager = nil
	return manager.Close()
}
