package sqlite

import (
	"embed"

	"github.com/claude-force/claude-force/internal/seal"
	"github.com/claude-force/claude-force/internal/sqlitefile"
)

// migrations are the steps from each version of the schema to the next, named
// by the version they lead to. They only ever go forward.
//
//go:embed migrations/*.sql
var migrations embed.FS

// version is the newest schema this program knows.
const version = 1

// verified is what the store's verifier is the sealed form of.
const verified = "claude-force cache"

// Errors of opening a store with another encryption than it has. Nothing is
// changed when they are returned.
var (
	ErrWrongKey     = seal.ErrWrongKey
	ErrEncrypted    = seal.ErrEncrypted
	ErrNotEncrypted = seal.ErrNotEncrypted
)

func (s *Store) schema() *sqlitefile.Schema {
	return &sqlitefile.Schema{Version: version, Migrations: migrations, Init: func() error { return s.conn.SetKey(s.box, verified) }}
}

// explain adds what to do to an error.
func explain(err error) error {
	advice := sqlitefile.Advice{
		Damaged:      "the file is damaged or not a cache: remove it, no more than cached answers is lost",
		Full:         "free some space, or run `claude-force cache clear`",
		NotWritable:  "use another with CLAUDE_FORCE_HOME, or do without with --no-cache",
		Path:         "use another folder with CLAUDE_FORCE_HOME, or do without with --no-cache",
		Foreign:      "give the cache a file of its own",
		WrongKey:     "give that key, or remove the file to begin anew",
		Encrypted:    "say where the key is with CLAUDE_FORCE_CACHE_ENCRYPTION_KEY, or use another folder with CLAUDE_FORCE_HOME",
		NotEncrypted: "remove the file to begin an encrypted one, or use another folder with CLAUDE_FORCE_HOME",
	}
	return advice.Explain(err)
}
