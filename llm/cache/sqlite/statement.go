package sqlite

import (
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// exec runs one statement that gives no rows.
func (s *Store) exec(sql string, args ...any) error {
	_, _, err := s.sum(sql, args...)
	return err
}

// sum runs one statement and gives the number of its rows and the sum of their
// first column.
func (s *Store) sum(sql string, args ...any) (n, total int64, err error) {
	stmt, _, err := s.conn.Prepare(sql)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, stmt.Close()) }()
	if err := bind(stmt, args); err != nil {
		return 0, 0, err
	}
	for stmt.Step() {
		n++
		total += stmt.ColumnInt64(0)
	}
	return n, total, stmt.Err()
}

func bind(stmt *sqlite3.Stmt, args []any) error {
	for i, arg := range args {
		var err error
		switch v := arg.(type) {
		case nil:
			err = stmt.BindNull(i + 1)
		case []byte:
			err = stmt.BindBlob(i+1, v)
		case string:
			err = stmt.BindText(i+1, v)
		case bool:
			err = stmt.BindBool(i+1, v)
		case int:
			err = stmt.BindInt(i+1, v)
		case int64:
			err = stmt.BindInt64(i+1, v)
		case float64:
			err = stmt.BindFloat(i+1, v)
		default:
			err = fmt.Errorf("a value of type %T cannot be stored", arg)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
