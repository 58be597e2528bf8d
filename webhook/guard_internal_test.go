package webhook

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
	"pgregory.net/rapid"
)

const testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr"

// at returns a resolver to which every name is at one address.
func at(t *testing.T, addr netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() { // until conn is closed
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			head := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET}
			switch {
			case q.Type == dnsmessage.TypeA && addr.Is4():
				m.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AResource{A: addr.As4()}}}
			case q.Type == dnsmessage.TypeAAAA && addr.Is6():
				m.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}}}
			}
			m.Response, m.Additionals = true, nil
			if data, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(data, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// TestNamesOfRefusedAddresses: a name that comes to stand for an address that events are
// not sent to is refused when the connection is made, before anything is sent.
func TestNamesOfRefusedAddresses(t *testing.T) {
	for _, addr := range []string{
		"169.254.169.254", "169.254.1.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "0.0.0.0", "224.0.0.1", "255.255.255.255",
		"127.0.0.1", "127.1.2.3", "::1", "::", "fe80::1", "ff02::1", "fd00:ec2::254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
	} {
		s := newSender(at(t, netip.MustParseAddr(addr)))
		_, err := s.Send(t.Context(), &Hook{URL: "https://hooks.example.com/canary"}, []string{testSecret}, &Event{ID: "msg_1", Body: []byte("{}")})
		if !Refused(err) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", addr, err)
		}
		s.Close()
	}
}

// TestNamesOfThisMachine: only a host that is this machine by its name is sent to over
// http, and only at a loopback address.
func TestNamesOfThisMachine(t *testing.T) {
	var asked int
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer receiver.Close()
	_, port, err := net.SplitHostPort(receiver.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := NewSender()
	defer s.Close()
	if answer, err := s.Send(t.Context(), &Hook{URL: "http://localhost:" + port}, []string{testSecret}, &Event{ID: "msg_1", Body: []byte("{}")}); err != nil || answer.Status != 200 || asked != 1 {
		t.Errorf("localhost: %+v, %v", answer, err)
	}
	if err := reachable("localhost", netip.MustParseAddr("10.0.0.1")); !Refused(err) {
		t.Errorf("localhost at another machine: %v", err)
	}
}

// TestReachableProperty: in every form of an address the same is refused, and nothing that
// is a link's, a cloud's or no machine's is reached by any name.
func TestReachableProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := [4]byte{rapid.SampledFrom([]byte{0, 1, 8, 10, 100, 127, 168, 169, 172, 192, 198, 224, 255}).Draw(t, "first"), rapid.Byte().Draw(t, "b"), rapid.Byte().Draw(t, "c"), rapid.Byte().Draw(t, "d")}
		v4 := netip.AddrFrom4(b)
		host := rapid.SampledFrom([]string{"hooks.example.com", "localhost", "10.0.0.1", "127.0.0.1"}).Draw(t, "host")
		want := reachable(host, v4) != nil
		if (v4.IsLinkLocalUnicast() || v4.IsMulticast() || v4.IsUnspecified() || v4.IsLoopback() != loopbackHost(host)) && !want {
			t.Fatalf("%s is reached as %s", v4, host)
		}
		for _, other := range []netip.Addr{
			netip.AddrFrom16(v4.As16()),
			netip.AddrFrom16([16]byte{0, 0x64, 0xff, 0x9b, 12: b[0], 13: b[1], 14: b[2], 15: b[3]}),
			netip.AddrFrom16([16]byte{0x20, 0x02, b[0], b[1], b[2], b[3]}),
		} {
			if got := reachable(host, other) != nil; got != want {
				t.Fatalf("%s: refused %v, and %s: refused %v", v4, want, other, got)
			}
		}
	})
}
