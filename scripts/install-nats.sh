#!/usr/bin/env bash
# install-nats.sh [VERSION]: builds a nats-server into .cache of this folder, by Go, and prints its path. Without VERSION (such as
# v2.12.6) it is the one that go.mod names.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:-$(go list -m -f '{{.Version}}' github.com/nats-io/nats-server/v2)}
dir=$PWD/.cache/nats-server-$version
if [ ! -x "$dir/nats-server" ]; then
	echo "building nats-server $version into .cache" >&2
	mkdir -p .cache
	tmp=$(mktemp -d "$PWD/.cache/fetching-XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	# Without C, so that it runs in an image that has nothing else.
	CGO_ENABLED=0 GOBIN=$tmp go install -trimpath "github.com/nats-io/nats-server/v2@$version" >&2
	mkdir -p "$dir"
	mv "$tmp/nats-server" "$dir/nats-server"
fi
echo "$dir/nats-server"
