#!/usr/bin/env bash
# Runs the brokers' own tests and the conformance suite on Redis, Kafka and NATS in containers (testcontainers-go). What it needs
# is installed and started; see with-docker.sh. Arguments are added to go test.
# --quick, the first argument, takes only the scenarios in which a container could differ from a process: what is stored and delivered,
# and the broker's kill, stop, restart, loss of data and lack of room. All others have been seen on the same programs as processes.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" != --inside ]; then
	exec scripts/with-docker.sh scripts/conform-containers.sh --inside "$@"
fi
shift
some=
if [ "${1:-}" = --quick ]; then
	shift
	some='/^(roundtrip|size-limits|mixed-batch|competing-workers|two-groups|concurrent-ensure|credits-5-streams|release-attempts|lease-expiry|reply-then-ack|lane|lag|live-consumers|browse|delete-streams|open-close-50|wipe|restart|calls-1000|worker-killed|broker-killed|broker-stopped|long-outage|broker-emptied|half-open|memory-full|full-before-reply|subscriptions-32)$'
fi
scripts/build-images.sh
trap 'docker ps -aq --filter label=org.testcontainers=true --filter ancestor=streamerson-test/redis --filter ancestor=streamerson-test/kafka --filter ancestor=streamerson-test/nats | xargs -r docker rm -f >/dev/null' EXIT
# What is asked here is whether everything works in containers; how soon it has to, make test asks.
export STREAMERSON_BROKER_FROM=container STREAMERSON_CONFORM_SLOW=${STREAMERSON_CONFORM_SLOW:-3}
log=.cache/conform-containers.log
# One package after the other: three brokers at once are too much for two cores, and scenarios measure waiting.
go test -exec "$STREAMERSON_DOCKER_EXEC" -p 1 -count=1 -timeout 20m -short "$@" -run '^(Test(Core)?Conformance|Test(Redis|Kafka|NATS)(Pause|Process|Survives).*)$'"$some" \
	./internal/brokers ./transport/redis ./transport/kafka ./transport/nats | tee "$log"
if grep -F '[no tests to run]' "$log"; then
	echo "error: a broker was not tested" >&2
	exit 1
fi
