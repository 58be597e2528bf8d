package mcpclient

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/claude-force/claude-force/internal/filelock"
	"github.com/claude-force/claude-force/internal/openfile"
)

// Store keeps what the user trusted: of each server its entry, as a digest, and what
// it offered. It is a file of the user, outside every project.
type Store struct {
	path string

	mu   sync.Mutex  // guards the fields below
	file fs.FileInfo // the file that was read last; nil if none
	last pins        // its content, which is shared
}

// NewStore returns the store in a file, which need not exist yet.
func NewStore(path string) *Store { return &Store{path: path} }

// Pin is what a server offered when it was trusted.
type Pin struct {
	// Project is the folder of the project that configures the server; empty for a
	// server of the user.
	Project string    `json:"project,omitempty"`
	Name    string    `json:"name"`
	Digest  string    `json:"digest"` // of the entry
	Time    time.Time `json:"time"`
	Offer
}

// Offer is what a server offers.
type Offer struct {
	Instructions string `json:"instructions,omitempty"`
	Resources    bool   `json:"resources,omitempty"`
	Tools        []Tool `json:"tools"`
}

// Tool is a tool of a server as the model gets it.
type Tool struct {
	Name        string          `json:"name"` // the server's
	Description string          `json:"description,omitempty"`
	Schema      json.RawMessage `json:"schema"`
	ReadOnly    bool            `json:"read_only,omitempty"`
}

// equal reports whether two tools are the same to the model and to permission.
func (t Tool) equal(u Tool) bool {
	return t.Name == u.Name && t.Description == u.Description && string(t.Schema) == string(u.Schema) && t.ReadOnly == u.ReadOnly
}

// pins are the content of the file.
type pins struct {
	Version int   `json:"version"`
	Servers []Pin `json:"servers"`
}

// Limits of the store.
const (
	maxStore = 64 << 20
	maxPins  = 1000
	lockWait = 10 * time.Second
)

// read returns the content of the file, which must not be changed. Every task of a run
// asks for it, so it is read again only if the file is another: it is always replaced.
func (s *Store) read() (pins, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	file, statErr := os.Stat(s.path)
	if statErr == nil && s.file != nil && os.SameFile(file, s.file) && file.ModTime().Equal(s.file.ModTime()) && file.Size() == s.file.Size() {
		return s.last, nil
	}
	p, err := s.load()
	if s.file = nil; err == nil && statErr == nil {
		s.file, s.last = file, p
	}
	return p, err
}

// load reads the file.
func (s *Store) load() (pins, error) {
	var p pins
	data, err := openfile.Read(s.path, maxStore)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil {
		return pins{}, fmt.Errorf("reading which MCP servers are trusted: %s: %w", s.path, err)
	}
	for _, pin := range p.Servers {
		for i, t := range pin.Tools {
			// Encoding escapes some characters.
			if text, err := canonical(t.Schema); err == nil {
				pin.Tools[i].Schema = json.RawMessage(text)
			}
		}
	}
	if p.Version > 1 {
		return pins{}, fmt.Errorf("reading which MCP servers are trusted: %s is of a later version of this program", s.path)
	}
	return p, nil
}

// change replaces the content of the file.
func (s *Store) change(f func(*pins)) error {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return fmt.Errorf("keeping which MCP servers are trusted: %w", err)
	}
	lock := filelock.New(s.path + ".lock")
	release, err := lock.Acquire(lockWait)
	if err != nil {
		return fmt.Errorf("keeping which MCP servers are trusted: %w", err)
	}
	defer func() {
		release()
		_ = lock.Close() // nothing was written to it
	}()
	p, err := s.load()
	if err != nil {
		return err
	}
	f(&p)
	p.Version = 1
	p.Servers = p.Servers[max(0, len(p.Servers)-maxPins):]
	if err := s.write(p); err != nil {
		return fmt.Errorf("keeping which MCP servers are trusted: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file = nil
	return nil
}

func (s *Store) write(p pins) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), s.path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// key returns the pin's place: the servers of a project are trusted for that project
// alone. Of a user's server each version of the entry has a pin of its own.
func (s Server) key() Pin {
	if s.Scope.foreign() {
		return Pin{Project: s.Project, Name: s.Name}
	}
	return Pin{Name: s.Name, Digest: s.Digest()}
}

func (p Pin) at(key Pin) bool {
	return p.Project == key.Project && p.Name == key.Name && (key.Digest == "" || p.Digest == key.Digest)
}

// Find returns the pin of a server. That of a project's server may be for an entry
// that has changed since.
func (s *Store) Find(server Server) (pin Pin, ok bool, err error) {
	p, err := s.read()
	if err != nil {
		return Pin{}, false, err
	}
	i := slices.IndexFunc(p.Servers, func(pin Pin) bool { return pin.at(server.key()) })
	if i < 0 {
		return Pin{}, false, nil
	}
	return p.Servers[i], true, nil
}

// Trust pins what a server offers.
func (s *Store) Trust(server Server, offer Offer) (Pin, error) {
	pin := server.key()
	pin.Digest, pin.Time, pin.Offer = server.Digest(), time.Now().UTC().Truncate(time.Second), offer
	return pin, s.change(func(p *pins) {
		p.Servers = append(slices.DeleteFunc(p.Servers, func(old Pin) bool { return old.at(server.key()) }), pin)
	})
}

// Untrust removes the pin of a server and reports whether there was one.
func (s *Store) Untrust(server Server) (was bool, err error) {
	_, was, err = s.Find(server)
	if err != nil || !was {
		return false, err
	}
	return true, s.change(func(p *pins) {
		p.Servers = slices.DeleteFunc(p.Servers, func(old Pin) bool { return old.at(server.key()) })
	})
}
