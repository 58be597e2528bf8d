package sandbox

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Attempts to reach a network that was not granted. Each is judged by what the
// other side received.
func TestNetworkEscapes(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(true)
	mptcp, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mptcp.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for _, v := range variants(t) {
		p := newSite(t)
		listen := func(path string) net.Listener {
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			return l
		}
		receive := func(path string) net.PacketConn {
			c, err := net.ListenPacket("unixgram", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return c
		}
		abstract := fmt.Sprintf("@claude-force-test-%d-%s", os.Getpid(), strings.ReplaceAll(v.name, " ", "-"))
		in, out := filepath.Join(p.inside, "s"), filepath.Join(p.outside, "s")
		dgram := filepath.Join(p.inside, "d")
		for _, a := range []struct {
			name, kind, address string
			listener            net.Listener
			packets             net.PacketConn
		}{
			{"tcp", "tcp", tcp.Addr().String(), tcp, nil},
			{"mptcp", "mptcp", mptcp.Addr().String(), mptcp, nil},
			{"udp", "udp", udp.LocalAddr().String(), nil, udp},
			{"unix socket outside", "unix", out, listen(out), nil},
			{"unix socket inside", "unix", in, listen(in), nil},
			{"abstract unix socket", "unix", abstract, listen(abstract), nil},
			{"unix datagram", "unixgram", dgram, nil, receive(dgram)},
			{"pair of datagram sockets", "pair", dgram, nil, nil},
			{"vsock", "family", "40", nil, nil},
			{"packet", "family", "17", nil, nil},
			{"bluetooth", "family", "31", nil, nil},
			{"kernel crypto", "family", "38", nil, nil},
		} {
			t.Run(v.name+"/"+a.name, func(t *testing.T) {
				out, r, err := v.sys.result(t, p.policy(), p.inside, p.self, "attack", a.kind, a.address)
				if err != nil {
					t.Fatal(err)
				}
				if r.ExitCode != 1 || !strings.HasPrefix(out, "refused") {
					t.Errorf("%+v, output %q", r, out)
				}
				// What arrives first now is the test's own.
				if a.listener != nil {
					go func() { _ = dial(a.listener.Addr().Network(), a.listener.Addr().String()) }()
					c, err := a.listener.Accept()
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					if n := backlog(t, a.listener); n != 0 {
						t.Errorf("%d connections arrived", n)
					}
				}
				if a.packets != nil {
					to := a.packets.LocalAddr()
					own, err := net.Dial(to.Network(), to.String())
					if err != nil {
						t.Fatal(err)
					}
					defer own.Close()
					if _, err := own.Write([]byte("own")); err != nil {
						t.Fatal(err)
					}
					buf := make([]byte, 16)
					if n, _, err := a.packets.ReadFrom(buf); err != nil || string(buf[:n]) != "own" {
						t.Errorf("received %q, %v", buf[:n], err)
					}
				}
			})
		}
	}
}

// backlog returns how many connections wait to be accepted.
func backlog(t *testing.T, l net.Listener) (n int) {
	t.Helper()
	d, ok := l.(interface{ SetDeadline(time.Time) error })
	if !ok {
		t.Fatalf("%T has no deadline", l)
	}
	for {
		// Connections over the loopback interface are there at once.
		if err := d.SetDeadline(time.Now().Add(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		c, err := l.Accept()
		if err != nil {
			if err := d.SetDeadline(time.Time{}); err != nil {
				t.Fatal(err)
			}
			return n
		}
		c.Close()
		n++
	}
}
