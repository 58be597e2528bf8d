package seal

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/claude-force/claude-force/internal/openfile"
)

// maxKeyFile bounds a file with a key, in bytes.
const maxKeyFile = 4 << 10

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
		data, err := openfile.ReadTyped(rest, maxKeyFile)
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
