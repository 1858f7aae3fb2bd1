"""What a hostile client may write on its socket: hypothesis strategies, made from the closed types of `client_frames`.

`shots` are bytes for the wire with what becomes of them. A new frame type, or a new field of one, is fuzzed without a word here.
"""

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import inspect
from websockets.frames import Frame, Opcode
from websockets.utils import apply_mask

from schemas.client_frames import MAX_FRAME_BYTES, ClientFrame
from schemas.ids import MAX_SAFE_INTEGER

Pools = Mapping[str, Sequence[str]]
"""Values that name something, by the names of fields."""
Pairs = list[tuple[str, Any]]
"""An object whose keys may come twice."""


MASK = b"mask"


class Raw(str):
    """JSON, or what only looks like it, written as it is."""

    __slots__ = ()


class Shot(NamedTuple):
    """Bytes for the wire. `message`: the whole message that they are, None if they are none; `ends`: close codes, one of which follows."""

    kind: str
    wire: bytes
    message: bytes | None = None
    ends: frozenset[int] = frozenset()

    def __repr__(self) -> str:
        return f"Shot({self.kind}, {(self.wire if self.message is None else self.message)[:300]!r})"


EDGES = [0, 1, -1, 2**31, MAX_SAFE_INTEGER, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, Raw("1" + "0" * 4999)]
ODD = [
    "\0",
    "\u202e",
    "\u2066",
    "\u200b",
    "\ufeff",
    "\u0301" * 40,
    "e\u0301",
    "\U0001f468\u200d\U0001f469",
    "$where",
    "../..",
    "\n",
]
DEPTHS = (100, 500, 5000)
"""Not near 1000, Python's own limit: hypothesis raises it, so that the frame could be read here and not by the gateway."""
DEEP = [Raw("[" * depth + "]" * depth) for depth in DEPTHS] + [
    Raw('{"a":' * depth + "1" + "}" * depth) for depth in DEPTHS
]
LITERALS = [
    Raw(word)
    for word in (
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-0",
        "01",
        "1.0",
        "tru",
        r'"\ud800"',
        r'"\udc00x"',
        r'"\u00"',
    )
]

_texts = st.text(max_size=20) | st.lists(st.sampled_from(ODD), max_size=4).map("".join)
_scalars = st.none() | st.booleans() | st.sampled_from(EDGES) | st.floats() | _texts | st.sampled_from(LITERALS + DEEP)
_nasty: SearchStrategy[Any] = st.recursive(
    _scalars, lambda below: st.lists(below, max_size=3) | st.dictionaries(_texts, below, max_size=3), max_leaves=5
)


def shots(pools: Pools) -> SearchStrategy[Shot]:
    """Everything: whole frames, broken ones, and what is no frame at all, which ends a connection and is less often."""
    whole = frames(pools)
    text = _fair(whole.map(encode), whole.map(encode), whole.flatmap(broken).map(encode), misshapen(whole))
    messages = text.map(lambda text: Shot("message", _wire(Opcode.TEXT, text), text))
    kinds = [messages] * 20 + [
        text.flatmap(fragmented),
        _controls,
        _sized,
        _binary,
        _undecodable,
        _protocol_errors,
        _noise,
    ]
    return _fair(*kinds)


def first_shots(pools: Pools) -> SearchStrategy[Shot]:
    """What may come instead of `connect`: all of that, and more of `connect` itself."""
    connect = frames(pools, only="connect")
    text = _fair(connect.map(encode), connect.flatmap(broken).map(encode))
    return _fair(text.map(lambda text: Shot("message", _wire(Opcode.TEXT, text), text)), shots(pools))


def frames(pools: Pools, only: str | None = None) -> SearchStrategy[Pairs]:
    """Frames that keep the types' bounds, with values that name something among those that name nothing."""
    kinds = inspect.type_info(ClientFrame)
    assert isinstance(kinds, inspect.UnionType)
    return _fair(*(_struct(kind, pools) for kind in kinds.types if only in (None, _struct_of(kind).tag)))


def broken(frame: Pairs) -> SearchStrategy[Pairs]:
    """A frame with one or two things wrong."""
    once = _broken_once(frame)
    return _fair(once, once, once.flatmap(_broken_once))


