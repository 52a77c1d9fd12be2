#!/usr/bin/env bash
# Installs what a Debian machine lacks: install-debian.sh COMMAND:PACKAGE[,PACKAGE]... Nothing else on the machine is changed,
# and nothing at all when every command is there.
set -euo pipefail

packages=()
for need in "$@"; do
	command -v "${need%%:*}" >/dev/null || packages+=(${need#*:})
done
packages=(${packages[@]//,/ })
[ "${#packages[@]}" -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
	echo "missing: ${packages[*]}, and there is no apt-get to install them with" >&2
	echo "install them, or set STREAMERSON_REDIS_SERVER to the path of a redis-server 7 or later" >&2
	exit 1
fi
sudo=()
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || { echo "run as root: apt-get install ${packages[*]}" >&2; exit 1; }
	sudo=(sudo)
fi
echo "installing ${packages[*]} with apt-get" >&2

# redis-server's package would start a server on port 6379 by itself. policy-rc.d says no, where nobody has said anything yet.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
	"${sudo[@]}" chmod 755 "$policy"
	trap '"${sudo[@]}" rm -f "$policy"' EXIT
fi
install() {
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2
}
install || { "${sudo[@]}" apt-get update -qq >&2 && install; }
