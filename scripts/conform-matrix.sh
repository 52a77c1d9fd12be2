#!/usr/bin/env bash
# conform-matrix.sh [--quick]: runs the conformance suite on each version of each broker that is supported, and prints a table.
# The driver's scenarios run on all of them, those of faults, network and quota on the oldest and the newest of each broker.
# What is asked is whether a version works; how soon it has to, make test asks: every time limit is three times as long here.
# --quick leaves those out, and the versions that the other tests run anyway. Reports are left in .cache/matrix.
# It exits with 1 when a scenario failed anywhere, after the table.
set -euo pipefail
cd "$(dirname "$0")/.."
quick=
case "${1:-}" in
"") ;;
--quick) quick=1 ;;
*) echo "usage: scripts/conform-matrix.sh [--quick]" >&2; exit 2 ;;
esac
unset STREAMERSON_BROKER_FROM STREAMERSON_REDIS_URL STREAMERSON_KAFKA_URL STREAMERSON_NATS_URL STREAMERSON_KAFKA_JARS
go build -trimpath -o bin/streamerson ./cmd/streamerson
out=.cache/matrix
rm -rf "$out"
mkdir -p "$out"
all=driver,rpc,faults,network,quota
some=$all
[ -z "$quick" ] || some=driver

# version LABEL BROKER AREAS [VARIABLE=VALUE]: one line of the table.
version() {
	local label=$1 broker=$2 areas=$3
	shift 3
	printf '\n== %s (%s)\n' "$label" "$areas"
	# A failed scenario is in the report, and counted in the end; without a report the run itself has failed.
	env "$@" bin/streamerson conform --broker "$broker" --area "$areas" --short --slow 3 --json "$out/$label.json" 2>"$out/$label.log" >"$out/$label.txt" ||
		[ -s "$out/$label.json" ] || { cat "$out/$label.log" >&2; echo "error: no report of $label" >&2; exit 1; }
	grep -E '^(failed|    )' "$out/$label.log" | head -n 60 || true
	tail -n 3 "$out/$label.txt" | grep -oE '[0-9]+ passed[^│]*' || true
}

scripts/install-debian.sh redis-server:redis-server python3:python3
redis8=$(scripts/install-wheel.sh redis)
valkey=$(scripts/install-wheel.sh valkey)
nats_old=$(scripts/install-nats.sh v2.12.7)

[ -n "$quick" ] || version redis-7.0 redis "$all" STREAMERSON_REDIS_SERVER="$(command -v redis-server)"
version redis-8.2 redis "$some" STREAMERSON_REDIS_SERVER="$redis8"
version valkey-9.1 redis driver STREAMERSON_REDIS_SERVER="$valkey"
version nats-2.12 nats "$some" STREAMERSON_NATS_SERVER="$nats_old"
[ -n "$quick" ] || version nats-2.15 nats "$all" STREAMERSON_NATS_SERVER="$(scripts/install-nats.sh)"
STREAMERSON_KAFKA_VERSION=4.1.1 scripts/install-kafka.sh
version kafka-4.1 kafka "$some" STREAMERSON_KAFKA_VERSION=4.1.1
[ -n "$quick" ] || version kafka-4.3 kafka "$all" STREAMERSON_KAFKA_VERSION=

python3 - "$out"/*.json <<'PY'
import json, os, sys
print(f"\n{'version':<12} {'reported':<12} {'scenarios':>9} {'passed':>7} {'refused':>8} {'not run':>8} {'failed':>7} {'seconds':>8}")
failed = 0
for path in sys.argv[1:]:
    with open(path) as f:
        report = json.load(f)
    count = {o: sum(s["outcome"] == o for s in report["scenarios"]) for o in ("passed", "refused", "not run", "failed")}
    failed += count["failed"]
    print(f"{os.path.basename(path)[:-5]:<12} {report['capabilities']['Version']:<12} {len(report['scenarios']):>9} {count['passed']:>7}"
          f" {count['refused']:>8} {count['not run']:>8} {count['failed']:>7} {report['seconds']:>8.1f}")
sys.exit(failed > 0)
PY
