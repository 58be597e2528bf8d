//go:build !unix

package batch

// syncDir does nothing: a directory cannot be flushed here, and renaming is
// part of the file system's journal.
func syncDir(string) error { return nil }
