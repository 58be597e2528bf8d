package main

import (
	"context"
	"errors"
	"fmt"
	"html"
	"net"
	"os"
	"os/exec"
	"runtime"
)

// pageAddress returns the address at which a browser of this machine reaches a server.
func pageAddress(scheme string, addr net.Addr) string {
	host := addr.String()
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		_, port, _ := net.SplitHostPort(host) // of an address of the system's
		host = net.JoinHostPort("localhost", port)
	}
	return scheme + "://" + host
}

// openPage opens a page in the user's browser, without waiting for it, by a file in a folder
// that only the user can read and that leads to the address: the command line of a process
// is there for all users of the machine to see. The returned function removes the file.
func openPage(ctx context.Context, dir, address string) (remove func() error, err error) {
	file, err := os.CreateTemp(dir, "login-*.html") // with the mode 0600
	if err != nil {
		return nil, fmt.Errorf("writing a file for the browser: %w", err)
	}
	path := file.Name()
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	target := html.EscapeString(address)
	_, err = fmt.Fprintf(file, `<!doctype html><meta charset="utf-8"><title>claude-force</title><meta http-equiv="refresh" content="0; url=%s"><a href="%[1]s">Log in</a>`, target)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("writing a file for the browser: %w", err)
	}
	name, args := "xdg-open", []string{path}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", path}
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), name, args...) //nolint:gosec // a file of this program
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = cmd.Wait() }() // what the browser says is its own
	return func() error { return os.Remove(path) }, nil
}
