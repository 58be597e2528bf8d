package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// systemFolders are readable for every command.
var systemFolders = []string{
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt",
	"/nix/store", "/run/current-system", "/var/lib/ca-certificates",
	"/sys/devices/system/cpu", "/sys/kernel/mm/transparent_hugepage",
}

// devices are usable for every command.
var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

// configuration is the content of /etc, divided.
type configuration struct {
	readable []string // files and folders that every user may read, with all below
	secret   []string // files and folders that not every user may read
}

// etc returns the division of /etc. A command that runs as root may not read
// the secrets of the system either.
var etc = sync.OnceValue(func() configuration { return divide("/etc") })

// divide returns what is readable for every user below a folder, and what is
// not.
func divide(dir string) configuration {
	var c configuration
	entries, err := os.ReadDir(dir)
	if err != nil {
		return configuration{secret: []string{dir}}
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := e.Info()
		switch {
		case err != nil:
		case info.Mode()&fs.ModeSymlink != 0: // what it leads to decides
		case info.IsDir() && info.Mode().Perm()&0o005 == 0o005:
			below := divide(path)
			if len(below.secret) == 0 {
				c.readable = append(c.readable, path)
				continue
			}
			c.readable = append(c.readable, below.readable...)
			c.secret = append(c.secret, below.secret...)
		case !info.IsDir() && info.Mode().Perm()&0o004 != 0:
			c.readable = append(c.readable, path)
		default:
			c.secret = append(c.secret, path)
		}
	}
	return c
}

// within reports whether path is dir or below it.
func within(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

// grants returns the paths that a policy grants, in the order in which they are
// placed: parents first, and what narrows after what grants. Links in the
// policy's paths are resolved here, once.
func (p Policy) grants() ([]grant, error) {
	var list []grant
	add := func(path string, a access) error {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("sandbox: %q is not an absolute path", path)
		}
		path = filepath.Clean(path)
		if path == "/" {
			return errors.New("sandbox: a policy cannot grant the root folder; name what the command needs")
		}
		real, err := filepath.EvalSymlinks(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("sandbox: %w", err)
		}
		if real != path {
			list = append(list, grant{Source: real, Target: path, Access: accessLink, Optional: true})
		}
		list = append(list, grant{Source: real, Target: real, Access: a})
		return nil
	}
	for _, path := range systemFolders {
		if add(path, accessRead) != nil {
			continue // not readable for this user
		}
	}
	for _, path := range devices {
		list = append(list, grant{Source: path, Target: path, Access: accessDevice, Optional: true})
	}
	for _, path := range slices.Concat(p.Read, p.UnixSockets) {
		if err := add(path, accessRead); err != nil {
			return nil, err
		}
	}
	for _, path := range p.Write {
		if err := add(path, accessWrite); err != nil {
			return nil, err
		}
	}
	binds := p.Binds
	if p.Temp != "" {
		if err := add(p.Temp, accessWrite); err != nil {
			return nil, err
		}
		binds = append(slices.Clip(binds), Bind{p.Temp, "/tmp"})
	}
	for _, b := range binds {
		if !filepath.IsAbs(b.At) || filepath.Clean(b.At) == "/" {
			return nil, fmt.Errorf("sandbox: a folder cannot be seen at %q", b.At)
		}
		real, err := filepath.EvalSymlinks(b.From)
		if err != nil {
			return nil, fmt.Errorf("sandbox: %w", err)
		}
		list = append(list, grant{Source: real, Target: filepath.Clean(b.At), Access: accessWrite})
	}
	if p.Network == HostNetwork {
		// Often a link into /run.
		if err := add("/etc/resolv.conf", accessRead); err != nil {
			return nil, err
		}
	}
	// What is inside another grant is granted already.
	granted := slices.Clone(list)
	list = slices.DeleteFunc(list, func(g grant) bool {
		return g.Access == accessRead && slices.ContainsFunc(granted, func(o grant) bool {
			return within(g.Target, o.Target) && o.Source == o.Target &&
				(o.Access == accessWrite || o.Access == accessRead && o.Target != g.Target)
		})
	})
	list = append(list, p.pins()...)
	for _, path := range p.ReadOnly {
		if err := add(path, accessRead); err != nil {
			return nil, err
		}
	}
	hidden := slices.Concat(p.Hide, etc().secret)
	for _, path := range hidden {
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			continue // it does not exist, or this user cannot reach it
		}
		list = append(list, grant{Target: real, Access: accessHide})
	}
	slices.SortStableFunc(list, func(a, b grant) int {
		if c := cmp.Compare(a.order(), b.order()); c != 0 {
			return c
		}
		return slices.Compare(strings.Split(a.Target, "/"), strings.Split(b.Target, "/"))
	})
	return slices.CompactFunc(list, func(a, b grant) bool { return a == b }), nil
}

// pins returns grants for the folders between what is granted to write and what
// is protected in it. A folder that is granted by itself cannot be renamed, and
// so not be replaced by one with something else in it.
func (p Policy) pins() []grant {
	roots, kept := resolved(p.Write), resolved(p.ReadOnly)
	var list []grant
	for _, path := range slices.Concat(kept, resolved(p.Hide)) {
		for dir := filepath.Dir(path); dir != "/"; dir = filepath.Dir(dir) {
			inside := func(root string) bool { return within(dir, root) }
			if !slices.ContainsFunc(roots, func(root string) bool { return dir != root && within(dir, root) }) {
				break
			}
			if !slices.ContainsFunc(kept, inside) {
				list = append(list, grant{Source: dir, Target: dir, Access: accessWrite})
			}
		}
	}
	return list
}

// resolved returns the paths that exist, without links.
func resolved(paths []string) []string {
	var list []string
	for _, path := range paths {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			list = append(list, real)
		}
	}
	return list
}

// order returns the round in which a grant is placed. What is hidden comes last.
func (g grant) order() int {
	if g.Access == accessHide {
		return 1
	}
	return 0
}

// needsMounts returns the paths that only a mount namespace can narrow, inside
// what the policy grants.
func (p Policy) needsMounts() []string {
	var paths []string
	for _, path := range slices.Concat(p.ReadOnly, p.Hide) {
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			continue
		}
		if slices.ContainsFunc(slices.Concat(p.Read, p.Write, []string{p.Temp}), func(dir string) bool {
			dir, err := filepath.EvalSymlinks(dir)
			return err == nil && within(real, dir)
		}) {
			paths = append(paths, path)
		}
	}
	return paths
}
