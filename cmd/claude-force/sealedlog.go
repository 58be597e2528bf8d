package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/internal/credential"
	"github.com/claude-force/claude-force/internal/seal"
	"github.com/claude-force/claude-force/pipeline"
)

// sealedMark begins a line of a log that is encrypted.
const sealedMark = "sealed "

// sealedLog writes what a detached run says encrypted, one line for each write: it
// quotes questions, answers and names of items. Without a key it writes the text
// without the credentials in it.
type sealedLog struct {
	w     io.Writer
	box   *seal.Box // may be nil
	bound []byte
}

func (l *sealedLog) Write(p []byte) (int, error) {
	line := credential.Redact(string(p))
	if l.box != nil {
		line = sealedMark + base64.StdEncoding.EncodeToString(l.box.Seal(p, l.bound)) + "\n"
	}
	if _, err := io.WriteString(l.w, line); err != nil {
		return 0, err
	}
	return len(p), nil
}

// sealMessages makes this process write all it says as [sealedLog] does.
func (a *app) sealMessages(ctx context.Context, run string) error {
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	box, err := logBox(ctx, cfg)
	if err != nil {
		return err
	}
	a.stdout = &sealedLog{a.stdout, box, []byte(run)}
	a.stderr = &sealedLog{a.stderr, box, []byte(run)}
	return nil
}

func logBox(ctx context.Context, cfg *config.Config) (*seal.Box, error) {
	key, err := pipeline.EncryptionKey(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return seal.New(key)
}

// openLog returns a log with its encrypted lines in clear.
func openLog(ctx context.Context, cfg *config.Config, run string, data []byte) ([]byte, error) {
	if !bytes.HasPrefix(data, []byte(sealedMark)) && !bytes.Contains(data, []byte("\n"+sealedMark)) {
		return data, nil
	}
	box, err := logBox(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if box == nil {
		return nil, inputError{errors.New("the log is encrypted: say where the key is with CLAUDE_FORCE_CACHE_ENCRYPTION_KEY")}
	}
	var out []byte
	for line := range bytes.Lines(data) {
		text, ok := bytes.CutPrefix(bytes.TrimSuffix(line, []byte("\n")), []byte(sealedMark))
		if !ok {
			out = append(out, line...)
			continue
		}
		sealed, err := base64.StdEncoding.AppendDecode(nil, text)
		if err == nil {
			sealed, err = box.Open(sealed, []byte(run))
		}
		if err != nil {
			return nil, fmt.Errorf("reading the log of run %s: %w", run, err)
		}
		out = append(out, sealed...)
	}
	return out, nil
}
