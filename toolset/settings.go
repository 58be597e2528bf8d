package toolset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/jsontext"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/tool/permission"
)

// maxSettings bounds a file of settings of Claude Code.
const maxSettings = 1 << 20

// settingsFile is what is used of a settings file of Claude Code.
type settingsFile struct {
	Permissions struct {
		Allow       []string `json:"allow"`
		Deny        []string `json:"deny"`
		Ask         []string `json:"ask"`
		DefaultMode string   `json:"defaultMode"`
	} `json:"permissions"`
}

// AddSettings adds the rules of Claude Code's settings to a policy: those of the user,
// in the policy's Home, and what those of the project in dir forbid or ask. What a
// project's would allow is ignored; notes say so. The files are read once, so that an
// agent which changes them changes nothing.
func AddSettings(policy *permission.Policy, dir string) (notes []string, err error) {
	if policy.Home != "" {
		path := filepath.Join(policy.Home, ".claude", "settings.json")
		s, err := readSettings(path)
		if err != nil {
			return nil, err
		}
		if err := s.add(policy, path, true); err != nil {
			return nil, err
		}
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if dir == policy.Home {
		dir = "" // the file was read as the user's; settings.local.json is none of a home folder
	}
	for _, name := range []string{"settings.json", "settings.local.json"} {
		if dir == "" {
			break
		}
		path := filepath.Join(dir, ".claude", name)
		s, err := readSettings(path)
		if err != nil {
			return nil, err
		}
		if err := s.add(policy, path, false); err != nil {
			return nil, err
		}
		if len(s.Permissions.Allow) > 0 {
			notes = append(notes, path+": the rules under allow are ignored: a project's file may only forbid")
		}
	}
	return notes, nil
}

func readSettings(path string) (settingsFile, error) {
	var s settingsFile
	data, err := openfile.Read(path, maxSettings)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(bytes.TrimSpace(data)) == 0 {
		return s, nil
	}
	if err == nil {
		err = jsontext.ExplainLine(data, json.Unmarshal(data, &s))
	}
	if err != nil {
		// Without the rules that it may hold, more would be allowed.
		return s, fault.Input(fmt.Errorf("reading the permissions in %s: %w", path, err))
	}
	return s, nil
}

func (s settingsFile) add(policy *permission.Policy, path string, own bool) error {
	lists := []struct {
		texts []string
		to    *[]permission.Rule
	}{{s.Permissions.Deny, &policy.Deny}, {s.Permissions.Ask, &policy.Ask}}
	if own {
		lists = append(lists, struct {
			texts []string
			to    *[]permission.Rule
		}{s.Permissions.Allow, &policy.Allow})
	}
	for _, l := range lists {
		for _, text := range l.texts {
			r, err := permission.ParseRule(text)
			if err != nil {
				return fault.Input(fmt.Errorf("%s: %w", path, err))
			}
			*l.to = append(*l.to, r)
		}
	}
	switch mode := permission.Mode(s.Permissions.DefaultMode); {
	case mode != permission.ModePlan && mode != permission.ModeDontAsk:
	case policy.Mode != permission.ModePlan && policy.Mode != permission.ModeDontAsk:
		policy.Mode = mode
	}
	return nil
}
