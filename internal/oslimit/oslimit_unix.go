//go:build unix

package oslimit

import (
	"syscall"
)

var (
	full      = []error{syscall.ENOSPC, syscall.EDQUOT}
	fileSize  = []error{syscall.EFBIG}
	openFiles = []error{syscall.EMFILE, syscall.ENFILE}
)
