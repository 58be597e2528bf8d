package mcpclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Limits of what a server offers.
const (
	maxTools        = 500
	maxPages        = 100
	maxDescription  = 2048      // characters of a description or of instructions
	maxSchema       = 256 << 10 // bytes
	maxToolNameRaw  = 256       // bytes of a tool's name, as the server has it
	protocolVersion = "2025-11-25"
)

// session is a connection to a server that was started.
type session struct {
	client  *mcp.ClientSession
	process *process // nil for a server that is reached by HTTP
	server  expanded
	stale   atomic.Bool // the server says that its tools changed
	broken  atomic.Bool // a call found the connection closed
	over    chan struct{}
	cancel  context.CancelFunc
}

// connect starts a server, or connects to it.
func (m *Manager) connect(ctx context.Context, server Server) (*session, error) {
	x, err := server.expand(os.LookupEnv)
	if err != nil {
		return nil, err
	}
	ctx, done := context.WithTimeoutCause(ctx, m.startTimeout, fmt.Errorf("it did not answer within %v", m.startTimeout))
	defer done()
	s := &session{server: x, over: make(chan struct{})}
	var transport mcp.Transport
	if x.Transport == transportStdio {
		if s.process, err = startProcess(x); err != nil {
			return nil, errors.New(x.redact(err.Error()))
		}
		transport = s.process.transport()
	} else {
		transport = httpTransport(x)
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "claude-force", Version: m.version}, &mcp.ClientOptions{
		Capabilities:           &mcp.ClientCapabilities{RootsV2: &mcp.RootCapabilities{}}, //nolint:staticcheck // servers of today ask for roots
		ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) { s.stale.Store(true) },
	})
	root := url.URL{Scheme: "file", Path: filepath.ToSlash(server.Project)}
	client.AddRoots(&mcp.Root{URI: root.String(), Name: filepath.Base(server.Project)}) //nolint:staticcheck // servers of today ask for roots
	// The connection lasts longer than the call that needs it first.
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	stop := context.AfterFunc(ctx, cancel)
	s.client, err = client.Connect(lasting, transport, &mcp.ClientSessionOptions{ProtocolVersion: protocolVersion})
	stop()
	if err != nil {
		cause := s.explain(ctx, err)
		cancel()
		if s.process != nil {
			s.process.close()
		}
		return nil, cause
	}
	go func() {
		_ = s.client.Wait()
		close(s.over)
	}()
	return s, nil
}

// explain returns why a server could not be used, for the user.
func (s *session) explain(ctx context.Context, err error) error {
	canceled := ctx.Err() != nil
	if canceled {
		err = context.Cause(ctx)
	}
	text := message(err)
	if s.process != nil {
		// What it wrote before it ended says more than the broken connection.
		patience := 100 * time.Millisecond
		if closed(err) {
			patience = grace // it is ending
		}
		if !canceled && s.process.over(patience) {
			text = "it ended"
			if status := s.process.status; status != nil {
				text += " with " + status.Error()
			}
		}
		if wrote := s.process.stderr.String(); wrote != "" {
			text += "; it wrote: " + wrote
		}
	}
	return errors.New(s.server.redact(text))
}

// message returns the text of an error, without what the protocol's library adds.
func message(err error) string {
	if e := answered(err); e != nil {
		return e.Message
	}
	return err.Error()
}

// Codes of errors that are the library's own.
const (
	codeFirstOwn = -32006
	codeLastOwn  = -32003
)

// answered returns the error that a server answered with; nil if err is another.
func answered(err error) *jsonrpc.Error {
	e, ok := errors.AsType[*jsonrpc.Error](err)
	if !ok || e.Code >= codeFirstOwn && e.Code <= codeLastOwn {
		return nil
	}
	return e
}

// dead reports whether the connection has ended.
func (s *session) dead() bool {
	if s.broken.Load() {
		return true
	}
	select {
	case <-s.over:
		return true
	default:
	}
	if s.process == nil {
		return false
	}
	select {
	case <-s.process.done:
		return true
	default:
		return false
	}
}

