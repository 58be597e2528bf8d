package callsql

import (
	"iter"

	"github.com/claude-force/claude-force/analytics"
)

// Import adds the calls of a sequence in batches of up to most, of which add returns how many
// calls were new. See Import of [analytics.Writer].
func Import(calls iter.Seq2[analytics.Imported, error], most int, skipped func(error) error, add func([]analytics.Imported) (added int, err error)) (added, known int, err error) {
	var batch []analytics.Imported
	flush := func() error {
		n, err := add(batch)
		added, known = added+n, known+len(batch)-n
		batch = batch[:0]
		return err
	}
	for c, err := range calls {
		if err != nil {
			if err := skipped(err); err != nil {
				return added, known, err
			}
			continue
		}
		if batch = append(batch, c); len(batch) == most {
			if err := flush(); err != nil {
				return added, known, err
			}
		}
	}
	return added, known, flush()
}
