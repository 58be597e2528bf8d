//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// admit decides on a call as the shared limits will: by the server's clock, requests, input
// and output tokens are taken from buckets that fill, or the wait is returned.
const admit = `local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local state = redis.call('HMGET', KEYS[1], 'at', 'r', 'i', 'o')
local cap = {1000000, 100000000, 100000000}
local passed = now - (tonumber(state[1]) or now)
local left, wait = {}, 0
for n = 1, 3 do
  left[n] = math.min(cap[n], (tonumber(state[n + 1]) or cap[n]) + passed * cap[n] / 60000) - tonumber(ARGV[n])
  if left[n] < 0 then wait = math.max(wait, -left[n] * 60000 / cap[n]) end
end
if wait > 0 then return math.ceil(wait) end
redis.call('HSET', KEYS[1], 'at', now, 'r', left[1], 'i', left[2], 'o', left[3])
redis.call('PEXPIRE', KEYS[1], 120000)
return 0`

// valkey is a server in a folder of its own.
type valkey struct {
	cli, bench, socket string
}

// measureValkey starts a server, measures 20 times n commands of each kind, and ends it.
func measureValkey(ctx context.Context, n int) (err error) {
	dir, err := os.MkdirTemp("", "capacity-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	v := valkey{socket: filepath.Join(dir, "socket")}
	var server string
	for _, name := range []string{"valkey", "redis"} {
		if path, e := exec.LookPath(name + "-server"); e == nil {
			server, v.cli, v.bench = path, name+"-cli", name+"-benchmark"
			break
		}
	}
	if server == "" {
		return errors.New("there is no Valkey: install Debian's redis-server")
	}
	process := exec.CommandContext(ctx, server, "--port", "0", "--unixsocket", v.socket, "--dir", dir, "--save", "", "--appendonly", "no", "--maxmemory", "512mb")
	if err := process.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", server, err)
	}
	defer func() {
		_ = process.Process.Kill() // it keeps nothing
		_ = process.Wait()
	}()
	for i := 0; ; i++ {
		if _, err = output(ctx, v.cli, "-s", v.socket, "ping"); err == nil {
			break
		}
		if i == 300 {
			return fmt.Errorf("waiting for %s: %w", server, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	sha, err := output(ctx, v.cli, "-s", v.socket, "script", "load", admit)
	if err != nil {
		return err
	}
	body := strings.Repeat("x", answerBytes)
	for _, c := range []struct {
		name string
		args []string
	}{
		{"valkey_admit_cpu", []string{"EVALSHA", strings.TrimSpace(sha), "1", "{pool:__rand_int__}", "1", "1500", "400"}},
		{"valkey_set_cpu", []string{"SET", "answer:__rand_int__", body, "PX", "600000"}},
		{"valkey_get_cpu", []string{"GET", "answer:__rand_int__"}},
		{"valkey_lease_cpu", []string{"SET", "flight:__rand_int__", "owner-1", "NX", "PX", "15000"}},
		{"valkey_stream_cpu", []string{"XADD", "events:__rand_int__", "MAXLEN", "~", "1000", "*", "event", body[:400]}},
	} {
		used, err := v.cpu(ctx, 20*n, c.args)
		if err != nil {
			return err
		}
		report(c.name, used, "s")
	}
	best := 1.0
	for range 3 {
		out, err := output(ctx, v.bench, "-s", v.socket, "-n", strconv.Itoa(n), "-c", "1", "--csv", "GET", "answer:1")
		if err != nil {
			return err
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		f := strings.Split(strings.ReplaceAll(lines[len(lines)-1], `"`, ""), ",") // test, rps, mean, min, p50, ...
		if len(f) < 5 {
			return fmt.Errorf("%s printed something else: %s", v.bench, out)
		}
		ms, err := strconv.ParseFloat(f[4], 64)
		if err != nil {
			return err
		}
		best = min(best, ms/1000)
	}
	report("valkey_local_round_trip", best, "s")
	return nil
}

// cpu returns the server's processor time for each of n equal commands by 50 clients, its
// network included.
func (v valkey) cpu(ctx context.Context, n int, args []string) (float64, error) {
	before, err := v.used(ctx)
	if err != nil {
		return 0, err
	}
	out, err := output(ctx, v.bench, append([]string{"-s", v.socket, "-n", strconv.Itoa(n), "-c", "50", "-r", "1000", "-q"}, args...)...)
	if err != nil {
		return 0, err
	}
	if strings.Contains(out, "rror from server") {
		return 0, fmt.Errorf("%s: %s", args[0], out)
	}
	after, err := v.used(ctx)
	return (after - before) / float64(n), err
}

func (v valkey) used(ctx context.Context) (float64, error) {
	info, err := output(ctx, v.cli, "-s", v.socket, "info", "cpu")
	if err != nil {
		return 0, err
	}
	system, err := number(info, "used_cpu_sys:")
	if err != nil {
		return 0, err
	}
	own, err := number(info, "used_cpu_user:")
	return system + own, err
}
