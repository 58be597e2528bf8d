#!/usr/bin/env bash
# Starts a Temporal server with an empty state, prints its address, and removes all of it
# when its input ends, however the process at the other end ended. For tests and for trying
# things out. The server is built with the first use, which takes a while, and kept for the
# next.
#
#   temporal.sh                     at any port
#   temporal.sh 127.0.0.1:7233      at this address
#   temporal.sh -build              builds the server and prints its path
#
# Lines of input: "kill" kills the server as a crash would, "start" starts it again with its
# state, "state" asks for the file with that. Each is answered with a line.
set -euo pipefail

module=$(cd "$(dirname "${BASH_SOURCE[0]}")/../temporalserver" && pwd)
server=${TEMPORAL_SERVER:-}
if [ -z "$server" ]; then
	cache=${XDG_CACHE_HOME:-$HOME/.cache}/claude-force-ci
	server=$cache/temporalserver-$(cat "$module"/{go.mod,go.sum,main.go} | sha256sum | cut -c1-16)
	if [ ! -x "$server" ]; then
		mkdir -p "$cache"
		go build -C "$module" -ldflags "-s -w" -o "$server.$$" . >&2
		mv "$server.$$" "$server"
	fi
fi
[ "${1:-}" != -build ] || { echo "$server"; exit; }

dir=$(mktemp -d "${TMPDIR:-/tmp}/temporal-XXXXXX")
pid=
quit() {
	trap '' EXIT INT TERM HUP
	[ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
	rm -rf "$dir"
}
trap quit EXIT
trap 'exit 1' INT TERM HUP

mkfifo "$dir/in" "$dir/out"
exec 8<>"$dir/in" # held open: the server ends with its input

# start starts the server and waits until it takes requests.
start() {
	"$server" -addr "$1" -db "$dir/temporal.db" <"$dir/in" >"$dir/out" 2>>"$dir/log" 8>&- &
	pid=$!
	read -r address <"$dir/out" || { pid=; tail -5 "$dir/log" >&2; return 1; }
}

if [ -n "${1:-}" ]; then
	start "$1"
else
	# Systems give these ports to no connection, which could have the server's when it is
	# started again.
	for _ in {1..20}; do # another server may have the port
		start "127.0.0.1:$((20000 + RANDOM % 10000))" && break
	done
	[ -n "$pid" ]
fi
echo "$address"
while read -r line; do
	case $line in
	kill) kill -KILL "$pid" && wait "$pid" 2>/dev/null || true; pid=; echo killed ;;
	start) start "$address" && echo started ;;
	state) echo "$dir/temporal.db" ;;
	*) echo "unknown: $line" ;;
	esac
done
