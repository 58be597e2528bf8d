package attach

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/internal/media"
	"github.com/claude-force/claude-force/llm"
)

// Bounds of the images and documents of one task. A request has at most 32 MB, in which
// base64 makes four bytes of three.
const (
	maxMediaBytes = 22 << 20
	maxReadMedia  = 64 << 20 // before images are scaled
	maxMedia      = 100
	manyImages    = 20 // above which each may have fewer pixels
)

// mediaExtensions are the extensions of patterns that mean images and documents.
var mediaExtensions = []string{"png", "jpg", "jpeg", "gif", "webp", "pdf"}

// wantsMedia reports whether a pattern is meant to find images and documents: it ends in
// their extension, as in *.png and *.{png,pdf}.
func wantsMedia(pattern string) bool {
	base := path.Base(pattern)
	extension := base[strings.LastIndexByte(base, '.')+1:]
	if extension == base {
		return false
	}
	for one := range strings.SplitSeq(strings.Trim(strings.ToLower(extension), "{}"), ",") {
		if !slices.Contains(mediaExtensions, strings.TrimPrefix(strings.TrimSpace(one), ".")) {
			return false
		}
	}
	return true
}

// mediaBlocks sets the blocks of the files that are images and documents.
func mediaBlocks(files []File) error {
	images, count := 0, 0
	for _, f := range files {
		if f.Type == "" {
			continue
		}
		count++
		if f.Type != media.PDF {
			images++
		}
		if count > maxMedia {
			return fmt.Errorf("reading %s: more than %d images and documents; name fewer", f.Path, maxMedia)
		}
	}
	edge := media.MaxEdge
	if images > manyImages {
		edge = media.ManyEdge
	}
	size := 0
	for i := range files {
		f := &files[i]
		if f.Type == "" {
			continue
		}
		if f.Type == media.PDF {
			block, err := media.Document(f.data)
			if err != nil {
				return fmt.Errorf("reading %s: %w", f.Path, err)
			}
			f.block = block
		} else {
			p, err := media.Image(f.data, edge)
			if err != nil {
				return fmt.Errorf("reading %s: %w", f.Path, err)
			}
			f.block = p.Block
			f.size = fmt.Sprintf("%d×%d pixels", p.Width, p.Height)
			if p.Scaled() {
				f.size += fmt.Sprintf(", shown with %d×%d", p.ShownWidth, p.ShownHeight)
			}
		}
		if size += len(f.block.Raw) * 3 / 4; size > maxMediaBytes {
			return fmt.Errorf("reading %s: the images and documents are larger than %d MiB together; name fewer", f.Path, maxMediaBytes>>20)
		}
	}
	return nil
}

// Blocks returns the files that are images and documents as content blocks, each behind a
// text that names it.
func Blocks(files []File) []llm.Block {
	var blocks []llm.Block
	for _, f := range files {
		if f.Type == "" {
			continue
		}
		label := f.Type
		if f.size != "" {
			label += ", " + f.size
		}
		blocks = append(blocks, llm.TextBlock(llm.Fence("file", "path", f.Path, label+"; it follows")), f.block)
	}
	return blocks
}
