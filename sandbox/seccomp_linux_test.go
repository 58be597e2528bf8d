package sandbox

import (
	"encoding/binary"
	"runtime"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// verdict runs the filter of an architecture on a call.
func verdict(t *testing.T, goarch string, s sockets, arch, call uint32, args ...uint32) unix.Errno {
	t.Helper()
	prog, err := seccompFilter(goarch, s)
	if err != nil {
		t.Fatal(err)
	}
	vm, err := bpf.NewVM(prog)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 64)
	binary.BigEndian.PutUint32(data[offsetCall:], call) // the virtual machine's byte order
	binary.BigEndian.PutUint32(data[offsetArch:], arch)
	for i, a := range args {
		binary.BigEndian.PutUint32(data[offsetArg0+8*i:], a)
	}
	result, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	switch result := uint32(result); result & 0xffff0000 {
	case unix.SECCOMP_RET_ALLOW & 0xffff0000:
		return 0
	case unix.SECCOMP_RET_ERRNO:
		return unix.Errno(result & 0xffff)
	}
	t.Fatalf("result %#x", result)
	return 0
}

// The filter decides the same on all architectures, also for the other one that
// the kernel runs.
func TestFilter(t *testing.T) {
	none, both := sockets{}, sockets{inet: true, unix: true}
	for goarch, tables := range architectures {
		for _, c := range tables {
			for _, test := range []struct {
				name string
				s    sockets
				call uint32
				args []uint32
				want unix.Errno
			}{
				{"read", none, 3, nil, 0},
				{"socket of UNIX", none, c.socket, []uint32{unix.AF_UNIX}, unix.EACCES},
				{"socket of UNIX, granted", both, c.socket, []uint32{unix.AF_UNIX}, 0},
				{"socket of IPv4", none, c.socket, []uint32{unix.AF_INET}, unix.EACCES},
				{"socket of IPv4, granted", both, c.socket, []uint32{unix.AF_INET}, 0},
				{"socket of IPv6", none, c.socket, []uint32{unix.AF_INET6}, unix.EACCES},
				{"netlink", none, c.socket, []uint32{unix.AF_NETLINK}, 0},
				{"vsock", both, c.socket, []uint32{unix.AF_VSOCK}, unix.EAFNOSUPPORT},
				{"pair of streams", none, c.socketpair, []uint32{unix.AF_UNIX, unix.SOCK_STREAM | unix.SOCK_CLOEXEC}, 0},
				{"pair of datagrams", none, c.socketpair, []uint32{unix.AF_UNIX, unix.SOCK_DGRAM | unix.SOCK_CLOEXEC}, unix.EACCES},
				{"io_uring", both, 425, nil, unix.ENOSYS},
				{"clone3", both, 435, nil, unix.ENOSYS},
				{"clone", none, c.clone, []uint32{unix.CLONE_VM | unix.CLONE_VFORK}, 0},
				{"clone of a namespace", both, c.clone, []uint32{unix.CLONE_NEWUSER | unix.CLONE_VM}, unix.EPERM},
				{"unshare", none, c.unshare, []uint32{unix.CLONE_FILES}, 0},
				{"unshare a namespace", both, c.unshare, []uint32{unix.CLONE_NEWNET}, unix.EPERM},
				{"typing into a terminal", both, c.ioctl, []uint32{0, unix.TIOCSTI}, unix.EPERM},
				{"ioctl", none, c.ioctl, []uint32{0, unix.TCGETS}, 0},
				{"move_mount", both, 429, nil, unix.EPERM},
				{"mount", both, c.mounting[0], nil, unix.EPERM},
				{"keyctl", both, c.keys[2], nil, unix.EPERM},
				{"bpf", both, c.tracing[0], nil, unix.EPERM},
			} {
				if got := verdict(t, goarch, test.s, c.arch, test.call, test.args...); got != test.want {
					t.Errorf("%s, arch %#x: %s: %v, want %v", goarch, c.arch, test.name, got, test.want)
				}
			}
			if c.mask != 0 {
				if got := verdict(t, goarch, both, c.arch, c.mask|1); got != unix.ENOSYS {
					t.Errorf("%s: call of the other ABI: %v", goarch, got)
				}
			}
			if c.socketcall != 0 {
				if got := verdict(t, goarch, none, c.arch, c.socketcall, 1); got != unix.EACCES {
					t.Errorf("%s: socketcall: %v", goarch, got)
				}
			}
		}
		if got := verdict(t, goarch, both, 0x1234, 0); got != unix.ENOSYS {
			t.Errorf("%s: unknown architecture: %v", goarch, got)
		}
	}
}

// The numbers of the own architecture are those of the system's headers.
func TestCallNumbers(t *testing.T) {
	own := architectures[runtime.GOARCH][0]
	for name, pair := range map[string][2]uint32{
		"socket": {own.socket, unix.SYS_SOCKET}, "socketpair": {own.socketpair, unix.SYS_SOCKETPAIR},
		"clone": {own.clone, unix.SYS_CLONE}, "unshare": {own.unshare, unix.SYS_UNSHARE}, "ioctl": {own.ioctl, unix.SYS_IOCTL},
		"add_key": {own.keys[0], unix.SYS_ADD_KEY}, "request_key": {own.keys[1], unix.SYS_REQUEST_KEY}, "keyctl": {own.keys[2], unix.SYS_KEYCTL},
		"bpf": {own.tracing[0], unix.SYS_BPF}, "perf_event_open": {own.tracing[1], unix.SYS_PERF_EVENT_OPEN}, "userfaultfd": {own.tracing[2], unix.SYS_USERFAULTFD},
		"mount": {own.mounting[0], unix.SYS_MOUNT}, "init_module": {own.modules[0], unix.SYS_INIT_MODULE}, "finit_module": {own.modules[1], unix.SYS_FINIT_MODULE},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %d, and %d in the table", name, pair[1], pair[0])
		}
	}
	for name, n := range map[string]uint32{
		"umount2": unix.SYS_UMOUNT2, "pivot_root": unix.SYS_PIVOT_ROOT, "chroot": unix.SYS_CHROOT, "setns": unix.SYS_SETNS, "open_by_handle_at": unix.SYS_OPEN_BY_HANDLE_AT,
	} {
		if got := verdict(t, runtime.GOARCH, sockets{true, true}, own.arch, n); got != unix.EPERM {
			t.Errorf("%s: %v", name, got)
		}
	}
}
