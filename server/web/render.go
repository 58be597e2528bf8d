package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"sync"
)

//go:embed templates static
var files embed.FS

// pages returns the templates of the pages, each with the layout, by name.
var pages = sync.OnceValue(func() map[string]*template.Template {
	base := template.Must(template.New("").Funcs(functions).ParseFS(files, "templates/layout.html", "templates/parts*.html"))
	set := map[string]*template.Template{}
	names, err := fs.Glob(files, "templates/page-*.html")
	if err != nil {
		panic(err) // the pattern is ours
	}
	for _, name := range names {
		t := template.Must(template.Must(base.Clone()).ParseFS(files, name))
		set[path.Base(name)[len("page-"):len(path.Base(name))-len(".html")]] = t
	}
	return set
})

// render executes a template of a page.
func render(page, name string, v *view) ([]byte, error) {
	var text bytes.Buffer
	if err := pages()[page].ExecuteTemplate(&text, name, v); err != nil {
		return nil, fmt.Errorf("drawing the page %s: %w", page, err)
	}
	return text.Bytes(), nil
}

// digests returns the beginning of the hash of each static file, by name: it is in
// addresses, so that browsers keep a file until it changes.
var digests = sync.OnceValue(func() map[string]string {
	entries, err := files.ReadDir("static")
	if err != nil {
		panic(err) // it is embedded
	}
	set := map[string]string{}
	for _, entry := range entries {
		data, err := files.ReadFile("static/" + entry.Name())
		if err != nil {
			panic(err) // it is embedded
		}
		sum := sha256.Sum256(data)
		set[entry.Name()] = hex.EncodeToString(sum[:6])
	}
	return set
})

// static returns the address of a static file.
func static(name string) string { return "/static/" + name + "?v=" + digests()[name] }

func serveStatic(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	if digests()[name] == "" {
		http.NotFound(w, r)
		return
	}
	data, err := files.ReadFile("static/" + name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	if r.URL.Query().Get("v") == digests()[name] {
		h.Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	_, _ = w.Write(data) // the client may be gone
}
