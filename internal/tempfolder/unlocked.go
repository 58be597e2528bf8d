//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package tempfolder

import "os"

// create makes a folder. This system cannot lock one, so what a killed process leaves stays.
func create(parent, name string) (*Folder, error) {
	path, err := os.MkdirTemp(parent, "claude-force-"+name+"-")
	if err != nil {
		return nil, err
	}
	return &Folder{path, func() {}}, nil
}

// Sweep removes nothing on this system.
func Sweep(string) {}
