package sandbox

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// sockets are the address families that a command may open sockets of.
type sockets struct {
	inet bool // IPv4 and IPv6
	unix bool
}

// calls are the numbers of the system calls that the filter looks at, on one
// architecture. Zero means that the architecture has no such call.
type calls struct {
	arch                             uint32
	socket, socketpair, socketcall   uint32
	clone, unshare, ioctl            uint32
	mask                             uint32 // from this number on, all calls are another ABI's
	modules, keys, tracing, mounting []uint32
}

// The calls that have the same number everywhere.
var (
	commonMounting = []uint32{428, 429, 430, 431, 432, 433, 442, 467} // open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr, open_tree_attr
	commonAbsent   = []uint32{425, 426, 427, 435}                     // io_uring_*, whose operations no filter sees; clone3, whose flags none sees
)

// architectures are the tables by GOARCH: the program's own architecture and
// the one of 32 bits that the same kernel runs.
var architectures = map[string][]calls{
	"amd64": {callsAMD64, calls386},
	"386":   {calls386, callsAMD64},
	"arm64": {callsARM64, callsARM},
	"arm":   {callsARM, callsARM64},
}

var (
	callsAMD64 = calls{
		arch: unix.AUDIT_ARCH_X86_64, mask: 0x40000000, // x32
		socket: 41, socketpair: 53, clone: 56, unshare: 272, ioctl: 16,
		mounting: []uint32{165, 166, 155, 161, 308, 304}, // mount, umount2, pivot_root, chroot, setns, open_by_handle_at
		keys:     []uint32{248, 249, 250},                // add_key, request_key, keyctl
		tracing:  []uint32{321, 298, 323},                // bpf, perf_event_open, userfaultfd
		modules:  []uint32{175, 313, 176, 246, 320},      // init_module, finit_module, delete_module, kexec_load, kexec_file_load
	}
	calls386 = calls{
		arch:   unix.AUDIT_ARCH_I386,
		socket: 359, socketpair: 360, socketcall: 102, clone: 120, unshare: 310, ioctl: 54,
		mounting: []uint32{21, 22, 52, 217, 61, 346, 342},
		keys:     []uint32{286, 287, 288},
		tracing:  []uint32{357, 336, 374},
		modules:  []uint32{128, 350, 129, 283},
	}
	callsARM64 = calls{
		arch:   unix.AUDIT_ARCH_AARCH64,
		socket: 198, socketpair: 199, clone: 220, unshare: 97, ioctl: 29,
		mounting: []uint32{40, 39, 41, 51, 268, 265},
		keys:     []uint32{217, 218, 219},
		tracing:  []uint32{280, 241, 282},
		modules:  []uint32{105, 273, 106, 104, 294},
	}
	callsARM = calls{
		arch:   unix.AUDIT_ARCH_ARM,
		socket: 281, socketpair: 288, clone: 120, unshare: 337, ioctl: 54,
		mounting: []uint32{21, 52, 218, 61, 375, 371},
		keys:     []uint32{309, 310, 311},
		tracing:  []uint32{386, 364, 388},
		modules:  []uint32{128, 379, 129, 347, 401},
	}
)

// newNamespaces are the flags of clone and unshare that create namespaces.
const newNamespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
	unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// Offsets in the data that a filter sees. The low half of an argument is first
// on all architectures of the table.
const (
	offsetCall = 0
	offsetArch = 4
	offsetArg0 = 16
	offsetArg1 = 24
)

func refuse(e unix.Errno) bpf.Instruction {
	return bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(e)}
}

var allow = bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}

// seccompFilter returns the filter for one GOARCH.
func seccompFilter(goarch string, s sockets) ([]bpf.Instruction, error) {
	tables := architectures[goarch]
	if tables == nil {
		return nil, fmt.Errorf("no filter for %s", goarch)
	}
	prog := []bpf.Instruction{bpf.LoadAbsolute{Off: offsetArch, Size: 4}}
	for _, t := range tables {
		body := t.filter(s)
		// The body may be longer than a conditional jump reaches.
		prog = append(prog,
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: t.arch, SkipTrue: 1},
			bpf.Jump{Skip: uint32(len(body))})
		prog = append(prog, body...)
	}
	return append(prog, refuse(unix.ENOSYS)), nil
}

// filter returns the part of the filter for one architecture, which always
// returns.
func (t calls) filter(s sockets) []bpf.Instruction {
	prog := []bpf.Instruction{bpf.LoadAbsolute{Off: offsetCall, Size: 4}}
	on := func(call uint32, then ...bpf.Instruction) {
		if call == 0 {
			return
		}
		prog = append(prog, bpf.JumpIf{Cond: bpf.JumpEqual, Val: call, SkipFalse: uint8(len(then))})
		prog = append(prog, then...)
	}
	if t.mask != 0 {
		prog = append(prog, bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: t.mask, SkipFalse: 1}, refuse(unix.ENOSYS))
	}
	for _, call := range commonAbsent {
		on(call, refuse(unix.ENOSYS))
	}
	for _, list := range [][]uint32{commonMounting, t.mounting, t.keys, t.tracing, t.modules} {
		for _, call := range list {
			on(call, refuse(unix.EPERM))
		}
	}
	for _, call := range []uint32{t.clone, t.unshare} {
		on(call, bpf.LoadAbsolute{Off: offsetArg0, Size: 4},
			bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: newNamespaces, SkipFalse: 1}, refuse(unix.EPERM), allow)
	}
	on(t.ioctl, bpf.LoadAbsolute{Off: offsetArg1, Size: 4}, // typing into a terminal
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.TIOCSTI, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.TIOCLINUX, SkipFalse: 1}, refuse(unix.EPERM), allow)

	open := []bpf.Instruction{bpf.LoadAbsolute{Off: offsetArg0, Size: 4}}
	family := func(f uint32, granted bool) {
		verdict := bpf.Instruction(allow)
		if !granted {
			verdict = refuse(unix.EACCES)
		}
		open = append(open, bpf.JumpIf{Cond: bpf.JumpEqual, Val: f, SkipFalse: 1}, verdict)
	}
	family(unix.AF_UNIX, s.unix)
	family(unix.AF_INET, s.inet)
	family(unix.AF_INET6, s.inet)
	family(unix.AF_NETLINK, true)
	on(t.socket, append(open, refuse(unix.EAFNOSUPPORT))...)
	if !s.unix {
		// A pair is connected for good, except one of datagrams, which can
		// send to any path.
		on(t.socketpair, bpf.LoadAbsolute{Off: offsetArg1, Size: 4},
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SOCK_DGRAM, SkipFalse: 1}, refuse(unix.EACCES), allow)
	}
	if !s.unix || !s.inet {
		// The arguments are in memory, where no filter sees them.
		on(t.socketcall, bpf.LoadAbsolute{Off: offsetArg0, Size: 4},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: 1, SkipTrue: 1},  // socket
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: 8, SkipFalse: 1}, // socketpair
			refuse(unix.EACCES), allow)
	}
	return append(prog, allow)
}

// restrictCalls installs the filter for all threads of this process.
func restrictCalls(s sockets) error {
	instructions, err := seccompFilter(runtime.GOARCH, s)
	if err != nil {
		return err
	}
	raw, err := bpf.Assemble(instructions)
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return errno
	}
	return nil
}
