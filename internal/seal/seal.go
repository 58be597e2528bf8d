// Package seal encrypts what stores keep on disk.
//
//	box, err := seal.New(key) // a nil key gives a nil box, which leaves all as it is
//	row := box.Seal(data, id) // bound to the row's id, so that rows cannot be swapped
//	data, err := box.Open(row, id)
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
)

// Errors of opening a store with another encryption than it has.
var (
	ErrWrongKey     = errors.New("the encryption key is not the one it was made with")
	ErrEncrypted    = errors.New("it is encrypted")
	ErrNotEncrypted = errors.New("it is not encrypted, but a key was given")
)

// keySize is that of AES-256.
const keySize = 32

// Box seals and opens with one key, by AES-256-GCM. A nil Box encrypts nothing.
// It is safe for concurrent use.
type Box struct {
	aead cipher.AEAD
	sums []byte // the key of Sum
}

// New makes a box for a key of 32 bytes; for a nil key, a nil box.
func New(key []byte) (*Box, error) {
	if key == nil {
		return nil, nil
	}
	if len(key) != keySize {
		return nil, fmt.Errorf("the encryption key has %d bytes; it must have %d", len(key), keySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	// A key of its own for each use, derived as HKDF does.
	derive := hmac.New(sha256.New, key)
	derive.Write([]byte("claude-force sums\x01"))
	return &Box{aead: aead, sums: derive.Sum(nil)}, nil
}

// Seal encrypts data, bound to something that must be known to open it.
func (b *Box) Seal(data, bound []byte) []byte {
	if b == nil {
		return data
	}
	return b.aead.Seal(nil, nil, data, bound)
}

// Open gives back what was sealed.
func (b *Box) Open(data, bound []byte) ([]byte, error) {
	if b == nil {
		return data, nil
	}
	return b.aead.Open(nil, nil, data, bound)
}

// Sum returns a hash by which equal data is known: SHA-256, and with encryption an
// HMAC of it, so that it tells nothing to who lacks the key.
func (b *Box) Sum(data []byte) [sha256.Size]byte {
	if b == nil {
		return sha256.Sum256(data)
	}
	h := hmac.New(sha256.New, b.sums)
	h.Write(data)
	return [sha256.Size]byte(h.Sum(nil))
}

// Verifier returns what a store keeps to know its key by: a text, sealed; nil
// without encryption.
func (b *Box) Verifier(text string) []byte {
	if b == nil {
		return nil
	}
	return b.Seal([]byte(text), nil)
}

// Check compares the box with the one a verifier was made by. Its errors are
// [ErrWrongKey], [ErrEncrypted] and [ErrNotEncrypted].
func (b *Box) Check(verifier []byte) error {
	switch {
	case b == nil && len(verifier) == 0:
		return nil
	case b == nil:
		return ErrEncrypted
	case len(verifier) == 0:
		return ErrNotEncrypted
	}
	if _, err := b.Open(verifier, nil); err != nil {
		return ErrWrongKey
	}
	return nil
}
