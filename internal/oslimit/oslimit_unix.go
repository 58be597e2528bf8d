//go:build unix

package oslimit

import (
	"sync"
	"syscall"
)

// FewFiles reports whether this process may have so few files open that none should stay
// open between two uses.
var FewFiles = sync.OnceValue(func() bool {
	var limit syscall.Rlimit
	return syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil && limit.Cur < fewFiles
})

var (
	full      = []error{syscall.ENOSPC, syscall.EDQUOT}
	fileSize  = []error{syscall.EFBIG}
	openFiles = []error{syscall.EMFILE, syscall.ENFILE}
)
