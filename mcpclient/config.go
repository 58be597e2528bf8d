package mcpclient

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/claude-force/claude-force/internal/jsontext"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/internal/terminal"
)

// Scope is who configured a server.
type Scope string

// Scopes. A server that the user named comes before one of the same name in the
// user's files, and that before one of the project.
const (
	ScopeGiven   Scope = "given"   // by the user, for this run
	ScopeUser    Scope = "user"    // in a file of the user
	ScopeProject Scope = "project" // in the project's .mcp.json
	ScopePlugin  Scope = "plugin"  // in a plugin of the project
)

// foreign reports whether others than the user configured the servers of a scope, so
// that the user must trust them first.
func (s Scope) foreign() bool { return s == ScopeProject || s == ScopePlugin }

// Transports.
const (
	transportStdio = "stdio"
	transportHTTP  = "http"
	transportSSE   = "sse"
)

// Server is a server as it is configured. Texts are as they are written, before
// variables are replaced.
type Server struct {
	Name    string // normalized: letters, digits, - and _
	Scope   Scope
	Source  string // the file that configures it; empty if none
	Project string // the project's folder; the server's working folder

	Transport string
	Command   string
	Args      []string
	Env       map[string]string
	URL       string
	Headers   map[string]string
	Timeout   time.Duration // of a call; 0 means the default
}

