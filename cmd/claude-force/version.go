package main

import "runtime/debug"

// version is that of the module this was built from, as `go install` and
// `go build` record it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}
