package sandbox

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// attackSystem makes the part of attack that only Linux has.
func attackSystem(args []string) int {
	var err error
	switch args[0] {
	case "fork":
		var n int
		if n, err = strconv.Atoi(args[2]); err == nil {
			return fork(args[1], n)
		}
	case "write":
		var n int
		if n, err = strconv.Atoi(args[2]); err == nil {
			err = write(args[1], n)
		}
	case "parent":
		return parent(args[1])
	case "tcp", "udp", "unix", "unixgram":
		err = dial(args[0], args[1])
	case "mptcp":
		err = connect(unix.SOCK_STREAM, 262, args[1])
	case "pair": // a pair of datagram sockets can send to any path
		var pair [2]int
		if pair, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0); err == nil {
			err = unix.Sendto(pair[0], []byte("attack"), 0, &unix.SockaddrUnix{Name: args[1]})
		}
	case "family":
		var f int
		if f, err = strconv.Atoi(args[1]); err == nil {
			_, err = unix.Socket(f, unix.SOCK_STREAM, 0)
		}
	case "io_uring":
		if _, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, 0, 0); errno != 0 && errno != unix.EFAULT {
			err = errno
		}
	case "keyctl":
		_, err = unix.KeyctlGetKeyringID(unix.KEY_SPEC_USER_KEYRING, true)
	case "unshare":
		err = unix.Unshare(unix.CLONE_NEWUSER)
	case "loopback":
		err = loopback()
	default:
		return 2
	}
	if err != nil {
		fmt.Println("refused:", err)
		return 1
	}
	fmt.Println("done")
	return 0
}

// fork starts at most so many processes and reports how many it could. If it could start
// all, it keeps them until it is ended, else it ends them.
func fork(marker string, most int) int {
	var started []*exec.Cmd
	for range most {
		cmd := exec.Command("sleep", marker)
		if cmd.Start() != nil {
			break
		}
		started = append(started, cmd)
		fmt.Println("started", len(started))
	}
	if len(started) == most {
		time.Sleep(bound)
	}
	for _, cmd := range started {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	return 0
}

func write(file string, n int) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	chunk := make([]byte, 1<<16)
	for range n >> 16 {
		if _, err := f.Write(chunk); err != nil {
			return err
		}
	}
	return nil
}

// parent runs a sandboxed command and prints its id; whoever reads that kills
// this process.
func parent(marker string) int {
	p, err := Start(context.Background(), Policy{}, Command{Args: []string{"sleep", marker}, Dir: "/", Env: Environ(nil)})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(p.PID())
	_, _ = p.Wait()
	return 0
}

func dial(network, address string) error {
	c, err := net.DialTimeout(network, address, bound)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte("attack"))
	return err
}

func connect(kind, protocol int, address string) error {
	to, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, kind, protocol)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return unix.Connect(fd, &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())})
}

// loopback connects to a listener of its own.
func loopback() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			c.Close()
		}
	}()
	c, err := net.DialTimeout("tcp", l.Addr().String(), bound)
	if err != nil {
		return err
	}
	return c.Close()
}
