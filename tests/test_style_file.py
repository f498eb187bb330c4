"""Style files: what is written comes back, and nothing else is taken for a style."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from style_files import TINY, random_weights, write_style

from vidstyle.errors import StyleError
from vidstyle.network import Architecture
from vidstyle.style import Card, load_style, read_card, save_style, weights_sha256


def rewrite(path: Path, change: Callable[[dict], None]) -> Path:
    """Change the JSON header of a safetensors file; its tensors stay."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])
    return path


def with_metadata(path: Path, **values: str | None) -> Path:
    """Replace entries of a style's metadata; None removes one."""

    def change(header: dict) -> None:
        header["__metadata__"] |= {key: value for key, value in values.items() if value is not None}
        for key in [key for key, value in values.items() if value is None]:
            del header["__metadata__"][key]

    return rewrite(path, change)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_style(tmp_path / "tiny.safetensors", training={"steps": 12, "data": ["a", "b"]})


def test_round_trip(path: Path) -> None:
    style = load_style(path)
    card = style.card
    assert (style.name, card.look, card.licence) == ("tiny", "A test's look", "Apache-2.0")
    assert (card.provenance, card.training) == ("made by a test", {"steps": 12, "data": ["a", "b"]})
    assert card.architecture == TINY and style.path == path
    want = random_weights(TINY)
    assert card.parameters == sum(value.size for value in want.values())
    assert card.sha256 == weights_sha256(want)
    assert set(style.weights) == set(want)
    assert all(np.array_equal(style.weights[name], want[name]) for name in want)
    assert read_card(path) == card
    assert [p.name for p in path.parent.iterdir()] == ["tiny.safetensors"]  # no .part stays


def test_half_precision_is_kept(tmp_path: Path) -> None:
    half = {name: value.astype(np.float16) for name, value in random_weights(TINY).items()}
    path = tmp_path / "half.safetensors"
    card = save_style(path, Card("half", "l", TINY, "MIT", "p"), half)
    style = load_style(path)
    assert {value.dtype for value in style.weights.values()} == {np.dtype(np.float16)}
    assert style.card == card


def test_card_as_dict_is_json_ready(path: Path) -> None:
    data = json.loads(json.dumps(read_card(path).as_dict()))
    assert data["architecture"] == {
        "name": "student", "widths": [4, 4], "blocks": [0, 1], "down_blocks": [0, 0], "guided": False, "smooth": False,
    }  # fmt: skip
    assert data["kflop_per_pixel"] > 0 and data["sha256"] == read_card(path).sha256


def test_digest_ignores_order_and_sees_every_bit() -> None:
    weights = random_weights(TINY)
    assert weights_sha256(dict(reversed(weights.items()))) == weights_sha256(weights)
    changed = {name: value.copy() for name, value in weights.items()}
    changed["stem.bias"].view(np.uint32)[0] ^= 1
    assert weights_sha256(changed) != weights_sha256(weights)
    assert weights_sha256(weights | {"stem.bias": weights["stem.bias"][None]}) != weights_sha256(weights)