// entry is a server in a file.
type entry struct {
	Type    string            `json:"type"`
	Command string            `json:"command"`
	Args    []string          `json:"args"`
	Env     map[string]string `json:"env"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Timeout float64           `json:"timeout"` // milliseconds
}

// configFile is a file of servers. ~/.claude.json has servers of each project too.
type configFile struct {
	Servers  map[string]json.RawMessage `json:"mcpServers"`
	Projects map[string]struct {
		Servers map[string]json.RawMessage `json:"mcpServers"`
	} `json:"projects"`
}

// Sources are where servers are configured.
type Sources struct {
	Dir       string   // the project's folder, absolute
	Home      string   // the user's home folder; empty if there is none
	UserFiles []string // further files of the user, the first before the others
	Given     []string // files, or JSON texts, that the user named for this run
	Strict    bool     // only Given

	Plugins []PluginServers

	// Advice is [Options.Advice] of the manager of these servers.
	Advice func(server string) string
}

// PluginServers are the servers that a plugin configures. Their names are those of the
// plugin and the server, as plugin_NAME_SERVER.
type PluginServers struct {
	Plugin  string
	Dir     string // the plugin's folder, which ${CLAUDE_PLUGIN_ROOT} stands for
	Servers map[string]json.RawMessage
}

// ProjectFile is the name of a project's file of servers.
const ProjectFile = ".mcp.json"

// Limits of files of servers.
const (
	maxConfig     = 4 << 20
	maxUserConfig = 64 << 20 // ~/.claude.json keeps histories
	maxServers    = 100
)

// Load returns the servers of the sources, sorted by name. Notes say what was left
// out and why. The error is for a source that cannot be understood.
func Load(s Sources) (servers []Server, notes []string, err error) {
	l := loader{sources: s, byName: map[string]Server{}}
	for _, given := range s.Given {
		if err := l.given(given); err != nil {
			return nil, nil, err
		}
	}
	if !s.Strict {
		files := s.UserFiles
		if s.Home != "" {
			files = append(slices.Clone(files), filepath.Join(s.Home, ".claude.json"))
		}
		for _, path := range files {
			if err := l.file(path, ScopeUser, maxUserConfig); err != nil {
				return nil, nil, err
			}
		}
		if err := l.file(filepath.Join(s.Dir, ProjectFile), ScopeProject, maxConfig); err != nil {
			return nil, nil, err
		}
		for _, p := range s.Plugins {
			if err := l.plugin(p); err != nil {
				return nil, nil, err
			}
		}
	}
	servers = slices.SortedFunc(maps.Values(l.byName), func(a, b Server) int { return strings.Compare(a.Name, b.Name) })
	if len(servers) > maxServers {
		return nil, nil, fmt.Errorf("%d MCP servers are configured; at most %d are possible", len(servers), maxServers)
	}
	return servers, l.notes, nil
}

type loader struct {
	sources Sources
	byName  map[string]Server
	notes   []string
}

// given reads a file or a JSON text that the user named.
func (l *loader) given(text string) error {
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		return l.parse([]byte(text), "", "the given text", ScopeGiven)
	}
	path, err := filepath.Abs(text)
	if err != nil {
		return err
	}
	data, err := openfile.ReadTyped(path, maxConfig)
	if err != nil {
		return fmt.Errorf("reading MCP servers: %w", err)
	}
	return l.parse(data, path, path, ScopeGiven)
}

// plugin adds the servers of a plugin.
func (l *loader) plugin(p PluginServers) error {
	dir, err := json.Marshal(p.Dir)
	if err != nil {
		return err
	}
	named := map[string]json.RawMessage{}
	for name, entry := range p.Servers {
		entry = bytes.ReplaceAll(entry, []byte("${CLAUDE_PLUGIN_ROOT}"), dir[1:len(dir)-1])
		named["plugin_"+p.Plugin+"_"+name] = entry
	}
	shown := "the plugin " + p.Plugin
	l.entries(named, p.Dir, shown, ScopePlugin)
	return nil
}

// file reads a file that need not exist.
func (l *loader) file(path string, scope Scope, limit int64) error {
	data, err := openfile.Read(path, limit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading MCP servers: %w", err)
	}
	return l.parse(data, path, path, scope)
}

func (l *loader) parse(data []byte, source, shown string, scope Scope) error {
	var file configFile
	if err := json.Unmarshal(data, &file); err != nil {
		return positionError(shown, data, err)
	}
	if scope == ScopeUser {
		if own, ok := file.Projects[l.sources.Dir]; ok {
			l.entries(own.Servers, source, shown, scope)
		}
	}
	l.entries(file.Servers, source, shown, scope)
	return nil
}

// positionError returns the error of a text that is not the JSON it must be, with
// its line.
func positionError(shown string, data []byte, err error) error {
	line, err := jsontext.Explain(data, err)
	if line > 0 {
		shown = fmt.Sprintf("%s:%d", shown, line)
	}
	return fmt.Errorf(`%s: %w; it must look like {"mcpServers": {"NAME": {"command": "…"}}}`, shown, err)
}

// entries adds servers. One that cannot be used is left out with a note: other
// servers are not its fault.
func (l *loader) entries(servers map[string]json.RawMessage, source, shown string, scope Scope) {
	for _, raw := range slices.Sorted(maps.Keys(servers)) {
		note := func(format string, args ...any) {
			l.notes = append(l.notes, fmt.Sprintf("the MCP server %q of %s is not used: %s", terminal.Line(raw), shown, terminal.Line(fmt.Sprintf(format, args...))))
		}
		var e entry
		if err := json.Unmarshal(servers[raw], &e); err != nil {
			_, err = jsontext.Explain(nil, err)
			note("%v", err)
			continue
		}
		server, problem := e.server(raw)
		if problem != "" {
			note("%s", problem)
			continue
		}
		if before, ok := l.byName[server.Name]; ok {
			if before.Scope == scope && before.Source == source || scope.foreign() {
				note("there is another server named %s, of %s", server.Name, orGiven(before.Source))
			}
			continue
		}
		server.Scope, server.Source, server.Project = scope, source, l.sources.Dir
		l.byName[server.Name] = server
	}
}

func orGiven(source string) string {
	if source == "" {
		return "the given text"
	}
	return source
}

// server returns the server of an entry, or why there is none.
func (e entry) server(raw string) (server Server, problem string) {
	server = Server{
		Name: normalize(raw), Transport: e.Type, Command: e.Command, Args: e.Args, Env: e.Env, URL: e.URL, Headers: e.Headers,
		Timeout: time.Duration(min(e.Timeout, float64(maxCallTimeout/time.Millisecond))) * time.Millisecond,
	}
	if problem := serverNameProblem(server.Name); problem != "" {
		return server, problem
	}
	switch e.Type {
	case "":
		server.Transport = transportStdio
		if e.Command == "" && e.URL != "" {
			server.Transport = transportHTTP
		}
	case "streamable-http", "streamableHttp":
		server.Transport = transportHTTP
	case transportStdio, transportHTTP, transportSSE:
	default:
		return server, fmt.Sprintf("its type is %q; it must be stdio, http or sse", e.Type)
	}
	if server.Transport == transportStdio {
		if e.Command == "" {
			return server, "it has no command"
		}
		return server, ""
	}
	if e.URL == "" {
		return server, "it has no url"
	}
	return server, ""
}

// Digest returns a digest of what is started or connected to. It changes when the
// entry does.
func (s Server) Digest() string {
	type keyed struct{ Transport, Command, Args, Env, URL, Headers any }
	data, err := json.Marshal(keyed{s.Transport, s.Command, s.Args, s.Env, s.URL, s.Headers})
	if err != nil {
		panic(err) // strings always encode
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// variable matches ${NAME} and ${NAME:-default}.
var variable = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}`) })

