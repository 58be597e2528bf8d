package main

import (
	"context"
	"net"
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

// openPage opens an address in the user's browser, without waiting for it.
func openPage(ctx context.Context, address string) error {
	name, args := "xdg-open", []string{address}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", address}
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), name, args...) //nolint:gosec // an address of this program
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // what the browser says is its own
	return nil
}
