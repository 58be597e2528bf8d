package mcpclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/tool"
)

// serverTool is a tool of a server.
type serverTool struct {
	manager *Manager
	server  *running
	tool    Tool
	name    string
	refused string // why calls are refused; empty if they are not
}

// Unchecked marks the tool: the server checks inputs.
func (t *serverTool) Unchecked() {}

// Definition returns what was pinned.
func (t *serverTool) Definition() llm.Tool {
	return llm.Tool{Name: t.name, Description: t.tool.Description, InputSchema: t.tool.Schema}
}

// Concurrent reports whether the server says that the tool only reads.
func (t *serverTool) Concurrent(json.RawMessage) bool { return t.tool.ReadOnly }

func (t *serverTool) Call(ctx context.Context, env *tool.Env, input json.RawMessage) (tool.Result, error) {
	if t.refused != "" {
		return tool.Failed(t.refused), nil
	}
	var result *mcp.CallToolResult
	err := t.manager.do(ctx, t.server, t.tool.Name, func(ctx context.Context, client *mcp.ClientSession) (err error) {
		result, err = client.CallTool(ctx, &mcp.CallToolParams{Name: t.tool.Name, Arguments: input})
		return err
	})
	if err != nil {
		return tool.Result{}, err
	}
	return t.manager.convert(ctx, env, t, result), nil
}

// do calls a server, which is started if need be. Name is a tool that must be what
// was trusted; empty if the call is for none. The error is for the model.
func (m *Manager) do(ctx context.Context, r *running, name string, call func(context.Context, *mcp.ClientSession) error) error {
	s, err := m.ready(ctx, r, name)
	if err != nil {
		return err
	}
	limit := m.callTimeout
	if r.Timeout > 0 {
		limit = r.Timeout
	}
	timed, done := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the MCP server %s did not answer within %v", r.Name, limit))
	defer done()
	err = call(timed, s.client)
	if err == nil || answered(err) != nil {
		m.worked(r)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case timed.Err() != nil:
		return context.Cause(timed)
	case errors.Is(err, errTooLarge):
		s.broken.Store(true)
		return fmt.Errorf("the MCP server %s: %w", r.Name, errTooLarge)
	case closed(err) || s.dead():
		s.broken.Store(true)
		return fmt.Errorf("Connection closed: the MCP server %s ended during the call, whose effects are not known", r.Name)
	case answered(err) == nil:
		s.settle()
	}
	return errors.New(s.server.redact(message(err)))
}

// ready returns the connection for a call of a tool.
func (m *Manager) ready(ctx context.Context, r *running, name string) (*session, error) {
	if err := r.lock(ctx); err != nil {
		return nil, err
	}
	defer r.unlock()
	s, err := m.live(ctx, r)
	if err != nil {
		return nil, err
	}
	if reason := r.changed[name]; reason != "" {
		return nil, errors.New(reason)
	}
	return s, nil
}

// worked records that the server answered.
func (m *Manager) worked(r *running) {
	r.busy <- struct{}{}
	r.failed = 0
	r.unlock()
}

// closed reports whether an error says that the connection has ended.
func closed(err error) bool {
	for _, end := range []error{
		mcp.ErrConnectionClosed, mcp.ErrSessionMissing,
		io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, os.ErrClosed, os.ErrDeadlineExceeded, syscall.EPIPE,
	} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}
