package bash_test

import (
	"testing"

	"github.com/claude-force/claude-force/tool/bash"
)

// TestNeighbours covers the neighbours of the measured cases: which exit codes are
// failures, how output is cut, and what stays from call to call. The calls of a list
// are made in one shell, and the last one counts.
func TestNeighbours(t *testing.T) {
	a := newAgent(t, bash.Options{}, "mkdir -p d/e; printf 'one\\ntwo\\n' > a.txt; printf 'one\\n' > b.txt; git init -q .")
	const none = "(Bash completed with no output)"
	for _, c := range []struct {
		commands []string
		isError  bool
		want     string
	}{
		{[]string{"cat a.txt | grep zzz"}, false, none},
		{[]string{"grep zzz a.txt | cat"}, false, none},
		{[]string{"false; grep zzz a.txt"}, false, none},
		{[]string{"ls >/dev/null && grep zzz a.txt"}, false, none},
		{[]string{"false || grep zzz a.txt"}, false, none},
		{[]string{"grep zzz a.txt 2>/dev/null"}, false, none},
		{[]string{"grep zzz a.txt; false"}, true, "Exit code 1"},
		{[]string{"X=1 grep zzz a.txt"}, true, "Exit code 1"},
		{[]string{"timeout 5 grep zzz a.txt"}, true, "Exit code 1"},
		{[]string{"(grep zzz a.txt)"}, true, "Exit code 1"},
		{[]string{"if grep -q zzz a.txt; then :; fi"}, false, none},
		{[]string{"test -f zzz"}, false, none},
		{[]string{"[ -f zzz ]"}, false, none},
		{[]string{"[[ -f zzz ]]"}, true, "Exit code 1"},
		{[]string{"diff a.txt b.txt"}, false, "2d1\n< two"},
		{[]string{"cmp -s a.txt b.txt"}, true, "Exit code 1"},
		{[]string{"exit 130"}, true, "Exit code 130"},
		{[]string{"echo out; echo err >&2; exit 3"}, true, "Exit code 3\nout\nerr"},
		{[]string{"timeout 0.1 sleep 5"}, true, "Exit code 124"},
		{[]string{"bash -c 'kill -TERM $$'; echo $?"}, false, "Terminated\n143"},
		{[]string{"printf '\\n\\n  abc  \\n\\n'"}, false, "  abc"},
		{[]string{"printf 'a\\n\\n\\nb'"}, false, "a\n\n\nb"},
		{[]string{"printf 'a\\tb\\t\\n'"}, false, "a\tb"},
		{[]string{"cat <<'E'\n$x `y` ünï\nE"}, false, "$x `y` ünï"},
		{[]string{"cat <<-E\n\tin\n\tE"}, false, "in"},
		{[]string{"cat"}, false, none},
		{[]string{"read x; echo [$x] $?"}, false, "[] 1"},
		{[]string{"  # nothing"}, false, none},
		{[]string{"echo 'a' \\\n  b"}, false, "a b"},
		{[]string{"echo one |\n tr a-z A-Z"}, false, "ONE"},
		{[]string{"printf '%s\\n' a.txt b.txt | xargs -n1 head -n1"}, false, "one\none"},
		{[]string{"echo *.txt"}, false, "a.txt b.txt"},
		{[]string{"X=1; export Y=2; f() { :; }", "echo [$X$Y] $(type -t f)"}, false, "[]"},
		{[]string{"cd d", "basename $PWD"}, false, "d"},
		{[]string{"cd e && cd .. && cd e", "basename $PWD"}, false, "e"},
		{[]string{"(cd ..)", "basename $PWD"}, false, "e"},
		{[]string{"cd ..; false", "basename $PWD"}, false, "e"},
		{[]string{"cd .. | cat", "basename $PWD"}, false, "e"},
		{[]string{"cd ../.. && pushd d >/dev/null", "basename $PWD"}, false, "d"},
		{[]string{"cd ..", "cd /usr"}, false, "Shell cwd was reset to " + a.cwd},
		{[]string{"git -C d rev-parse --show-prefix"}, false, "d/"},
	} {
		result := a.bash(c.commands[0])
		for _, command := range c.commands[1:] {
			result = a.bash(command)
		}
		if result.IsError != c.isError || result.Text != c.want {
			t.Errorf("%q: error %v, %q, want %q", c.commands, result.IsError, result.Text, c.want)
		}
	}
}
