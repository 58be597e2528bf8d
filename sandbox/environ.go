package sandbox

import (
	"os"
	"slices"
	"strings"
)

// allowed are the variables that a command gets from this process. All others,
// among them the keys of every service, are left out.
var allowed = []string{
	"PATH", "LANG", "LANGUAGE", "TZ", "TERM", "USER", "LOGNAME", "SHELL",
	"HOME", "NO_COLOR", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"SYSTEMROOT", "SYSTEMDRIVE", "COMSPEC", "PATHEXT", "WINDIR", "USERPROFILE", "TEMP", "TMP", // Windows
}

// Environ returns the environment of a command: the variables of this process
// that are harmless, those that pass names, and set ("NAME=value"), which wins.
// A variable that [Secret] recognizes is left out whatever pass says.
func Environ(pass []string, set ...string) []string {
	var env []string
	for _, v := range os.Environ() {
		name, value, _ := strings.Cut(v, "=")
		harmless := slices.Contains(allowed, strings.ToUpper(name)) || strings.HasPrefix(name, "LC_")
		if (harmless || slices.Contains(pass, name)) && !Secret(name, value) {
			env = append(env, v)
		}
	}
	for _, v := range set {
		name, _, _ := strings.Cut(v, "=")
		env = slices.DeleteFunc(env, func(old string) bool { return strings.HasPrefix(old, name+"=") })
		env = append(env, v)
	}
	return env
}

// secretWords are parts of names of variables that hold secrets.
var secretWords = []string{
	"KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "AUTH", "COOKIE", "SESSION",
	"CLAUDE_FORCE_", "ANTHROPIC_", "AWS_", "GOOGLE_APPLICATION",
}

// secretPrefixes are how well-known secrets begin.
var secretPrefixes = []string{
	"sk-", "ghp_", "gho_", "ghs_", "ghu_", "github_pat_", "glpat-", "xox", "AKIA", "ASIA", "AIza", "eyJ", "npm_", "-----BEGIN",
}

// Secret reports whether a variable looks like a secret, by its name, by how
// its value begins, or because its value is a URL with a password.
func Secret(name, value string) bool {
	name = strings.ToUpper(name)
	for _, w := range secretWords {
		if strings.Contains(name, w) {
			return true
		}
	}
	for _, p := range secretPrefixes {
		if strings.HasPrefix(value, p) {
			return true
		}
	}
	_, rest, isURL := strings.Cut(value, "://")
	host, _, _ := strings.Cut(rest, "/")
	user, _, hasUser := strings.Cut(host, "@")
	return isURL && hasUser && strings.Contains(user, ":")
}
