package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"github.com/claude-force/claude-force/internal/yamltext"
)

// maxFileBytes bounds the size of a configuration file.
const maxFileBytes = 1 << 20

// parse reads the settings of a file. The error joins all problems in it.
func (c *Config) parse(path string, data []byte, project bool) error {
	if len(data) > maxFileBytes {
		return &Error{File: path, Message: "the file is larger than 1 MiB", Hint: "it is not a configuration"}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		p := yamltext.Explain(string(data), err)
		return &Error{File: path, Line: p.Line, Message: "it is not valid YAML: " + p.Message, Hint: p.Hint}
	}
	if len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" {
		return nil
	}
	f := file{config: c, path: path, project: project}
	f.mapping(doc.Content[0], "")
	return errors.Join(f.errs...)
}

type file struct {
	config  *Config
	path    string
	project bool
	errs    []error
}

func (f *file) fail(n *yaml.Node, hint, format string, args ...any) {
	f.errs = append(f.errs, &Error{File: f.path, Line: n.Line, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (f *file) mapping(n *yaml.Node, prefix string) {
	if n.Kind != yaml.MappingNode {
		f.fail(n, "write model: haiku", "settings must be a mapping")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := prefix + key.Value
		at := slices.IndexFunc(settings, func(s setting) bool { return s.name == name })
		switch {
		case isNull(value) && (at >= 0 || name == "cache.ttl_hours" || isGroup(name)):
			f.fail(key, "give it one, or remove the line", "%s has no value", name)
		case value.Kind == yaml.MappingNode && isGroup(name):
			f.mapping(value, name+".")
		case name == "auto_select.rules" && value.Kind == yaml.ScalarNode && !filepath.IsAbs(value.Value):
			f.set(key, value, name, filepath.Join(filepath.Dir(f.path), value.Value)) // relative to the file that names it
		case name == "cache.ttl_hours":
			f.set(key, value, "cache.ttl", value.Value+"h")
		case strings.Contains(name, "api_key") || strings.Contains(name, "auth_token"):
			f.fail(key, "set ANTHROPIC_API_KEY in the environment instead; if the file was shared, revoke the key", "credentials are not read from files")
		case at < 0:
			f.fail(key, knownSettings(name), "unknown setting %q", name)
		case f.project && (prefix == "permissions." || name == "sandbox"):
			f.narrow(key, value, settings[at])
		case f.project && settings[at].mine:
			hint := "set it in the user's own " + FileName
			if settings[at].env != "" {
				hint += " or as " + settings[at].env
			}
			f.fail(key, hint, "%s cannot be set by a project's file", name)
		default:
			f.value(key, value, settings[at])
		}
	}
}

// narrow takes a setting of a project's file that says what agents may do. A project
// may only forbid: what would allow more is ignored, and said.
func (f *file) narrow(key, value *yaml.Node, s setting) {
	c := f.config
	own, off, origin := c.Permissions, c.SandboxOff, c.origins[s.name]
	c.Permissions = Permissions{}
	f.value(key, value, s)
	read, wide := c.Permissions, false
	switch s.name {
	case "permissions.deny":
		c.Project.Deny = read.Deny
	case "permissions.ask":
		c.Project.Ask = read.Ask
	case "permissions.mode":
		switch read.Mode {
		case "plan", "dontAsk":
			c.Project.Mode = read.Mode
		default:
			wide = read.Mode != "default"
		}
	case "sandbox":
		wide = c.SandboxOff
	default:
		wide = true
	}
	c.Permissions, c.SandboxOff = own, off
	if wide {
		c.origins[s.name] = origin
		if origin == "" {
			delete(c.origins, s.name)
		}
		c.Notes = append(c.Notes, fmt.Sprintf("%s:%d: %s is ignored: a project's file may only forbid (allow it in the user's own %s)", f.path, value.Line, s.name, FileName))
	}
}

func (f *file) value(key, value *yaml.Node, s setting) {
	switch {
	case value.Kind == yaml.ScalarNode:
		f.set(key, value, s.name, value.Value)
	case value.Kind == yaml.SequenceNode && (s.name == "cache.exclude_agents" || s.name == "fallback_models" || strings.HasPrefix(s.name, "permissions.")):
		names := make([]string, len(value.Content))
		for i, n := range value.Content {
			if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || strings.Contains(n.Value, ",") && !strings.Contains(n.Value, "(") {
				f.fail(n, "write one name per entry", "%s takes a list of names", s.name)
				return
			}
			names[i] = n.Value
		}
		f.set(key, value, s.name, strings.Join(names, ","))
	case value.Kind == yaml.MappingNode && s.nested:
		var entries []string
		for i := 0; i+1 < len(value.Content); i += 2 {
			entries = append(entries, value.Content[i].Value+"="+value.Content[i+1].Value)
		}
		f.set(key, value, s.name, strings.Join(entries, ","))
	default:
		f.fail(value, s.about, "%s does not take a list or mapping", s.name)
	}
}

func (f *file) set(key, value *yaml.Node, name, text string) {
	if name == "store" && hasPassword(text) {
		f.fail(key, "leave the password out and give it in PGPASSWORD or a passfile, or the whole address in CLAUDE_FORCE_STORE", "passwords are not read from files")
		return
	}
	err := f.config.Set(name, text, fmt.Sprintf("%s:%d", f.path, value.Line))
	if e, ok := errors.AsType[*Error](err); ok {
		f.fail(key, e.Hint, "%s", e.Message)
	}
}

// isNull reports whether a value is missing, or null: a limit without a value must not
// be taken for no limit.
func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// isGroup reports whether name is the group of other settings.
func isGroup(name string) bool {
	return slices.ContainsFunc(settings, func(s setting) bool { return strings.HasPrefix(s.name, name+".") })
}
