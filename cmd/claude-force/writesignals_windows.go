package main

import (
	"os"
	"syscall"
)

// writeSignals are the signals of writes that fail.
var writeSignals = []os.Signal{syscall.SIGPIPE}
