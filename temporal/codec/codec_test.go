package codec_test

import (
	"bytes"
	"strings"
	"testing"

	"go.temporal.io/sdk/converter"

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
