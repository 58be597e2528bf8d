// Package publicip tells addresses of the public internet from all others, for who
// connects to hosts that others have named.
package publicip

import "net/netip"

// Public reports whether an address is on the public internet.
func Public(addr netip.Addr) bool {
	addr = Reached(addr)
	if !addr.IsGlobalUnicast() || addr.IsPrivate() || addr.Is6() && !unicast6.Contains(addr) {
		return false
	}
	for _, prefix := range reserved {
		if prefix.Contains(addr) {
			return false
		}
	}
	return true
}

// Reached returns the address that a connection to addr ends at: the IPv4 address that
// an IPv6 address is mapped to, or that a translator or tunnel takes it for.
func Reached(addr netip.Addr) netip.Addr {
	addr = addr.WithZone("").Unmap()
	if !addr.Is6() {
		return addr
	}
	b := addr.As16()
	switch {
	case nat64.Contains(addr):
		return netip.AddrFrom4([4]byte(b[12:]))
	case sixToFour.Contains(addr):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return addr
}

var (
	unicast6  = netip.MustParsePrefix("2000::/3")
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour = netip.MustParsePrefix("2002::/16")

	// reserved are addresses that look public and are not, by the registries of
	// special-purpose addresses, and one that a cloud gives to its own machines.
	reserved = []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),
		netip.MustParsePrefix("100.64.0.0/10"), // shared by customers of a provider
		netip.MustParsePrefix("192.0.0.0/24"),
		netip.MustParsePrefix("192.0.2.0/24"), // documentation
		netip.MustParsePrefix("192.88.99.0/24"),
		netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
		netip.MustParsePrefix("198.51.100.0/24"), // documentation
		netip.MustParsePrefix("203.0.113.0/24"),  // documentation
		netip.MustParsePrefix("240.0.0.0/4"),
		netip.MustParsePrefix("168.63.129.16/32"), // Azure's own services
		netip.MustParsePrefix("2001::/23"),        // Teredo and other protocols
		netip.MustParsePrefix("2001:db8::/32"),    // documentation
		netip.MustParsePrefix("3fff::/20"),        // documentation
	}
)
