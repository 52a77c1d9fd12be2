#!/usr/bin/env bash
# Runs the brokers' own tests and the conformance suite on Redis, Kafka and NATS in containers (testcontainers-go). What it needs
# is installed and started; see with-docker.sh. Arguments are added to go test.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" != --inside ]; then
	exec scripts/with-docker.sh scripts/conform-containers.sh --inside "$@"
fi
shift
scripts/build-images.sh
trap 'docker ps -aq --filter label=org.testcontainers=true --filter ancestor=streamerson-test/redis --filter ancestor=streamerson-test/kafka --filter ancestor=streamerson-test/nats | xargs -r docker rm -f >/dev/null' EXIT
# What is asked here is whether everything works in containers; how soon it has to, make test asks.
export STREAMERSON_BROKER_FROM=container STREAMERSON_CONFORM_SLOW=${STREAMERSON_CONFORM_SLOW:-3}
log=.cache/conform-containers.log
# One package after the other: three brokers at once are too much for two cores, and scenarios measure waiting.
go test -exec "$STREAMERSON_DOCKER_EXEC" -p 1 -count=1 -timeout 20m -short "$@" -run '^(Test(Core)?Conformance|Test(Redis|Kafka|NATS)(Pause|Process|Survives).*)$' \
	./internal/brokers ./transport/redis ./transport/kafka ./transport/nats | tee "$log"
if grep -F '[no tests to run]' "$log"; then
	echo "error: a broker was not tested" >&2
	exit 1
fi
