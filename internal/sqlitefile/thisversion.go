//go:build !nextversion

package sqlitefile

// withNext returns the schema of this version.
func withNext(s *Schema) *Schema { return s }

// withNext returns the statements of a migration of this version.
func (c *Conn) withNext(sql string) (string, error) { return sql, nil }
