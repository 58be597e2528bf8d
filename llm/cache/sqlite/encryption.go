package sqlite

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/llm"
)

// Errors of opening a store with another encryption than it has. Nothing is
// changed when they are returned.
var (
	ErrWrongKey     = errors.New("the encryption key is not the one it was made with: give that key, or remove the file to begin anew")
	ErrEncrypted    = errors.New("it is encrypted: say where the key is with CLAUDE_FORCE_CACHE_ENCRYPTION_KEY, or use another folder with CLAUDE_FORCE_HOME")
	ErrNotEncrypted = errors.New("it is not encrypted, but a key was given: remove the file to begin an encrypted one, or use another folder with CLAUDE_FORCE_HOME")
)

// keySize is that of AES-256.
const keySize = 32

func newAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) != keySize {
		return nil, fmt.Errorf("the encryption key has %d bytes; it must have %d", len(key), keySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// verified is what the store's verifier is the sealed form of.
const verified = "claude-force cache"

// setKey notes in a new file how it is encrypted.
func (s *Store) setKey() error {
	var verifier any
	if s.aead != nil {
		verifier = s.aead.Seal(nil, nil, []byte(verified), nil)
	}
	return s.exec(`INSERT INTO cipher VALUES (1, ?)`, verifier)
}

// checkKey compares the file's encryption with that asked for.
func (s *Store) checkKey() error {
	stmt, _, err := s.conn.Prepare(`SELECT verifier FROM cipher`)
	if errors.Is(err, sqlite3.ERROR) {
		return errForeign // it has our version by chance, and no such table
	}
	if err != nil {
		return err
	}
	defer stmt.Close()
	if !stmt.Step() {
		return errors.Join(stmt.Err(), errors.New("the file is no cache; remove it"))
	}
	verifier := stmt.ColumnBlob(0, nil)
	encrypted := stmt.ColumnType(0) != sqlite3.NULL
	switch {
	case encrypted && s.aead == nil:
		return ErrEncrypted
	case !encrypted && s.aead != nil:
		return ErrNotEncrypted
	case encrypted:
		if _, err := s.aead.Open(nil, nil, verifier, nil); err != nil {
			return ErrWrongKey
		}
	}
	s.mark(verifier)
	return nil
}

// seal encrypts data for a row, bound to the row's key.
func (s *Store) seal(key llm.Key, data []byte) []byte {
	if s.aead == nil {
		return data
	}
	return s.aead.Seal(nil, nil, data, key[:])
}

func (s *Store) unseal(key llm.Key, data []byte) ([]byte, error) {
	if s.aead == nil {
		return data, nil
	}
	return s.aead.Open(nil, nil, data, key[:])
}

// LoadKey reads an encryption key of 32 bytes, in hexadecimal or base64, from
//
//	env:NAME          an environment variable
//	file:PATH         a file
//	command:COMMAND   what a shell command prints
//
// Errors never show what was read.
func LoadKey(ctx context.Context, source string) ([]byte, error) {
	kind, rest, _ := strings.Cut(source, ":")
	var text string
	switch {
	case rest == "":
		return nil, errors.New("say where the key is, as env:NAME, file:PATH or command:COMMAND")
	case kind == "env":
		if text = os.Getenv(rest); text == "" {
			return nil, fmt.Errorf("the variable %s is empty", rest)
		}
	case kind == "file":
		data, err := os.ReadFile(rest)
		if err != nil {
			return nil, err
		}
		text = string(data)
	case kind == "command":
		out, err := exec.CommandContext(ctx, "sh", "-c", rest).Output()
		if err != nil {
			return nil, fmt.Errorf("running the command for the key: %w", err)
		}
		text = string(out)
	default:
		return nil, errors.New("say where the key is, as env:NAME, file:PATH or command:COMMAND")
	}
	text = strings.TrimSpace(text)
	if key, err := hex.DecodeString(text); err == nil && len(key) == keySize {
		return key, nil
	}
	if key, err := base64.StdEncoding.DecodeString(text); err == nil && len(key) == keySize {
		return key, nil
	}
	return nil, fmt.Errorf("%s does not hold a key of %d bytes in hexadecimal or base64; `openssl rand -hex %d` makes one", kind, keySize, keySize)
}
