#!/usr/bin/env bash
# Starts a PostgreSQL server with an empty data folder, prints its URL, and removes all of
# it when its input ends, however the process at the other end ended. For tests and for
# trying things out; it needs no rights, and no other server is in its way.
#
#   postgres.sh                     fast: what a power cut would lose is not kept
#   postgres.sh -durable            as in production
#   postgres.sh -listen 10.0.0.1    also for other machines of that address's network
#
# Lines of input: "kill" kills the server as a crash would, "start" starts it again. Each
# is answered with a line.
set -euo pipefail

durable= host=127.0.0.1
while [ $# -gt 0 ]; do
	case $1 in
	-durable) durable=yes ;;
	-listen) host=$2 && shift ;;
	*) echo "unknown: $1" >&2 && exit 2 ;;
	esac
	shift
done

initdb=$(ls -d /usr/lib/postgresql/*/bin/initdb /opt/homebrew/opt/postgresql*/bin/initdb 2>/dev/null | sort -V | tail -1) || true
[ -n "$initdb" ] || initdb=$(readlink -f "$(command -v initdb || true)") || true
bin=$(dirname "$initdb")
[ -x "$bin/pg_isready" ] || { echo "PostgreSQL is not installed" >&2; exit 3; }

# It refuses to run as root.
as=()
if [ "$(id -u)" = 0 ]; then
	user=postgres
	id -u "$user" >/dev/null 2>&1 || user=nobody
	as=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups)
fi

dir=$(mktemp -d "${TMPDIR:-/tmp}/postgres-XXXXXX")
[ -z "${as[*]}" ] || chown "$user" "$dir"
cd "$dir"
pid=
quit() {
	trap '' EXIT INT TERM HUP
	[ -z "$pid" ] || kill -QUIT "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
	cd / && rm -rf "$dir"
}
trap quit EXIT
trap 'exit 1' INT TERM HUP

password=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
(umask 077 && echo "$password" >password)
[ -z "${as[*]}" ] || chown "$user" password
"${as[@]}" "$bin/initdb" -D data -U claude --pwfile=password -A scram-sha-256 -E UTF8 --locale=C --no-sync >log 2>&1 || { cat log >&2; exit 1; }
[ "$host" = 127.0.0.1 ] || echo "host all all samenet scram-sha-256" >>data/pg_hba.conf

options=(-c shared_buffers=64MB -c max_connections=200 -c "unix_socket_directories=$dir" -c max_wal_size=256MB)
[ -n "$durable" ] || options+=(-c fsync=off -c synchronous_commit=off -c full_page_writes=off)

listen=127.0.0.1
[ "$host" = 127.0.0.1 ] || listen+=,$host

# start starts the server and waits until it takes connections. It is asked by its socket,
# which is in its own folder: at the port another server may answer.
start() {
	"${as[@]}" "$bin/postgres" -D data -p "$port" -h "$listen" "${options[@]}" >>log 2>&1 </dev/null &
	pid=$!
	local _
	for _ in {1..600}; do
		"$bin/pg_isready" -q -h "$dir" -p "$port" && kill -0 "$pid" 2>/dev/null && return
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	kill -QUIT "$pid" 2>/dev/null && wait "$pid" || true # one that is too slow would stay
	pid=
	return 1
}

# Crash kills the server with all of its processes.
crash() {
	local children
	children=$(pgrep -P "$pid" | tr '\n' ' ')
	kill -KILL "$pid"
	# shellcheck disable=SC2086
	[ -z "$children" ] || kill -KILL $children 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
	pid=
}

# again starts the server in the same place; what a crash left may be in its way for a
# moment.
again() {
	local _
	for _ in {1..600}; do
		start && return
	done
	return 1
}

for _ in {1..20}; do # another may have the port
	port=$((20000 + RANDOM % 10000))
	start && break
done
[ -n "$pid" ] || { tail -20 log >&2; exit 1; }
echo "postgres://claude:$password@$host:$port/postgres"

while read -r line; do
	case $line in
	kill) crash && echo killed ;;
	start) again && echo started ;;
	*) echo "unknown: $line" ;;
	esac
done
