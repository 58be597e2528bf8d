package sim

import (
	"bytes"
	"encoding/base64"
	"image"
	_ "image/gif" // formats whose dimensions are read
	_ "image/jpeg"
	_ "image/png"
	"math"
	"strings"
)

// mediaSource is the source of an image or a document.
type mediaSource struct {
	Type      string `json:"type"`
	MediaType string `json:"media_type"`
	Data      string `json:"data"` // base64, or the text of a text document
}

// mediaTokens returns the tokens of the images and documents in a block.
func (b *block) mediaTokens(m *model) int {
	n := 0
	for i := range b.Content {
		n += b.Content[i].mediaTokens(m)
	}
	if b.Source == nil {
		return n
	}
	switch {
	case b.Type == "image":
		w, h := b.Source.dimensions()
		return imageTokens(w, h, m.dense())
	case b.Type == "document" && b.Source.Type == "text":
		return m.count(len(b.Source.Data))
	case b.Type == "document" && b.Source.Type == "base64":
		const perPage = 2000 // text and image of a page: the docs say 1,500 to 3,000 and more
		return perPage * pages(b.Source.Data)
	case b.Type == "document":
		return 2000
	}
	return n
}

// imageTokens returns the tokens of an image: one for each patch of 28 by 28
// pixels. A larger image than the model reads is scaled down first. Models from
// Opus 4.7 on read images of a higher resolution.
func imageTokens(width, height int, highResolution bool) int {
	edge, most := 1568.0, 1568
	if highResolution {
		edge, most = 2576.0, 4784
	}
	w, h := float64(width), float64(height)
	if long := max(w, h); long > edge {
		w, h = w*edge/long, h*edge/long
	}
	patches := func(v float64) int { return max(1, int(math.Ceil(v/28))) }
	return min(patches(w)*patches(h), most)
}

// dimensions returns an image's size in pixels. An image that cannot be decoded,
// such as one behind a URL, counts as one of a common size.
func (s *mediaSource) dimensions() (width, height int) {
	if s.Type == "base64" {
		// The dimensions are in the first bytes, so the rest is not decoded.
		config, _, err := image.DecodeConfig(base64.NewDecoder(base64.StdEncoding, strings.NewReader(s.Data)))
		if err == nil {
			return config.Width, config.Height
		}
	}
	return 1024, 1024
}

// pages returns the number of pages of a PDF, at least 1.
func pages(data string) int {
	pdf, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return 1
	}
	n := bytes.Count(pdf, []byte("/Type /Page")) + bytes.Count(pdf, []byte("/Type/Page"))
	n -= bytes.Count(pdf, []byte("/Type /Pages")) + bytes.Count(pdf, []byte("/Type/Pages"))
	return max(1, n)
}

// mediaTypes lists the media types of base64 sources by type of block.
var mediaTypes = map[string][]string{
	"image":    {"image/jpeg", "image/png", "image/gif", "image/webp"},
	"document": {"application/pdf"},
}
