//go:build !parquet

package main

import (
	"io"
	"iter"

	"github.com/claude-force/claude-force/analytics"
)

// checkParquet says that this build writes no Parquet. The library for it adds a
// third to the start-up time of every command, so it is part of the program only
// if it is built with the tag parquet.
func checkParquet() error {
	return badInput("this build leaves Parquet out, to start faster; install the one that has it:\n    go install -tags parquet github.com/claude-force/claude-force/cmd/claude-force@latest\nor export --format csv, which DuckDB and others read as well")
}

func writeParquet(io.Writer, iter.Seq2[analytics.Call, error]) error { return checkParquet() }
