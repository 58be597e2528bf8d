package tool

import (
	"io/fs"
	"syscall"
)

// stampOf returns which file it is and when it was last changed.
func stampOf(info fs.FileInfo) (stamp, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{}, false
	}
	return stamp{info.Size(), st.Ino, st.Ctim.Nano()}, true
}
