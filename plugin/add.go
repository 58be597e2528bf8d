package plugin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/internal/jsontext"
)

// Add installs the plugin of a source and pins it. The source is a folder or the URL
// of a Git repository, with @ref for a branch, tag or commit, and #name for a plugin
// of a marketplace.
func (s *Store) Add(ctx context.Context, source string) (Entry, error) {
	entry, err := parseSource(source)
	if err != nil {
		return Entry{}, err
	}
	files, err := take(ctx, &entry)
	if err != nil {
		return Entry{}, fmt.Errorf("plugin %s: %w", source, err)
	}
	if len(files) == 0 {
		return Entry{}, fmt.Errorf("plugin %s: there is nothing in it", source)
	}
	for _, f := range files {
		if f.link {
			if err := inside(f); err != nil {
				return Entry{}, fmt.Errorf("plugin %s: %w", source, err)
			}
		}
	}
	if !validName(entry.Name) {
		return Entry{}, fmt.Errorf("plugin %s: the name %.80q is not made of letters, digits and hyphens", source, entry.Name)
	}
	entry.Tree = hashOf(files)
	return entry, s.keep(entry, files)
}

// keep stores the content of a plugin and pins it.
func (s *Store) keep(entry Entry, files []file) error {
	entries, err := s.List()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.content, 0o700); err != nil {
		return err
	}
	dir := s.Dir(entry)
	temporary, err := os.MkdirTemp(s.content, ".adding-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary) //nolint:errcheck // it is gone if all went well
	if err := store(files, filepath.Join(temporary, "content")); err != nil {
		return err
	}
	if _, err := read(entry, filepath.Join(temporary, "content")); err != nil {
		return fmt.Errorf("plugin %s: %w", entry.Name, err)
	}
	if err := errors.Join(os.RemoveAll(dir), os.Rename(filepath.Join(temporary, "content"), dir)); err != nil {
		return err
	}
	old := ""
	entries = slices.DeleteFunc(entries, func(e Entry) bool {
		if e.Name == entry.Name && s.Dir(e) != dir {
			old = s.Dir(e)
		}
		return e.Name == entry.Name
	})
	if err := s.write(append(entries, entry)); err != nil {
		return err
	}
	if old != "" {
		return os.RemoveAll(old)
	}
	return nil
}

// parseSource reads SOURCE[@ref][#plugin].
func parseSource(text string) (Entry, error) {
	var e Entry
	text, e.Plugin, _ = strings.Cut(text, "#")
	if e.Plugin != "" && !validName(e.Plugin) {
		return e, fmt.Errorf("%.80q is no name of a plugin", e.Plugin)
	}
	e.Source = text
	if info, err := os.Stat(text); err == nil && info.IsDir() {
		abs, err := filepath.Abs(text)
		e.Source = abs
		return e, err
	}
	// The user of ssh stands before an @ too, but before the path.
	if i := strings.LastIndexByte(text, '@'); i > strings.LastIndexAny(text, "/:") && i > 0 {
		e.Source, e.Ref = text[:i], text[i+1:]
	}
	if _, err := gitURL(e.Source); err != nil {
		return e, err
	}
	return e, checkRef(e.Ref)
}

// take returns the files of a plugin, and completes its entry.
func take(ctx context.Context, e *Entry) ([]file, error) {
	files, commit, err := fetch(ctx, e.Source, e.Ref)
	if err != nil {
		return nil, err
	}
	e.Commit = commit
	files = below(files, e.Path)
	market, isMarket := find(files, marketplaceFile)
	if e.Plugin != "" {
		if !isMarket {
			return nil, fmt.Errorf("it has no %s, which would say where its plugin %s is", marketplaceFile, e.Plugin)
		}
		return takeOffered(ctx, e, market, files)
	}
	m, has := find(files, manifestFile)
	if isMarket && !has {
		return nil, fmt.Errorf("it is a marketplace: add one of its plugins with %s#NAME; it has %s", e.Source, offered(market.data))
	}
	var parsed manifest
	if has {
		if err := json.Unmarshal(m.data, &parsed); err != nil {
			return nil, fmt.Errorf("%s: %w", manifestFile, jsontext.ExplainLine(m.data, err))
		}
	}
	e.Name = cmp.Or(parsed.Name, e.Name, strings.TrimSuffix(path.Base(filepath.ToSlash(e.Source)), ".git"))
	return files, nil
}

