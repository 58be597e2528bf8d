package tool

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// maxPreview is how many bytes of a long result the model gets at once.
const maxPreview = 2 << 10

// Bound returns the text of a result of at most limit characters as it is. A longer
// one is stored in a file that Read may read, and the model gets the name of the
// file and the beginning of the text.
func (e *Env) Bound(tool, text string, limit int) string {
	size := units(text)
	if size <= limit {
		return text
	}
	preview := text[:min(len(text), maxPreview)]
	if i := strings.LastIndexByte(preview, '\n'); i > 0 {
		preview = preview[:i]
	} else {
		preview = strings.ToValidUTF8(preview, "")
	}
	where := "The rest was dropped; narrow the call to see it."
	if path, err := e.store(tool, text); err != nil {
		where = fmt.Sprintf("The rest could not be stored (%v); narrow the call to see it.", err)
	} else if path != "" {
		where = "All of it is in " + path + ", which can be read and searched."
	}
	return fmt.Sprintf("<persisted-output>\nThe result is too large (%.1f KB). %s\n\nIts beginning:\n%s\n</persisted-output>", float64(len(text))/1024, where, preview)
}

// store writes a long result to a file and returns its path; empty if there is no
// folder for results.
func (e *Env) store(tool, text string) (string, error) {
	return e.Save(tool, ".txt", []byte(text))
}

// Save writes what a result refers to into a file that Read may read, and returns
// its path; empty if there is no folder for results. The file is named for the tool
// and ends in ext, such as ".png".
func (e *Env) Save(tool, ext string, data []byte) (string, error) {
	dir := e.options.ResultDir
	if dir == "" {
		return "", nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, strings.ToLower(filepath.Base(tool))+"-*"+ext)
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return "", err
	}
	return f.Name(), e.grantOnce(dir)
}

// grantOnce grants a folder that may be granted already.
func (e *Env) grantOnce(dir string) error {
	for _, granted := range e.Granted() {
		if granted == filepath.Clean(dir) {
			return nil
		}
	}
	return e.Grant(dir)
}
