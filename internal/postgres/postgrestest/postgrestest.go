// Package postgrestest gives tests a real PostgreSQL server, and each a schema of its own.
//
//	url := postgrestest.URL(t)        // of a migrated schema, which is dropped after t
//	server := postgrestest.Start(t)   // a server of its own, that can be killed
//
// The server is the one that the variable TEST_POSTGRES names, or one that the test
// binary starts with its first use. It ends with the process that started it, however
// that ends.
package postgrestest

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/postgres/pgmigrate"
)

// env names the URL of a server whose role may create schemas.
const env = "TEST_POSTGRES"

//go:embed postgres.sh
var script string

// Server is a server that a test has started.
type Server struct {
	url string
	in  io.WriteCloser
	out *bufio.Reader
	cmd *exec.Cmd
}

// kept is the server of the process. It ends with its input, which the garbage collector
// would close.
var kept *Server //nolint:unused // it is only kept

// common starts the server of the process with the first call.
var common = sync.OnceValues(func() (string, error) {
	if address := os.Getenv(env); address != "" {
		return address, nil
	}
	s, err := start(context.Background()) //nolint:forbidigo // until the end of the process
	if err != nil {
		return "", err
	}
	kept = s
	return s.url, nil
})

// URL returns the URL of a schema that holds nothing but the tables of all stores. It is
// dropped when the test ends. Without a server the test is skipped, or fails in CI.
func URL(tb testing.TB) string {
	tb.Helper()
	address := EmptyURL(tb)
	migrate(tb, address)
	return address
}

// Open returns the database at a URL. It is closed when the test ends, and may be closed
// before.
func Open(tb testing.TB, address string) *postgres.DB {
	tb.Helper()
	db, err := postgres.Open(tb.Context(), address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(db.Close)
	return db
}

// EmptyURL returns the URL of a schema that does not exist yet. It is dropped when the
// test ends.
func EmptyURL(tb testing.TB) string {
	tb.Helper()
	address, err := common()
	if err != nil {
		citest.Missing(tb, "starting PostgreSQL: %v", err)
	}
	return schema(tb, address)
}

// Start starts a server for one test, which keeps what it has acknowledged.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s, err := start(context.Background(), "-durable") //nolint:forbidigo // a cleanup ends it
	if err != nil {
		citest.Missing(tb, "starting PostgreSQL: %v", err)
	}
	tb.Cleanup(func() {
		_ = s.in.Close()
		_ = s.cmd.Wait() // it was made to end
	})
	return s
}

// URL returns the URL of a migrated schema of the server.
func (s *Server) URL(tb testing.TB) string {
	tb.Helper()
	address := inSchema(tb, s.url, newSchema())
	migrate(tb, address)
	return address
}

// Kill kills the server and all its processes, as a crash does.
func (s *Server) Kill(tb testing.TB) { tb.Helper(); s.do(tb, "kill", "killed") }

// Restart starts the server after Kill. It returns once connections are taken.
func (s *Server) Restart(tb testing.TB) { tb.Helper(); s.do(tb, "start", "started") }

func (s *Server) do(tb testing.TB, order, want string) {
	tb.Helper()
	if _, err := fmt.Fprintln(s.in, order); err != nil {
		tb.Fatal(err)
	}
	if line, err := s.out.ReadString('\n'); strings.TrimSpace(line) != want {
		tb.Fatalf("%s of PostgreSQL: %q, %v", order, line, err)
	}
}

func start(ctx context.Context, args ...string) (*Server, error) {
	s := &Server{cmd: exec.CommandContext(ctx, "bash", append([]string{"-c", script, "postgres.sh"}, args...)...)}
	detach(s.cmd)
	var stderr strings.Builder
	s.cmd.Stderr = &stderr
	in, inErr := s.cmd.StdinPipe()
	out, outErr := s.cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr); err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.in, s.out = in, bufio.NewReader(out)
	line, err := s.out.ReadString('\n')
	if err != nil {
		_ = s.cmd.Wait() // what it wrote says more
		return nil, errors.New(strings.TrimSpace(stderr.String()))
	}
	s.url = strings.TrimSpace(line)
	return s, nil
}

var schemas atomic.Int64

// newSchema returns a name that no other test has, also of another process.
func newSchema() string { return fmt.Sprintf("test_%d_%d", os.Getpid(), schemas.Add(1)) }

// schema returns the URL of a schema that is dropped when the test ends.
func schema(tb testing.TB, address string) string {
	tb.Helper()
	name := newSchema()
	tb.Cleanup(func() {
		ctx := context.WithoutCancel(tb.Context())
		conn, err := pgx.Connect(ctx, address)
		if err != nil {
			tb.Errorf("dropping the schema of the test: %v", err)
			return
		}
		// What a killed process was doing may still hold locks.
		err = postgres.Retry(ctx, func() error {
			_, err := conn.Exec(ctx, `DROP SCHEMA IF EXISTS `+name+` CASCADE`)
			return err
		})
		if err := errors.Join(err, conn.Close(ctx)); err != nil {
			tb.Errorf("dropping the schema of the test: %v", err)
		}
	})
	return inSchema(tb, address, name)
}

func inSchema(tb testing.TB, address, schema string) string {
	tb.Helper()
	u, err := url.Parse(address)
	if err != nil {
		tb.Fatalf("%s is not a URL", env) // which may hold a password
	}
	query := u.Query()
	query.Set("search_path", schema)
	u.RawQuery = query.Encode()
	return u.String()
}

func migrate(tb testing.TB, address string) {
	tb.Helper()
	db, err := postgres.Connect(address)
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	if _, err := pgmigrate.Up(tb.Context(), db); err != nil {
		tb.Fatal(err)
	}
}
