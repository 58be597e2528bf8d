package sqlitefile

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/ncruces/go-sqlite3"
)

// Check reads all of a file that exists and writes to it, without a change to what it
// holds. It returns the first thing that is wrong.
func Check(ctx context.Context, path string) (err error) {
	c, err := Open(path, Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	c.SetInterrupt(ctx)
	err = c.Query(`PRAGMA quick_check(1)`, func(row *sqlite3.Stmt) error {
		if text := row.ColumnText(0); text != "ok" {
			return fmt.Errorf("%w: %s", sqlite3.CORRUPT, text)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.Write(func() error {
		_, version, err := c.Sum(`PRAGMA user_version`)
		if err != nil {
			return err
		}
		return c.Exec(`PRAGMA user_version = ` + strconv.FormatInt(version, 10))
	})
}