def _broken_once(frame: Pairs) -> SearchStrategy[Pairs]:
    places = st.integers(0, max(0, len(frame) - 1))
    keys = _texts | st.sampled_from([key for key, _ in frame] or ["id"])
    put = st.tuples(places, _nasty).map(
        lambda at: [*frame[: at[0]], *((key, at[1]) for key, _ in frame[at[0] :][:1]), *frame[at[0] + 1 :]]
    )
    drop = places.map(lambda at: frame[:at] + frame[at + 1 :])
    add = st.tuples(keys, _nasty).map(lambda pair: [*frame, pair])
    twice = st.tuples(places, _nasty).map(lambda at: [(key, at[1]) for key, _ in frame[at[0] :][:1]] + frame)
    number = st.sampled_from([*EDGES, 1.5]).map(
        lambda number: [*((k, v) for k, v in frame if k != "id"), ("id", number)]
    )
    retyped = st.sampled_from(["message.send", "sync", "presence.set", "nonsense", ""]).map(
        lambda tag: [("type", tag), *frame[1:]]
    )
    return _fair(put, put, put, drop, add, twice, number, retyped)


def encode(value: Any) -> bytes:
    """JSON, as wrong as it is asked for."""
    return _json(value).encode("utf-8", "surrogatepass")


def misshapen(whole: SearchStrategy[Pairs]) -> SearchStrategy[bytes]:
    """A frame cut off, doubled, behind a byte order mark, with a byte changed; what is JSON and no frame; nothing."""
    texts = whole.map(encode)
    cut = st.tuples(texts, st.integers(0, 300)).map(lambda one: one[0][: one[1]])
    changed = st.tuples(texts, st.integers(0, 300), st.integers(0, 255)).map(_with_byte)
    fixed = [
        b"",
        b" ",
        b"{}",
        b"[]",
        b"null",
        b'"x"',
        b"{" * 5000,
        b"[" * 5000,
        b"\xef\xbb\xbf{}",
        b'{"type":"pong"}\0',
    ]
    return _fair(cut, changed, texts.map(lambda text: text * 2), st.sampled_from(fixed), _nasty.map(encode))


def fragmented(message: bytes) -> SearchStrategy[Shot]:
    """A message in pieces, cut anywhere, within a character too, and a ping between them."""

    def pieces(cuts: list[int]) -> Shot:
        edges = [0, *sorted(cut % (len(message) + 1) for cut in cuts), len(message)]
        parts = [message[start:end] for start, end in pairwise(edges)]
        last = len(parts) - 1
        wires = [_wire(Opcode.CONT if n else Opcode.TEXT, part, fin=n == last) for n, part in enumerate(parts)]
        return Shot("fragments", _wire(Opcode.PING, b"between").join(wires), message)

    return st.lists(st.integers(0, 400), min_size=1, max_size=4).map(pieces)


