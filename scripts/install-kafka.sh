#!/usr/bin/env bash
# Fetches the Kafka that tests and `make run BROKER=kafka` start, into .cache of this folder (Maven Central, about 54 MB), and
# installs Java 17 and Maven from Debian when they are missing. Nothing else on the machine is changed.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -n "${STREAMERSON_KAFKA_URL:-}" ] && exit 0
scripts/install-debian.sh java:openjdk-17-jre-headless
[ -n "${STREAMERSON_KAFKA_JARS:-}" ] && exit 0
version=$(sed -n 's|.*<artifactId>kafka-tools</artifactId><version>\(.*\)</version>.*|\1|p' internal/brokers/kafka-pom.xml)
jars=.cache/kafka-$version
[ -d "$jars" ] && exit 0
scripts/install-debian.sh mvn:maven
echo "fetching Kafka $version by Maven into $jars" >&2
mkdir -p .cache
tmp=$(mktemp -d .cache/fetching-XXXXXX)
trap 'rm -rf "$tmp"' EXIT
mvn -q -B -f internal/brokers/kafka-pom.xml org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
	-DincludeScope=runtime "-DoutputDirectory=$PWD/$tmp/jars" >&2
mv "$tmp/jars" "$jars"
