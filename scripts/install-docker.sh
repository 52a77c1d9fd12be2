#!/usr/bin/env bash
# Sees to it that there is a Docker to be used, or the programs to start one: where `docker info` works it does nothing, else
# it installs Debian's docker.io. It starts nothing; scripts/with-docker.sh does.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v docker >/dev/null && docker info >/dev/null 2>&1 && exit 0
if [ "$(uname -s)" != Linux ]; then
	echo "error: no Docker answers ('docker info' fails), and one of our own can be started on Linux only: start yours first" >&2
	exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "error: no Docker answers this user ('docker info' fails), and one of our own needs root: start yours, join its group, or run this as root" >&2
	exit 1
fi
scripts/install-debian.sh dockerd:docker.io docker:docker.io containerd:containerd runc:runc ip:iproute2 unshare:util-linux nsenter:util-linux
