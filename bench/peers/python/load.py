"""The load that a client makes, as the benchmark's own clients make it: see LoadResult in the bench package."""

import asyncio
import hashlib
import math
import random
import time

from hdrh.histogram import HdrHistogram

CALL_TIMEOUT = 10  # seconds; when a call is given up: far beyond any latency that is still of interest
MAX_ERROR_TEXTS = 16  # texts may hold ids
MAX_LATENCY, DIGITS = 120_000_000_000, 3  # of histograms
MIN_PAYLOAD = 8  # what the call's number takes at the start of a payload

now = time.perf_counter_ns


def payload(n: int, size: int) -> bytes:
    """Call n's payload: its number, then bytes that follow from it, so that another call's reply, or a cut one, is seen."""
    head = n.to_bytes(MIN_PAYLOAD, "little")
    return head + hashlib.shake_128(head).digest(max(0, size - MIN_PAYLOAD))


class Tally:
    """What the calls of a visit add up to."""

    def __init__(self, call, size: int) -> None:
        self.call, self.size = call, size
        self.latencies: list[int] = []
        self.wrong, self.late = 0, 0
        self.errors: dict[str, int] = {}

    async def one(self, n: int, due: int) -> None:
        """Make call n, whose latency counts from due."""
        body = payload(n, self.size)
        try:
            got = await self.call(body, CALL_TIMEOUT)
        except Exception as err:
            text = repr(err)
            if text not in self.errors and len(self.errors) >= MAX_ERROR_TEXTS:
                text = "other errors"
            self.errors[text] = self.errors.get(text, 0) + 1
            return
        took = now() - due
        if got == body:
            self.latencies.append(max(1, took))
        else:
            self.wrong += 1


async def drive(call, load: dict, cpu) -> dict:
    """Make the load's calls and give what the client measured when all have ended; cpu tells the process's time so far."""
    if load["Calls"] < 1 or load["InFlight"] < 1:
        raise ValueError(f"a load of {load['Calls']} calls, {load['InFlight']} at once: give at least 1")
    rate = load.get("Rate") or 0
    tally = Tally(call, load["Size"])
    used, start = cpu(), now()
    dropped = await open_loop(tally, load, start) if rate > 0 else await closed_loop(tally, load)
    elapsed, sent = now() - start, load["Calls"] - dropped
    return {
        "Calls": load["Calls"], "InFlight": load["InFlight"], "Size": load["Size"],
        "Rate": rate, "Arrival": load.get("Arrival") or "", "Seed": load.get("Seed") or 0,
        "Elapsed": elapsed, "CPU": cpu() - used,
        "OK": len(tally.latencies), "Wrong": tally.wrong, "Dropped": dropped, "Errors": tally.errors,
        "Late": tally.late // sent if rate > 0 and sent > 0 else 0,
        **quantiles(tally.latencies),
    }  # fmt: skip


async def closed_loop(tally: Tally, load: dict) -> int:
    """Make each call as soon as one before it has ended."""
    numbers = iter(range(load["Calls"]))

    async def caller() -> None:
        for n in numbers:
            await tally.one(n, now())

    await asyncio.gather(*(caller() for _ in range(min(load["InFlight"], load["Calls"]))))
    return 0


async def open_loop(tally: Tally, load: dict, start: int) -> int:
    """Make each call when it is due, whatever has become of the ones before.

    Gives the number that was dropped because InFlight were outstanding.
    """
    arrivals = random.Random(load.get("Seed"))
    constant, rate = load.get("Arrival") == "constant", load["Rate"]
    running: set[asyncio.Task] = set()
    dropped, at = 0, 0.0
    for n in range(load["Calls"]):
        at += 1 / rate if constant else arrivals.expovariate(rate)
        due = start + int(at * 1e9)
        while (left := due - now()) > 0:
            # The loop's timers are of milliseconds; for less, only what is ready runs.
            await asyncio.sleep(left / 1e9 - 0.001 if left > 2_000_000 else 0)
        if len(running) >= load["InFlight"]:
            dropped += 1
            continue
        tally.late += now() - due
        task = asyncio.create_task(tally.one(n, due))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    return dropped


def quantiles(latencies: list[int]) -> dict:
    """Take them, by nearest rank, from all latencies, and the histogram besides: HdrHistogram's V2 compressed form."""
    if not latencies:
        return {"P50": 0, "P90": 0, "P99": 0, "P999": 0, "Max": 0, "HDR": ""}
    latencies.sort()

    def at(q: float) -> int:
        return latencies[max(0, math.ceil(len(latencies) * q) - 1)]

    h = HdrHistogram(1, MAX_LATENCY, DIGITS)
    for v in latencies:
        h.record_value(min(v, MAX_LATENCY))
    return {"P50": at(0.5), "P90": at(0.9), "P99": at(0.99), "P999": at(0.999), "Max": at(1), "HDR": h.encode().decode()}
