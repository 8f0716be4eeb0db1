#!/usr/bin/env python3
"""A second verifier of receipts and audit logs, written from docs/receipts.md alone.

    verify.py KEY FILE...        KEY: the 32 bytes of refusal.pub, or 64 hex digits
    verify.py --head LENGTH:HASH KEY FILE...

Exit status: 0 everything is verified, 1 something is not, 2 wrong usage.
"""

import hashlib
import json
import re
import sys

ENTRY_LABEL = b"hushmark audit log 1\n"
HEAD_LABEL = "hushmark audit log head 1"


class Wrong(Exception):
    """What is wrong with a file, in words."""


# Ed25519, RFC 8032 section 5.1. A point is (X, Y, Z, T) with x = X/Z, y = Y/Z and xy = T/Z.

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
NEUTRAL = (0, 1, 1, 0)


def add(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    w, x, y, z = f - e, h - g, h + g, f + e
    return (w * x % P, y * z % P, x * y % P, w * z % P)


def times(scalar, point):
    total = NEUTRAL
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point, scalar = add(point, point), scalar >> 1
    return total


def same(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def point(encoded):
    """The point of 32 bytes, or None."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT_OF_MINUS_ONE % P
    if y >= P or x * x % P != square or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return (x, y, 1, x * y % P)


BASE = point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def is_signed(key, text, signature):
    a, r, s = point(key), point(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= ORDER:
        return False
    if same(times(8, a), NEUTRAL) or same(times(8, r), NEUTRAL):
        return False
    digest = hashlib.sha512(signature[:32] + key + text).digest()
    k = int.from_bytes(digest, "little") % ORDER
    return same(times(s, BASE), add(r, times(k, a)))


# The format.


def from_hex(text, length, what):
    if not isinstance(text, str) or not re.fullmatch("[0-9a-f]{%d}" % (2 * length), text):
        raise Wrong(f"{what} is not {2 * length} lower-case hex digits")
    return bytes.fromhex(text)


def parse(text, fields, what):
    """The one JSON object that `text` is: these fields in this order, no spaces."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Wrong(f"{what} is cut, or is no JSON: {error}") from None
    if not isinstance(found, dict) or list(found) != fields:
        raise Wrong(f"{what} has not the fields {', '.join(fields)}")
    if json.dumps(found, separators=(",", ":"), ensure_ascii=False) != text:
        raise Wrong(f"{what} was written anew")
    return found


def check_head(head, key):
    if not isinstance(head, dict) or list(head) != ["length", "hash", "signature"]:
        raise Wrong("the head has not the fields length, hash, signature")
    if type(head["length"]) is not int:
        raise Wrong("the head's length is no number")
    from_hex(head["hash"], 32, "the head's hash")
    signature = from_hex(head["signature"], 64, "the signature")
    text = f"{HEAD_LABEL}\n{head['length']}\n{head['hash']}\n"
    if not is_signed(key, text.encode(), signature):
        raise Wrong("the head is not signed by this key")


def read_entry(text):
    entry = parse(text, ["n", "at_ms", "before", "says"], "the entry")
    before = from_hex(entry["before"], 32, "the hash before the entry")
    return entry, hashlib.sha256(ENTRY_LABEL + before + text.encode()).hexdigest()


def receipt(text, key):
    """Returns the places that the receipt proves: {length: hash}, its number, the one before."""
    file = parse(text, ["entry", "head"], "the file")
    check_head(file["head"], key)
    entry, after = read_entry(file["entry"])
    n = file["head"]["length"]
    if after != file["head"]["hash"] or entry["n"] != n:
        raise Wrong(f"entry {n} is not the one that was signed")
    if list(entry["says"]) != ["receipt"]:
        raise Wrong(f"entry {n} is no receipt")
    before = entry["says"]["receipt"]["previous"] or {"n": 0, "hash": "00" * 32}
    return {n: after, n - 1: entry["before"], before["n"]: before["hash"]}, n, before["n"]


def log(lines, key):
    """Returns the places that the log proves: {length: hash}."""
    head = parse(lines[-1], ["length", "hash", "signature"], "the head")
    check_head(head, key)
    entries, known = [], {0: "00" * 32}
    for n, line in enumerate(lines[:-1], 1):
        entry, known[n] = read_entry(line)
        if entry["n"] != n:
            raise Wrong(f"where entry {n} should be, there is entry {entry['n']}")
        if entry["before"] != known[n - 1]:
            raise Wrong(f"entry {n - 1} or {n} was changed")
        entries.append(entry)
    if head["length"] != len(entries) or head["hash"] != known[len(entries)]:
        raise Wrong("the entries are not those that the head was signed for")
    # What they say is what was signed; now it can be read.
    last = None
    for entry in entries:
        if "receipt" in entry["says"]:
            if entry["says"]["receipt"]["previous"] != last:
                raise Wrong(f"receipt {entry['n']} does not name the receipt before it")
            last = {"n": entry["n"], "hash": known[entry["n"]]}
    return known


def verify(key, names, published):
    known, receipts = {}, {}
    for name in names:
        try:
            with open(name, "rb") as file:
                text = file.read().decode()
            if not text.endswith("\n"):
                raise Wrong("the file is cut")
            if text.startswith('{"entry"'):
                proved, n, previous = receipt(text[:-1], key)
                receipts[n] = previous
            else:
                proved = log(text[:-1].split("\n"), key)
            for length, found in proved.items():
                if known.setdefault(length, found) != found:
                    raise Wrong(f"it contradicts another file at length {length}")
        except (Wrong, UnicodeDecodeError) as error:
            raise Wrong(f"{name}: {error}") from None
        print(f"{name}: verified")
    numbers = sorted(receipts)
    for earlier, later in zip(numbers, numbers[1:]):
        if receipts[later] != earlier:
            raise Wrong(f"receipt {receipts[later]} is missing: receipt {later} names it")
    if published:
        length, _, found = published.partition(":")
        if known.get(int(length)) != found:
            raise Wrong(f"the published head at length {length} is not confirmed")


def main(words):
    published = None
    if words[:1] == ["--head"]:
        published, words = "".join(words[1:2]), words[2:]
    is_head = published is None or re.fullmatch("[0-9]+:[0-9a-f]{64}", published)
    if len(words) < 2 or not is_head:
        sys.stderr.write(__doc__)
        return 2
    with open(words[0], "rb") as file:
        key = file.read()
    try:
        key = key if len(key) == 32 else from_hex(key.decode().strip(), 32, "the key")
        verify(key, words[1:], published)
    except Wrong as wrong:
        sys.stderr.write(f"error: {wrong}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
