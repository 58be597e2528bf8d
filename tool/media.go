package tool

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	_ "image/gif" // decoders
	"image/jpeg"
	"image/png"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp" // a decoder

	"github.com/claude-force/claude-force/llm"
)

// Bounds of images, as the API takes them without scaling them itself.
const (
	maxEdge       = 2576     // pixels
	patch         = 28       // pixels of a side that one token covers
	maxPatches    = 4784     // of an image
	maxImageBytes = 15 << 18 // 3.75 MB, which are 5 MB in base64
	maxPixels     = 100_000_000
	maxPDF        = 20 << 20
)

// Image returns data as an image block, scaled if it is too large for the API. What
// is no image that the API takes is a result with IsError, which calls it name.
func Image(name string, data []byte) (Result, error) { return readImage(name, data) }

// readImage returns a file as an image block. One that is too large is scaled.
func readImage(path string, data []byte) (Result, error) {
	kind := http.DetectContentType(data)
	switch kind {
	case "image/png", "image/jpeg", "image/gif", "image/webp":
	default:
		return Failed(fmt.Sprintf("Cannot read %s: its content is no image of a known format (PNG, JPEG, GIF, WebP).", path)), nil
	}
	config, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return Failed(fmt.Sprintf("Cannot read %s as an image: %v.", path, err)), nil
	}
	width, height := fit(config.Width, config.Height)
	if width == config.Width && height == config.Height && len(data) <= maxImageBytes {
		block, err := dataBlock("image", kind, data)
		return Result{Blocks: []llm.Block{block}}, err
	}
	if config.Width*config.Height > maxPixels {
		return Failed(fmt.Sprintf("Cannot read %s: %d×%d pixels are too many.", path, config.Width, config.Height)), nil
	}
	decoded, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return Failed(fmt.Sprintf("Cannot read %s as an image: %v.", path, err)), nil
	}
	scaled := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.CatmullRom.Scale(scaled, scaled.Bounds(), decoded, decoded.Bounds(), draw.Src, nil)
	var out bytes.Buffer
	kind = "image/png"
	if err := png.Encode(&out, scaled); err != nil {
		return Result{}, fmt.Errorf("encoding the scaled image: %w", err)
	}
	if out.Len() > maxImageBytes {
		out.Reset()
		kind = "image/jpeg"
		if err := jpeg.Encode(&out, scaled, &jpeg.Options{Quality: 80}); err != nil {
			return Result{}, fmt.Errorf("encoding the scaled image: %w", err)
		}
	}
	block, err := dataBlock("image", kind, out.Bytes())
	if err != nil {
		return Result{}, err
	}
	note := fmt.Sprintf("%s has %d×%d pixels and is shown with %d×%d. Multiply positions in it by %.2f to get those in the file.",
		path, config.Width, config.Height, width, height, float64(config.Width)/float64(width))
	return Result{Blocks: []llm.Block{block}, Notes: []llm.Block{llm.TextBlock(note)}}, nil
}

// fit returns the size that an image is scaled to.
func fit(width, height int) (int, int) {
	fits := func(w, h int) bool {
		return max(w, h) <= maxEdge && ((w+patch-1)/patch)*((h+patch-1)/patch) <= maxPatches
	}
	if fits(width, height) {
		return width, height
	}
	for longest := min(maxEdge, max(width, height)); longest > 1; longest-- {
		w, h := longest, max(1, longest*height/max(1, width))
		if height > width {
			w, h = max(1, longest*width/height), longest
		}
		if fits(w, h) {
			return w, h
		}
	}
	return 1, 1
}

// dataBlock returns a block that holds data in base64.
func dataBlock(kind, media string, data []byte) (llm.Block, error) {
	type source struct {
		Type      string `json:"type"`
		MediaType string `json:"media_type"`
		Data      string `json:"data"`
	}
	raw, err := json.Marshal(struct {
		Type   string `json:"type"`
		Source source `json:"source"`
	}{kind, source{"base64", media, base64.StdEncoding.EncodeToString(data)}})
	if err != nil {
		return llm.Block{}, err
	}
	return llm.Block{Type: kind, Raw: raw}, nil
}

var pageRange = regexp.MustCompile(`^\s*([0-9]+)(?:\s*-\s*([0-9]+))?\s*$`)

// readPDF returns a file as a document block.
func readPDF(path string, data []byte, pages string) (Result, error) {
	if !bytes.HasPrefix(data, []byte("%PDF-")) {
		return Failed(fmt.Sprintf("Cannot read %s: its content is no PDF.", path)), nil
	}
	if pages != "" {
		if problem := pagesProblem(pages); problem != "" {
			return Failed(fmt.Sprintf("pages %q: %s", pages, problem)), nil
		}
		return Failed("Pages of a PDF file cannot be read alone here. Read the file without pages."), nil
	}
	if len(data) > maxPDF {
		return Failed(fmt.Sprintf("%s has %d MB; at most %d MB are read.", path, len(data)>>20, maxPDF>>20)), nil
	}
	block, err := dataBlock("document", "application/pdf", data)
	if err != nil {
		return Result{}, err
	}
	return Result{Blocks: []llm.Block{llm.TextBlock(fmt.Sprintf("PDF file read: %s (%d bytes)", path, len(data))), block}}, nil
}

// pagesProblem returns what is wrong with the pages that were asked for.
func pagesProblem(pages string) string {
	m := pageRange.FindStringSubmatch(pages)
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
					block, err := dataBlock("image", kind, raw)
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
