#!/usr/bin/env bash
# Builds the images of the container tests from the same programs that the other tests run, so that no registry is needed:
# streamerson-test/redis, streamerson-test/kafka, streamerson-test/nats. Run it by scripts/with-docker.sh, or where docker works.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .cache
root=$(mktemp -d "$PWD/.cache/image-XXXXXX")
trap 'rm -rf "$root"' EXIT

# add PROGRAM [AS]: copies a program and the libraries that it loads.
add() {
	local file
	install -D "$(readlink -f "$1")" "$root/${2:-$1}"
	libraries "$1"
}

libraries() {
	{ ldd "$@" 2>/dev/null || true; } | sed -n 's/^\t.* => \(\/[^ ]*\) .*/\1/p; s/^\t\(\/[^ ]*\) .*/\1/p' | sort -u | while read -r file; do
		[ -e "$root/$file" ] || install -D "$(readlink -f "$file")" "$root/$file"
	done
}

# import NAME: makes an image of what was added.
import() {
	mkdir -p "$root/data"
	mkdir -p -m 1777 "$root/tmp"
	tar -C "$root" -c . | docker import --change 'ENV PATH=/usr/bin' --change 'WORKDIR /data' --change 'VOLUME /data' - "streamerson-test/$1" >/dev/null
	rm -rf "${root:?}"/*
	echo "built the image streamerson-test/$1 of $2" >&2
}

[ -n "${STREAMERSON_REDIS_SERVER:-}" ] || scripts/install-debian.sh redis-server:redis-server
redis=${STREAMERSON_REDIS_SERVER:-$(command -v redis-server)}
add "$redis" /usr/bin/redis-server
import redis "$("$redis" --version | grep -o 'v=[^ ]*')"

nats=${STREAMERSON_NATS_SERVER:-$(scripts/install-nats.sh)}
add "$nats" /usr/bin/nats-server
import nats "$("$nats" --version)"

STREAMERSON_KAFKA_URL= scripts/install-kafka.sh
version=${STREAMERSON_KAFKA_VERSION:-$(sed -n 's|.*<kafka.version>\(.*\)</kafka.version>.*|\1|p' internal/brokers/kafka-pom.xml)}
jars=${STREAMERSON_KAFKA_JARS:-.cache/kafka-$version}
java=$(command -v java || true)
[ -z "${JAVA_HOME:-}" ] || java=$JAVA_HOME/bin/java
java=$(readlink -f "$java")
home=$(dirname "$(dirname "$java")")
mkdir -p "$root$home/bin" "$root/usr/bin"
cp "$java" "$root$home/bin/java"
cp -a "$home/lib" "$home/conf" "$root$home/"
rm -f "$root$home"/lib/{src.zip,ct.sym} # a compiler's, in a JDK
for link in $(find "$home/lib" "$home/conf" -type l); do # Debian keeps the settings in /etc
	target=$(readlink -f "$link") || continue
	[ ! -f "$target" ] || [[ "$target" == "$home"/* ]] || install -D "$target" "$root$target"
done
ln -s "$home/bin/java" "$root/usr/bin/java"
libraries "$java" $(find "$home/lib" -name '*.so')
add "$(command -v sh)" /usr/bin/sh
mkdir -p "$root/opt/kafka/libs"
cp "$jars"/*.jar "$root/opt/kafka/libs/"
import kafka "$(basename "$(ls "$root"/opt/kafka/libs/kafka-clients-*.jar)" .jar)"
