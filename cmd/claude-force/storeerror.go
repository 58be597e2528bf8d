package main

import (
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/sqlitefile"
)

// storeError returns the error of a command that reads or changes a store. One that says that the
// store cannot be used as it is configured, also if it only reads, is one of the input.
func storeError(err error) error {
	if postgres.Unusable(err) || sqlitefile.Unusable(err) {
		return inputError{err}
	}
	return err
}