def _fair(*strategies: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """One of these, each as often; `one_of` would look into them, and prefer whoever has most branches."""
    return st.sampled_from(strategies).flatmap(lambda one: one)


def _wire(opcode: Opcode, payload: bytes, *, fin: bool = True) -> bytes:
    """A frame as RFC 6455, 5.2 has it; its mask is always the same, so that an example is, too."""
    size = len(payload)
    length = (
        bytes([0x80 | size])
        if size < 126
        else struct.pack("!BH", 0xFE, size)
        if size < 2**16
        else struct.pack("!BQ", 0xFF, size)
    )
    return bytes([fin << 7 | opcode]) + length + MASK + apply_mask(payload, MASK)


def _padded(size: int) -> Shot:
    message = b'{"type":"pong"' + b" " * (size - 15) + b"}"
    ends = frozenset({1009}) if size > MAX_FRAME_BYTES else frozenset[int]()
    return Shot("sized", _wire(Opcode.TEXT, message), message, ends)


_controls = st.tuples(st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125)).map(
    lambda one: Shot("control", _wire(*one))
)
_sized = st.sampled_from([_padded(size) for size in (MAX_FRAME_BYTES, MAX_FRAME_BYTES + 1, 3 * MAX_FRAME_BYTES)])
_binary = st.binary(max_size=40).map(
    lambda payload: Shot("binary", _wire(Opcode.BINARY, payload), ends=frozenset({1003}))
)
_undecodable = st.tuples(
    st.binary(max_size=40), st.sampled_from([b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"])
).map(lambda one: Shot("bad UTF-8", _wire(Opcode.TEXT, one[0] + one[1]), ends=frozenset({1007})))
_protocol_errors = st.sampled_from(
    [
        b"\xc1" + _wire(Opcode.TEXT, b"{}")[1:],  # a reserved bit
        b"\x83" + _wire(Opcode.TEXT, b"{}")[1:],  # a reserved opcode
        _wire(Opcode.CONT, b"{}"),  # continues nothing
        _wire(Opcode.TEXT, b"{", fin=False) + _wire(Opcode.TEXT, b"}"),  # begins within another
        Frame(Opcode.TEXT, b"{}").serialize(mask=False),
        b"\x89" + _wire(Opcode.TEXT, b"x" * 126)[1:],  # a control frame over 125 bytes
        b"\x09" + _wire(Opcode.TEXT, b"x")[1:],  # a control frame in pieces
        _wire(Opcode.CLOSE, b"\x03"),  # half a close code
        *(_wire(Opcode.CLOSE, struct.pack("!H", code)) for code in (0, 999, 1005, 1006, 5000)),
        _wire(Opcode.CLOSE, struct.pack("!H", 1000) + b"\xff"),
    ]
).map(lambda wire: Shot("protocol error", wire, ends=frozenset({1002, 1007})))
_noise = st.binary(min_size=1, max_size=60).map(lambda wire: Shot("noise", wire))


def _struct_of(kind: inspect.Type) -> inspect.StructType:
    assert isinstance(kind, inspect.StructType)
    return kind


def _struct(kind: inspect.Type, pools: Pools) -> SearchStrategy[Pairs]:
    struct_type = _struct_of(kind)
    fields = [
        _value(field.type, field.encode_name, pools).map(lambda value, name=field.encode_name: [(name, value)])
        for field in struct_type.fields
    ]
    required = [field.required or field.encode_name == "id" for field in struct_type.fields]
    maybe = [one if must else st.just(Pairs()) | one for one, must in zip(fields, required, strict=True)]
    tag = [(struct_type.tag_field, struct_type.tag)] if struct_type.tag_field else []
    return st.tuples(*maybe).map(lambda parts: [*tag, *(pair for part in parts for pair in part)])


def _value(kind: inspect.Type, name: str, pools: Pools) -> SearchStrategy[Any]:
    made: SearchStrategy[Any]
    match kind:
        case inspect.UnionType(types=types):
            made = st.one_of([_value(one, name, pools) for one in types])
        case inspect.NoneType():
            made = st.none()
        case inspect.BoolType():
            made = st.booleans()
        case inspect.IntType(ge=low, le=high):
            made = st.integers(low, min(high or MAX_SAFE_INTEGER, 300)) | st.integers(low, high)
        case inspect.StrType():
            made = _string(kind, name, pools)
        case inspect.LiteralType(values=values):
            made = st.sampled_from(values)
        case inspect.VarTupleType(item_type=item, min_length=fewest, max_length=most):
            made = st.lists(_value(item, name, pools), min_size=fewest or 0, max_size=min(most or 5, 5))
        case inspect.StructType():
            made = _struct(kind, pools)
        case _:
            raise TypeError(f"no strategy for {kind}")
    return made


def _string(kind: inspect.StrType, name: str, pools: Pools) -> SearchStrategy[str]:
    if kind.pattern:
        free = st.uuids().map(str)
    else:
        free = st.text(min_size=kind.min_length or 0, max_size=min(kind.max_length or 64, 64)) | _texts
    if name not in pools:
        return free
    known = st.sampled_from(pools[name])
    return _fair(known, free, _tokens) if name == "token" else _fair(known, known, known, free)


def _base64(value: Any) -> str:
    return base64.urlsafe_b64encode(encode(value)).decode().rstrip("=")


_headers = st.tuples(st.sampled_from(["EdDSA", "none", "HS256", None, 1, [], {}]), _nasty).map(
    lambda one: {"alg": one[0], "typ": "at+jwt", "kid": one[1]}
)
_tokens = st.tuples(_headers | _nasty, _nasty, st.binary(max_size=64)).map(
    lambda one: f"{_base64(one[0])}.{_base64(one[1])}.{base64.urlsafe_b64encode(one[2]).decode().rstrip('=')}"
)


def _with_byte(one: tuple[bytes, int, int]) -> bytes:
    text, at, byte = one
    at %= max(1, len(text))
    return text[:at] + bytes([byte]) + text[at + 1 :]


def _json(value: Any) -> str:
    match value:
        case Raw():
            return value
        case dict():
            return _json(list(value.items())) if value else "{}"
        case [(str(), _), *_] if all(isinstance(one, tuple) for one in value):
            return "{" + ",".join(f"{json.dumps(key)}:{_json(below)}" for key, below in value) + "}"
        case list():
            return "[" + ",".join(map(_json, value)) + "]"
        case str() if len(value) % 2:
            return json.dumps(value, ensure_ascii=False)
        case _:
            return json.dumps(value)
