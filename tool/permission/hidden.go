package permission

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Hidden returns what a command must not see: what is protected, and the files and
// folders of the project that a rule denies reading. What a command creates later is
// not among them.
func (p *Policy) Hidden(ctx context.Context) ([]string, error) {
	hidden := append([]string(nil), p.Protected...)
	any := false
	for _, r := range p.Deny {
		any = any || r.Tool == "Read" && !r.All
	}
	if !any {
		return hidden, nil
	}
	root, err := os.OpenRoot(p.Dir)
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil || name == "." {
			return nil //nolint:nilerr // what cannot be read here, commands cannot read either
		}
		path := filepath.Join(p.Dir, filepath.FromSlash(name))
		if d.Type()&fs.ModeSymlink != 0 || !p.DeniedFile(false, path) {
			return nil
		}
		hidden = append(hidden, path)
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	return hidden, errors.Join(err, root.Close())
}
