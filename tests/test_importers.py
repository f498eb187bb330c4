"""Reading published networks: the values come through, and no file does harm."""

from __future__ import annotations

import io
import pickle
import random
import time
import zipfile
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from style_files import (
    const_node,
    field,
    frozen_graph,
    published,
    published_pb,
    published_tflite,
    random_weights,
    tensor_proto,
    tflite,
)

from vidstyle import frozen_graph as graphs
from vidstyle import tflite as lites
from vidstyle.engine import EngineSpec, Recipe, load_engine
from vidstyle.errors import StyleError
from vidstyle.importer import MAX_BYTES, import_published, read_published
from vidstyle.network import Architecture, Weights

Reader = Callable[[bytes], dict[str, np.ndarray]]
SMALL: dict[str, np.ndarray] = {
    "a/weights": np.arange(2 * 3 * 2 * 4, dtype=np.float32).reshape(2, 3, 2, 4),
    "a/biases": np.array([1.5, -2, 0.25], np.float32),
    "b/half": np.array([[0.5, 1], [2, 4]], np.float16),
}


@pytest.fixture(scope="module")
def weights() -> Weights:
    return random_weights(Architecture("ttn"))


def refused(path: Path, data: bytes, says: str) -> None:
    path.write_bytes(data)
    with pytest.raises(StyleError, match=says) as caught:
        read_published(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("write", "read"), [(frozen_graph, graphs.read_constants), (tflite, lites.read_constants)])
def test_constants_come_through(write: Callable, read: Reader) -> None:
    found = read(write(SMALL))
    assert set(found) == set(SMALL)
    for name, value in SMALL.items():
        assert found[name].dtype == value.dtype and np.array_equal(found[name], value)


def test_packed_floats_of_a_frozen_graph() -> None:
    value = np.array([1, 2, 3], np.float32)
    proto = field(1, 1) + field(2, field(2, field(1, 3))) + field(5, value.tobytes())
    assert np.array_equal(graphs.read_constants(const_node("x", proto))["x"], value)


@pytest.mark.parametrize(
    "sizes",
    [(2, 2, 2, 2, 3), (0, 1 << 63), (1 << 64,), (1,) * 70, (47,), (-1 % (1 << 64), 48), ()],
)
def test_shapes_that_lie_are_no_constants(sizes: tuple[int, ...]) -> None:
    value = np.zeros(48, np.float32)
    assert graphs.read_constants(const_node("x", tensor_proto(value, sizes))) == {}
    assert graphs.read_constants(const_node("x", tensor_proto(value[:0], sizes))) == {}


def test_a_size_that_is_no_number() -> None:
    proto = field(1, 1) + field(2, field(2, field(1, b"ab"))) + field(4, bytes(8))
    assert graphs.read_constants(const_node("x", proto)) == {}


@pytest.mark.parametrize("shape", [(-1, -48), (-6, -8, 1, 1), (7, 7), (1, 1, 1, 1, 48)])
def test_tflite_shapes_that_lie_are_no_constants(shape: tuple[int, ...]) -> None:
    assert lites.read_constants(tflite({"x": np.zeros(48, np.float32)}, {"x": shape})) == {}


@pytest.mark.parametrize(("write", "read"), [(frozen_graph, graphs.read_constants), (tflite, lites.read_constants)])
def test_every_truncation_and_random_flips(write: Callable, read: Reader) -> None:
    data = write(SMALL)
    began = time.monotonic()
    for cut in range(len(data)):
        with suppress(StyleError):
            read(data[:cut])
    chance = random.Random(1)
    for _ in range(4000):
        flipped = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            flipped[chance.randrange(len(data))] = chance.randrange(256)
        with suppress(StyleError):
            read(bytes(flipped))
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("write", [published_pb, published_tflite])
def test_import_of_a_handmade_network(tmp_path: Path, weights: Weights, write: Callable[[Weights], bytes]) -> None:
    path = tmp_path / "cartoon_bg.bin"  # the kind is told from the bytes
    path.write_bytes(write(weights))
    style = import_published(path, "mine")
    assert (style.name, style.card.licence, style.card.architecture) == ("mine", "Apache-2.0", Architecture("ttn"))
    assert "DCT-Net" in style.card.provenance and style.card.parameters == 1_467_075
    assert set(style.weights) == set(weights)
    assert all(np.array_equal(style.weights[name], weights[name]) for name in weights)


