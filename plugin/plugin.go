// Package plugin installs plugins: folders with agents, skills, commands and MCP
// servers, in the format of Claude Code, and with workflows.
//
// A plugin is pinned in the project's claude-force.lock by the commit that it was
// taken from and by a hash of its content, which is kept in a folder of the user's.
// Content that differs from the hash is refused whenever it is used. Nothing of a
// plugin is run when it is installed: files are taken out of Git's objects without a
// checkout, and hooks are only named.
package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/claude-force/claude-force/internal/claudedir"
	"github.com/claude-force/claude-force/internal/jsontext"
	"github.com/claude-force/claude-force/internal/openfile"
)

// LockName is the name of the file in a project that pins its plugins.
const LockName = "claude-force.lock"

// Entry is one plugin as it is pinned.
type Entry struct {
	Name   string `json:"name"`
	Source string `json:"source"`           // URL of a Git repository, or a folder
	Ref    string `json:"ref,omitempty"`    // branch, tag or commit that was asked for
	Plugin string `json:"plugin,omitempty"` // entry of a marketplace
	Path   string `json:"path,omitempty"`   // slash path of the folder in the source
	Commit string `json:"commit,omitempty"` // empty for a folder
	Tree   string `json:"tree"`             // hash of the content, see [Hash]
}

// lock is the content of the lock file.
type lock struct {
	Version int     `json:"version"`
	Plugins []Entry `json:"plugins"`
}

const (
	lockVersion = 1
	maxLock     = 1 << 20
	maxManifest = 1 << 20
)

// Store is the plugins of one project.
type Store struct {
	project string // absolute
	content string // folder of this project's plugins, absolute
}

// Open returns the plugins of a project. data is the folder of the user's for the
// content of all projects' plugins. A project of someone else cannot use what was
// installed for another one.
func Open(project, data string) (*Store, error) {
	abs, err := filepath.Abs(project)
	if err != nil {
		return nil, err
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	return &Store{abs, filepath.Join(data, shortHash(abs))}, nil
}

// LockFile returns the path of the lock file.
func (s *Store) LockFile() string { return filepath.Join(s.project, LockName) }

// List returns the plugins that the lock file pins, sorted by name.
func (s *Store) List() ([]Entry, error) {
	root, err := os.OpenRoot(s.project)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // it was only read
	data, err := openfile.ReadIn(root, LockName, maxLock)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.LockFile(), err)
	}
	var l lock
	if err := json.Unmarshal(data, &l); err != nil {
		return nil, fmt.Errorf("%s: it is no lock file: %w", s.LockFile(), jsontext.ExplainLine(data, err))
	}
	if l.Version != lockVersion {
		return nil, fmt.Errorf("%s: version %d is not known; this program writes version %d", s.LockFile(), l.Version, lockVersion)
	}
	for _, e := range l.Plugins {
		if !validName(e.Name) || !validHash(e.Tree) || e.Path != "" && !fs.ValidPath(e.Path) {
			return nil, fmt.Errorf("%s: the entry %.80q is not valid", s.LockFile(), e.Name)
		}
	}
	slices.SortFunc(l.Plugins, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return l.Plugins, nil
}

func (s *Store) write(entries []Entry) error {
	data, err := json.MarshalIndent(lock{lockVersion, entries}, "", "  ")
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(s.project)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // the error of the write counts
	const temporary = "." + LockName + ".tmp"
	// A link of the project's of that name would be followed.
	if err := root.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := root.WriteFile(temporary, append(data, '\n'), 0o644); err != nil {
		return err
	}
	return root.Rename(temporary, LockName)
}

// Dir returns the folder of a plugin's content.
func (s *Store) Dir(e Entry) string {
	return filepath.Join(s.content, e.Name+"-"+strings.TrimPrefix(e.Tree, hashPrefix)[:16])
}

// Problem is why a pinned plugin cannot be used.
type Problem struct {
	Entry   Entry
	Missing bool // it is not installed here
	Err     error
}

func (p *Problem) Error() string { return fmt.Sprintf("plugin %s: %v", p.Entry.Name, p.Err) }

// Verify compares the content of a plugin with its hash. The error is a [*Problem].
func (s *Store) Verify(e Entry) error {
	dir := s.Dir(e)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return &Problem{e, true, fmt.Errorf("it is pinned in %s, but not installed for this project by this user; add it again from %s", LockName, e.Source)}
	}
	got, err := Hash(dir)
	if err == nil && got != e.Tree {
		err = fmt.Errorf("its content in %s has changed since it was installed (%s, pinned %s); remove it, look at what changed it, and add it again", dir, got, e.Tree)
	}
	if err != nil {
		return &Problem{Entry: e, Err: err}
	}
	return nil
}

// Plugin is an installed plugin whose content was verified.
type Plugin struct {
	Entry
	Dir         string
	Description string
	Version     string
	// Slash paths in Dir of what it has.
	Agents, Skills, Commands, Workflows []string
	// MCPServers are the entries of its MCP configuration, by name.
	MCPServers map[string]json.RawMessage
	// Hooks are files with hooks, which are not run.
	Hooks []string
}

// Load returns the plugins that are pinned and installed, verified. Those that are
// not installed are in missing. The error is for content that changed.
func (s *Store) Load() (plugins []*Plugin, missing []Entry, err error) {
	entries, err := s.List()
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if err := s.Verify(e); err != nil {
			if p, ok := errors.AsType[*Problem](err); ok && p.Missing {
				missing = append(missing, e)
				continue
			}
			return nil, nil, err
		}
		p, err := read(e, s.Dir(e))
		if err != nil {
			return nil, nil, &Problem{Entry: e, Err: err}
		}
		plugins = append(plugins, p)
	}
	return plugins, missing, nil
}

