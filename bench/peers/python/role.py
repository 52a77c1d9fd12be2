"""The benchmark's side of a rival's process.

Orders come in on standard input and answers go out, a JSON object a line. The first order says which part this is; then come
"run", "usage" (or "collect", which is the same here) and "stop", and the end of the input, which also comes when the parent
dies, means stop. Times are in nanoseconds.
"""

import asyncio
import json
import resource
import sys

from load import drive


def process_cpu() -> int:
    """This process's user and system time so far."""
    u = resource.getrusage(resource.RUSAGE_SELF)
    return int((u.ru_utime + u.ru_stime) * 1e9)


def answer(a: dict) -> None:
    sys.stdout.write(json.dumps(a) + "\n")
    sys.stdout.flush()


async def serve(start) -> None:
    """Serve orders until the input ends. start(spec) brings the part up and gives (call, close); call may be None."""
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    first = await orders.readline()
    if not first:
        raise SystemExit("a rival's process is started by `streamerson bench peers`; it reads its orders from its input")
    try:
        call, close = await start(json.loads(first))
    except Exception as err:
        answer({"Err": repr(err)})
        raise
    answer({"Addr": ""})
    while line := await orders.readline():
        order = json.loads(line)
        if order["Op"] == "stop":
            break
        answer(await obey(call, order))
    await close()


async def obey(call, order: dict) -> dict:
    if order["Op"] in ("usage", "collect"):
        return {"Usage": {"CPU": process_cpu()}}
    if order["Op"] == "run" and call is not None:
        try:
            return {"Result": await drive(call, order["Load"], process_cpu)}
        except Exception as err:
            return {"Err": repr(err)}
    return {"Err": "this role can't " + json.dumps(order["Op"])}