// takeOffered returns the files of the plugin of a marketplace that the entry names, and
// completes the entry. files are those of the marketplace.
func takeOffered(ctx context.Context, e *Entry, market file, files []file) ([]file, error) {
	item, pluginRoot, err := lookup(market.data, e.Plugin)
	if err != nil {
		return nil, err
	}
	var folder string
	if json.Unmarshal(item.Source, &folder) == nil {
		if !strings.HasPrefix(folder, ".") && pluginRoot != "" {
			folder = path.Join(pluginRoot, folder)
		}
		folder = path.Clean(folder)
		if !fs.ValidPath(folder) {
			return nil, fmt.Errorf("the folder %s of its plugin %s is outside", folder, e.Plugin)
		}
		e.Name, e.Path = item.Name, path.Join(e.Path, folder)
		return below(files, folder), nil
	}
	next, err := elsewhere(e.Source, item)
	if err != nil {
		return nil, err
	}
	files, err = take(ctx, &next)
	*e = next
	e.Name = item.Name
	return files, err
}

// elsewhere returns the entry of a plugin that is in another source than its
// marketplace.
func elsewhere(market string, item manifest) (Entry, error) {
	var remote struct{ Source, Repo, URL, Ref, SHA, Path string }
	if err := json.Unmarshal(item.Source, &remote); err != nil {
		return Entry{}, fmt.Errorf("the source of its plugin %s cannot be read: %w", item.Name, err)
	}
	e := Entry{Name: item.Name, Source: remote.URL, Ref: cmp.Or(remote.SHA, remote.Ref)}
	if remote.Source == "github" {
		e.Source = "https://github.com/" + remote.Repo
	}
	if remote.Path != "" && path.Clean(remote.Path) != "." {
		e.Path = path.Clean(remote.Path)
	}
	if _, err := gitURL(e.Source); err != nil {
		return Entry{}, err
	}
	if local(e.Source) && !local(market) {
		return Entry{}, fmt.Errorf("the source of its plugin %s is on this machine, %s, which only a marketplace on this machine may name", item.Name, e.Source)
	}
	if err := checkRef(e.Ref); err != nil {
		return Entry{}, err
	}
	if e.Path != "" && !fs.ValidPath(e.Path) {
		return Entry{}, fmt.Errorf("the folder %s of its plugin %s is outside", e.Path, item.Name)
	}
	return e, nil
}

func find(files []file, name string) (file, bool) {
	i := slices.IndexFunc(files, func(f file) bool { return f.name == name && !f.link })
	if i < 0 {
		return file{}, false
	}
	return files[i], true
}

type marketplace struct {
	Metadata struct {
		PluginRoot string `json:"pluginRoot"`
	} `json:"metadata"`
	Plugins []manifest `json:"plugins"`
}

// lookup returns the entry of a marketplace with a name.
func lookup(data []byte, name string) (item manifest, pluginRoot string, err error) {
	var m marketplace
	if err := json.Unmarshal(data, &m); err != nil {
		return manifest{}, "", fmt.Errorf("%s: %w", marketplaceFile, jsontext.ExplainLine(data, err))
	}
	for _, p := range m.Plugins {
		if p.Name == name {
			return p, m.Metadata.PluginRoot, nil
		}
	}
	return manifest{}, "", fmt.Errorf("the marketplace has no plugin %q; it has %s", name, offered(data))
}

// offered returns the names of a marketplace's plugins.
func offered(data []byte) string {
	var m marketplace
	if err := json.Unmarshal(data, &m); err != nil || len(m.Plugins) == 0 {
		return "none"
	}
	var list []string
	for _, p := range m.Plugins {
		list = append(list, p.Name)
	}
	return strings.Join(list, ", ")
}
