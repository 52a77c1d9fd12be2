#!/usr/bin/env python3
"""A second implementation of SPEC.md, written from it alone: a model for other languages and a check on the first.

Run `python3 ref.py DIR` to check it against DIR/golden/*.json and DIR/bad.json.
"""
import glob, hashlib, json, os, struct, sys

VERSION, FIXED, MAX_STRING, MAX_FIELDS, MAX_FIELD_BYTES = 1, 48, 8192, 256, 65536
KINDS = ["", "request", "send", "reply", "cancel", "dead", "replies", "requests"]
CODES = ["ok", "canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists",
         "permission_denied", "resource_exhausted", "failed_precondition", "aborted", "out_of_range", "unimplemented",
         "internal", "unavailable", "data_loss", "unauthenticated"]
STRINGS = ["", "replyTo", "stream", "function", "contentType", "trace", "traceState", "idempotencyKey", "message"]
HEADER, OPTIONAL = 9, 128


class BadFrame(Exception):
    def __init__(self, reason, offset):
        super().__init__(f"{reason} at byte {offset}")
        self.reason, self.offset = reason, offset


def put_bytes(b):
    n, out = len(b), bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out) + b


def encode(e):
    out = struct.pack(">BBBBHH16sqIIII", VERSION, KINDS.index(e["kind"]), CODES.index(e["code"]), e["inferred"] | e["packs"] << 1,
                      e["status"], e["attempt"], e["id"], e["deadline"], e["budget"], e["queueMicros"], e["handlerMicros"], 0)
    for tag, name in enumerate(STRINGS):
        if tag and e[name]:
            out += bytes([tag]) + put_bytes(e[name])
    for name, value in e["headers"]:
        out += bytes([HEADER]) + put_bytes(name) + put_bytes(value)
    return out + b"\0" + e["body"]


def get_bytes(frame, p):
    start, n, shift = p, 0, 0
    while True:
        if p - start == 10:
            raise BadFrame("length", start)
        if p >= len(frame):
            raise BadFrame("short", start)
        c = frame[p]
        p += 1
        n |= (c & 0x7F) << shift
        shift += 7
        if c < 0x80:
            break
    if n >= 1 << 64 or (p - start > 1 and c == 0):
        raise BadFrame("length", start)
    if n > len(frame) - p:
        raise BadFrame("short", start)
    return frame[p:p + n], p + n


def decode(frame):
    if not frame:
        raise BadFrame("short", 0)
    if frame[0] != VERSION:
        raise BadFrame("version", 0)
    if len(frame) < FIXED:
        raise BadFrame("short", len(frame))
    _, kind, code, flags, status, attempt, id_, deadline, budget, queue, handler, _ = struct.unpack(">BBBBHH16sqIIII", frame[:FIXED])
    if not 1 <= kind < len(KINDS):
        raise BadFrame("kind", 1)
    if code >= len(CODES):
        raise BadFrame("code", 2)
    e = {"kind": KINDS[kind], "code": CODES[code], "inferred": bool(flags & 1), "packs": bool(flags & 2), "status": status, "attempt": attempt, "id": id_,
         "deadline": deadline, "budget": budget, "queueMicros": queue, "handlerMicros": handler, "headers": []}
    e.update({name: b"" for name in STRINGS if name})
    p, seen, fields, field_bytes = FIXED, set(), 0, 0
    while True:
        if p >= len(frame):
            raise BadFrame("short", p)
        start, tag = p, frame[p]
        if tag == 0:
            e["body"] = frame[p + 1:]
            return e
        if HEADER < tag < OPTIONAL:
            raise BadFrame("tag", p)
        value, p = get_bytes(frame, p + 1)
        if tag < HEADER:
            if len(value) > MAX_STRING:
                raise BadFrame("too-large", start)
            if tag in seen:
                raise BadFrame("twice", start)
            seen.add(tag)
            e[STRINGS[tag]] = value
            continue
        size = len(value)
        if tag == HEADER:
            name = value
            value, p = get_bytes(frame, p)
            size += len(value)
            e["headers"].append((name, value))
        fields, field_bytes = fields + 1, field_bytes + size
        if fields > MAX_FIELDS or field_bytes > MAX_FIELD_BYTES:
            raise BadFrame("too-large", start)


def unpack(frame):
    """The members of a frame of kind "replies" or "requests"."""
    e, members = decode(frame), []
    if e["kind"] not in ("replies", "requests"):
        raise BadFrame("kind", 1)
    body = e["body"]
    start = p = len(frame) - len(body)
    while p < len(frame) or p == start:
        member, p = get_bytes(frame, p)
        members.append(member)
    return members


def text(v):
    return (v["repeat"] * v["times"] if isinstance(v, dict) else v).encode()


def from_json(j):
    e = dict(j, id=bytes.fromhex(j["id"]), deadline=int(j["deadline"]), body=bytes.fromhex(j["body"]),
             headers=[(text(n), text(v)) for n, v in j["headers"]])
    e.update({name: text(j[name]) for name in STRINGS if name})
    return e


def expand(s):
    s = s.replace(" ", "").replace("FIXED", "01010000" + "00" * 44)
    while "{" in s:
        before, rest = s.split("{", 1)
        unit, rest = rest.split("*", 1)
        times, rest = rest.split("}", 1)
        s = before + unit * int(times) + rest
    return bytes.fromhex(s)


def main(root):
    good = bad = 0
    for path in sorted(glob.glob(os.path.join(root, "golden", "*.json"))):
        with open(path, encoding="utf-8") as f:
            v = json.load(f)
        e = from_json(v["envelope"])
        frame = encode(e)
        assert len(frame) == v["length"] and hashlib.sha256(frame).hexdigest() == v["sha256"], path
        assert v.get("frame", frame.hex()) == frame.hex(), path
        assert decode(frame) == e, path
        if e["kind"] in ("replies", "requests"):
            members = unpack(frame)
            assert [decode(m)["kind"] for m in members] == [{"replies": "reply", "requests": "request"}[e["kind"]]] * 2, path
            assert b"".join(put_bytes(m) for m in members) == e["body"], path
        good += 1
    with open(os.path.join(root, "bad.json"), encoding="utf-8") as f:
        for v in json.load(f):
            try:
                (unpack if v.get("pack") else decode)(expand(v["frame"]))
                raise AssertionError(v["name"] + " was taken")
            except BadFrame as err:
                assert (err.reason, err.offset) == (v["reason"], v["offset"]), (v, err)
            bad += 1
    assert good and bad
    print(f"{good} golden vectors, {bad} bad frames: as specified")


if __name__ == "__main__":
    main(sys.argv[1])