def test_another_network_is_refused(tmp_path: Path, weights: Weights) -> None:
    constants = published(weights)
    without = {name: value for name, value in constants.items() if "Conv_7" not in name}
    refused(tmp_path / "a.pb", frozen_graph(without), "no layer generator/Conv_7")
    wider = constants | {"generator/Conv_2/weights": np.zeros((3, 3, 32, 65), np.float32)}
    refused(tmp_path / "b.pb", frozen_graph(wider), "shape")
    scalar = constants | {"generator/Conv_9/biases": np.array(1, np.float32)}
    refused(tmp_path / "c.pb", frozen_graph(scalar), "no layer generator/Conv_9")
    broken = constants | {"generator/Conv_3/biases": np.full(64, np.nan, np.float32)}
    refused(tmp_path / "d.pb", frozen_graph(broken), "not numbers")
    refused(tmp_path / "e.tflite", tflite({"x": np.zeros(4, np.float32)}), "not a published DCT-Net network")


def test_pickles_are_refused(tmp_path: Path) -> None:
    for protocol in range(2, 6):
        refused(tmp_path / "x.pb", pickle.dumps({"w": [1]}, protocol), "pickle")
    for protocol in (0, 1):  # no mark of their own
        refused(tmp_path / "x.pb", pickle.dumps({"w": [1]}, protocol), "cannot import")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02}.")
    refused(tmp_path / "model.pt", archive.getvalue(), "torch archive")


def test_other_files_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "empty.pb", b"", "is empty")
    refused(tmp_path / "text.pb", b"It was a dark and stormy night.\n" * 99, "cannot import")
    refused(tmp_path / "page.pb", b"<!DOCTYPE html><html>404</html>", "cannot import")
    refused(tmp_path / "json.pb", b'{"Code": 404, "Message": "no such file"}', "cannot import")
    refused(tmp_path / "zeros.pb", bytes(5000), "cannot import")
    refused(tmp_path / "short.tflite", b"\x1c\0\0\0TFL3", "cut short or damaged")
    refused(tmp_path / "noise.pb", random.Random(2).randbytes(20_000), "cannot import")
    with pytest.raises(StyleError, match="cannot read"):
        read_published(tmp_path / "none.pb")
    with pytest.raises(StyleError, match="cannot read"):
        read_published(tmp_path)
    with pytest.raises(StyleError, match="cannot read"):
        read_published(Path("a\0b"))


def test_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with open(tmp_path / "large.pb", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(StyleError, match=f"larger than {MAX_BYTES >> 20} MB"):
        read_published(tmp_path / "large.pb")


def test_many_tensors_that_claim_one_large_buffer_are_quick() -> None:
    shared = tflite({f"t{i}": np.zeros(1, np.float32) for i in range(2000)})
    hostile = lites.read_constants(shared + bytes(1 << 20))
    assert len(hostile) == 2000
    with pytest.raises(StyleError, match="claims"):
        lites.read_constants(tflite({f"t{i}": np.zeros(1, np.float32) for i in range(10_001)}))


def test_published_files_agree(shared: Callable[[str], Path]) -> None:
    graph = read_published(shared("teachers/anime_frozen.pb"))
    lite = read_published(shared("teachers/anime.tflite"))
    assert set(graph) == set(lite)
    for name in graph:
        assert np.array_equal(graph[name].astype(np.float16), lite[name])


@pytest.mark.parametrize("look", ["3d", "artstyle", "design", "handdrawn", "illustration", "sketch"])
def test_every_published_look_is_read(shared: Callable[[str], Path], look: str) -> None:
    style = import_published(shared(f"teachers/{look}.tflite"), look)
    assert style.card.parameters == 1_467_075


@pytest.mark.usefixtures("home")
def test_parity_with_the_published_graph(shared: Callable[[str], Path]) -> None:
    parity = np.load(shared("teachers/anime_parity.npz"))
    source, want = (parity[name][None, ..., ::-1] for name in ("input_bgr", "output_bgr"))
    style = import_published(shared("teachers/anime_frozen.pb"), "anime")
    spec = EngineSpec(source.shape[1], source.shape[2], precision="f32", device="cpu")
    with closing(load_engine(Recipe(((style, 1.0),)), spec, "openvino")) as engine:
        result = engine(np.ascontiguousarray(source))
    assert result.shape == want.shape and result.dtype == np.uint8
    assert np.abs(result.astype(int) - want).max() <= 1


@pytest.mark.parametrize("name", ["anime_frozen.pb", "anime.tflite"])
def test_damaged_published_files(shared: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    data, path = shared(f"teachers/{name}").read_bytes(), tmp_path / name
    for cut in [*range(0, 2000, 67), *range(2000, len(data), len(data) // 25)]:
        path.write_bytes(data[:cut])
        with pytest.raises(StyleError):
            read_published(path)
    chance = random.Random(3)
    for _ in range(25):
        flipped = bytearray(data)
        for _ in range(200):
            flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        with suppress(StyleError):
            read_published(path)
