package sandbox

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// bound is when an attack ends by itself, whatever the sandbox does.
const bound = 5 * time.Minute

// attack does what a hostile command would, within bounds of its own, and
// returns the exit code.
func attack(args []string) int {
	time.AfterFunc(bound, func() { os.Exit(9) })
	number := func() int {
		n, err := strconv.Atoi(args[1])
		if err != nil {
			panic(err)
		}
		return n
	}
	switch args[0] {
	case "environ":
		fmt.Println(strings.Join(os.Environ(), "\n"))
	case "exit":
		return number()
	case "wait":
		time.Sleep(bound)
	case "output":
		chunk := strings.Repeat("x", 1<<16)
		for range number() >> 16 {
			if _, err := os.Stdout.WriteString(chunk); err != nil {
				return 1
			}
		}
	case "allocate":
		// In steps, and then it keeps what it has until it is ended.
		var kept [][]byte
		for range number() >> 22 {
			b := make([]byte, 1<<22)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			kept = append(kept, b)
			time.Sleep(5 * time.Millisecond)
		}
		fmt.Println("allocated", len(kept)<<22)
		time.Sleep(bound)
		fmt.Println("kept", len(kept))
	default:
		return attackSystem(args)
	}
	return 0
}
