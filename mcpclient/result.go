package mcpclient

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/tool"
)

// Limits of a result.
const (
	maxResult = 50_000 // characters that the model gets at once
	maxImages = 20     // images that the model gets at once; others are stored
)

// convert returns the result of a call as the model gets it.
func (m *Manager) convert(ctx context.Context, env *tool.Env, t *serverTool, r *mcp.CallToolResult) tool.Result {
	c := converter{env: env, name: t.name, server: t.server.Name}
	if !r.IsError && r.StructuredContent != nil {
		text, err := structuredText(r.StructuredContent)
		if err != nil {
			return tool.Failed(fmt.Sprintf("The structured result of %s cannot be read: %v.", t.name, err))
		}
		return m.bound(ctx, env, t.name, tool.Text(text))
	}
	for _, content := range r.Content {
		c.add(content)
	}
	if r.IsError {
		text := joined(c.blocks)
		if text == "" {
			text = t.name + " failed without a message"
		}
		bounded := m.bound(ctx, env, t.name, tool.Text(text))
		return tool.Failed(joined(bounded.Blocks) + bounded.Text)
	}
	if len(c.blocks) == 0 {
		return tool.Text(fmt.Sprintf("(%s completed with no output)", t.name))
	}
	return m.bound(ctx, env, t.name, tool.Result{Blocks: c.blocks, Notes: c.notes})
}

// joined returns the texts of blocks, one a line.
func joined(blocks []llm.Block) string {
	var texts []string
	for _, b := range blocks {
		if b.Type == llm.BlockText {
			texts = append(texts, b.Text)
		}
	}
	return strings.Join(texts, "\n")
}

// bound returns a result of a size that the model can take. The texts of a larger one
// are stored.
func (m *Manager) bound(ctx context.Context, env *tool.Env, name string, r tool.Result) tool.Result {
	text := r.Text
	if r.Blocks != nil {
		text = joined(r.Blocks)
	}
	// A text has no more tokens than bytes.
	if len(text) > m.maxTokens {
		if n := env.CountTokens(ctx, text); n > m.maxTokens {
			where := "It was dropped; narrow the call."
			if path, err := env.Save(name, ".txt", []byte(text)); err != nil {
				where = fmt.Sprintf("It could not be stored (%v); narrow the call.", err)
			} else if path != "" {
				where = fmt.Sprintf("All of it is in %s: search it, or read it in parts with an offset and a limit.", path)
			}
			short := fmt.Sprintf("The result of %s has about %d tokens, which exceeds the maximum of %d. %s", name, n, m.maxTokens, where)
			return withImages(short, r)
		}
	}
	if bounded := env.Bound(name, text, maxResult); bounded != text {
		return withImages(bounded, r)
	}
	return r
}

// withImages returns a result with another text and the images of the old one.
func withImages(text string, old tool.Result) tool.Result {
	r := tool.Result{Text: text, Notes: old.Notes}
	for _, b := range old.Blocks {
		if b.Type != llm.BlockText {
			r.Blocks = append(r.Blocks, b)
		}
	}
	if r.Blocks != nil {
		r.Text, r.Blocks = "", append([]llm.Block{llm.TextBlock(text)}, r.Blocks...)
	}
	return r
}

// converter makes blocks of what a server returns.
type converter struct {
	env          *tool.Env
	name, server string
	blocks       []llm.Block
	notes        []llm.Block
	images       int
}

// text adds a text; the API takes no empty ones.
func (c *converter) text(text string) {
	if text = strings.ToValidUTF8(text, "\uFFFD"); strings.TrimSpace(text) != "" {
		c.blocks = append(c.blocks, llm.TextBlock(text))
	}
}

func (c *converter) add(content mcp.Content) {
	switch v := content.(type) {
	case *mcp.TextContent:
		c.text(v.Text)
	case *mcp.ImageContent:
		c.image("[Image", v.MIMEType, v.Data)
	case *mcp.AudioContent:
		c.file(fmt.Sprintf("[Audio from %s", c.server), v.MIMEType, v.Data)
	case *mcp.ResourceLink:
		text := fmt.Sprintf("[Resource link: %s] %s", v.Name, v.URI)
		if v.Description != "" {
			text += " (" + v.Description + ")"
		}
		c.text(text)
	case *mcp.EmbeddedResource:
		if v.Resource != nil {
			c.resource(v.Resource)
		}
	default:
		// What later versions of the protocol add.
		if data, err := json.Marshal(content); err == nil {
			c.text(string(data))
		}
	}
}

func (c *converter) resource(r *mcp.ResourceContents) {
	prefix := fmt.Sprintf("[Resource from %s at %s", c.server, r.URI)
	switch {
	case r.Blob == nil:
		c.text(prefix + "] " + r.Text)
	case strings.HasPrefix(r.MIMEType, "image/"):
		c.text(prefix + "]")
		c.image("[Image", r.MIMEType, r.Blob)
	default:
		c.file(prefix, r.MIMEType, r.Blob)
	}
}

// image adds an image, and where it is stored. What the API does not take as an image
// is only stored.
func (c *converter) image(prefix, kind string, data []byte) {
	c.images++
	shown, err := tool.Image("the image", data)
	if err != nil || shown.IsError || c.images > maxImages {
		c.file(prefix, kind, data)
		return
	}
	c.blocks = append(c.blocks, shown.Blocks...)
	path, err := c.env.Save(c.name, extension(kind), data)
	if err != nil || path == "" {
		return
	}
	c.text(fmt.Sprintf("[Image: source: %s]", path))
	c.notes = append(c.notes, shown.Notes...)
}

// file stores data, and adds where. The prefix has an opening bracket.
func (c *converter) file(prefix, kind string, data []byte) {
	text := fmt.Sprintf("%s] %d bytes", prefix, len(data))
	if kind != "" {
		text += " of type " + cut(kind, 100)
	}
	switch path, err := c.env.Save(c.name, extension(kind), data); {
	case err != nil:
		text += fmt.Sprintf(", which could not be stored: %v", err)
	case path == "":
		text += ", which were dropped"
	default:
		text += " in " + path
	}
	c.text(text)
}

// extensions are those of common types; the system's table differs from one to the
// next.
var extensions = map[string]string{
	"image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/webp": ".webp", "image/svg+xml": ".svg",
	"audio/wav": ".wav", "audio/x-wav": ".wav", "audio/mpeg": ".mp3", "audio/ogg": ".ogg", "audio/flac": ".flac",
	"application/pdf": ".pdf", "application/json": ".json", "application/zip": ".zip", "application/gzip": ".gz",
	"text/plain": ".txt", "text/html": ".html", "text/csv": ".csv", "text/markdown": ".md",
}

// extension returns the extension of a file for a media type that a server names.
func extension(kind string) string {
	base, _, err := mime.ParseMediaType(kind)
	if err != nil {
		return ".bin"
	}
	if ext := extensions[base]; ext != "" {
		return ext
	}
	return ".bin"
}
