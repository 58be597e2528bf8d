package main

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/workflow"
)

// fileMark begins a value of --param that names a file; twice, it begins a text.
const fileMark = "@"

// maxParam bounds a file of parameters, or one that gives the value of a parameter.
const maxParam = 16 << 20

// paramFlags are the flags that give the parameters of a workflow.
type paramFlags struct {
	values []string
	file   string
}

func (f *paramFlags) register(flags *pflag.FlagSet) {
	flags.StringArrayVarP(&f.values, "param", "p", nil, "value of a parameter as NAME=VALUE, NAME=@FILE or NAME=@- (stdin); may be repeated")
	flags.StringVar(&f.file, "params-file", "", "YAML or JSON file with parameters; --param wins")
}

// params returns the texts that the flags give, by name. stdinUsed says that the
// standard input is the workflow.
func (a *app) params(f *paramFlags, stdinUsed bool) (map[string]string, error) {
	params := map[string]string{}
	if f.file != "" {
		data, err := openfile.ReadTyped(f.file, maxParam)
		if err != nil {
			return nil, badInput("reading --params-file: %w", err)
		}
		if params, err = workflow.ReadParams(f.file, data); err != nil {
			return nil, inputError{err}
		}
	}
	given := map[string]string{}
	for _, p := range f.values {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, badInput("--param %q is not NAME=VALUE", p)
		}
		if before, twice := given[name]; twice && before != value {
			return nil, badInput("--param %s is given twice, as %q and %q", name, before, value)
		}
		given[name] = value
	}
	maps.Copy(params, given)
	reader := ""
	for _, name := range slices.Sorted(maps.Keys(given)) {
		value := given[name]
		from, ok := strings.CutPrefix(value, fileMark)
		switch {
		case !ok:
			continue
		case strings.HasPrefix(from, fileMark):
			params[name] = from
			continue
		case from == "-" && (stdinUsed || reader != ""):
			return nil, badInput("--param %s=@-: the standard input is read already", name)
		case from == "-":
			reader = name
		}
		text, err := a.paramFile(name, from)
		if err != nil {
			return nil, err
		}
		params[name] = text
	}
	return params, nil
}

// paramFile returns the text of the file that gives a parameter, or of the standard
// input.
func (a *app) paramFile(name, path string) (string, error) {
	limits := attach.Limits{Bytes: maxParam, OnNote: a.note}
	if path == "-" {
		file, err := attach.ReadAll(a.stdin, "stdin", limits)
		if err != nil {
			return "", inputError{err}
		}
		return file.Content, nil
	}
	data, err := openfile.ReadTyped(path, maxParam)
	if errors.Is(err, fs.ErrNotExist) {
		return "", badInput("--param %s=@%s: there is no such file; for a text that begins with @, write %s=@@%s", name, path, name, path)
	}
	if err != nil {
		return "", badInput("--param %s: %w", name, err)
	}
	file, err := attach.ReadAll(bytes.NewReader(data), path, limits)
	if err != nil {
		return "", inputError{err}
	}
	return file.Content, nil
}