def test_altered_weights_are_refused(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(StyleError, match="was altered"):
        load_style(path)
    assert read_card(path).name == "tiny"  # the card alone does not tell


def test_truncations_and_flips_raise_style_errors_only(path: Path) -> None:
    data = path.read_bytes()
    for cut in [*range(64), *range(64, len(data), 97)]:
        path.write_bytes(data[:cut])
        with pytest.raises(StyleError):
            load_style(path)
    chance = random.Random(5)
    for _ in range(400):
        flipped = bytearray(data)
        for _ in range(chance.randint(1, 3)):
            flipped[chance.randrange(1500)] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        with suppress(StyleError):
            load_style(path).card.as_dict()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"format": "vidstyle 2"}, "update vidstyle"),
        ({"format": "pt"}, "without a vidstyle card"),
        ({"format": None}, "without a vidstyle card"),
        ({"channel_order": "BGR"}, "channel order"),
        ({"value_range": "0..1"}, "value range"),
        ({"licence": None}, "damaged"),
        ({"name": "../../evil"}, "cannot be named"),
        ({"parameters": "many"}, "damaged"),
        ({"training": "{"}, "damaged"),
        ({"training": "5"}, "damaged"),
        ({"architecture": "[]"}, "damaged"),
        ({"architecture": "[" * 100_000}, "damaged"),
        ({"architecture": '{"name": "resnet"}'}, "this version knows ttn, student"),
        ({"architecture": '{"name": "ttn", "attention": true}'}, "needs a newer vidstyle"),
        ({"architecture": '{"name": "student", "widths": [4]}'}, "one length"),
        ({"architecture": '{"name": "student", "widths": "ab", "blocks": "ab", "down_blocks": "ab"}'}, "damaged"),
        (
            {"architecture": '{"name": "student", "widths": [4, 4], "blocks": [0, 1e9], "down_blocks": [0, 0]}'},
            "damaged",
        ),
        (
            {"architecture": '{"name": "student", "widths": [4, 4], "blocks": [0, 999999999], "down_blocks": [0, 0]}'},
            "damaged",
        ),
        ({"architecture": '{"name": "student", "widths": [4, 8], "blocks": [0, 1], "down_blocks": [0, 0]}'}, "shape"),
        ({"architecture": '{"name": "ttn"}'}, "missing or left over"),
        (
            {
                "architecture": '{"name": "student", "widths": [4, 4], "blocks": [0, 1], "down_blocks": [0, 0],'
                ' "guided": "no"}'
            },
            "neither true nor false",
        ),
    ],
)
def test_bad_cards_are_refused_in_one_line(path: Path, values: dict, says: str) -> None:
    with pytest.raises(StyleError, match=says) as caught:
        load_style(with_metadata(path, **values))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("kind", "size"), [("BF16", 2), ("I32", 4), ("F8_E4M3", 1), ("F6_E2M3", 0.75)])
def test_other_types_of_weights_are_refused(path: Path, kind: str, size: float) -> None:
    def change(header: dict) -> None:
        entry = header["stem.bias"]
        start, end = entry["data_offsets"]
        entry |= {"dtype": kind, "shape": [int((end - start) / size)]}

    with pytest.raises(StyleError, match=r"type|expected float16"):
        load_style(rewrite(path, change))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_numbers_are_refused(tmp_path: Path, value: float) -> None:
    """Their pictures are black, or noise."""
    weights = random_weights(TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vidstyle.style.prepare", lambda *_: None)  # as another program may write it
        weights["head.bias"][1] = value
        save_style(tmp_path / "x.safetensors", Card("x", "l", TINY, "MIT", "p"), weights)
    with pytest.raises(StyleError, match=r"head\.bias holds values that are not numbers"):
        load_style(tmp_path / "x.safetensors")
    with pytest.raises(StyleError, match=r"head\.bias holds values that are not numbers"):
        save_style(tmp_path / "y.safetensors", Card("y", "l", TINY, "MIT", "p"), weights)


@pytest.mark.parametrize("data", [b"", b"hello, this is a text\n" * 20, b"\x80\x04pickle", b"PK\x03\x04" + bytes(60)])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "odd.safetensors"
    path.write_bytes(data)
    with pytest.raises(StyleError, match="not a style file"):
        load_style(path)


def test_missing_folder_nul_and_too_large(tmp_path: Path) -> None:
    for path, says in [(tmp_path / "no", "no style file"), (tmp_path, "not a style"), (Path("a\0b"), "not a style")]:
        with pytest.raises(StyleError, match=says):
            load_style(path)
    with open(tmp_path / "large", "wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(StyleError, match="at most"):
        load_style(tmp_path / "large")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "..", "Ä", "a.b", "x" * 65, "-_-"])
def test_names_that_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StyleError, match="cannot be named"):
        save_style(tmp_path / "x.safetensors", Card(name, "l", TINY, "MIT", "p"), random_weights(TINY))
    assert list(tmp_path.iterdir()) == []


def test_weights_must_fit_when_saved(tmp_path: Path) -> None:
    weights = random_weights(TINY)
    del weights["head.bias"]
    with pytest.raises(StyleError, match=r"head\.bias missing or left over"):
        save_style(tmp_path / "x.safetensors", Card("x", "l", TINY, "MIT", "p"), weights)
    with pytest.raises(StyleError, match="missing or left over"):
        save_style(tmp_path / "x.safetensors", Card("x", "l", Architecture("ttn"), "MIT", "p"), random_weights(TINY))
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file, so no folder can be here")
    with pytest.raises(StyleError, match="cannot write"):
        write_style(taken / "x.safetensors")
    (tmp_path / "y.safetensors").mkdir()
    with pytest.raises(StyleError, match="cannot write"):
        write_style(tmp_path / "y.safetensors")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["taken", "y.safetensors"]
