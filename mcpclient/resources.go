package mcpclient

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/tool"
)

// maxResources is how many resources of a server are listed.
const maxResources = 1000

// serverNames returns the names of servers, for the model.
func serverNames(servers []*running) string {
	names := make([]string, len(servers))
	for i, r := range servers {
		names[i] = r.Name
	}
	return strings.Join(names, ", ")
}

// byName returns the server with a name, as it is or as it was written.
func byName(servers []*running, name string) (*running, bool) {
	i := slices.IndexFunc(servers, func(r *running) bool { return r.Name == name || r.Name == normalize(name) })
	if i < 0 {
		return nil, false
	}
	return servers[i], true
}

func noServer(name string, servers []*running) tool.Result {
	return tool.Failed(fmt.Sprintf("There is no MCP server %q with resources. Those with resources are: %s", name, serverNames(servers)))
}

// listTool lists the resources of servers.
type listTool struct {
	manager *Manager
	servers []*running
}

func (t *listTool) Definition() llm.Tool {
	return llm.Tool{
		Name:        listResources,
		Description: "Lists the resources of MCP servers, such as files and records, as a JSON array. The servers with resources are: " + serverNames(t.servers) + ".",
		InputSchema: json.RawMessage(`{"type":"object","properties":{"server":{"type":"string","description":"Only the resources of this server"}},"additionalProperties":false}`),
	}
}

// Concurrent reports true: listing only reads.
func (t *listTool) Concurrent(json.RawMessage) bool { return true }

// listed is a resource in the list.
type listed struct {
	URI         string `json:"uri"`
	Name        string `json:"name"`
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	MIMEType    string `json:"mimeType,omitempty"`
	Server      string `json:"server"`
}

func (t *listTool) Call(ctx context.Context, env *tool.Env, input json.RawMessage) (tool.Result, error) {
	var in struct {
		Server string `json:"server"`
	}
	if err := json.Unmarshal(input, &in); err != nil {
		return tool.Result{}, fmt.Errorf("reading the input: %w", err)
	}
	servers := t.servers
	if in.Server != "" {
		r, ok := byName(t.servers, in.Server)
		if !ok {
			return noServer(in.Server, t.servers), nil
		}
		servers = []*running{r}
	}
	all := []listed{}
	for _, r := range servers {
		resources, err := t.list(ctx, r)
		if err != nil && (in.Server != "" || ctx.Err() != nil) {
			return tool.Result{}, err
		}
		// Without its own, the resources of the other servers are still of use.
		all = append(all, resources...)
	}
	text, err := structuredText(all)
	if err != nil {
		return tool.Result{}, err
	}
	return t.manager.bound(ctx, env, listResources, tool.Text(text)), nil
}

func (t *listTool) list(ctx context.Context, r *running) (all []listed, err error) {
	err = t.manager.do(ctx, r, "", func(ctx context.Context, client *mcp.ClientSession) error {
		params := &mcp.ListResourcesParams{}
		for range maxPages {
			page, err := client.ListResources(ctx, params)
			if err != nil {
				return err
			}
			for _, res := range page.Resources {
				if res != nil && len(all) < maxResources {
					all = append(all, listed{res.URI, res.Name, res.Title, truncate(res.Description, maxDescription), res.MIMEType, r.Name})
				}
			}
			if page.NextCursor == "" || len(all) == maxResources {
				return nil
			}
			params = &mcp.ListResourcesParams{Cursor: page.NextCursor}
		}
		return nil
	})
	return all, err
}

// readTool reads a resource of a server.
type readTool struct {
	manager *Manager
	servers []*running
}

func (t *readTool) Definition() llm.Tool {
	return llm.Tool{
		Name:        readResource,
		Description: "Reads a resource of an MCP server by its URI. The servers with resources are: " + serverNames(t.servers) + ".",
		InputSchema: json.RawMessage(`{"type":"object","properties":{"server":{"type":"string","description":"The name of the server"},"uri":{"type":"string","description":"The URI of the resource"}},"required":["server","uri"],"additionalProperties":false}`),
	}
}

// Concurrent reports true: reading has no effects.
func (t *readTool) Concurrent(json.RawMessage) bool { return true }

// content is a part of a resource.
type content struct {
	URI      string `json:"uri"`
	MIMEType string `json:"mimeType,omitempty"`
	Text     string `json:"text,omitempty"`
	SavedTo  string `json:"blobSavedTo,omitempty"`
}

func (t *readTool) Call(ctx context.Context, env *tool.Env, input json.RawMessage) (tool.Result, error) {
	var in struct{ Server, URI string }
	if err := json.Unmarshal(input, &in); err != nil {
		return tool.Result{}, fmt.Errorf("reading the input: %w", err)
	}
	r, ok := byName(t.servers, in.Server)
	if !ok {
		return noServer(in.Server, t.servers), nil
	}
	var result *mcp.ReadResourceResult
	err := t.manager.do(ctx, r, "", func(ctx context.Context, client *mcp.ClientSession) (err error) {
		result, err = client.ReadResource(ctx, &mcp.ReadResourceParams{URI: in.URI})
		return err
	})
	if err != nil {
		return tool.Result{}, err
	}
	out := struct {
		Contents []content `json:"contents"`
	}{[]content{}}
	for _, part := range result.Contents {
		if part == nil {
			continue
		}
		c := content{URI: part.URI, MIMEType: part.MIMEType, Text: part.Text}
		if part.Blob != nil {
			path, err := env.Save(readResource, extension(part.MIMEType), part.Blob)
			switch {
			case err != nil:
				c.Text = fmt.Sprintf("%d bytes that could not be stored: %v", len(part.Blob), err)
			case path == "":
				c.Text = fmt.Sprintf("%d bytes that were dropped", len(part.Blob))
			default:
				c.SavedTo = path
			}
		}
		out.Contents = append(out.Contents, c)
	}
	text, err := structuredText(out)
	if err != nil {
		return tool.Result{}, err
	}
	return t.manager.bound(ctx, env, readResource, tool.Text(text)), nil
}
