// Package tablecopy copies what stores hold, as rows, to stores of another kind.
//
// Each store says in which tables its records are ([Table]), in a form that all stores of
// such records share, whatever their own columns are. A copy writes the rows that the
// destination does not have, or has differently, so one that was stopped is continued by
// doing it again; [Compare] then checks both sides by their numbers of rows and hashes.
package tablecopy

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"iter"
	"math"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Table is what a store keeps of one kind of record. The values of a row are int64,
// float64, []byte or nil, in an order that all stores of such records share.
type Table interface {
	// Name returns the name of the records, which all stores of them share.
	Name() string
	// Row returns the columns of a row, in the order of its values. Their types may be other
	// ones in another store.
	Row() []Column
	// Keys returns how many of the first values identify a row.
	Keys() int
	// Read returns the next rows in the order of their keys after a key, or the first ones
	// if after is nil: at most limit, fewer if they are large, none if there are no more.
	Read(ctx context.Context, after []any, limit int) ([][]any, error)
	// Write adds rows, or puts them in the place of those with the same keys, in one
	// transaction.
	Write(ctx context.Context, rows [][]any) error
	// Finish brings what the store derives from the rows up to date.
	Finish(ctx context.Context) error
}

// Fitter is a [Table] that cannot hold every value.
type Fitter interface {
	// Fit replaces the values of a row that the table cannot hold by what it can.
	Fit(row []any)
}

// MaxBytes is about how much a Read returns at most, if it is more than one row.
const MaxBytes = 4 << 20

// maxRows is how many rows are read at once.
const maxRows = 1000

// Pair is a table with the one that it is copied to.
type Pair struct{ From, To Table }

// NewPairs returns the tables of a store with those of the same names of another. Both
// have the same tables, in the order in which they are to be copied.
func NewPairs(from, to []Table) ([]Pair, error) {
	if len(from) != len(to) {
		return nil, fmt.Errorf("copying %d tables to %d", len(from), len(to))
	}
	pairs := make([]Pair, len(from))
	for i := range from {
		if from[i].Name() != to[i].Name() || from[i].Keys() != to[i].Keys() || !slices.EqualFunc(from[i].Row(), to[i].Row(), sameName) {
			return nil, fmt.Errorf("copying the %s to the %s", from[i].Name(), to[i].Name())
		}
		pairs[i] = Pair{from[i], to[i]}
	}
	return pairs, nil
}

func sameName(a, b Column) bool { return a.Name == b.Name }

// Progress is how far a copy is.
type Progress struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`  // read so far, those included that were there already
	Bytes int64  `json:"bytes"` // of these
}

// Copy writes the rows of the source that the destination does not have. If fresh, the
// destination had no rows, and is not read. progress, which may be nil, is called after
// each batch. The next batch is read while one is written.
func (p *Pair) Copy(ctx context.Context, fresh bool, progress func(Progress)) error {
	state := Progress{Table: p.From.Name()}
	var after []any
	for rows, err := range p.batches(ctx, p.From) {
		if err != nil {
			return fmt.Errorf("reading the %s of the source: %w", state.Table, err)
		}
		state.Rows += int64(len(rows))
		for _, row := range rows {
			state.Bytes += Size(row)
		}
		missing := rows
		if !fresh {
			if missing, err = p.missing(ctx, after, rows); err != nil {
				return err
			}
		}
		if len(missing) > 0 {
			if err := p.To.Write(ctx, missing); err != nil {
				return fmt.Errorf("writing the %s: %w", state.Table, err)
			}
		}
		after = p.key(rows[len(rows)-1])
		if progress != nil {
			progress(state)
		}
	}
	if err := p.To.Finish(ctx); err != nil {
		return fmt.Errorf("writing the %s: %w", state.Table, err)
	}
	return nil
}

// batches yields the rows of one of the tables, some at a time, or an error. It reads the
// next ones meanwhile, and has stopped reading when it returns.
func (p *Pair) batches(ctx context.Context, t Table) iter.Seq2[[][]any, error] {
	type batch struct {
		rows [][]any
		err  error
	}
	return func(yield func([][]any, error) bool) {
		batches, enough := make(chan batch), make(chan struct{})
		var reader sync.WaitGroup
		defer reader.Wait()
		defer close(enough)
		reader.Go(func() {
			defer close(batches)
			var after []any
			for {
				rows, err := p.read(ctx, t, after)
				if err == nil && len(rows) == 0 {
					return
				}
				select {
				case batches <- batch{rows, err}:
				case <-enough:
					return
				}
				if err != nil {
					return
				}
				after = p.key(rows[len(rows)-1])
			}
		})
		for b := range batches {
			if !yield(b.rows, b.err) {
				return
			}
		}
	}
}

func (p *Pair) key(row []any) []any { return row[:p.From.Keys():p.From.Keys()] }

// read returns the next rows of one of the tables, as both can hold them.
func (p *Pair) read(ctx context.Context, t Table, after []any) ([][]any, error) {
	rows, err := t.Read(ctx, after, maxRows)
	for _, side := range []Table{p.From, p.To} {
		if fitter, ok := side.(Fitter); ok && err == nil {
			for _, row := range rows {
				fitter.Fit(row)
			}
		}
	}
	return rows, err
}

// missing returns those of rows, the next after a key, that the destination does not have
// as they are.
func (p *Pair) missing(ctx context.Context, after []any, rows [][]any) (missing [][]any, err error) {
	have, err := p.read(ctx, p.To, after)
	if err != nil {
		return nil, fmt.Errorf("reading the %s of the destination: %w", p.To.Name(), err)
	}
	there := make(map[[sha256.Size]byte]bool, len(have))
	for _, row := range have {
		there[sha256.Sum256(appendRow(nil, row))] = true
	}
	for _, row := range rows {
		if !there[sha256.Sum256(appendRow(nil, row))] {
			missing = append(missing, row)
		}
	}
	return missing, nil
}

// Sum is what a table holds.
type Sum struct {
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256"` // of the rows in the order of their keys
}

