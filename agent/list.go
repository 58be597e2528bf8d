package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/claude-force/claude-force/internal/jsontext"
	"github.com/claude-force/claude-force/internal/openfile"
)

const listFile = ".claude/claude.json"

// entry is one agent of a claude.json.
type entry struct {
	name  string
	file  string         // slash path relative to the .claude directory
	extra map[string]any // all other keys
}

// list reads the "agents" of the place's claude.json, sorted by name. A missing
// file is an empty list.
func (p place) list() ([]entry, []Warning) {
	shown := p.showList()
	if _, err := os.Stat(shown); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, []Warning{{File: shown, Message: "cannot be read: " + openfile.Reason(err)}}
	}
	fsys, base, closeFS, err := p.within(listFile)
	if err != nil {
		return nil, []Warning{{File: shown, Message: "cannot be read: " + openfile.Reason(err)}}
	}
	defer closeFS() //nolint:errcheck // it was only read
	data, err := readRegular(fsys, base)
	if err != nil {
		return nil, []Warning{{File: shown, Message: "cannot be read: " + openfile.Reason(err)}}
	}
	var config struct {
		Agents map[string]map[string]any `json:"agents"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(data, []byte(byteOrderMark)), &config); err != nil {
		line, err := jsontext.Explain(data, err)
		return nil, []Warning{{File: shown, Line: line, Message: "its agents cannot be read: " + err.Error(),
			Hint: `the shape is {"agents": {"my-agent": {"file": "agents/my-agent.md"}}}`}}
	}
	var entries []entry
	var warnings []Warning
	for _, name := range slices.Sorted(maps.Keys(config.Agents)) {
		keys := config.Agents[name]
		file, _ := keys["file"].(string)
		if name == "" || file == "" {
			warnings = append(warnings, Warning{File: shown, Message: fmt.Sprintf("the agent %q names no file", name),
				Hint: `add "file": "agents/my-agent.md"`})
			continue
		}
		delete(keys, "file")
		entries = append(entries, entry{name: name, file: filepath.ToSlash(file), extra: keys})
	}
	return entries, warnings
}

func (p place) showList() string { return filepath.Join(p.dir, filepath.FromSlash(listFile)) }

// listed reads the file of one entry. The name of the entry overrides the name in
// the file, and its keys are added to the agent's Extra.
func (p place) listed(e entry) (*Agent, []Warning) {
	shown := filepath.Join(p.dir, ".claude", filepath.FromSlash(e.file))
	refuse := func(err error) (*Agent, []Warning) {
		return nil, []Warning{{File: p.showList(), Message: fmt.Sprintf("the file of agent %q, %s, cannot be read: %s", e.name, e.file, openfile.Reason(err)),
			Hint: "correct the path, which is relative to .claude"}}
	}
	if path.IsAbs(e.file) || filepath.IsAbs(e.file) {
		return refuse(errors.New("it is not a relative path"))
	}
	rel, err := filepath.Rel(p.top, shown)
	if err != nil || !filepath.IsLocal(rel) {
		return refuse(errors.New("it leads out of " + p.top))
	}
	fsys, base, closeFS, err := p.within(path.Join(".claude", e.file))
	if err != nil {
		return refuse(err)
	}
	defer closeFS() //nolint:errcheck // it was only read
	data, err := readRegular(fsys, base)
	if err != nil {
		return refuse(err)
	}
	a, warnings, err := parse(shown, data, e.name)
	if err != nil {
		return nil, append(warnings, asWarning(shown, err))
	}
	a.Name = e.name
	for key, value := range e.extra {
		if _, taken := a.Extra[key]; taken {
			continue
		}
		if a.Extra == nil {
			a.Extra = make(map[string]any)
		}
		a.Extra[key] = value
	}
	return a, warnings
}

// readRegular reads a file if it is regular: opening a pipe would block until
// there is a writer.
func readRegular(fsys fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	return readIn(fsys, name)
}
