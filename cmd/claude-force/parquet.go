package main

import (
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/claude-force/claude-force/internal/parquet"
)

// writeParquet writes rows as a Parquet file.
func writeParquet[R any](w io.Writer, rows iter.Seq2[R, error]) (err error) {
	out := parquet.NewWriter[R](w)
	defer func() {
		if err = errors.Join(err, out.Close()); err != nil {
			err = fmt.Errorf("writing calls: %w", err)
		}
	}()
	for r, err := range rows {
		if err != nil {
			return err
		}
		if err := out.Write(r); err != nil {
			return err
		}
	}
	return nil
}