// settle waits a moment for the end of the connection, which may follow an error that
// no server answered with: a request that was too large, say.
func (s *session) settle() {
	select {
	case <-s.over:
	case <-time.After(100 * time.Millisecond):
	}
}

// close ends the connection and the server.
func (s *session) close() {
	s.cancel()
	if s.process != nil {
		s.process.close()
	}
	_ = s.client.Close()
}

// offer returns what the server offers. Notes say what was left out.
func (s *session) offer(ctx context.Context) (offer Offer, notes []string, err error) {
	s.stale.Store(false)
	init := s.client.InitializeResult()
	offer.Instructions = truncate(init.Instructions, maxDescription)
	offer.Resources = init.Capabilities != nil && init.Capabilities.Resources != nil
	if init.Capabilities == nil || init.Capabilities.Tools == nil {
		return offer, nil, nil
	}
	params := &mcp.ListToolsParams{}
	byName := map[string]string{}
	for page := 0; ; page++ {
		list, err := s.client.ListTools(ctx, params)
		if err != nil {
			return Offer{}, nil, s.explain(ctx, err)
		}
		for _, t := range list.Tools {
			if t == nil {
				continue
			}
			shown := s.server.redact(cut(t.Name, maxToolNameRaw))
			name := toolName(s.server.Name, t.Name)
			switch {
			case t.Name == "" || len(t.Name) > maxToolNameRaw:
				notes = append(notes, fmt.Sprintf("the tool %q is not used: its name is empty or has more than %d bytes", shown, maxToolNameRaw))
				continue
			case byName[name] != "":
				notes = append(notes, fmt.Sprintf("the tool %q is not used: another tool has the same name %s", shown, name))
				continue
			}
			byName[name] = t.Name
			schema, problem := usableSchema(t.InputSchema)
			if problem != "" {
				notes = append(notes, fmt.Sprintf("the schema of the tool %q is not used: %s", shown, s.server.redact(problem)))
			}
			offer.Tools = append(offer.Tools, Tool{
				Name: t.Name, Description: truncate(t.Description, maxDescription), Schema: schema,
				ReadOnly: t.Annotations != nil && t.Annotations.ReadOnlyHint,
			})
		}
		if len(offer.Tools) > maxTools {
			return Offer{}, nil, fmt.Errorf("it has more than %d tools", maxTools)
		}
		if list.NextCursor == "" {
			return offer, notes, nil
		}
		if page == maxPages {
			return Offer{}, nil, fmt.Errorf("its list of tools has more than %d pages", maxPages)
		}
		params = &mcp.ListToolsParams{Cursor: list.NextCursor}
	}
}

// anyObject is the schema of a tool whose own cannot be used.
const anyObject = `{"type":"object"}`

// usableSchema returns a schema that the API takes: one that it refuses would make
// every request fail. The server checks inputs itself.
func usableSchema(schema any) (usable json.RawMessage, problem string) {
	object, ok := schema.(map[string]any)
	if !ok {
		return json.RawMessage(anyObject), "it is no object"
	}
	if kind, ok := object["type"]; !ok {
		object["type"] = "object"
	} else if kind != "object" {
		return json.RawMessage(anyObject), "its type is not object"
	}
	for _, key := range []string{"anyOf", "oneOf", "allOf", "not", "$schema"} {
		delete(object, key)
	}
	data, err := json.Marshal(object)
	if err != nil {
		return json.RawMessage(anyObject), err.Error()
	}
	if len(data) > maxSchema {
		return json.RawMessage(anyObject), fmt.Sprintf("it has more than %d KiB", maxSchema>>10)
	}
	var parsed jsonschema.Schema
	err = json.Unmarshal(data, &parsed)
	if err == nil {
		_, err = parsed.Resolve(nil)
	}
	if err != nil {
		return json.RawMessage(anyObject), err.Error()
	}
	text, err := canonical(data)
	if err != nil {
		return json.RawMessage(anyObject), err.Error()
	}
	return json.RawMessage(text), ""
}

// truncate returns a text for the model of at most n characters.
func truncate(text string, n int) string {
	runes := 0
	for i := range text {
		if runes == n {
			return text[:i] + "… [cut]"
		}
		runes++
	}
	return text
}
