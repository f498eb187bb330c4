"""Small style files and published-looking networks, written from scratch."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vidstyle.network import Architecture, Weights, layers
from vidstyle.style import Card, save_style

TINY = Architecture("student", (4, 4), (0, 1), (0, 0), guided=False)


def random_weights(arch: Architecture, seed: int = 0) -> Weights:
    """float32 weights that fit ``arch``."""
    random = np.random.default_rng(seed)
    weights: Weights = {}
    for name, layer in layers(arch).items():
        weights[f"{name}.weight"] = random.normal(0, 0.05, (layer.out, layer.inp, layer.k, layer.k)).astype("f4")
        weights[f"{name}.bias"] = random.normal(0, 0.05, layer.out).astype("f4")
    return weights


def write_style(path: Path, name: str = "", seed: int = 0, **card: object) -> Path:
    """A style of the tiny student at ``path``."""
    known = {"look": "A test's look", "licence": "Apache-2.0", "provenance": "made by a test"}
    save_style(path, Card(name=name or path.stem, architecture=TINY, **(known | card)), random_weights(TINY, seed))  # type: ignore[arg-type]
    return path


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | bytes | str) -> bytes:
    """One protobuf field: a varint, or bytes with their length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def tensor_proto(array: np.ndarray, sizes: Iterable[int] | None = None) -> bytes:
    """TensorProto of a float array; ``sizes`` lie about its shape."""
    shape = b"".join(field(2, field(1, size)) for size in (array.shape if sizes is None else sizes))
    kind = {"float32": 1, "float16": 19}[array.dtype.name]
    return field(1, kind) + field(2, shape) + field(4, array.tobytes())


def const_node(name: str, proto: bytes) -> bytes:
    """One NodeDef of a GraphDef that holds a constant."""
    attributes = field(5, field(1, "dtype") + field(2, field(6, 1))) + field(
        5, field(1, "value") + field(2, field(8, proto))
    )
    return field(1, field(1, name) + field(2, "Const") + attributes)


def frozen_graph(constants: dict[str, np.ndarray]) -> bytes:
    """A GraphDef with a placeholder, these constants and a version."""
    nodes = [const_node(name, tensor_proto(array)) for name, array in constants.items()]
    return field(1, field(1, "input_image") + field(2, "Placeholder")) + b"".join(nodes) + field(4, field(1, 27))


class _FlatBuffer:
    """Written front to back: a table's offsets are filled in when what they point to is there."""

    def __init__(self) -> None:
        self.data = bytearray(struct.pack("<I4s", 0, b"TFL3"))

    def table(self, slot: int, fields: dict[int, tuple[str, int]]) -> dict[int, int]:
        """Append a table that ``slot`` points to; give the positions of its fields by index."""
        self.data += bytes(-len(self.data) % 4)
        vtable, count = len(self.data), max(fields) + 1
        offsets = {index: 4 + 4 * i for i, index in enumerate(fields)}
        self.data += struct.pack("<HH", 4 + 2 * count, 4 + 4 * len(fields))
        self.data += b"".join(struct.pack("<H", offsets.get(index, 0)) for index in range(count))
        self.data += bytes(-len(self.data) % 4)
        table = len(self.data)
        self.link(slot, table)
        self.data += struct.pack("<i", table - vtable)
        for fmt, value in fields.values():
            self.data += struct.pack(f"<{fmt}", value).ljust(4, b"\0")
        return {index: table + offset for index, offset in offsets.items()}

    def link(self, slot: int, target: int) -> None:
        struct.pack_into("<I", self.data, slot, target - slot)

    def vector(self, slot: int, count: int, items: bytes) -> int:
        """Append a vector that ``slot`` points to; give the position of its first item."""
        self.data += bytes(-len(self.data) % 4)
        self.link(slot, len(self.data))
        self.data += struct.pack("<I", count) + items
        return len(self.data) - len(items)


OFFSET = ("I", 0)


def tflite(constants: dict[str, np.ndarray], sizes: dict[str, Iterable[int]] | None = None) -> bytes:
    """A .tflite with these constants; ``sizes`` lie about the shape of those they name."""
    flat, items = _FlatBuffer(), list(constants.items())
    model = flat.table(0, {0: ("I", 3), 2: OFFSET, 4: OFFSET})
    graph = flat.table(flat.vector(model[2], 1, bytes(4)), {0: OFFSET})
    tensors = flat.vector(graph[0], len(items), bytes(4 * len(items)))
    for i, (name, array) in enumerate(items):
        kind = {"float32": 0, "float16": 1}[array.dtype.name]
        tensor = flat.table(tensors + 4 * i, {0: OFFSET, 1: ("b", kind), 2: ("I", i + 1), 3: OFFSET})
        shape = tuple((sizes or {}).get(name, array.shape))
        flat.vector(tensor[0], len(shape), struct.pack(f"<{len(shape)}i", *shape))
        flat.vector(tensor[3], len(name), name.encode())
    buffers = flat.vector(model[4], len(items) + 1, bytes(4 * len(items) + 4))
    flat.table(buffers, {1: ("I", 0)})  # buffer 0 is the empty one by convention
    for i, (_, array) in enumerate(items):
        flat.vector(flat.table(buffers + 4 + 4 * i, {0: OFFSET})[0], array.nbytes, array.tobytes())
    return bytes(flat.data)


def published_names() -> dict[str, str]:
    """Our name of a layer of the full network -> the published graph's."""
    names = {"conv0": "Conv"} | {f"conv{i}": f"Conv_{i}" for i in range(1, 10)}
    return names | {f"block{i}.conv{j}": f"block_{i}/conv{j}" for i in range(4) for j in (1, 2)}


def published(weights: Weights, kernel: str = "weights", axes: tuple[int, ...] = (2, 3, 1, 0)) -> dict[str, np.ndarray]:
    """The constants a published file holds for our ``weights``: BGR, kernels as HWIO or by ``axes``."""
    constants = {}
    for ours, theirs in published_names().items():
        w, b = weights[f"{ours}.weight"], weights[f"{ours}.bias"]
        if ours == "conv0":
            w = w[:, ::-1]
        if ours == "conv9":
            w, b = w[::-1], b[::-1]
        constants[f"generator/{theirs}/{kernel}"] = np.ascontiguousarray(w.transpose(axes))
        constants[f"generator/{theirs}/biases"] = np.ascontiguousarray(b)
    return constants


def published_pb(weights: Weights) -> bytes:
    return frozen_graph(published(weights))


def published_tflite(weights: Weights) -> bytes:
    return tflite(published(weights, "Conv2D", (0, 2, 3, 1)))
