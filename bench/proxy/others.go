//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/claude-force/claude-force/bench/internal/child"
	"github.com/claude-force/claude-force/internal/sqlitefile"
)

// storing has a proxy write each answer to a new SQLite file, in the way of the response
// cache, before the client gets its end: a row with a random key, in a transaction of its
// own.
func storing(proxy *httputil.ReverseProxy, dir string) error {
	path := filepath.Join(dir, "answers.db")
	db, err := sqlitefile.Open(path, sqlitefile.Options{Disposable: true})
	if err != nil {
		return err
	}
	if err := db.Exec(`PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 4000;
		CREATE TABLE answers (key BLOB PRIMARY KEY, answer BLOB NOT NULL) WITHOUT ROWID`); err != nil {
		return err
	}
	var mu sync.Mutex
	proxy.ModifyResponse = func(resp *http.Response) error {
		text, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return err
		}
		resp.Body = io.NopCloser(bytes.NewReader(text))
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails
		mu.Lock()
		defer mu.Unlock()
		return db.Write(func() error { return db.Run(`INSERT INTO answers VALUES (?, ?)`, key, text) })
	}
	return nil
}

const nginxConfig = `pid nginx.pid;
error_log stderr crit;
worker_processes 1;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  client_max_body_size 32m;
  client_body_buffer_size 1m;
  keepalive_requests 10000000;
  upstream service { server %s; keepalive %d; keepalive_requests 10000000; }
  server {
    listen %s;
    location / {
      proxy_pass http://service;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }
}
`

// startNginx starts nginx in front of the service. It returns nil if there is none.
func (b *bench) startNginx(ctx context.Context) (*process, error) {
	binary, err := exec.LookPath("nginx")
	if err != nil {
		for _, path := range []string{"/usr/sbin/nginx", "/usr/local/sbin/nginx"} {
			if _, err := os.Stat(path); err == nil {
				binary = path
			}
		}
	}
	if binary == "" {
		return nil, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, err
	}
	dir := filepath.Join(b.dir, "nginx")
	config := filepath.Join(dir, "nginx.conf")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(config, fmt.Appendf(nil, nginxConfig, strings.TrimPrefix(b.service, "http://"), connections, address), 0o600)); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, binary, "-p", dir, "-c", config, "-g", "daemon off;", "-e", "stderr")
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // its workers end with it
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting nginx: %w", err)
	}
	p := &process{target: newTarget("http://"+address, ""), pid: cmd.Process.Pid, stop: func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		_ = cmd.Wait()
	}}
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if _, err = p.target.send(ctx, 1, b.differing(sizes[0].bytes, 1), ""); err == nil {
			return p, nil
		}
	}
	p.stop()
	return nil, fmt.Errorf("starting nginx: %w\n%s", err, said.String())
}

// memory returns the resident memory of a process and of those that it has started, in
// megabytes. What several of them share counts for each.
func memory(pid int) (float64, error) {
	sum, err := child.Memory(pid)
	if err != nil {
		return 0, err
	}
	started, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "task", strconv.Itoa(pid), "children"))
	if err != nil {
		return sum, nil //nolint:nilerr // the kernel does not say
	}
	for field := range strings.FieldsSeq(string(started)) {
		other, err := strconv.Atoi(field)
		if err != nil {
			return 0, err
		}
		more, err := memory(other)
		if err != nil {
			return 0, err
		}
		sum += more
	}
	return sum, nil
}
