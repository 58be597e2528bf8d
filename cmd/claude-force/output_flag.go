package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
)

// outputList is the file of a folder of outputs that lists the others.
const outputList = "run.json"

// maxOutputList is how many bytes of such a list are read.
const maxOutputList = 64 << 20

// outputFlag is a file or a folder that the outputs of a run are written into.
type outputFlag struct {
	path   string
	folder bool // set by check
}

func (f *outputFlag) register(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.path, "output", "o", "", "write the outputs into this file, or into this folder if it ends in a slash")
}

func (f *outputFlag) given() bool { return f.path != "" }

// check finds what would keep outputs from being written, before anything is spent. It
// decides whether the path is that of a folder.
func (f *outputFlag) check() error {
	if !f.given() {
		return nil
	}
	info, err := os.Stat(f.path)
	f.folder = os.IsPathSeparator(f.path[len(f.path)-1]) || err == nil && info.IsDir()
	clean := filepath.Clean(f.path)
	switch base := filepath.Base(clean); {
	case f.path == "-":
		return badInput("--output -: outputs are printed on the standard output without it")
	case f.folder && (base == "." || base == ".." || base == string(filepath.Separator)):
		return badInput("--output %s: name a folder of the run's own, which is replaced whole, such as results/", f.path)
	}
	if parent, err := os.Stat(filepath.Dir(clean)); err != nil || !parent.IsDir() {
		return badInput("--output %s: there is no folder %s", f.path, filepath.Dir(clean))
	}
	if f.folder {
		err = checkOutputFolder(clean)
	} else {
		err = openfile.CheckRegular(clean)
	}
	if err != nil {
		return badInput("--output %s: %s", f.path, openfile.Reason(err))
	}
	return nil
}

// runOutputs is the list of the outputs in a folder.
type runOutputs struct {
	RunID    string            `json:"run_id"`
	Workflow string            `json:"workflow"`
	Status   engine.Status     `json:"status"`
	Files    []runs.OutputFile `json:"files"`
}

// checkOutputFolder returns an error if a folder has files that no run wrote there: it is
// going to be replaced.
func checkOutputFolder(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		return errors.New("it is a file, not a folder")
	}
	known := map[string]bool{outputList: true}
	var list runOutputs
	if data, err := openfile.Read(filepath.Join(path, outputList), maxOutputList); err == nil && json.Unmarshal(data, &list) == nil {
		for _, f := range list.Files {
			known[f.Path] = true
		}
	}
	mine := list.RunID != ""
	root, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, name) // it is below root
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (mine || rel == "."):
			return nil
		case entry.Type().IsRegular() && mine && known[filepath.ToSlash(rel)]:
			return nil
		}
		return fmt.Errorf("the folder has %q, which no run wrote there, and would be replaced: name another folder", rel)
	})
}

// writeOutput writes the outputs of a run that has ended, if that is asked for and the
// run is done.
func (a *app) writeOutput(f outputFlag, wf *workflow.Workflow, res *engine.Result, all bool) error {
	if !f.given() {
		return nil
	}
	if !isDone(res) {
		a.say("%s is not written, since the run is not done; what there is: claude-force runs output %s --output %s", f.path, res.RunID, f.path)
		return nil
	}
	return a.writeOutputs(f, wf, res, nil, func() ([]byte, error) { return outputsAs(f.path, wf, res, all) })
}

// writeOutputs writes a folder with the outputs of a run, or a file with what content
// returns.
func (a *app) writeOutputs(f outputFlag, wf *workflow.Workflow, res *engine.Result, refs runs.TaskRefs, content func() ([]byte, error)) error {
	if !f.folder {
		data, err := content()
		if err != nil {
			return fmt.Errorf("writing the output %s: %w", f.path, err)
		}
		if err := openfile.Replace(f.path, data); err != nil {
			return fmt.Errorf("writing the output %s: %s", f.path, openfile.Reason(err))
		}
		a.sayWritten("wrote %s (%s)", f.path, plural(len(data), "byte"))
		return nil
	}
	path := filepath.Clean(f.path)
	if err := checkOutputFolder(path); err != nil { // again: the run may have taken long
		return fmt.Errorf("writing the outputs %s: %s", f.path, openfile.Reason(err))
	}
	list := runOutputs{RunID: res.RunID, Workflow: res.Workflow, Status: res.Status, Files: runs.OutputFiles(wf, res, refs)}
	var text bytes.Buffer
	if err := printJSON(&text, list); err != nil {
		return err
	}
	err := openfile.ReplaceFolder(path, func(yield func(string, []byte) bool) {
		for _, file := range list.Files {
			if !yield(file.Path, []byte(file.Content)) {
				return
			}
		}
		yield(outputList, text.Bytes())
	})
	if err != nil {
		return fmt.Errorf("writing the outputs %s: %s", f.path, openfile.Reason(err))
	}
	a.sayWritten("wrote %s (%s)", f.path, plural(len(list.Files), "output"))
	return nil
}

// sayWritten says what was written, unless the user wants nothing but failures.
func (a *app) sayWritten(format string, args ...any) {
	if !a.quiet {
		a.say(format, args...)
	}
}

// isDone reports whether a run has done what it was to do; it may have been judged a
// failure for what it found.
func isDone(res *engine.Result) bool {
	switch res.Status {
	case engine.StatusCompleted, engine.StatusPartial:
		return true
	}
	return res.Status == engine.StatusFailed && res.FailWhen && len(res.NotDone) == 0
}

// formatFor returns the format of outputs that the extension of a file says.
func formatFor(path string) string {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".json":
		return formatJSON
	case ".csv":
		return formatCSV
	case ".jsonl", ".ndjson":
		return formatJSONL
	}
	return formatText
}

// outputsAs returns the outputs of a run as a file with a name holds them.
func outputsAs(name string, wf *workflow.Workflow, res *engine.Result, all bool) ([]byte, error) {
	var b bytes.Buffer
	format := formatFor(name)
	switch format {
	case formatText:
		err := runs.WriteOutputs(&b, wf, res, all)
		return b.Bytes(), err
	case formatJSON:
		err := printJSON(&b, runs.OutputValue(wf, res, all))
		return b.Bytes(), err
	}
	t, err := runs.ResultTable(wf, res)
	if err == nil {
		err = printTable(&b, t, format)
	}
	return b.Bytes(), err
}
