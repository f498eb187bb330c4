"""Read the constant tensors of a TensorFlow Lite file without TensorFlow.

A .tflite file is a FlatBuffer (identifier ``TFL3``). Of its schema only this is used: Model.subgraphs=2,
Model.buffers=4; SubGraph.tensors=0; Tensor shape=0, type=1, buffer=2, name=3; Buffer.data=0. Every
offset is checked, so a damaged or hostile file ends in an error and never in a read outside of it.
"""

from __future__ import annotations

import math
import struct

import numpy as np

from vidstyle.errors import StyleError

FLOAT32, FLOAT16 = 0, 1
MAX_ITEMS = 10_000  # tensors or buffers; the published files hold less than 200
MAX_NAME = 1024


class _Reader:
    """FlatBuffer access by absolute position; ``table`` is the position of a table."""

    def __init__(self, data: bytes) -> None:
        self.data = memoryview(data)  # slices are views: many tensors may claim one large buffer

    def unpack(self, fmt: str, at: int) -> int:
        try:
            return struct.unpack_from(fmt, self.data, at)[0]
        except struct.error:
            raise StyleError("the .tflite file is cut short or damaged: fetch it again") from None

    def field(self, table: int, index: int) -> int | None:
        """Position of a table's field, None where it is left at its default."""
        vtable = table - self.unpack("<i", table)
        if vtable < 0:
            raise StyleError("the .tflite file is damaged: fetch it again")
        slot = 4 + 2 * index
        if slot + 2 > self.unpack("<H", vtable):
            return None
        offset = self.unpack("<H", vtable + slot)
        return table + offset if offset else None

    def follow(self, at: int) -> int:
        return at + self.unpack("<I", at)

    def vector(self, table: int, index: int) -> tuple[int, int]:
        """(length, position of the first item) of a vector field; (0, 0) where absent."""
        at = self.field(table, index)
        if at is None:
            return 0, 0
        start = self.follow(at)
        return self.unpack("<I", start), start + 4

    def tables(self, table: int, index: int) -> list[int]:
        count, start = self.vector(table, index)
        if count > MAX_ITEMS:
            raise StyleError(f"the .tflite file claims {count} items: damaged, or not a published DCT-Net file")
        return [self.follow(start + 4 * i) for i in range(count)]

    def view(self, table: int, index: int) -> memoryview:
        count, start = self.vector(table, index)
        if start + count > len(self.data):
            raise StyleError("the .tflite file is cut short: fetch it again")
        return self.data[start : start + count]

    def scalar(self, table: int, index: int, fmt: str) -> int:
        at = self.field(table, index)
        return 0 if at is None else self.unpack(fmt, at)


def read_constants(data: bytes) -> dict[str, np.ndarray]:
    """Every float constant of the first subgraph by tensor name.

    Raises:
        StyleError: the bytes are not a TensorFlow Lite file.
    """
    if data[4:8] != b"TFL3":
        raise StyleError("not a TensorFlow Lite file (no TFL3 mark): expected a published DCT-Net .tflite")
    reader = _Reader(data)
    model = reader.follow(0)
    buffers = reader.tables(model, 4)
    subgraphs = reader.tables(model, 2)
    constants: dict[str, np.ndarray] = {}
    for tensor in reader.tables(subgraphs[0], 0) if subgraphs else []:
        kind = reader.scalar(tensor, 1, "<b")
        if kind not in (FLOAT32, FLOAT16):
            continue
        count, start = reader.vector(tensor, 0)
        if count > 4:
            continue
        shape = [reader.unpack("<i", start + 4 * i) for i in range(count)]
        index = reader.scalar(tensor, 2, "<I")
        content = reader.view(buffers[index], 0) if index < len(buffers) else b""
        dtype = np.dtype("<f4" if kind == FLOAT32 else "<f2")
        if content and min(shape, default=1) > 0 and math.prod(shape) * dtype.itemsize == len(content):
            name = bytes(reader.view(tensor, 3)[:MAX_NAME]).decode("utf-8", "replace")
            constants[name] = np.frombuffer(content, dtype).reshape(shape)
    return constants
