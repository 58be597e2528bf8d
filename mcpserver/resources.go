package mcpserver

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// scheme is that of the URIs of outputs.
const scheme = "run://"

// addResources adds the outputs of runs.
func (t *tools) addResources(s *mcp.Server) {
	s.AddResourceTemplate(&mcp.ResourceTemplate{
		Name: "run_output", Title: "Output of a run", URITemplate: scheme + "{run}/output",
		Description: "The whole output of a run: a text, or JSON. The run is an id, or latest.",
	}, t.readOutput)
	s.AddResourceTemplate(&mcp.ResourceTemplate{
		Name: "step_output", Title: "Output of a step", URITemplate: scheme + "{run}/steps/{+step}",
		Description: "The whole output of a step of a run: a text, or JSON. A step within a step is OUTER/INNER.",
	}, t.readOutput)
}

// outputURI returns the URI of the output of a run, or of a step of it.
func outputURI(run, step string) string {
	if step == "" {
		return scheme + run + "/output"
	}
	return scheme + run + "/steps/" + (&url.URL{Path: step}).EscapedPath()
}

// readOutput reads the output of a run or of a step.
func (t *tools) readOutput(ctx context.Context, req *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
	uri := req.Params.URI
	run, path, _ := strings.Cut(strings.TrimPrefix(uri, scheme), "/")
	step, err := url.PathUnescape(strings.TrimPrefix(path, "steps/"))
	if err != nil {
		return nil, mcp.ResourceNotFoundError(uri)
	}
	if path == "output" {
		step = ""
	}
	d, err := t.srv.Load(ctx, run)
	if err != nil {
		return nil, t.notRead(uri, err)
	}
	value, err := outputOf(d, step, false)
	if err != nil {
		return nil, t.notRead(uri, err)
	}
	if value == nil {
		return nil, mcp.ResourceNotFoundError(uri)
	}
	content := &mcp.ResourceContents{URI: uri, MIMEType: "text/markdown"}
	if text, ok := value.(string); ok {
		content.Text = text
	} else {
		data, err := json.MarshalIndent(value, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("writing an output: %w", err)
		}
		content.MIMEType, content.Text = "application/json", string(data)
	}
	return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{content}}, nil
}

// notRead returns the error of a resource that cannot be read.
func (t *tools) notRead(uri string, err error) error {
	if p := t.srv.Problem("read_resource", err); p.Status < 500 { // what is the server's own fault is in its log
		return mcp.ResourceNotFoundError(uri)
	}
	return fmt.Errorf("%s cannot be read", uri)
}
