package codec_test

import (
	"bytes"
	"strings"
	"testing"

	common "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"

	"github.com/claude-force/claude-force/temporal/codec"
)

func newCodec(t *testing.T, first byte) *codec.Codec {
	t.Helper()
	c, err := codec.New(append([]byte{first}, make([]byte, 31)...))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	c := newCodec(t, 1)
	const secret = "a step of the run"
	plain, err := converter.GetDefaultDataConverter().ToPayload(secret)
	if err != nil {
		t.Fatal(err)
	}
	dc := converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), c)
	sealed, err := dc.ToPayload(secret)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed.Data, []byte("step")) {
		t.Error("the payload is readable")
	}
	var got string
	if err := dc.FromPayload(sealed, &got); err != nil || got != secret {
		t.Errorf("opened %q, %v", got, err)
	}
	if err := dc.FromPayload(plain, &got); err != nil || got != secret {
		t.Errorf("a payload without encryption: %q, %v", got, err)
	}
}

func TestRefusesWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	mine := converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), newCodec(t, 1))
	other := converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), newCodec(t, 2))
	sealed, err := mine.ToPayload("x")
	if err != nil {
		t.Fatal(err)
	}
	var got string
	if err := other.FromPayload(sealed, &got); err == nil || !strings.Contains(err.Error(), "this is the key") {
		t.Errorf("another key: %v", err)
	}
	sealed.Data[len(sealed.Data)-1] ^= 1
	if err := mine.FromPayload(sealed, &got); err == nil {
		t.Error("a changed payload was opened")
	}
}

func TestAllKindsOfPayloads(t *testing.T) {
	t.Parallel()
	c := newCodec(t, 1)
	for _, p := range []*common.Payload{
		{},
		{Metadata: map[string][]byte{"encoding": []byte("json/plain")}},
		{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`{"s":"a"}`)},
		{Metadata: map[string][]byte{"encoding": []byte("json/plain"), "other": []byte("x")}, Data: []byte(`1`)},
		{Metadata: map[string][]byte{"encoding": []byte("binary/null")}},
		{Metadata: map[string][]byte{"encoding": []byte("binary/plain")}, Data: []byte{0, 1, 2}},
	} {
		sealed, err := c.Encode([]*common.Payload{p})
		if err != nil {
			t.Fatal(err)
		}
		if opened, err := c.Decode(sealed); err != nil || !proto.Equal(opened[0], p) {
			t.Errorf("%v became %v, %v", p, opened, err)
		}
		for data := sealed[0].Data; len(data) > 0; {
			data = data[:len(data)-1]
			sealed[0].Data = data
			if _, err := c.Decode(sealed); err == nil {
				t.Fatalf("the first %d bytes of %v were opened", len(data), p)
			}
		}
	}
}
