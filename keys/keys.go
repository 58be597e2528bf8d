// Package keys makes and checks the secrets by which clients of a server prove who
// they are, and keeps the one of a data folder's owner.
//
// A key is "cf_", 43 characters for 32 random bytes and 6 for their CRC-32: a
// scanner of leaked secrets recognizes it, and a typing error is found without
// looking anything up.
package keys

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/openfile"
)

const (
	prefix    = "cf_"
	keyBytes  = 32
	keyDigits = 43 // 62^43 > 256^32
	sumDigits = 6  // 62^6 > 2^32
)

// New returns a new key.
func New() string {
	random := make([]byte, keyBytes)
	rand.Read(random)
	body := base62(new(big.Int).SetBytes(random), keyDigits)
	return prefix + body + checksum(body)
}

// Valid reports whether a text has the form of a key.
func Valid(key string) bool {
	body, ok := strings.CutPrefix(key, prefix)
	if !ok || len(body) != keyDigits+sumDigits {
		return false
	}
	return checksum(body[:keyDigits]) == body[keyDigits:]
}

func checksum(body string) string {
	return base62(new(big.Int).SetUint64(uint64(crc32.ChecksumIEEE([]byte(body)))), sumDigits)
}

// base62 returns a number in so many digits 0-9, A-Z, a-z.
func base62(n *big.Int, digits int) string {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	text := make([]byte, digits)
	base, digit := big.NewInt(int64(len(alphabet))), new(big.Int)
	for i := digits - 1; i >= 0; i-- {
		n.DivMod(n, base, digit)
		text[i] = alphabet[digit.Int64()]
	}
	return string(text)
}

// Hash is what is kept of a key: its SHA-256. A key has 256 random bits, so that a
// slow hash would protect nothing.
type Hash [sha256.Size]byte

// HashOf returns the hash of a key.
func HashOf(key string) Hash { return sha256.Sum256([]byte(key)) }

// Matches reports whether the hash is that of a key, in constant time.
func (h Hash) Matches(key string) bool { return h.Equal(HashOf(key)) }

// Equal reports whether two hashes are the same, in constant time.
func (h Hash) Equal(other Hash) bool { return subtle.ConstantTimeCompare(h[:], other[:]) == 1 }

// Local returns the key of the owner of a data folder from a file, which it makes if
// there is none. Several processes may call it at once. Only the user can read the
// file. The error of a file that others can read, or that holds no key, is a
// [fault.InputError].
func Local(path string) (string, error) {
	key, err := ReadLocal(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := create(path, New()); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("making the server's key: %w", err)
	}
	return ReadLocal(path) // another process may have been first
}

// create writes a file whole, unless there is one.
func create(path, key string) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp := path + "." + rand.Text() + ".tmp"
	f, err := openfile.Write(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(tmp)) }()
	_, err = f.WriteString(key + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(tmp, path)
}

// ReadLocal returns the key that [Local] has made. The error of none is [fs.ErrNotExist].
func ReadLocal(path string) (string, error) {
	data, err := openfile.Read(path, 1<<10)
	if err != nil {
		return "", fmt.Errorf("reading the server's key: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("reading the server's key: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return "", fault.Input(fmt.Errorf("other users can read the server's key in %s; delete it to have a new one made", path))
	}
	key := strings.TrimSpace(string(data))
	if !Valid(key) {
		return "", fault.Input(fmt.Errorf("%s holds no key; delete it to have a new one made", path))
	}
	return key, nil
}
