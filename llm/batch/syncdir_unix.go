//go:build unix

package batch

import (
	"errors"
	"os"
)

// syncDir makes durable which files a directory holds.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
