package mcpclient

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/claude-force/claude-force/internal/terminal"
	"github.com/claude-force/claude-force/tool"
)

// Times.
const (
	defaultStartTimeout = 30 * time.Second
	defaultCallTimeout  = 30 * time.Minute
	maxCallTimeout      = 28 * time.Hour
)

// defaultMaxTokens is how many tokens of a result the model gets.
const defaultMaxTokens = 25_000

// Options are what a caller decides about a [Manager].
type Options struct {
	Servers []Server
	Store   *Store
	// Note is called with what the user should know, each text once; from several
	// goroutines, one at a time.
	Note func(text string)
	// Advice returns what a note tells the user to do about a server that is not
	// trusted, as a caller's users know it. Nil adds nothing.
	Advice func(server string) string
	// Version is that of this program, for servers.
	Version string
	// StartTimeout is how long the start of a server may take. The default is 30
	// seconds, or what MCP_TIMEOUT says, in milliseconds.
	StartTimeout time.Duration
	// CallTimeout is how long a call may take. The default is 30 minutes, or what
	// MCP_TOOL_TIMEOUT says, in milliseconds.
	CallTimeout time.Duration
	// MaxTokens is how many tokens of a result the model gets. The default is
	// 25,000, or what MAX_MCP_OUTPUT_TOKENS says.
	MaxTokens int
}

// Manager starts servers when they are first used, shares them and ends them. Its
// methods may be called concurrently.
type Manager struct {
	servers      []*running
	store        *Store
	version      string
	startTimeout time.Duration
	callTimeout  time.Duration
	maxTokens    int

	notes  sync.Mutex
	noted  map[string]bool
	toUser func(string)
	advise func(server string) string
}

// running is a server and its connection, if it was started.
type running struct {
	Server
	// busy is held while the server is started or ended, and guards the fields
	// below. It is a channel, so that waiting ends with a context.
	busy    chan struct{}
	session *session
	closed  bool
	pin     *Pin              // what calls are compared with; nil before the first use
	changed map[string]string // what is refused since the start: tool to reason
	failed  int               // starts and connections since the last call that worked
}

// New returns a manager of servers. Close ends them.
func New(options Options) *Manager {
	m := &Manager{
		store: options.Store, version: options.Version, toUser: options.Note, advise: options.Advice, noted: map[string]bool{},
		startTimeout: options.StartTimeout, callTimeout: options.CallTimeout, maxTokens: options.MaxTokens,
	}
	if m.version == "" {
		m.version = "unknown"
	}
	if m.startTimeout <= 0 {
		m.startTimeout = milliseconds("MCP_TIMEOUT", defaultStartTimeout)
	}
	if m.callTimeout <= 0 {
		m.callTimeout = milliseconds("MCP_TOOL_TIMEOUT", defaultCallTimeout)
	}
	if m.maxTokens <= 0 {
		m.maxTokens = defaultMaxTokens
		if n, err := strconv.Atoi(os.Getenv("MAX_MCP_OUTPUT_TOKENS")); err == nil && n > 0 {
			m.maxTokens = n
		}
	}
	for _, s := range options.Servers {
		m.servers = append(m.servers, &running{Server: s, busy: make(chan struct{}, 1)})
	}
	return m
}

func milliseconds(name string, otherwise time.Duration) time.Duration {
	n, err := strconv.ParseInt(os.Getenv(name), 10, 64)
	if err != nil || n <= 0 || n > int64(maxCallTimeout/time.Millisecond) {
		return otherwise
	}
	return time.Duration(n) * time.Millisecond
}

// Close ends all servers.
func (m *Manager) Close() error {
	var group sync.WaitGroup
	for _, r := range m.servers {
		group.Go(func() {
			r.busy <- struct{}{}
			defer func() { <-r.busy }()
			r.closed = true
			if r.session != nil {
				r.session.close()
				r.session = nil
			}
		})
	}
	group.Wait()
	return nil
}

func (m *Manager) note(format string, args ...any) {
	text := terminal.Line(fmt.Sprintf(format, args...))
	m.notes.Lock()
	defer m.notes.Unlock()
	if m.toUser == nil || m.noted[text] {
		return
	}
	m.noted[text] = true
	m.toUser(text)
}

