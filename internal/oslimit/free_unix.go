//go:build darwin || linux || freebsd || dragonfly

package oslimit

import "golang.org/x/sys/unix"

func free(path string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, err
	}
	// The types of the fields differ between systems; a negative number means none.
	if int64(s.Bavail) <= 0 { //nolint:unconvert // not everywhere
		return 0, nil
	}
	return uint64(s.Bavail) * uint64(s.Bsize), nil //nolint:unconvert // not everywhere
}
