package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// access is how a path appears to the command.
type access int

const (
	accessRead access = iota
	accessWrite
	accessDevice // read and write, and it may be a device
	accessHide   // empty
	accessLink   // a symbolic link to Source
)

// grant is one path that the command sees.
type grant struct {
	Source   string
	Target   string
	Access   access
	Optional bool // skipped if it cannot be placed
}

// newRoot replaces the file system of this process, which must be in a mount
// namespace of its own, by one that has nothing but the grants. The grants are
// in the order in which they are placed. Every path is opened without following
// links, so that one that was swapped since the policy was made is an error.
func newRoot(grants []grant, tmpfs int64) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	trees := make([]int, len(grants))
	for i, g := range grants {
		trees[i] = -1
		if g.Access == accessLink || g.Access == accessHide {
			continue
		}
		fd, err := openTree(g)
		if err != nil {
			if g.Optional || errors.Is(err, unix.ENOENT) {
				continue
			}
			return err
		}
		trees[i] = fd
	}
	// Any folder will do to build the new root in; this process sees the old
	// files no more.
	const base = "/usr"
	if err := unix.Mount("tmpfs", base, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=1m"); err != nil {
		return fmt.Errorf("mount a new root: %w", err)
	}
	root, err := unix.Open(base, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(root) }()
	if err := privateFolders(base, tmpfs); err != nil {
		return err
	}
	for i, g := range grants {
		if err := place(root, trees[i], g); err != nil && !g.Optional {
			return fmt.Errorf("grant %s: %w", g.Target, err)
		}
		if trees[i] >= 0 {
			_ = unix.Close(trees[i])
		}
	}
	if err := unix.Chdir(base); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach the old root: %w", err)
	}
	return unix.MountSetattr(unix.AT_FDCWD, "/", 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}

// openTree returns a detached copy of the mount at a grant's source.
func openTree(g grant) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS}
	path, err := unix.Openat2(unix.AT_FDCWD, g.Source, &how)
	if err != nil {
		return -1, fmt.Errorf("grant %s: %w", g.Source, err)
	}
	defer func() { _ = unix.Close(path) }()
	tree, err := unix.OpenTree(path, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE)
	if err != nil {
		return -1, fmt.Errorf("grant %s: open_tree: %w", g.Source, err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID}
	if g.Access != accessDevice {
		attr.Attr_set |= unix.MOUNT_ATTR_NODEV
	}
	if g.Access == accessRead {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
		_ = unix.Close(tree)
		return -1, fmt.Errorf("grant %s: mount_setattr: %w", g.Source, err)
	}
	return tree, nil
}

// place puts a grant into the new root.
func place(root, tree int, g grant) error {
	target := strings.TrimPrefix(g.Target, "/")
	switch g.Access {
	case accessLink:
		parent, err := makeFolder(root, filepath.Dir(target))
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(parent) }()
		if err := unix.Symlinkat(g.Source, parent, filepath.Base(target)); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
		return nil
	case accessHide:
		return hide(root, target)
	}
	if tree < 0 {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(tree, &st); err != nil {
		return err
	}
	var at int
	var err error
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		at, err = makeFolder(root, target)
	} else {
		at, err = makeFile(root, target)
	}
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(at) }()
	return unix.MoveMount(tree, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// openIn opens a path below root without following links.
func openIn(root int, path string, flags uint64) (int, error) {
	return unix.Openat2(root, path, &unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_BENEATH,
	})
}

// makeFolder opens a folder below root, which it creates with its parents.
func makeFolder(root int, path string) (int, error) {
	if fd, err := openIn(root, path, unix.O_PATH|unix.O_DIRECTORY); err == nil {
		return fd, nil
	}
	if path != "." {
		parent, err := makeFolder(root, filepath.Dir(path))
		if err != nil {
			return -1, err
		}
		err = unix.Mkdirat(parent, filepath.Base(path), 0o755)
		_ = unix.Close(parent)
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return -1, fmt.Errorf("mkdir %s: %w", path, err)
		}
	}
	return openIn(root, path, unix.O_PATH|unix.O_DIRECTORY)
}

// makeFile opens a file below root, which it creates with its parents.
func makeFile(root int, path string) (int, error) {
	if fd, err := openIn(root, path, unix.O_PATH); err == nil {
		return fd, nil
	}
	parent, err := makeFolder(root, filepath.Dir(path))
	if err != nil {
		return -1, err
	}
	defer func() { _ = unix.Close(parent) }()
	fd, err := unix.Openat(parent, filepath.Base(path), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return -1, fmt.Errorf("create %s: %w", path, err)
	}
	_ = unix.Close(fd)
	return openIn(root, path, unix.O_PATH)
}

// hide covers a path below root, if it exists, with an empty file or folder.
func hide(root int, path string) error {
	at, err := openIn(root, path, unix.O_PATH)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(at) }()
	var st unix.Stat_t
	if err := unix.Fstat(at, &st); err != nil {
		return err
	}
	empty := "dev/.empty/file"
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		empty = "dev/.empty/folder"
	}
	from, err := openIn(root, empty, unix.O_PATH)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(from) }()
	tree, err := unix.OpenTree(from, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(tree) }()
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return err
	}
	return unix.MoveMount(tree, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// privateFolders makes what the command has for itself: /tmp, /dev and /proc.
func privateFolders(base string, tmpfs int64) error {
	for _, dir := range []string{"tmp", "dev", "dev/shm", "dev/pts", "proc", "dev/.empty", "dev/.empty/folder"} {
		if err := os.Mkdir(filepath.Join(base, dir), 0o755); err != nil {
			return err
		}
	}
	// Files that are hidden have no permission for anyone.
	if err := os.WriteFile(filepath.Join(base, "dev/.empty/file"), nil, 0); err != nil {
		return err
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV
	for _, dir := range []string{"tmp", "dev/shm"} {
		if err := unix.Mount("tmpfs", filepath.Join(base, dir), "tmpfs", flags, fmt.Sprintf("mode=1777,size=%d", tmpfs)); err != nil {
			return fmt.Errorf("mount /%s: %w", dir, err)
		}
	}
	if err := unix.Mount("proc", filepath.Join(base, "proc"), "proc", flags|unix.MS_NOEXEC|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	// Without a pseudo-terminal of its own, only script(1) and the like fail.
	if unix.Mount("devpts", filepath.Join(base, "dev/pts"), "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620") == nil {
		if err := os.Symlink("pts/ptmx", filepath.Join(base, "dev/ptmx")); err != nil {
			return err
		}
	}
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(to, filepath.Join(base, "dev", name)); err != nil {
			return err
		}
	}
	return nil
}
