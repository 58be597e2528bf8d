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

// startStores starts a server of Valkey or Redis in a folder, and a database unless there is
// one, and returns the variables that name both to servers.
func startStores(ctx context.Context, dir, database string) (stop func(), env []string, err error) {
	binary, err := redisBinary()
	if err != nil {
		return nil, nil, err
	}
	var stops []func()
	stop = func() {
		for _, f := range stops {
			f()
		}
	}
	if database == "" {
		url, end, err := startPostgres(ctx)
		if err != nil {
			return nil, nil, err
		}
		database, stops = url, append(stops, end)
	}
	socket := filepath.Join(dir, "redis")
	cmd := exec.CommandContext(ctx, "sh", "-c", `"$@" </dev/null >/dev/null & cat >/dev/null; kill -9 $!`, "sh",
		binary, "--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "", "--appendonly", "no")
	in, err := cmd.StdinPipe() // it ends with its input, which also the death of this process ends
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		stop()
		return nil, nil, fmt.Errorf("starting %s: %w", binary, err)
	}
	stops = append(stops, func() { _ = in.Close(); _ = cmd.Wait() }) // it was killed
	for until := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
		if err == nil {
			return stop, []string{"CLAUDE_FORCE_STORE=" + database, "CLAUDE_FORCE_VALKEY=unix://" + socket}, conn.Close()
		}
		if time.Now().After(until) || ctx.Err() != nil {
			stop()
			return nil, nil, fmt.Errorf("starting %s: %w", binary, err)
		}
	}
}

// startPostgres starts a database and returns its URL.
func startPostgres(ctx context.Context) (url string, stop func(), err error) {
	cmd := exec.CommandContext(ctx, "internal/postgres/postgrestest/postgres.sh", "-durable")
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
	stop = func() { _ = in.Close(); _ = cmd.Wait() } // it says nothing by its exit code
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("starting PostgreSQL: %w", err)
	}
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
