// Package media makes content blocks of images and PDF files, within what the API takes.
// What a file is follows from its contents, not from its name.
package media

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	_ "image/gif" // decoders
	"image/jpeg"
	"image/png"
	"net/http"
	"slices"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp" // a decoder

	"github.com/claude-force/claude-force/llm"
)

// Bounds of images, as the API takes them without scaling them itself.
const (
	// MaxEdge is the longest side of an image, in pixels.
	MaxEdge = 2576
	// ManyEdge is that of images in a request with more than 20 of them.
	ManyEdge      = 2000
	patch         = 28       // pixels of a side that one token covers
	maxPatches    = 4784     // of an image
	maxImageBytes = 15 << 18 // 3.75 MB, which are 5 MB in base64
	maxPixels     = 100_000_000
	// MaxPDF is how many bytes a PDF file may have.
	MaxPDF = 20 << 20
)

// PDF is the media type of PDF files.
const PDF = "application/pdf"

// ErrNotImage is the error of contents that are no image which the API takes.
var ErrNotImage = errors.New("its content is no image of a known format (PNG, JPEG, GIF, WebP)")

var imageTypes = []string{"image/png", "image/jpeg", "image/gif", "image/webp"}

// TypeOf returns the media type of contents that are an image or a PDF file which the API
// takes; empty for all else.
func TypeOf(data []byte) string {
	kind := http.DetectContentType(data)
	if kind == PDF || slices.Contains(imageTypes, kind) {
		return kind
	}
	return ""
}

// Picture is an image as it is sent.
type Picture struct {
	Block                   llm.Block
	Width, Height           int // of the file, in pixels
	ShownWidth, ShownHeight int // as it is sent
}

// Scaled reports whether the image is sent with fewer pixels than the file has.
func (p Picture) Scaled() bool { return p.Width != p.ShownWidth || p.Height != p.ShownHeight }

// Image returns data as an image block. An image with a side longer than edge, or that is
// too large for the API otherwise, is scaled. The same data gives the same block.
func Image(data []byte, edge int) (Picture, error) {
	kind := TypeOf(data)
	if kind == "" || kind == PDF {
		return Picture{}, ErrNotImage
	}
	config, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return Picture{}, fmt.Errorf("it cannot be read as an image: %w", err)
	}
	p := Picture{Width: config.Width, Height: config.Height}
	p.ShownWidth, p.ShownHeight = fit(config.Width, config.Height, edge)
	if p.Scaled() || len(data) > maxImageBytes {
		if config.Width*config.Height > maxPixels {
			return Picture{}, fmt.Errorf("%d×%d pixels are too many", config.Width, config.Height)
		}
		if data, kind, err = scale(data, p.ShownWidth, p.ShownHeight); err != nil {
			return Picture{}, err
		}
	}
	if p.Block, err = Block("image", kind, data); err != nil {
		return Picture{}, err
	}
	p.Block.Media = &llm.Media{Width: p.ShownWidth, Height: p.ShownHeight}
	return p, nil
}

// scale returns an image with so many pixels, as PNG, or as JPEG if that is too large.
func scale(data []byte, width, height int) ([]byte, string, error) {
	decoded, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, "", fmt.Errorf("it cannot be read as an image: %w", err)
	}
	scaled := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.CatmullRom.Scale(scaled, scaled.Bounds(), decoded, decoded.Bounds(), draw.Src, nil)
	var out bytes.Buffer
	if err := png.Encode(&out, scaled); err != nil {
		return nil, "", fmt.Errorf("encoding the scaled image: %w", err)
	}
	if out.Len() <= maxImageBytes {
		return out.Bytes(), "image/png", nil
	}
	out.Reset()
	if err := jpeg.Encode(&out, scaled, &jpeg.Options{Quality: 80}); err != nil {
		return nil, "", fmt.Errorf("encoding the scaled image: %w", err)
	}
	return out.Bytes(), "image/jpeg", nil
}

// fit returns the size that an image is scaled to.
func fit(width, height, edge int) (int, int) {
	fits := func(w, h int) bool {
		return max(w, h) <= edge && ((w+patch-1)/patch)*((h+patch-1)/patch) <= maxPatches
	}
	if fits(width, height) {
		return width, height
	}
	for longest := min(edge, max(width, height)); longest > 1; longest-- {
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

// Document returns a PDF file as a document block.
func Document(data []byte) (llm.Block, error) {
	if TypeOf(data) != PDF {
		return llm.Block{}, errors.New("its content is no PDF")
	}
	if len(data) > MaxPDF {
		return llm.Block{}, fmt.Errorf("it has %d MB; at most %d MB are read", len(data)>>20, MaxPDF>>20)
	}
	block, err := Block("document", PDF, data)
	block.Media = &llm.Media{Pages: pages(data)}
	return block, err
}

// pages returns about how many pages a PDF file has, at least 1. Where the objects of
// the pages are compressed, their number is that of the compressed streams at most.
func pages(pdf []byte) int {
	n := bytes.Count(pdf, []byte("/Type /Page")) + bytes.Count(pdf, []byte("/Type/Page"))
	n -= bytes.Count(pdf, []byte("/Type /Pages")) + bytes.Count(pdf, []byte("/Type/Pages"))
	if n <= 0 {
		n = bytes.Count(pdf, []byte("endstream")) / 2 // of a page one is its text
	}
	return max(1, n)
}

// Block returns a block that holds data in base64.
func Block(kind, media string, data []byte) (llm.Block, error) {
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
