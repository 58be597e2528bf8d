// Package codec encrypts what histories of Temporal hold, with the key of the store.
package codec

import (
	"fmt"

	common "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"

	"github.com/claude-force/claude-force/internal/seal"
)

const (
	encoding  = "binary/encrypted"
	keyIDName = "key"
)

// Codec encrypts payloads by AES-256-GCM.
type Codec struct {
	box   *seal.Box
	keyID string
}

// New returns a codec for a key of 32 bytes. Payloads name the key by an id that follows from it
// and tells nothing of it.
func New(key []byte) (*Codec, error) {
	box, err := seal.New(key)
	if err != nil {
		return nil, err
	}
	sum := box.Sum([]byte("id of the key of payloads"))
	return &Codec{box, fmt.Sprintf("%x", sum[:4])}, nil
}

// Encode encrypts payloads. See [converter.PayloadCodec].
func (c *Codec) Encode(payloads []*common.Payload) ([]*common.Payload, error) {
	sealed := make([]*common.Payload, len(payloads))
	for i, p := range payloads {
		data, err := proto.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("encrypting a payload: %w", err)
		}
		sealed[i] = &common.Payload{
			Metadata: map[string][]byte{converter.MetadataEncoding: []byte(encoding), keyIDName: []byte(c.keyID)},
			Data:     c.box.Seal(data, []byte(encoding)),
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
		if id := string(p.Metadata[keyIDName]); id != c.keyID {
			return nil, fmt.Errorf("decrypting a payload: it was encrypted with the key %q, and this is the key %q", id, c.keyID)
		}
		data, err := c.box.Open(p.Data, []byte(encoding))
		if err != nil {
			return nil, fmt.Errorf("decrypting a payload: %w", err)
		}
		opened[i] = &common.Payload{}
		if err := proto.Unmarshal(data, opened[i]); err != nil {
			return nil, fmt.Errorf("decrypting a payload: %w", err)
		}
	}
	return opened, nil
}
