//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package tempfolder

// create makes a folder. This system cannot lock one, so what a killed process leaves stays.
func create(parent, name string) (*Folder, error) { return createUnlocked(parent, name) }

// Sweep removes nothing on this system.
func Sweep(string) {}
