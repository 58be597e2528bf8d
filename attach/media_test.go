package attach_test

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/internal/citest"
)

func TestMediaIsGivenWherePatternsMeanIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 60, 30))); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"a.png": picture.String(), "b.JPG": picture.String(), "hidden.dat": picture.String(), "c.pdf": "%PDF-1.7\n", "text.png": "no picture",
		"a\"><.png": picture.String(), "note.md": "text",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			citest.Missing(t, "a file system that takes the name %s", name)
		}
	}
	d, err := attach.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for pattern, want := range map[string]string{
		"*.png":          "a\"><.png:image/png a.png:image/png text.png:",
		"*.{png, pdf}":   "a\"><.png:image/png a.png:image/png c.pdf:application/pdf text.png:",
		"*.JPG":          "b.JPG:image/png",
		"*":              "note.md: text.png:",
		"*.{png,md}":     "note.md: text.png:",
		"hidden.dat":     "hidden.dat:image/png",
		"[ac].{pdf,gif}": "c.pdf:application/pdf",
	} {
		var notes []string
		files, err := d.Read(t.Context(), []string{strings.ReplaceAll(pattern, ", ", ",")}, attach.Limits{Media: true, OnNote: func(text string) { notes = append(notes, text) }})
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		var got []string
		for _, f := range files {
			if f.Type == "" && f.Path == "c.pdf" {
				continue
			}
			got = append(got, f.Path+":"+f.Type)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s finds %q, want %q (notes: %q)", pattern, strings.Join(got, " "), want, notes)
		}
		for _, b := range attach.Blocks(files) {
			if b.Type == "text" && strings.Count(b.Text, "<file ") != 1 {
				t.Errorf("a name leads out of its label: %s", b.Text)
			}
			if b.Type == "image" && (b.Media == nil || b.Media.Width != 60) {
				t.Errorf("the size of an image is %+v", b.Media)
			}
		}
	}
	if _, err := d.Read(t.Context(), []string{"a.png"}, attach.Limits{}); err == nil {
		t.Error("an image is read where only text is wanted")
	}
}