// Remove removes a plugin from the lock file, and its content.
func (s *Store) Remove(name string) error {
	entries, err := s.List()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(entries, func(e Entry) bool { return e.Name == name })
	if i < 0 {
		return &UnknownError{Name: name, Known: names(entries)}
	}
	dir := s.Dir(entries[i])
	if err := s.write(slices.Delete(entries, i, i+1)); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// UnknownError says that no plugin has a name.
type UnknownError struct {
	Name  string
	Known []string
}

func (e *UnknownError) Error() string {
	if len(e.Known) == 0 {
		return fmt.Sprintf("there is no plugin %q, nor any other", e.Name)
	}
	return fmt.Sprintf("there is no plugin %q; known are %s", e.Name, strings.Join(e.Known, ", "))
}

func names(entries []Entry) []string {
	list := make([]string, len(entries))
	for i, e := range entries {
		list[i] = e.Name
	}
	return list
}

// manifest is the content of .claude-plugin/plugin.json, and of an entry of a
// marketplace.
type manifest struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Version     string          `json:"version"`
	Source      json.RawMessage `json:"source"` // of a marketplace's entry
	Commands    json.RawMessage `json:"commands"`
	Agents      json.RawMessage `json:"agents"`
	Skills      json.RawMessage `json:"skills"`
	Workflows   json.RawMessage `json:"workflows"`
	Hooks       json.RawMessage `json:"hooks"`
	MCPServers  json.RawMessage `json:"mcpServers"`
}

const (
	manifestFile    = ".claude-plugin/plugin.json"
	marketplaceFile = ".claude-plugin/marketplace.json"
)

var nameExpr = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`) })

func validName(name string) bool { return nameExpr().MatchString(name) }

// readManifest reads the manifest of a plugin; the zero manifest if it has none.
func readManifest(tree *claudedir.Tree) (manifest, error) {
	var m manifest
	data, err := tree.Read(manifestFile, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = jsontext.ExplainLine(data, json.Unmarshal(data, &m))
	}
	if err != nil {
		return m, fmt.Errorf("%s: %w", manifestFile, err)
	}
	return m, nil
}

// read returns what a plugin has.
func read(e Entry, dir string) (_ *Plugin, err error) {
	tree, err := claudedir.OpenTree(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tree.Close()) }()
	m, err := readManifest(tree)
	if err != nil {
		return nil, err
	}
	p := &Plugin{Entry: e, Dir: dir, Description: m.Description, Version: m.Version}
	for _, list := range []struct {
		to       *[]string
		raw      json.RawMessage
		standard string
	}{{&p.Agents, m.Agents, "agents"}, {&p.Skills, m.Skills, "skills"}, {&p.Commands, m.Commands, "commands"}, {&p.Workflows, m.Workflows, "workflows"}, {&p.Hooks, m.Hooks, "hooks/hooks.json"}} {
		for _, name := range append([]string{list.standard}, paths(list.raw)...) {
			name = path.Clean(name)
			if _, err := tree.Stat(name); err == nil && !slices.Contains(*list.to, name) {
				*list.to = append(*list.to, name)
			}
		}
	}
	if len(m.Hooks) > 0 && m.Hooks[0] == '{' {
		p.Hooks = append(p.Hooks, manifestFile)
	}
	return p, p.readServers(tree, m)
}

// paths returns the paths that a value of a manifest names: a text or a list.
func paths(raw json.RawMessage) []string {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}
	}
	var list []string
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	return list
}

// readServers reads the MCP configuration: .mcp.json and what the manifest has.
func (p *Plugin) readServers(tree *claudedir.Tree, m manifest) error {
	p.MCPServers = map[string]json.RawMessage{}
	for _, name := range append([]string{".mcp.json"}, paths(m.MCPServers)...) {
		data, err := tree.Read(path.Clean(name), maxManifest)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		var file map[string]json.RawMessage
		if err := json.Unmarshal(data, &file); err != nil {
			return fmt.Errorf("%s: %w", name, jsontext.ExplainLine(data, err))
		}
		servers := file
		if raw, ok := file["mcpServers"]; ok {
			servers = nil
			if err := json.Unmarshal(raw, &servers); err != nil {
				return fmt.Errorf("%s: mcpServers: %w", name, err)
			}
		}
		maps.Copy(p.MCPServers, servers)
	}
	if len(m.MCPServers) > 0 && m.MCPServers[0] == '{' {
		var servers map[string]json.RawMessage
		if err := json.Unmarshal(m.MCPServers, &servers); err != nil {
			return fmt.Errorf("%s: mcpServers: %w", manifestFile, err)
		}
		maps.Copy(p.MCPServers, servers)
	}
	return nil
}

// Read returns what an installed plugin has, once it is verified.
func (s *Store) Read(e Entry) (*Plugin, error) {
	if err := s.Verify(e); err != nil {
		return nil, err
	}
	return read(e, s.Dir(e))
}

// File is a file of a plugin.
type File struct {
	Name string // slash path in the plugin
	Data []byte
}

// Files returns the files at paths of the plugin whose names end with suffix; of a
// folder those in it.
func (p *Plugin) Files(paths []string, suffix string) (_ []File, err error) {
	tree, err := claudedir.OpenTree(p.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tree.Close()) }()
	var files []File
	for _, at := range paths {
		names := []string{at}
		if info, err := tree.Stat(at); err != nil || info.IsDir() {
			if names, err = tree.Files(at, suffix); err != nil {
				return nil, err
			}
		}
		for _, name := range names {
			data, err := tree.Read(name, MaxFile)
			if err != nil {
				return nil, fmt.Errorf("plugin %s: %w", p.Name, err)
			}
			files = append(files, File{name, data})
		}
	}
	return files, nil
}
