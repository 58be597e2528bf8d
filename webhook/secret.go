package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// secretPrefix begins a secret. It also keeps other variables of the environment, such as
// an API key, from being used as one.
const secretPrefix = "whsec_"

// Bounds of the random bytes of a secret, as in Standard Webhooks.
const (
	minSecret = 24
	maxSecret = 64
)

// Secrets returns the secrets in a variable of the environment, separated by spaces: all
// of them sign, so that a receiver can change from one to the next. No error holds one.
func Secrets(name string, getenv func(string) string) ([]string, error) {
	list := strings.Fields(getenv(name))
	if len(list) == 0 {
		return nil, fmt.Errorf("the environment variable %s is not set", name)
	}
	if len(list) > maxSecrets {
		return nil, fmt.Errorf("the environment variable %s has %d secrets; at most %d sign", name, len(list), maxSecrets)
	}
	for _, secret := range list {
		encoded, ok := strings.CutPrefix(secret, secretPrefix)
		random, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil || len(random) < minSecret || len(random) > maxSecret {
			return nil, fmt.Errorf("the environment variable %s does not hold a secret, which is %s and %d to %d random bytes in base64",
				name, secretPrefix, minSecret, maxSecret)
		}
	}
	return list, nil
}

// maxSecrets is how many secrets may sign a request.
const maxSecrets = 4

// sign returns the value of the header webhook-signature.
func sign(secrets []string, id string, at time.Time, body []byte) (string, error) {
	var signatures []string
	for _, secret := range secrets {
		w, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return "", errors.New("a secret is not valid") // the error may hold some of it
		}
		signature, err := w.Sign(id, at, body)
		if err != nil {
			return "", errors.New("the request cannot be signed")
		}
		signatures = append(signatures, signature)
	}
	return strings.Join(signatures, " "), nil
}
