package credential_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/internal/credential"
)

// TestPairsAreFound writes secrets as files, commands and programs do. What is left
// after Redact holds no part of them.
func TestPairsAreFound(t *testing.T) {
	t.Parallel()
	for _, format := range []string{
		"api_key=%s", "API_KEY=%s", "export MY_API_KEY=%s", "apikey: %s", "api-key: '%s'", `"apiKey": "%s"`, `{\"api_key\": \"%s\"}`,
		"x-api-key: %s", "client_secret = \"%s\"", "aws_secret_access_key = %s", "AUTH_TOKEN=%s", "access_token=%s&x=1", "token: `%s`",
		"Authorization: Bearer %s", "authorization: Basic %s", "curl -H 'Authorization: Bearer %s'", "secretKey := \"%s\"", "'token' => '%s'", "db.secret=%s;", "encryption_key=%s",
	} {
		const secret = "q7Zt41mVx9Lr2Kp8"
		checkRedacted(t, fmt.Sprintf("before "+format+" after", secret), secret)
	}
	for _, format := range []string{
		"password: %s", "PASSWORD=%s", "DB_PASSWORD='%s'", `"password": "%s"`, "passwd=%s", "pwd = %s", "postgres.password=%s", "Server=db;User=sa;Password=%s;", "passphrase: \"%s\"", "--password=%s",
	} {
		for _, secret := range []string{"hunter2", "S3cr3t!", "tr0ub4dor&3", "p@ssw0rd", "123456"} {
			checkRedacted(t, fmt.Sprintf("before "+format+" after", secret), secret)
		}
	}
	for _, url := range []string{
		"https://user:%s@host", "https://user:%s@host:8080/path?x=1", "postgres://app:%s@db.internal:5432/app", "redis://:%s@cache", "see <https://u:%s@h>.", `"http://u:%s@h"`, "amqp://u:%s@h\\n", "git clone https://x-access-token:%s@github.com/a/b",
	} {
		for _, secret := range []string{"pass", "hunter2", "%40secret", "a:b"} {
			checkRedacted(t, fmt.Sprintf(url, secret), secret)
		}
	}
}

func checkRedacted(t *testing.T, text, secret string) {
	t.Helper()
	redacted := credential.Redact(text)
	left := strings.ReplaceAll(strings.ReplaceAll(redacted, "password", ""), "passphrase", "") // which hold "pass"
	if credential.Find(text) == "" || strings.Contains(left, secret) {
		t.Errorf("%s: found %q, left %s", text, credential.Find(text), redacted)
	}
	if credential.Find(redacted) != "" {
		t.Errorf("%s: %q is found in %s", text, credential.Find(redacted), redacted)
	}
}

// TestOrdinaryTextIsNoPair has what programs and documents say of passwords.
func TestOrdinaryTextIsNoPair(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"password: string", "password: required", "password=password", "password: str = None", "Password: ********", "password = input()", "password: null", "password=", "password: your-password1",
		"token: int", "max_tokens=16384", "next_token=abc123def456ghi", "tokens: 1234567890123", "token = os.environ[\"TOKEN1\"]", "api_key = os.environ.get('API_KEY_2')", "apiKey: process.env.API_KEY1", "api_key: ${API_KEY}", "api_key: $API_KEY1", "api_key: <your key 1>",
		"secret: my-kubernetes-secret", "password: config.password1", "password1 = password2", "the password: at least 8 characters", "key=value1234567890abcdef", "cache_key: user:123:abc456def", "password=%s", "PASSWORD={{ password1 }}", "passwords: 12345678",
		"https://user@host", "https://host:8080/a@b", "ssh://git@github.com:22/a", "mailto:a@b", "https://user:$PASS@host", "https://user:${PASS}@host", "https://user:%s@host", "http://a:1 b@c", "pwd: /home/user1/project", "git rev-parse: token", "\"PWD=\"+cmd.Dir1", "`Bearer Token`: https://tools.example.org/html/rfc6750", "TOKEN = C.NL80211_WOWLAN_TCP_DATA_PAYLOAD_TOKEN",
	} {
		if kind := credential.Find(text); kind != "" {
			t.Errorf("%s: %s", text, kind)
		}
	}
}

// TestRedactedTextHoldsNoSecret mixes pairs and URLs into any text.
func TestRedactedTextHoldsNoSecret(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		// One of few different characters is taken for none.
		secret := string(rapid.Permutation([]rune("abcdef012345GHJKm")).Draw(t, "secret"))
		form := rapid.SampledFrom([]string{"api_key=%s", "password: %s", `"token": "%s"`, "https://u:%s@h", "MY_SECRET='%s'"}).Draw(t, "form")
		edge := rapid.StringOf(rapid.RuneFrom([]rune(" .,;\"'\n(){}äpasword:=@/")))
		text := edge.Draw(t, "before") + "\n" + fmt.Sprintf(form, secret) + "\n" + edge.Draw(t, "after")
		redacted := credential.Redact(text)
		if strings.Contains(redacted, secret) {
			t.Fatalf("%q leaves %q", text, redacted)
		}
		if again := credential.Redact(redacted); again != redacted {
			t.Fatalf("%q becomes %q, then %q", text, redacted, again)
		}
	})
}
