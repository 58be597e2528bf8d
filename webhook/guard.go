package webhook

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/internal/publicip"
)

// RefusedError says why a request is not sent, however often it is tried.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

func refuse(format string, args ...any) error { return &RefusedError{fmt.Sprintf(format, args...)} }

// maxURL is how long the address of a webhook may be.
const maxURL = 2000

// CheckURL returns a [*RefusedError] for an address that events are never sent to. It
// resolves no names.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case len(text) > maxURL:
		return refuse("the URL is longer than %d characters", maxURL)
	case err != nil || u.Opaque != "" || u.Hostname() == "":
		return refuse("the URL is not one such as https://hooks.example.com/claude-force")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return refuse("a URL with a user name, a query or a fragment is not taken: it is shown and stored; the signature proves who sends")
	case u.Scheme != "https" && u.Scheme != "http":
		return refuse("the URL begins with https, or with http on this machine")
	case u.Scheme == "http" && !loopbackHost(u.Hostname()):
		return refuse("http is for localhost and loopback addresses only; what is sent to other machines is encrypted: use https")
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		return reachable(u.Hostname(), addr)
	}
	return nil
}

// loopbackHost reports whether a host of a URL is this machine by its name.
func loopbackHost(host string) bool {
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

var (
	// shared are addresses of a provider's customers and of overlay networks.
	shared = netip.MustParsePrefix("100.64.0.0/10")

	// metadata are addresses at which clouds give credentials to their machines, outside
	// of the link-local ones.
	metadata = []netip.Addr{netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd20:ce::254")}
)

// reachable returns a [*RefusedError] for an address that the host of a webhook may not
// stand for. Those of private networks are allowed, since the operator has named the host;
// those of this machine only to hosts that are this machine by their name, and those of
// links, of clouds' own services and of no machine to none.
func reachable(host string, addr netip.Addr) error {
	addr = publicip.Reached(addr)
	if slices.Contains(metadata, addr) {
		return refuse("%s is at %s, a service of a cloud for its own machines", host, addr)
	}
	switch {
	case loopbackHost(host) && addr.IsLoopback():
		return nil
	case loopbackHost(host):
		return refuse("%s is at %s, which is another machine", host, addr)
	case publicip.Public(addr), addr.IsPrivate(), shared.Contains(addr):
		return nil
	}
	return refuse("%s is at %s, which is no address of a network that events are sent to", host, addr)
}

// Refused reports whether an error says that a request is never sent.
func Refused(err error) bool {
	_, refused := errors.AsType[*RefusedError](err)
	return refused
}