// lock waits for the server, or for the end of ctx.
func (r *running) lock(ctx context.Context) error {
	select {
	case r.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *running) unlock() { <-r.busy }

// maxFailed is how often in a row a server may fail before it is no longer started:
// it is restarted once.
const maxFailed = 2

// live returns the connection to the server, which is started if need be. The caller
// holds busy. The error is for the model too.
func (m *Manager) live(ctx context.Context, r *running) (*session, error) {
	if r.closed {
		return nil, fmt.Errorf("the MCP server %s was ended with its run", r.Name)
	}
	if r.session != nil && r.session.dead() {
		r.session.close()
		r.session = nil
		r.failed++
	}
	if r.session == nil {
		if r.failed >= maxFailed {
			return nil, fmt.Errorf("the MCP server %s ended again after a restart, and is not started any more in this run", r.Name)
		}
		s, err := m.connect(ctx, r.Server)
		if err != nil {
			if ctx.Err() == nil {
				r.failed++
			}
			return nil, fmt.Errorf("the MCP server %s cannot be started: %w", r.Name, err)
		}
		r.session, r.changed = s, nil
		s.stale.Store(true)
	}
	if r.session.stale.Load() {
		if err := m.compare(ctx, r); err != nil {
			return nil, fmt.Errorf("the MCP server %s cannot list its tools: %w", r.Name, err)
		}
	}
	return r.session, nil
}

// compare compares what the server offers with what was trusted. A server of the
// user that is used for the first time is pinned.
func (m *Manager) compare(ctx context.Context, r *running) error {
	ctx, done := context.WithTimeoutCause(ctx, m.startTimeout, fmt.Errorf("it did not answer within %v", m.startTimeout))
	defer done()
	offer, notes, err := r.session.offer(ctx)
	if err != nil {
		r.session.stale.Store(true)
		return err
	}
	for _, text := range notes {
		m.note("MCP server %s: %s", r.Name, text)
	}
	if r.pin == nil {
		pin, err := m.store.Trust(r.Server, offer)
		if err != nil {
			return err
		}
		r.pin = &pin
		return nil
	}
	r.changed = map[string]string{}
	differ, added := Compare(r.pin.Offer, offer)
	for _, name := range differ {
		r.changed[name] = fmt.Sprintf("The tool %s of the MCP server %s is no longer what the user trusted. Calls of it are refused until the user trusts the server again. Continue without it.", terminal.Line(name), r.Name)
	}
	if len(differ) > 0 {
		m.note("MCP server %s: not what was trusted any more, and refused until it is trusted again%s: %s", r.Name, m.advice(r.Server), shownNames(differ))
	}
	if len(added) > 0 {
		m.note("MCP server %s has tools that are not used until it is trusted again%s: %s", r.Name, m.advice(r.Server), shownNames(added))
	}
	return nil
}

// shownNames returns names that a server chose, for the user.
// advice returns what to do about a server, in parentheses.
func (m *Manager) advice(server Server) string {
	if m.advise == nil {
		return ""
	}
	return " (" + m.advise(server.Name) + ")"
}

func shownNames(names []string) string {
	const most = 10
	shown := make([]string, min(len(names), most))
	for i := range shown {
		shown[i] = terminal.Line(cut(names[i], 80))
	}
	text := strings.Join(shown, ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// Compare returns which tools differ from what was trusted or are gone, and which
// are new.
func Compare(trusted, offered Offer) (differ, added []string) {
	for _, t := range trusted.Tools {
		if !slices.ContainsFunc(offered.Tools, t.equal) {
			differ = append(differ, t.Name)
		}
	}
	for _, t := range offered.Tools {
		if !slices.ContainsFunc(trusted.Tools, func(u Tool) bool { return u.Name == t.Name }) {
			added = append(added, t.Name)
		}
	}
	return differ, added
}

// Inspect starts the server with a name, whether it is trusted or not, and returns
// what it offers. Notes say what was left out.
func (m *Manager) Inspect(ctx context.Context, name string) (offer Offer, notes []string, err error) {
	i := slices.IndexFunc(m.servers, func(r *running) bool { return r.Name == name })
	if i < 0 {
		return Offer{}, nil, fmt.Errorf("there is no MCP server %q", name)
	}
	r := m.servers[i]
	if err := r.lock(ctx); err != nil {
		return Offer{}, nil, err
	}
	defer r.unlock()
	if r.closed {
		return Offer{}, nil, errors.New("the manager is closed")
	}
	if r.session == nil || r.session.dead() {
		if r.session != nil {
			r.session.close()
		}
		if r.session, err = m.connect(ctx, r.Server); err != nil {
			return Offer{}, nil, err
		}
		r.session.stale.Store(true)
	}
	ctx, done := context.WithTimeoutCause(ctx, m.startTimeout, fmt.Errorf("it did not answer within %v", m.startTimeout))
	defer done()
	defer r.session.stale.Store(true) // a call compares
	return r.session.offer(ctx)
}

// State is whether the tools of a server are offered to agents.
type State string

// States.
const (
	Trusted   State = "trusted"
	Untrusted State = "untrusted" // a project's server that the user has not trusted
	Changed   State = "changed"   // a project's server whose entry changed since
	Unused    State = "unused"    // a user's server that is trusted at its first use
)

// State returns the state of a server, and what is pinned.
func (s *Store) State(server Server) (State, Pin, error) {
	pin, ok, err := s.Find(server)
	switch {
	case err != nil:
		return "", Pin{}, err
	case ok && pin.Digest != server.Digest():
		return Changed, pin, nil
	case ok:
		return Trusted, pin, nil
	case server.Scope.foreign():
		return Untrusted, Pin{}, nil
	}
	return Unused, Pin{}, nil
}

// Names of the tools for resources.
const (
	listResources = "ListMcpResourcesTool"
	readResource  = "ReadMcpResourceTool"
)

// Offered is what an agent gets of servers.
type Offered struct {
	Tools []tool.Tool
	// Resources are the tools that list and read the resources of the servers.
	Resources []tool.Tool
	// Instructions are what the servers say about their use, for the model.
	Instructions []string
}

// Offer returns what an agent gets that names the tools in names, such as
// mcp__github__*; nil stands for all. A server of the user that was never used is
// started to learn its tools; others are started by the first call.
func (m *Manager) Offer(ctx context.Context, names []string) (Offered, error) {
	var offered Offered
	named := func(name string) bool {
		return names == nil || slices.ContainsFunc(names, func(n string) bool { return matches(n, name) })
	}
	var shared []*running
	for _, r := range m.servers {
		if !mayName(names, r.Name) {
			continue
		}
		pin, refused, err := m.prepare(ctx, r)
		if err != nil {
			return Offered{}, err
		}
		if pin == nil {
			continue
		}
		used := names == nil
		for _, t := range pin.Tools {
			name := toolName(r.Name, t.Name)
			if named(name) {
				offered.Tools = append(offered.Tools, &serverTool{m, r, t, name, refused})
				used = true
			}
		}
		if refused != "" {
			continue
		}
		if pin.Resources {
			shared = append(shared, r)
		}
		if pin.Instructions != "" && used {
			offered.Instructions = append(offered.Instructions, fmt.Sprintf("<system-reminder>\nThe MCP server %s says about its tools:\n%s\n</system-reminder>", r.Name, pin.Instructions))
		}
	}
	if len(shared) > 0 {
		for _, t := range []tool.Tool{&listTool{m, shared}, &readTool{m, shared}} {
			if names == nil || slices.Contains(names, t.Definition().Name) || slices.ContainsFunc(names, isServerPattern) {
				offered.Resources = append(offered.Resources, t)
			}
		}
	}
	return offered, nil
}

// isServerPattern reports whether a name stands for all tools of servers.
func isServerPattern(name string) bool {
	rest, ok := strings.CutPrefix(name, "mcp__")
	return ok && (strings.HasSuffix(name, "__*") || name == "mcp__*" || !strings.Contains(rest, "__"))
}

// mayName reports whether names may stand for tools or resources of a server.
func mayName(names []string, server string) bool {
	if names == nil {
		return true
	}
	prefix := "mcp__" + server + "__"
	return slices.ContainsFunc(names, func(n string) bool {
		if n == listResources || n == readResource {
			return true
		}
		pattern, star := strings.CutSuffix(n, "*")
		return matches(n, prefix) || strings.HasPrefix(n, prefix) || star && strings.HasPrefix(prefix, pattern) && strings.HasPrefix(n, "mcp__")
	})
}

// prepare returns what was pinned of a server; nil if it cannot be used. Refused is
// why its calls are refused; it is empty if they are not.
func (m *Manager) prepare(ctx context.Context, r *running) (pinned *Pin, refused string, err error) {
	if err := r.lock(ctx); err != nil {
		return nil, "", err
	}
	defer r.unlock()
	if r.session != nil && r.pin != nil {
		return r.pin, "", nil
	}
	state, pin, err := m.store.State(r.Server)
	if err != nil {
		return nil, "", err
	}
	switch state {
	case Trusted:
		r.pin = &pin
		return r.pin, "", nil
	case Changed:
		m.note("the MCP server %s is not started: its entry changed since it was trusted%s", r.Name, m.advice(r.Server))
		return &pin, fmt.Sprintf("The MCP server %s was changed since the user trusted it, and is not started until the user trusts it again. Continue without it.", r.Name), nil
	case Unused:
		if _, err := m.live(ctx, r); err == nil {
			return r.pin, "", nil
		} else if ctx.Err() != nil {
			return nil, "", context.Cause(ctx)
		} else {
			m.note("%v", err)
		}
	default:
		m.note("the %s's MCP server %s is not used: it is not trusted%s", r.Scope, r.Name, m.advice(r.Server))
	}
	return nil, "", nil
}

// Named reports whether a name in an agent's list of tools may stand for a tool of
// this package.
func Named(name string) bool {
	return strings.HasPrefix(name, "mcp__") || name == listResources || name == readResource
}
