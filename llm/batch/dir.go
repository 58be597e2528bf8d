package batch

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/llm"
)

// resultsKept is how long the API keeps results, from a batch's creation.
const resultsKept = 29 * 24 * time.Hour

// Dir is a [Store] in a directory that several processes may use concurrently.
// It holds a file for each record, which is written, flushed and then renamed,
// and a file for each open Dir, which its process keeps locked: the lock shows
// that the process is alive and is released when it ends. Another lock makes
// the search for a call and its claim one step.
type Dir struct {
	path  string
	owner string
	alive *flock.Flock // this store's own, held until Close

	mu      sync.Mutex // guards the fields below, and serializes what locks the directory
	records map[string]*Record
}

const (
	lockName    = "lock"
	ownerSuffix = ".owner"
	recordEnd   = ".batch.json"

	maxFile = 256 << 20 // bytes of a record, which holds the requests of a batch
)

// OpenDir opens a directory and creates it if necessary. It must be local:
// locks may not work on network file systems. Close it after its Batcher.
func OpenDir(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("opening the directory of batches: %w", err)
	}
	d := &Dir{path: path, owner: newNonce(), records: map[string]*Record{}}
	d.alive = flock.New(filepath.Join(path, d.owner+ownerSuffix), flock.SetPermissions(0o600))
	err := d.locked(func() error {
		if err := d.alive.Lock(); err != nil {
			return err
		}
		return syncDir(path)
	})
	if err != nil {
		return nil, fmt.Errorf("opening the directory of batches: %w", err)
	}
	return d, nil
}

// Close releases the store's records to other processes.
func (d *Dir) Close() error {
	return d.locked(func() error {
		return errors.Join(d.alive.Close(), os.Remove(d.alive.Path()))
	})
}

func newNonce() string { return rand.Text()[:nonceLen] }

// locked runs f while no other store uses the directory.
func (d *Dir) locked(f func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	lock := flock.New(filepath.Join(d.path, lockName), flock.SetPermissions(0o600))
	if err := lock.Lock(); err != nil {
		return err
	}
	return errors.Join(f(), lock.Close())
}

// Adopt implements [Store]. It deletes records whose results the API no longer
// has.
func (d *Dir) Adopt() (adopted []Record, err error) {
	err = d.locked(func() error {
		foreign, err := d.foreign()
		if err != nil {
			return err
		}
		d.sweep()
		dead := d.deadOwners()
		for _, rec := range foreign {
			if !dead(rec.Owner) {
				continue
			}
			if time.Since(rec.Created) > resultsKept {
				if err := os.Remove(d.file(rec.Nonce)); err != nil {
					return err
				}
				continue
			}
			if err := d.own(rec); err != nil {
				return err
			}
			adopted = append(adopted, rec.clone())
		}
		return nil
	})
	return adopted, wrap("taking over batches", err)
}

// Intent implements [Store].
func (d *Dir) Intent(calls []Wanted) (fresh Record, held map[int]Place, err error) {
	held = map[int]Place{}
	err = d.locked(func() error {
		foreign, err := d.foreign()
		if err != nil {
			return err
		}
		index, dead := indexOf(foreign), d.deadOwners()
		ownerless := func(owner string) bool { return owner == d.owner || dead(owner) } // or just adopted
		var free []int
		for i, c := range calls {
			rec, at := index.find(c, ownerless)
			if rec == nil {
				free = append(free, i)
				continue
			}
			place := Place{Index: at, Adopted: ownerless(rec.Owner)}
			if place.Adopted && rec.Owner != d.owner {
				if err := d.own(rec); err != nil {
					return err
				}
			}
			place.Record = rec.clone()
			held[i] = place
		}
		if len(free) == 0 {
			return nil
		}
		rec := newRecord(newNonce(), d.owner, calls, free)
		if err := d.own(&rec); err != nil {
			return err
		}
		fresh = rec.clone()
		return nil
	})
	return fresh, held, wrap("recording a batch", err)
}

// Submitted implements [Store].
func (d *Dir) Submitted(nonce, batchID string) error {
	return d.change(nonce, func(rec *Record) { rec.BatchID = batchID })
}

// Ended implements [Store].
func (d *Dir) Ended(nonce string, calls []int) error {
	return d.change(nonce, func(rec *Record) {
		for _, i := range calls {
			rec.Calls[i].Ended = true
		}
	})
}

// Void implements [Store].
func (d *Dir) Void(nonce string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return wrap("deleting the record of a batch", d.remove(nonce))
}

// Get implements [Store].
func (d *Dir) Get(nonce string) (rec Record, alive bool, err error) {
	err = d.locked(func() error {
		read, err := d.read(nonce)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			rec, alive = *read, !d.deadOwners()(read.Owner)
		}
		return err
	})
	return rec, alive, wrap("reading a batch", err)
}

