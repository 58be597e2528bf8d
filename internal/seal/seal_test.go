package seal_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/claude-force/claude-force/internal/seal"
)

func newBox(t *testing.T, fill byte) *seal.Box {
	t.Helper()
	box, err := seal.New(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func TestSealedDataIsBound(t *testing.T) {
	t.Parallel()
	box, data := newBox(t, 1), []byte("secret")
	sealed := box.Seal(data, []byte("row 1"))
	if bytes.Contains(sealed, data) || bytes.Equal(sealed, box.Seal(data, []byte("row 1"))) {
		t.Error("sealed data shows what it is")
	}
	if got, err := box.Open(sealed, []byte("row 1")); err != nil || !bytes.Equal(got, data) {
		t.Errorf("opened: %q, %v", got, err)
	}
	if _, err := box.Open(sealed, []byte("row 2")); err == nil {
		t.Error("it was opened as another row")
	}
	if _, err := newBox(t, 2).Open(sealed, []byte("row 1")); err == nil {
		t.Error("it was opened with another key")
	}
}

func TestSumsTellNothingWithoutTheKey(t *testing.T) {
	t.Parallel()
	data := []byte("an answer that can be guessed")
	plain, one, two := (*seal.Box)(nil).Sum(data), newBox(t, 1).Sum(data), newBox(t, 2).Sum(data)
	if plain != sha256.Sum256(data) {
		t.Error("without encryption the sum is not the hash")
	}
	if one == plain || one == two || one != newBox(t, 1).Sum(data) {
		t.Error("the sum does not depend on the key, or on more than the key")
	}
}

func TestVerifier(t *testing.T) {
	t.Parallel()
	var none *seal.Box
	one, two := newBox(t, 1), newBox(t, 2)
	for _, test := range []struct {
		made, opened *seal.Box
		want         error
	}{
		{none, none, nil}, {one, one, nil},
		{one, two, seal.ErrWrongKey}, {one, none, seal.ErrEncrypted}, {none, one, seal.ErrNotEncrypted},
	} {
		if err := test.opened.Check(test.made.Verifier("x")); !errors.Is(err, test.want) {
			t.Errorf("%v; want %v", err, test.want)
		}
	}
}

func TestKeysHaveOneSize(t *testing.T) {
	t.Parallel()
	if _, err := seal.New([]byte("short")); err == nil {
		t.Error("a short key was taken")
	}
	if box, err := seal.New(nil); box != nil || err != nil {
		t.Errorf("no key: %v, %v", box, err)
	}
}