// Compare returns what the two tables hold, which it reads at the same time. They are the
// same if the sums are. progress, which may be nil, is called for the source.
func (p *Pair) Compare(ctx context.Context, progress func(Progress)) (from, to Sum, err error) {
	group, ctx := errgroup.WithContext(ctx)
	for _, side := range []struct {
		table    Table
		sum      *Sum
		name     string
		progress func(Progress)
	}{{p.From, &from, "source", progress}, {p.To, &to, "destination", nil}} {
		group.Go(func() (err error) {
			if *side.sum, err = p.sum(ctx, side.table, side.progress); err != nil {
				return fmt.Errorf("reading the %s of the %s: %w", side.table.Name(), side.name, err)
			}
			return nil
		})
	}
	err = group.Wait()
	return from, to, err
}

func (p *Pair) sum(ctx context.Context, t Table, progress func(Progress)) (sum Sum, err error) {
	state := Progress{Table: t.Name()}
	digest := sha256.New()
	for rows, err := range p.batches(ctx, t) {
		if err != nil {
			return sum, err
		}
		state.Rows += int64(len(rows))
		state.Bytes += write(digest, rows)
		if progress != nil {
			progress(state)
		}
	}
	return Sum{state.Rows, hex.EncodeToString(digest.Sum(nil))}, nil
}

// Empty reports whether the destination has no rows.
func (p *Pair) Empty(ctx context.Context) (bool, error) {
	rows, err := p.To.Read(ctx, nil, 1)
	if err != nil {
		return false, fmt.Errorf("reading the %s of the destination: %w", p.To.Name(), err)
	}
	return len(rows) == 0, nil
}

// write adds rows to a digest and returns their size in bytes.
func write(digest hash.Hash, rows [][]any) (n int64) {
	var b []byte
	for _, row := range rows {
		b = appendRow(b[:0], row)
		_, _ = digest.Write(b) // it never fails
		n += Size(row)
	}
	return n
}

// appendRow appends the values of a row, without ambiguity.
func appendRow(b []byte, row []any) []byte {
	b = binary.AppendUvarint(b, uint64(len(row)))
	for _, value := range row {
		switch v := value.(type) {
		case int64:
			b = binary.LittleEndian.AppendUint64(append(b, 'i'), uint64(v))
		case float64:
			b = binary.LittleEndian.AppendUint64(append(b, 'f'), math.Float64bits(v))
		case []byte:
			b = append(binary.AppendUvarint(append(b, 'b'), uint64(len(v))), v...)
		default:
			b = append(b, 'n')
		}
	}
	return b
}

// Size returns about how many bytes a row has.
func Size(row []any) (n int64) {
	for _, value := range row {
		if v, ok := value.([]byte); ok {
			n += int64(len(v))
		} else {
			n += 8
		}
	}
	return n
}
