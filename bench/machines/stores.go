//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// starting is how long a store may take until it accepts connections.
const starting = time.Minute

// startPostgres starts a server that machines reach, and returns its URL and what ends it.
func startPostgres(ctx context.Context) (url string, stop func(), err error) {
	cmd := exec.CommandContext(ctx, "internal/postgres/postgrestest/postgres.sh", "-durable", "-listen", hub)
	cmd.Stderr = os.Stderr
	in, inErr := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr); err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("starting PostgreSQL: %w", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", nil, fmt.Errorf("starting PostgreSQL: %w", errors.Join(err, cmd.Wait()))
	}
	stop = func() { _ = in.Close(); _ = cmd.Wait() } // it reports nothing by its exit code
	return strings.TrimSpace(line), stop, nil
}

// redisBinary returns the path of an installed server of Valkey or Redis.
func redisBinary() (string, error) {
	for _, name := range []string{"valkey-server", "redis-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("neither valkey-server nor redis-server is installed")
}

// startRedis starts a server that machines reach, and returns its URL. It ends with the
// namespace.
func startRedis(ctx context.Context) (string, error) {
	binary, err := redisBinary()
	if err != nil {
		return "", err
	}
	address := net.JoinHostPort(hub, "6379")
	cmd := exec.CommandContext(ctx, binary, "--bind", hub, "--port", "6379", "--protected-mode", "no", "--save", "", "--appendonly", "no", "--dir", scratch)
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("starting %s: %w", filepath.Base(binary), err)
	}
	ctx, cancel := context.WithTimeout(ctx, starting)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return "redis://" + address, conn.Close()
		}
		if ctx.Err() != nil {
			return "", fmt.Errorf("starting %s: %w", filepath.Base(binary), err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
