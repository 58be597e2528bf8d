// Package codec encrypts what histories of Temporal hold, with the key of the store.
package codec

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	common "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"

	"github.com/claude-force/claude-force/internal/seal"
)

// encoding marks payloads that are encrypted. What they hold begins with the id of the key.
const encoding = "aes"

const idSize = 4

// How a payload is encrypted: most are JSON, of which the data is enough. Each payload is in
// all events of its kind, so that every byte counts.
const (
	whole byte = iota
	plainJSON
)

// Codec encrypts payloads by AES-256-GCM.
type Codec struct {
	box *seal.Box
	id  [idSize]byte // of the key
}

// New returns a codec for a key of 32 bytes. Payloads name the key by an id that follows from it
// and tells nothing of it.
func New(key []byte) (*Codec, error) {
	box, err := seal.New(key)
	if err != nil {
		return nil, err
	}
	sum := box.Sum([]byte("id of the key of payloads"))
	return &Codec{box, [idSize]byte(sum[:])}, nil
}

// isJSON reports whether a payload is JSON without anything else.
func isJSON(p *common.Payload) bool {
	return len(p.Metadata) == 1 && string(p.Metadata[converter.MetadataEncoding]) == converter.MetadataEncodingJSON && len(p.ExternalPayloads) == 0
}

// Encode encrypts payloads. See [converter.PayloadCodec].
func (c *Codec) Encode(payloads []*common.Payload) ([]*common.Payload, error) {
	sealed := make([]*common.Payload, len(payloads))
	for i, p := range payloads {
		plain := append([]byte{plainJSON}, p.GetData()...)
		if !isJSON(p) {
			data, err := proto.Marshal(p)
			if err != nil {
				return nil, fmt.Errorf("encrypting a payload: %w", err)
			}
			plain = append([]byte{whole}, data...)
		}
		sealed[i] = &common.Payload{
			Metadata: map[string][]byte{converter.MetadataEncoding: []byte(encoding)},
			Data:     slices.Concat(c.id[:], c.box.Seal(plain, []byte(encoding))),
		}
	}
	return sealed, nil
}

// Decode decrypts payloads, and leaves those as they are that were not encrypted. See
// [converter.PayloadCodec].
func (c *Codec) Decode(payloads []*common.Payload) ([]*common.Payload, error) {
	opened := make([]*common.Payload, len(payloads))
	for i, p := range payloads {
		if string(p.GetMetadata()[converter.MetadataEncoding]) != encoding {
			opened[i] = p
			continue
		}
		var err error
		if opened[i], err = c.open(p.Data); err != nil {
			return nil, fmt.Errorf("decrypting a payload: %w", err)
		}
	}
	return opened, nil
}

// open decrypts a payload.
func (c *Codec) open(sealed []byte) (*common.Payload, error) {
	if len(sealed) < idSize {
		return nil, errors.New("it is cut off")
	}
	if id := sealed[:idSize]; !bytes.Equal(id, c.id[:]) {
		return nil, fmt.Errorf("it was encrypted with the key %x, and this is the key %x", id, c.id)
	}
	plain, err := c.box.Open(sealed[idSize:], []byte(encoding))
	if err != nil {
		return nil, err
	}
	if len(plain) == 0 {
		return nil, errors.New("it is empty")
	}
	if plain[0] == plainJSON {
		return &common.Payload{Metadata: map[string][]byte{converter.MetadataEncoding: []byte(converter.MetadataEncodingJSON)}, Data: plain[1:]}, nil
	}
	p := &common.Payload{}
	return p, proto.Unmarshal(plain[1:], p)
}
