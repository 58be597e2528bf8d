// Package tailtext keeps the end of what a program prints, to be shown when it fails.
package tailtext

import (
	"strings"
	"sync"
)

// maxBytes is how much is kept.
const maxBytes = 2000

// Buffer is a writer that keeps the end of what is written to it. The zero value is
// empty. It is safe for concurrent use.
type Buffer struct {
	mu   sync.Mutex // guards the field below
	data []byte
}

// Write implements [io.Writer]; it never fails.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data = append(b.data, p[max(0, len(p)-maxBytes):]...)
	b.data = b.data[max(0, len(b.data)-maxBytes):]
	return len(p), nil
}

// String returns what is kept, as valid UTF-8 without space around it.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.TrimSpace(strings.ToValidUTF8(string(b.data), "?"))
}
