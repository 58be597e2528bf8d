package postgrestest

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/internal/processtest"
)

func TestMain(m *testing.M) {
	os.Exit(processtest.Main(m, map[string]processtest.Job{"use": use}))
}

// use starts a server as the first test of a binary does, prints its URL and stays.
func use([]string) error {
	s, err := start(context.Background())
	if err != nil {
		return err
	}
	fmt.Println(s.url)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// TestServerEndsWithItsProcess: also one that is killed leaves no server.
func TestServerEndsWithItsProcess(t *testing.T) {
	t.Parallel()
	p := processtest.Start(t.Context(), "use")
	address, ok := p.Line()
	if !ok {
		citest.Missing(t, "starting PostgreSQL: %v", p.Wait())
	}
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	p.Kill()
	_ = p.Wait()                                                     // killed
	if _, err := conn.WaitForNotification(t.Context()); err == nil { // until the server closes the connection
		t.Error("the server sent something")
	}
	_ = conn.Close(t.Context()) // it is closed
}
