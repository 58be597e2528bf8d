//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// queue is a pipe of prompts from which machines take the next call when a client is free. A
// prompt is of fewer bytes than a pipe may split.
type queue struct{ from, to *os.File }

func newQueue() (*queue, error) {
	from, to, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	return &queue{from, to}, nil
}

// put adds a prompt. It waits while the pipe is full.
func put(to *os.File, prompt int) error {
	return binary.Write(to, binary.LittleEndian, uint32(prompt))
}

// take returns the next prompt. The error is [io.EOF] at the end of the calls.
func take(from io.Reader) (int, error) {
	var prompt [4]byte
	if _, err := io.ReadFull(from, prompt[:]); err != nil {
		return 0, err
	}
	return int(binary.LittleEndian.Uint32(prompt[:])), nil
}
