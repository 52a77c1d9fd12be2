#!/usr/bin/env bash
# install-peers.sh: provisions the rivals that `make bench-peers` runs, all in this folder but for Debian's own packages, and does
# nothing where all is there already. What comes from where:
#   Go (gRPC, NATS micro, Watermill)      built by Go into bin/peers/go, pinned by bench/peers/go/go.mod
#   Node (NestJS, Moleculer, and Node)    npm ci into bench/peers/node/node_modules, pinned by its lock file (230 MB)
#   Python (FastStream)                   pip into a venv, .cache/peers-venv, pinned by bench/peers/python/requirements.txt
#   nginx                                 Debian's package; the system's service is neither started nor touched
set -euo pipefail
cd "$(dirname "$0")/.."

# sum_of FILE... is their hash; done_for STAMP FILE...: whether STAMP says that it was made of these files as they are.
sum_of() { cat "$@" | sha256sum | cut -d ' ' -f 1; }
done_for() { [ "$(cat "$1" 2>/dev/null)" = "$(sum_of "${@:2}")" ]; }

PATH=$PATH:/usr/sbin scripts/install-debian.sh nginx:nginx

mkdir -p bin/peers .cache
(cd bench/peers/go && go build -trimpath -o ../../../bin/peers/go .)

node=bench/peers/node
if ! done_for "$node/node_modules/.installed" "$node/package.json" "$node/package-lock.json"; then
	# Any npm will do: the Node that the rivals run on is one of the packages.
	scripts/install-debian.sh npm:npm
	echo "installing the Node rivals by npm ci" >&2
	(cd "$node" && npm ci --no-audit --no-fund --loglevel=error >&2)
	sum_of "$node/package.json" "$node/package-lock.json" >"$node/node_modules/.installed"
fi

python=bench/peers/python venv=.cache/peers-venv
if ! done_for "$venv/.installed" "$python/requirements.txt"; then
	scripts/install-debian.sh python3:python3
	# Debian's Python lacks what makes a venv until this package is there; it has no command of that name, so it is installed.
	python3 -c 'import ensurepip, venv' 2>/dev/null || scripts/install-debian.sh ensurepip:python3-venv
	echo "installing the Python rival by pip into $venv" >&2
	rm -rf "$venv"
	python3 -m venv "$venv"
	"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$python/requirements.txt" >&2
	sum_of "$python/requirements.txt" >"$venv/.installed"
fi