// change modifies a record of this store. No other store writes it, so the
// directory need not be locked.
func (d *Dir) change(nonce string, f func(*Record)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	rec := d.records[nonce]
	if rec == nil {
		return unknownRecord(nonce)
	}
	f(rec)
	if rec.done() {
		return wrap("deleting the record of a batch", d.remove(nonce))
	}
	return wrap("recording a batch", d.write(rec))
}

// own makes this store the owner of a record. The caller holds the directory's
// lock.
func (d *Dir) own(rec *Record) error {
	rec.Owner = d.owner
	if err := d.write(rec); err != nil {
		return err
	}
	d.records[rec.Nonce] = rec
	return nil
}

func (d *Dir) remove(nonce string) error {
	delete(d.records, nonce)
	if err := os.Remove(d.file(nonce)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(d.path)
}

// foreign returns the records of other stores. The caller holds the directory's
// lock.
func (d *Dir) foreign() ([]*Record, error) {
	files, err := os.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	var list []*Record
	for _, f := range files {
		nonce, ok := strings.CutSuffix(f.Name(), recordEnd)
		if !ok || d.records[nonce] != nil {
			continue
		}
		rec, err := d.read(nonce)
		if errors.Is(err, fs.ErrNotExist) {
			continue // its owner has just deleted it
		}
		if err != nil {
			return nil, err
		}
		list = append(list, rec)
	}
	return list, nil
}

// sweep removes temporary files of processes that ended while they wrote them.
func (d *Dir) sweep() {
	left, _ := filepath.Glob(filepath.Join(d.path, "*.tmp-*")) // the pattern is valid
	for _, path := range left {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > time.Hour {
			_ = os.Remove(path) // harmless if it stays
		}
	}
}

// deadOwners returns a function that reports whether an owner's process has
// ended. The caller holds the directory's lock while it uses that function.
func (d *Dir) deadOwners() func(owner string) bool {
	known := map[string]bool{d.owner: false}
	return func(owner string) bool {
		dead, ok := known[owner]
		if !ok {
			dead = d.isDead(owner)
			known[owner] = dead
		}
		return dead
	}
}

func (d *Dir) isDead(owner string) bool {
	path := filepath.Join(d.path, owner+ownerSuffix)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return true
	}
	lock := flock.New(path, flock.SetPermissions(0o600))
	free, err := lock.TryLock()
	if err != nil || !free {
		return false // in doubt it is alive: waiting is cheaper than paying twice
	}
	_ = lock.Close()
	_ = os.Remove(path) // if it stays, the next check removes it
	return true
}

// callIndex finds calls in records.
type callIndex struct {
	at   map[llm.Key][]callPlace
	used map[callPlace]bool
}

type callPlace struct {
	rec   *Record
	index int
}

func indexOf(records []*Record) callIndex {
	x := callIndex{map[llm.Key][]callPlace{}, map[callPlace]bool{}}
	for _, rec := range records {
		for i, e := range rec.Calls {
			if !e.Ended {
				x.at[e.Key] = append(x.at[e.Key], callPlace{rec, i})
			}
		}
	}
	return x
}

// find returns the record and the index of a call that c may share, or nil.
// Calls with Own get different ones.
func (x callIndex) find(c Wanted, ownerless func(owner string) bool) (*Record, int) {
	for _, p := range x.at[c.Key] {
		if x.used[p] || c.Own && !ownerless(p.rec.Owner) {
			continue
		}
		if c.Own {
			x.used[p] = true
		}
		return p.rec, p.index
	}
	return nil, 0
}

func (r *Record) clone() Record {
	c := *r
	c.Calls = append([]Entry(nil), r.Calls...)
	return c
}

func (d *Dir) file(nonce string) string { return filepath.Join(d.path, nonce+recordEnd) }

func (d *Dir) read(nonce string) (*Record, error) {
	data, err := openfile.Read(d.file(nonce), maxFile)
	if err != nil {
		return nil, err
	}
	var rec Record
	if err := json.Unmarshal(data, &rec); err != nil || rec.Nonce != nonce {
		return nil, fmt.Errorf("%s is damaged: check https://platform.claude.com for batches that are still running, then remove the file", d.file(nonce))
	}
	return &rec, nil
}

// write replaces a record's file atomically.
func (d *Dir) write(rec *Record) error {
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(d.path, rec.Nonce+".tmp-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), d.file(rec.Nonce))
	}
	if err != nil {
		_ = os.Remove(f.Name()) // err has the cause
		return err
	}
	return syncDir(d.path)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
