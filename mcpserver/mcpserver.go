// Package mcpserver serves the operations of a server over the Model Context Protocol, so
// that other agents can run the agents and workflows of a project. The operations, and
// the JSON that they take and give, are those of the API.
//
// A run is durable before a tool answers: its id is good in a later session, and after a
// crash of the server. A tool that runs something waits a while for it and then answers
// with the id.
package mcpserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime/debug"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/claude-force/claude-force/internal/jsontext"
	"github.com/claude-force/claude-force/server"
)

// instructions tell the model of a client what the server is for.
const instructions = `Runs agents and workflows of a project. list_agents and list_workflows say what there is; plan says what a workflow would cost. execute and start_run start a run that costs money and lasts; they answer with its run_id when it takes longer than wait_seconds. Then ask run_result with wait_seconds, and do not start the run again: it goes on by itself. A run with the status waiting needs an answer to an approval, which is for the user to give: show them what is asked before you call approve.`

// tools are the tools of a server.
type tools struct {
	srv *server.Server
}

// New returns a server for the protocol. The version is that of the program.
func New(srv *server.Server, version string) *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "claude-force", Title: "claude-force", Version: version}, &mcp.ServerOptions{Instructions: instructions})
	t := &tools{srv}
	t.addProject(s)
	t.addRuns(s)
	t.addResources(s)
	s.AddReceivingMiddleware(t.guarded)
	return s
}

// guarded keeps a request that the handlers, or the library, do not bear from ending the
// process: the library panics at arguments that are null where a schema has defaults.
func (t *tools) guarded(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, req mcp.Request) (res mcp.Result, err error) {
		defer func() {
			if cause := recover(); cause != nil {
				res, err = nil, t.problem(method, fmt.Errorf("panic: %v\n%s", cause, debug.Stack()))
			}
		}()
		if call, ok := req.(*mcp.CallToolRequest); ok && call.Params != nil {
			switch args := string(call.Params.Arguments); args {
			case "":
			case "null":
				call.Params.Arguments = json.RawMessage("{}")
			default:
				if _, err := jsontext.Parse(args, nil); err != nil {
					return nil, &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "the arguments cannot be read: " + err.Error()}
				}
			}
		}
		return next(ctx, method, req)
	}
}

// ServeStream serves one client, until it closes its side, ctx ends or the connection
// breaks. Requests in flight are canceled then. A read of in that blocks when ctx ends is
// left to end with the process.
func ServeStream(ctx context.Context, s *mcp.Server, in io.Reader, out io.WriteCloser) error {
	// The end of ctx is an end of the input: a session that is closed waits for requests in
	// flight, and closing the standard input does not end a read of it that blocks.
	input, feed := io.Pipe()
	go func() { // ends with the input
		_, err := io.Copy(feed, in)
		feed.CloseWithError(err)
	}()
	stop := context.AfterFunc(ctx, func() { feed.CloseWithError(nil) })
	defer stop()
	return s.Run(context.WithoutCancel(ctx), &mcp.IOTransport{Reader: input, Writer: out})
}

// tool is a tool without its name, title and description.
type tool[In, Out any] struct {
	annotations mcp.ToolAnnotations
	call        func(ctx context.Context, req *mcp.CallToolRequest, in In) (*Out, error)
}

// Annotations of tools.
var (
	yes, no = true, false

	// reads is of tools that change nothing, in the project or elsewhere.
	reads = mcp.ToolAnnotations{ReadOnlyHint: true, IdempotentHint: true, DestructiveHint: &no, OpenWorldHint: &no}

	// works is of tools that have agents work: they call the service, and may change
	// files and more as far as the server's permissions go.
	works = mcp.ToolAnnotations{DestructiveHint: &yes, OpenWorldHint: &yes}

	// steers is of tools that change what a run does.
	steers = mcp.ToolAnnotations{DestructiveHint: &yes, IdempotentHint: true, OpenWorldHint: &no}
)

// add adds a tool. Its schemas are those of the API. Its errors are results with the
// problem as the API has it, so that the model can read what to do.
func add[In, Out any](t *tools, s *mcp.Server, name, title, description string, tl tool[In, Out]) {
	annotations := tl.annotations
	annotations.Title = title
	def := &mcp.Tool{
		Name: name, Title: title, Description: description, Annotations: &annotations,
		InputSchema: schemaOf[In](), OutputSchema: schemaOf[Out](),
	}
	mcp.AddTool(s, def, func(ctx context.Context, req *mcp.CallToolRequest, in In) (*mcp.CallToolResult, any, error) {
		out, err := tl.call(ctx, req, in)
		if err == nil {
			return nil, out, nil
		}
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		return nil, nil, t.problem(name, err)
	})
}

// problem returns an error as the model reads it: the code of its problem, what is wrong
// and what to do.
func (t *tools) problem(name string, err error) error {
	p := t.srv.Problem(name, err)
	var text strings.Builder
	text.WriteString(p.Code + ": " + p.Detail)
	for _, e := range p.Errors {
		if e.Line > 0 {
			fmt.Fprintf(&text, "\n%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
		}
	}
	if hint := hints[p.Code+" "+name]; hint != "" {
		text.WriteString("\n" + hint)
	}
	return errors.New(text.String())
}

// schemaOf returns the schema of a type of this program.
func schemaOf[T any]() *jsonschema.Schema {
	data, err := server.Schema(reflect.TypeFor[T]())
	if err == nil {
		schema := &jsonschema.Schema{}
		if err = json.Unmarshal(data, schema); err == nil {
			return schema
		}
	}
	panic(err) // of a type of this program
}