// Variables returns the names of the variables that the entry takes from the
// environment, sorted.
func (s Server) Variables() []string {
	names := map[string]bool{}
	for _, text := range s.texts() {
		for _, m := range variable().FindAllStringSubmatch(text, -1) {
			names[m[1]] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func (s Server) texts() []string {
	texts := append([]string{s.Command, s.URL}, s.Args...)
	for _, values := range []map[string]string{s.Env, s.Headers} {
		texts = slices.AppendSeq(texts, maps.Values(values))
	}
	return texts
}

// Shown returns what is started or connected to, as it is written: a command and its
// arguments, or a URL without what may be secret.
func (s Server) Shown() string {
	if s.Transport == transportStdio {
		return terminal.Line(strings.Join(append([]string{s.Command}, s.Args...), " "))
	}
	shown, _, _ := strings.Cut(s.URL, "?")
	scheme, rest, ok := strings.Cut(shown, "://")
	if !ok {
		return terminal.Line(shown)
	}
	host, path, _ := strings.Cut(rest, "/")
	return terminal.Line(scheme + "://" + host[strings.LastIndexByte(host, '@')+1:] + "/" + path)
}

// expanded is a server with the values of its variables, some of which are secret.
type expanded struct {
	Server
	secrets []string // longest first
}

// expand replaces the variables. The error names those that have no value.
func (s Server) expand(lookup func(string) (string, bool)) (expanded, error) {
	x := expanded{Server: s}
	var missing, own []string
	replace := func(text string) string {
		return variable().ReplaceAllStringFunc(text, func(use string) string {
			m := variable().FindStringSubmatch(use)
			if s.Scope.foreign() && ownVariable(m[1]) {
				own = append(own, m[1])
				return ""
			}
			if value, ok := lookup(m[1]); ok && (value != "" || m[2] == "") {
				x.secrets = append(x.secrets, value)
				return value
			}
			if m[2] == "" {
				missing = append(missing, m[1])
			}
			return m[3]
		})
	}
	x.Command, x.URL = replace(s.Command), replace(s.URL)
	x.Args = slices.Clone(s.Args)
	for i, arg := range x.Args {
		x.Args[i] = replace(arg)
	}
	x.Env, x.Headers = map[string]string{}, map[string]string{}
	for _, values := range []struct{ from, to map[string]string }{{s.Env, x.Env}, {s.Headers, x.Headers}} {
		for name, value := range values.from {
			values.to[name] = replace(value)
			x.secrets = append(x.secrets, values.to[name])
		}
	}
	if len(own) > 0 {
		slices.Sort(own)
		return expanded{}, fmt.Errorf("its entry in the project uses %s, and a key of this program is not given to a project's server", strings.Join(slices.Compact(own), ", "))
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return expanded{}, fmt.Errorf("its entry uses variables that have no value: %s", strings.Join(slices.Compact(missing), ", "))
	}
	if x.Transport != transportStdio {
		u, err := url.Parse(x.URL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return expanded{}, errors.New("its url is no http or https URL")
		}
		if password, ok := u.User.Password(); ok {
			x.secrets = append(x.secrets, password)
		}
		for _, values := range u.Query() {
			x.secrets = append(x.secrets, values...)
		}
	}
	slices.SortFunc(x.secrets, func(a, b string) int { return len(b) - len(a) })
	return x, nil
}

// ownVariable reports whether a variable holds a setting or a key of this program.
func ownVariable(name string) bool {
	name = strings.ToUpper(name)
	return strings.HasPrefix(name, "ANTHROPIC_") || strings.HasPrefix(name, "CLAUDE_FORCE_")
}

// redact returns a text for users and logs: without the values of the server's
// variables, environment and headers, on one line, safe for a terminal, bounded.
func (x expanded) redact(text string) string {
	for _, secret := range x.secrets {
		// Shorter ones are words, such as 1 and debug.
		if len(secret) >= 6 {
			text = strings.ReplaceAll(text, secret, "***")
			text = strings.ReplaceAll(text, url.QueryEscape(secret), "***")
		}
	}
	return cut(terminal.Line(text), maxShown)
}

// maxShown is how many bytes of a server's text a message has at most.
const maxShown = 2000

// cut returns a text of at most n bytes.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "…"
}
