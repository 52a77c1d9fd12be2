#!/usr/bin/env bash
# Installs Debian's redis-server when there is none. Nothing else on the machine is changed.
set -euo pipefail

if command -v redis-server >/dev/null; then
	exit 0
fi
if ! command -v apt-get >/dev/null; then
	echo "redis-server is missing and there is no apt-get to install it with." >&2
	echo "Install Redis 7 or later, or set STREAMERSON_REDIS_SERVER to its binary." >&2
	exit 1
fi
sudo=()
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || { echo "redis-server is missing; run as root: apt-get install redis-server" >&2; exit 1; }
	sudo=(sudo)
fi
echo "installing redis-server with apt-get" >&2

# The package would start a server on port 6379 by itself. policy-rc.d says no to that, where nobody has said anything yet.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
	"${sudo[@]}" chmod 755 "$policy"
	trap '"${sudo[@]}" rm -f "$policy"' EXIT
fi
install() {
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server >&2
}
install || { "${sudo[@]}" apt-get update -qq >&2 && install; }
command -v redis-server >/dev/null || { echo "apt-get installed redis-server, but it is not in PATH" >&2; exit 1; }
