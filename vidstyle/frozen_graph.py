"""Read the published ``cartoon_bg.pb`` (a TensorFlow frozen graph) without TensorFlow.

Only what a constant needs is decoded: GraphDef.node=1; NodeDef name=1, op=2, attr=5 (a map: key=1,
value=2); AttrValue.tensor=8; TensorProto dtype=1, tensor_shape=2 (dim=2, size=1), tensor_content=4,
float_val=5. Nothing in the file is executed, and every length is checked against what is there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from vidstyle.errors import StyleError

DT_FLOAT, DT_HALF = 1, 19
MAX_DIMS = 4
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise StyleError("the frozen graph is cut short or damaged: fetch it again")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (field number, value) of one protobuf message; values are ints or views, never copies."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, at = _varint(data, at)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise StyleError("not a TensorFlow frozen graph (bad protobuf field): expected cartoon_bg.pb or a .tflite")
        if at + length > len(data):
            raise StyleError("the frozen graph is cut short or damaged: fetch it again")
        yield key >> 3, data[at : at + length]
        at += length


def _messages(data: memoryview, number: int) -> Iterator[memoryview]:
    for field, value in _fields(data):
        if field == number and isinstance(value, memoryview):
            yield value


def _text(data: memoryview, number: int) -> str:
    return next((bytes(value).decode("utf-8", "replace") for value in _messages(data, number)), "")


def _shape(proto: memoryview) -> list[int]:
    """Sizes of a TensorProto; 0 for one that is left out or is no number."""
    sizes = []
    for shape in _messages(proto, 2):
        for dim in _messages(shape, 2):
            size = next((value for field, value in _fields(dim) if field == 1), 0)
            sizes.append(size if isinstance(size, int) else 0)
    return sizes


def _tensor(proto: memoryview) -> np.ndarray | None:
    """Decode a float TensorProto; None for other types, and for what no layer of the network has."""
    kind = next((value for field, value in _fields(proto) if field == 1), None)
    if kind not in (DT_FLOAT, DT_HALF):
        return None
    shape = _shape(proto)
    dtype = np.dtype("<f4" if kind == DT_FLOAT else "<f2")
    content: memoryview | bytes | None = next(_messages(proto, 4), None)
    if content is None:
        content = b"".join(bytes(v) for v in _messages(proto, 5)) if kind == DT_FLOAT else b""
    if len(shape) > MAX_DIMS or not content or math.prod(shape) * dtype.itemsize != len(content):
        return None  # a scalar repeated, or an empty tensor: never one of the network's weights
    return np.frombuffer(content, dtype).reshape(shape)


def read_constants(data: bytes) -> dict[str, np.ndarray]:
    """Every float constant of a frozen graph by node name.

    Raises:
        StyleError: the bytes are not a frozen graph.
    """
    constants: dict[str, np.ndarray] = {}
    for node in _messages(memoryview(data), 1):
        if _text(node, 2) != "Const":
            continue
        name = _text(node, 1)
        for entry in _messages(node, 5):
            if _text(entry, 1) != "value":
                continue
            for value in _messages(entry, 2):
                for proto in _messages(value, 8):
                    if (array := _tensor(proto)) is not None:
                        constants[name] = array
    return constants
