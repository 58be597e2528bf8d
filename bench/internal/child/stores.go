//go:build unix

package child

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"time"
)

// Postgres starts an empty PostgreSQL server, which keeps what it has through a power cut,
// with arguments of postgrestest's script. Benchmarks are run from the root of the module.
func Postgres(ctx context.Context, args ...string) (*Service, error) {
	return Serve(ctx, "internal/postgres/postgrestest/postgres.sh", append([]string{"-durable"}, args...)...)
}

// RedisBinary returns the path of an installed server of Valkey or Redis.
func RedisBinary() (string, error) {
	for _, name := range []string{"valkey-server", "redis-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("neither valkey-server nor redis-server is installed")
}

// redis starts a server, prints its URL and kills it when the input ends.
const redis = `url=$1; shift; "$@" </dev/null >/dev/null & echo "$url"; cat >/dev/null; kill -9 $!`

// Redis starts an empty server of Valkey or Redis and returns when it accepts connections: on
// a host and port of this machine, or with an empty address on a socket in dir.
func Redis(ctx context.Context, dir, address string) (*Service, error) {
	binary, err := RedisBinary()
	if err != nil {
		return nil, err
	}
	network, url := "tcp", "redis://"+address
	args := []string{"-c", redis, "sh"}
	if address == "" {
		network, address = "unix", filepath.Join(dir, "redis")
		url = "unix://" + address
		args = append(args, url, binary, "--port", "0", "--unixsocket", address)
	} else {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		args = append(args, url, binary, "--bind", host, "--port", port, "--protected-mode", "no")
	}
	s, err := Serve(ctx, "sh", append(args, "--dir", dir, "--save", "", "--appendonly", "no")...)
	if err != nil {
		return nil, err
	}
	if err := awaitListener(ctx, network, address); err != nil {
		s.Stop()
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(binary), err)
	}
	return s, nil
}

// awaitListener waits until connections to an address are accepted, for two minutes at most.
func awaitListener(ctx context.Context, network, address string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}
