//go:build !nextversion

package postgres

import "io/fs"

// withNext returns the steps of this version.
func withNext(steps fs.FS) fs.FS { return steps }
