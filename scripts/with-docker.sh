#!/usr/bin/env bash
# with-docker.sh COMMAND [ARG]...: runs a command that can use Docker.
#
# A Docker that answers is used as it is. Otherwise a daemon of our own is started, and ended afterwards: its data and socket
# are in .cache/docker, it lives in network and mount namespaces of its own, and so nothing of this machine's networking
# is changed and no other Docker can be disturbed. It can reach no registry. The ports that it publishes are on 127.0.0.1 of
# its own namespace, so tests have to run there as well: `go test -exec "$STREAMERSON_DOCKER_EXEC"` does that, and builds outside.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-docker.sh

# Our images need no helper container, and its image could not be fetched. Published ports are on loopback only.
export TESTCONTAINERS_RYUK_DISABLED=true TESTCONTAINERS_HOST_OVERRIDE=127.0.0.1 STREAMERSON_DOCKER_EXEC=

if docker info >/dev/null 2>&1; then
	echo "using the Docker that answers: $(docker info --format '{{.ServerVersion}} on {{.OperatingSystem}}')" >&2
	"$@"
	exit
fi

home=$PWD/.cache/docker
run=$home/run
[ "${#run}" -le 60 ] || run=$(mktemp -d /tmp/streamerson-docker-XXXXXX) # a socket's path has 107 characters at most
log=$home/dockerd.log
socket=$run/docker.sock
if [ -s "$run/docker.pid" ] && kill -0 "$(cat "$run/docker.pid")" 2>/dev/null; then
	echo "error: a daemon of another run is still there, pid $(cat "$run/docker.pid"): end it first, or wait for that run" >&2
	exit 1
fi
rm -rf "$run"
mkdir -p "$run" "$home/data"

launcher= daemon=
stop() {
	trap - EXIT
	[ -z "$launcher" ] && return
	kill -TERM "${daemon:-$launcher}" 2>/dev/null || true
	for _ in $(seq 150); do
		kill -0 "$launcher" 2>/dev/null || break
		sleep 0.1
	done
	kill -KILL "$launcher" 2>/dev/null || true
	wait "$launcher" 2>/dev/null || true
	rm -rf "$run"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The namespaces of processes and mounts of a machine without cgroups get them; nothing of that is seen outside.
unshare --net --mount sh -c '
	ip link set lo up
	grep -q " /sys/fs/cgroup" /proc/mounts || mount -t cgroup2 none /sys/fs/cgroup
	exec dockerd --host="unix://$1" --data-root="$2/data" --exec-root="$3/exec" --pidfile="$3/docker.pid" \
		--ip-forward=false --iptables=false --ip6tables=false --ip-masq=false --dns=127.0.0.1 --log-level=warn
' sh "$socket" "$home" "$run" >"$log" 2>&1 &
launcher=$!
export DOCKER_HOST=unix://$socket
for _ in $(seq 600); do
	docker info >/dev/null 2>&1 && break
	kill -0 "$launcher" 2>/dev/null || break
	sleep 0.1
done
if ! docker info >/dev/null 2>&1; then
	echo "error: our own Docker daemon did not start; the end of $log:" >&2
	tail -n 20 "$log" >&2
	exit 1
fi
daemon=$(cat "$run/docker.pid")
export STREAMERSON_DOCKER_EXEC="nsenter --net=/proc/$daemon/ns/net --"
echo "using a Docker of our own: $(docker info --format '{{.ServerVersion}}, {{.Driver}}'), pid $daemon" >&2
"$@"
