package sandbox

import (
	"errors"
	"fmt"

	"github.com/landlock-lsm/go-landlock/landlock"
	landlocksys "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// landlockABI is the oldest version that restricts all ways to change a file.
const landlockABI = 3

// scopeABI is the oldest version that restricts signals.
const scopeABI = 6

// restrictFiles restricts this thread, by Landlock, to the paths of a spec and,
// without network, to none of the ports. The process's first thread stays
// outside, so that it may end the command and the command may not end it.
func restrictFiles(s *spec) error {
	const dirOnly = landlock.AccessFSSet(landlocksys.AccessFSReadDir)
	var rules []landlock.Rule
	var fds []int
	defer func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}()
	add := func(path string, a access) error {
		fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS})
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EACCES) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("grant %s: %w", path, err)
		}
		fds = append(fds, fd)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		dir := st.Mode&unix.S_IFMT == unix.S_IFDIR
		// The descriptor, not the path: it cannot be swapped any more.
		name := fmt.Sprintf("/proc/self/fd/%d", fd)
		switch {
		case dir && a == accessWrite:
			rules = append(rules, landlock.RWDirs(name).WithRefer().WithIoctlDev())
		case dir:
			rules = append(rules, landlock.RODirs(name))
		case a == accessDevice:
			rules = append(rules, landlock.RWFiles(name).WithIoctlDev())
		case a == accessWrite:
			rules = append(rules, landlock.RWFiles(name))
		case st.Mode&unix.S_IFMT == unix.S_IFSOCK:
			rules = append(rules, landlock.ROFiles(name).WithResolveUnix())
		default:
			rules = append(rules, landlock.ROFiles(name))
		}
		return nil
	}
	for _, g := range s.Grants {
		path := g.Target
		if !s.Namespaces {
			path = g.Source
		}
		switch {
		case g.Access == accessLink || g.Access == accessHide:
			continue
		case path == "/etc":
			// Without the secrets in it, but all names can be listed.
			rules = append(rules, landlock.PathAccess(dirOnly, path))
			for _, file := range s.Etc {
				if err := add(file, accessRead); err != nil {
					return err
				}
			}
			continue
		}
		if err := add(path, g.Access); err != nil {
			return err
		}
	}
	own := map[string]access{"/proc": accessRead}
	if s.Namespaces {
		// All that is there was granted, so all names can be listed.
		rules = append(rules, landlock.PathAccess(dirOnly, "/"))
		own["/tmp"], own["/dev/shm"], own["/dev/pts"] = accessWrite, accessWrite, accessWrite
	}
	for path, a := range own {
		if err := add(path, a); err != nil {
			return err
		}
	}
	config := landlock.V7
	if s.Network != NoNetwork {
		// The rules are about ports, and cannot tell the own loopback
		// interface from others.
		config = landlock.Config{HandledAccessFS: config.HandledAccessFS, Scoped: config.Scoped}
	}
	ruleset, flags, err := config.BestEffort().NewRulesetFD(rules...)
	if err != nil {
		return err
	}
	if ruleset < 0 {
		return errors.New("the kernel has no Landlock")
	}
	defer func() { _ = unix.Close(ruleset) }()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(ruleset), uintptr(flags), 0); errno != 0 {
		return fmt.Errorf("landlock_restrict_self: %w", errno)
	}
	return nil
}

// dropCapabilities takes all capabilities from this thread, for good.
func dropCapabilities() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	for c := uintptr(0); c <= 63; c++ {
		// EINVAL after the last capability; EPERM if this process may not,
		// which no_new_privs makes up for.
		if unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0) != nil {
			break
		}
	}
	// Kernels without ambient capabilities have none to clear.
	_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}
