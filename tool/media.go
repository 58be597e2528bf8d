package tool

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/claude-force/claude-force/internal/media"
	"github.com/claude-force/claude-force/llm"
)

// Image returns data as an image block, scaled if it is too large for the API. What
// is no image that the API takes is a result with IsError, which calls it name.
func Image(name string, data []byte) (Result, error) { return readImage(name, data) }

// readImage returns a file as an image block. One that is too large is scaled.
func readImage(path string, data []byte) (Result, error) {
	p, err := media.Image(data, media.MaxEdge)
	if err != nil {
		return Failed(fmt.Sprintf("Cannot read %s: %v.", path, err)), nil
	}
	result := Result{Blocks: []llm.Block{p.Block}}
	if p.Scaled() {
		result.Notes = []llm.Block{llm.TextBlock(fmt.Sprintf("%s has %d×%d pixels and is shown with %d×%d. Multiply positions in it by %.2f to get those in the file.",
			path, p.Width, p.Height, p.ShownWidth, p.ShownHeight, float64(p.Width)/float64(p.ShownWidth)))}
	}
	return result, nil
}

var pageRange = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^\s*([0-9]+)(?:\s*-\s*([0-9]+))?\s*$`) })

// readPDF returns a file as a document block.
func readPDF(path string, data []byte, pages string) Result {
	if !bytes.HasPrefix(data, []byte("%PDF-")) {
		return Failed(fmt.Sprintf("Cannot read %s: its content is no PDF.", path))
	}
	if pages != "" {
		if problem := pagesProblem(pages); problem != "" {
			return Failed(fmt.Sprintf("pages %q: %s", pages, problem))
		}
		return Failed("Pages of a PDF file cannot be read alone here. Read the file without pages.")
	}
	block, err := media.Document(data)
	if err != nil {
		return Failed(fmt.Sprintf("Cannot read %s: %v.", path, err))
	}
	return Result{Blocks: []llm.Block{llm.TextBlock(fmt.Sprintf("PDF file read: %s (%d bytes)", path, len(data))), block}}
}

// pagesProblem returns what is wrong with the pages that were asked for.
func pagesProblem(pages string) string {
	m := pageRange().FindStringSubmatch(pages)
	if m == nil {
		return "it must be a page, such as 3, or a range, such as 1-5"
	}
	first, err := strconv.Atoi(m[1])
	last := first
	if err == nil && m[2] != "" {
		last, err = strconv.Atoi(m[2])
	}
	switch {
	case err != nil, first < 1, last < first:
		return "it is no range of pages"
	case last-first >= 20:
		return "at most 20 pages are read at once"
	}
	return ""
}

// notebook is what is read of a Jupyter notebook.
type notebook struct {
	Cells []struct {
		Type    string          `json:"cell_type"`
		ID      string          `json:"id"`
		Source  multiline       `json:"source"`
		Outputs []cellOutput    `json:"outputs"`
		Count   json.RawMessage `json:"execution_count"`
	} `json:"cells"`
	Metadata struct {
		Language struct {
			Name string `json:"name"`
		} `json:"language_info"`
	} `json:"metadata"`
}

type cellOutput struct {
	Type      string               `json:"output_type"`
	Text      multiline            `json:"text"`
	Data      map[string]multiline `json:"data"`
	Name      string               `json:"ename"`
	Value     string               `json:"evalue"`
	Traceback []string             `json:"traceback"`
}

// multiline is a text that a notebook stores as a string or as a list of lines.
type multiline string

// UnmarshalJSON takes values that are neither as they are written.
func (m *multiline) UnmarshalJSON(data []byte) error {
	var lines []string
	var text string
	switch {
	case json.Unmarshal(data, &text) == nil:
		*m = multiline(text)
	case json.Unmarshal(data, &lines) == nil:
		*m = multiline(strings.Join(lines, ""))
	default:
		*m = multiline(data)
	}
	return nil
}

// readNotebook returns the cells of a notebook with their outputs.
func readNotebook(path string, data []byte) (Result, error) {
	var book notebook
	if err := json.Unmarshal(data, &book); err != nil {
		return Failed(fmt.Sprintf("Cannot read %s: it is no notebook: %v.", path, err)), nil
	}
	blocks := []llm.Block{}
	add := func(text string) {
		if n := len(blocks); n > 0 && blocks[n-1].Type == llm.BlockText {
			blocks[n-1].Text += "\n" + text
			return
		}
		blocks = append(blocks, llm.TextBlock(text))
	}
	for i, cell := range book.Cells {
		id := cell.ID
		if id == "" {
			id = fmt.Sprintf("cell-%d", i)
		}
		head := ""
		if cell.Type != "code" {
			head = "<cell_type>" + cell.Type + "</cell_type>"
		} else if lang := book.Metadata.Language.Name; lang != "" && lang != "python" {
			head = "<language>" + lang + "</language>"
		}
		add(fmt.Sprintf(`<cell id="%s">%s%s</cell id="%s">`, id, head, cell.Source, id))
		for _, out := range cell.Outputs {
			if text := out.text(); text != "" {
				add("\n" + firstUnits(text, maxOutput))
			}
			for _, kind := range []string{"image/png", "image/jpeg"} {
				if encoded, ok := out.Data[kind]; ok {
					raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(encoded)), ""))
					if err != nil {
						continue // it is no image that could be shown
					}
					block, err := media.Block("image", kind, raw)
					if err != nil {
						return Result{}, err
					}
					blocks = append(blocks, block)
				}
			}
		}
	}
	if len(blocks) == 0 {
		return Text(reminder(path + " is a notebook without cells.")), nil
	}
	return Result{Blocks: blocks}, nil
}

// maxOutput is how much of the output of a cell is shown, in characters.
const maxOutput = 10_000

func (o cellOutput) text() string {
	switch o.Type {
	case "error":
		return fmt.Sprintf("%s: %s\n%s", o.Name, o.Value, strings.Join(o.Traceback, "\n"))
	case "stream":
		return string(o.Text)
	default:
		return string(o.Data["text/plain"])
	}
}
