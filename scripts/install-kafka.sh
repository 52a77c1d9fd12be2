#!/usr/bin/env bash
# install-kafka.sh [VERSION]: fetches the Kafka that tests and `make run BROKER=kafka` start, into .cache of this folder (Maven
# Central, about 54 MB), and installs Java 17 and Maven from Debian when they are missing. VERSION is that of
# STREAMERSON_KAFKA_VERSION or else of internal/brokers/kafka-pom.xml. Nothing else on the machine is changed.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -n "${STREAMERSON_KAFKA_URL:-}" ] && exit 0
[ -n "${JAVA_HOME:-}" ] || scripts/install-debian.sh java:openjdk-17-jre-headless
[ -n "${STREAMERSON_KAFKA_JARS:-}" ] && exit 0
version=${1:-${STREAMERSON_KAFKA_VERSION:-$(sed -n 's|.*<kafka.version>\(.*\)</kafka.version>.*|\1|p' internal/brokers/kafka-pom.xml)}}
jars=.cache/kafka-$version
[ -d "$jars" ] && exit 0
scripts/install-debian.sh mvn:maven
echo "fetching Kafka $version by Maven into $jars" >&2
mkdir -p .cache
tmp=$(mktemp -d .cache/fetching-XXXXXX)
trap 'rm -rf "$tmp"' EXIT
mvn -q -B -f internal/brokers/kafka-pom.xml org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
	"-Dkafka.version=$version" -DincludeScope=runtime "-DoutputDirectory=$PWD/$tmp/jars" >&2
mv -T "$tmp/jars" "$jars" 2>/dev/null || [ -d "$jars" ] # another run may have been faster
