package main

import (
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/parquet-go/parquet-go"
)

// rowGroup is the number of rows in memory before they are written.
const rowGroup = 100_000

// writeParquet writes calls as a Parquet file, compressed with Zstandard.
func writeParquet(w io.Writer, rows iter.Seq2[callRow, error]) (err error) {
	out := parquet.NewGenericWriter[callRow](w, parquet.Compression(&parquet.Zstd), parquet.MaxRowsPerRowGroup(rowGroup))
	defer func() {
		if err = errors.Join(err, out.Close()); err != nil {
			err = fmt.Errorf("writing calls: %w", err)
		}
	}()
	for r, err := range rows {
		if err != nil {
			return err
		}
		if _, err := out.Write([]callRow{r}); err != nil {
			return err
		}
	}
	return nil
}
