"""FastStream, the Python rival, as its documentation on RPC shows it: `streamerson bench peers` starts this for each client and worker.

A worker is one subscriber whose handler returns the body; a client calls broker.request(). Bodies stay bytes. On Redis the
request goes over pub/sub or a stream; the reply comes over pub/sub either way, in a subscription that FastStream makes for
each call.
"""

import uvloop
from faststream import FastStream
from faststream.nats import NatsBroker
from faststream.redis import RedisBroker, StreamSub

from role import serve

GROUP = "workers"
CONNECTIONS = 512  # each call in flight holds two; with the client's default of 100 some calls fail at once at 64 in flight
BATCH = 64  # entries that a worker on a stream takes at once at most


def echo(body: bytes) -> bytes:
    return body


async def worker(broker, subscriber):
    subscriber(echo)
    app = FastStream(broker)
    await app.start()
    return None, app.stop


async def client(broker, **to):
    await broker.connect()

    async def call(body: bytes, timeout: float) -> bytes:
        reply = await broker.request(body, timeout=timeout, **to)
        return reply.body

    return call, broker.stop


async def start(spec: dict):
    url, stream = spec["URL"], spec["Stream"]
    quiet = {"logger": None}
    redis = {**quiet, "max_connections": CONNECTIONS}
    match spec["Role"]:
        case "faststream-redis-worker":
            b = RedisBroker(url, **redis)
            return await worker(b, b.subscriber(stream))
        case "faststream-redis-client":
            return await client(RedisBroker(url, **redis), channel=stream)
        case "faststream-stream-worker":
            b = RedisBroker(url, **redis)
            sub = StreamSub(stream, group=GROUP, consumer="worker", max_records=BATCH)
            return await worker(b, b.subscriber(stream=sub))
        case "faststream-stream-client":
            return await client(RedisBroker(url, **redis), stream=stream)
        case "faststream-nats-worker":
            b = NatsBroker(url, **quiet)
            return await worker(b, b.subscriber(stream, queue=GROUP))
        case "faststream-nats-client":
            return await client(NatsBroker(url, **quiet), subject=stream)
    raise ValueError("no role " + repr(spec["Role"]))


if __name__ == "__main__":
    uvloop.run(serve(start))
