package cassette

import "testing"

// TestMembersAreRedactedByTheirName: in JSON the name and the value are two strings.
func TestMembersAreRedactedByTheirName(t *testing.T) {
	t.Parallel()
	const recorded = `{"password":"hunter2x","note":"hunter2x","inner":{"api_key" : "q7Zt41mVx9Lr2Kp8"},"list":["password","ok1234x"],"token":{"type":"string"}}`
	const want = `{"password":"[a password]","note":"hunter2x","inner":{"api_key" : "[a secret]"},"list":["password","ok1234x"],"token":{"type":"string"}}`
	if got := string(redactFile([]byte(recorded))); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
