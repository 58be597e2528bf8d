package postgrestest

import (
	"bytes"
	"net"
	"net/url"
	"sync"
	"testing"
)

// Cable leads to a database. It is cut before the first piece that has a text: connections
// stay, and nothing passes any more.
type Cable struct {
	Cut  <-chan struct{} // closed when it is cut
	Pull func()          // closes all connections

	at  []byte
	cut func()
}

// NewCable returns the URL of a database by way of a cable, which is pulled when the test ends.
// It is for a server without TLS.
func NewCable(tb testing.TB, address, at string) (through string, c *Cable) {
	tb.Helper()
	u, err := url.Parse(address)
	if err != nil {
		tb.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	cut := make(chan struct{})
	c = &Cable{Cut: cut, at: []byte(at), cut: sync.OnceFunc(func() { close(cut) })}
	server := u.Host
	var ends []net.Conn
	var mu sync.Mutex // guards ends
	var carrying sync.WaitGroup
	carrying.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := (&net.Dialer{}).DialContext(tb.Context(), "tcp", server)
			if err != nil {
				tb.Error(err)
				return
			}
			mu.Lock()
			ends = append(ends, client, to)
			mu.Unlock()
			carrying.Go(func() { c.carry(client, to) })
			carrying.Go(func() { c.carry(to, client) })
		}
	})
	c.Pull = sync.OnceFunc(func() {
		_ = listener.Close()
		mu.Lock()
		for _, conn := range ends {
			_ = conn.Close()
		}
		mu.Unlock()
		carrying.Wait()
	})
	tb.Cleanup(c.Pull)
	u.Host = listener.Addr().String()
	return u.String(), c
}

func (c *Cable) carry(from, to net.Conn) {
	piece := make([]byte, 1<<16)
	for {
		n, err := from.Read(piece)
		if err != nil {
			return
		}
		if bytes.Contains(piece[:n], c.at) {
			c.cut()
		}
		select {
		case <-c.Cut:
			return
		default:
		}
		if _, err := to.Write(piece[:n]); err != nil {
			return
		}
	}
}
