//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package tempfolder

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhereNoneCanBeLocked: there is a folder, and no more than one, also where locks fail, and
// where the folders that this user makes are another's.
func TestWhereNoneCanBeLocked(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err   error
		calls int
	}{
		"without locks":  {errors.ErrUnsupported, 1},
		"of others only": {nil, tries},
	} {
		parent, calls := t.TempDir(), 0
		f, err := createLocked(parent, "shell", func(string) (*os.File, bool, error) {
			calls++
			return nil, false, test.err
		})
		if err != nil {
			t.Fatal(err)
		}
		left, err := os.ReadDir(parent)
		if err != nil || calls != test.calls || len(left) != 1 || left[0].Name() != filepath.Base(f.Path()) || strings.HasPrefix(left[0].Name(), prefix) {
			t.Errorf("%s: after %d locks %s is one of %v, %v", name, calls, f.Path(), left, err)
		}
		if err := f.Remove(); err != nil {
			t.Error(err)
		}
	}
}
