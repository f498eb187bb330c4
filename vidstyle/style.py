"""A style: a look, as one safetensors file whose metadata is its card."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vidstyle import int8
from vidstyle.errors import StyleError
from vidstyle.int8 import Ranges
from vidstyle.network import Architecture, Weights, flops_per_pixel, layers, prepare
from vidstyle.whole import write_whole

FORMAT = "1"
MAX_FILE_BYTES = 64 << 20  # the largest network, the TTN in float32, is 5.9 MB
MAX_LEVELS, MAX_WIDTH, MAX_BLOCKS = 8, 1024, 64  # of a student; those in use have 3, 96 and 4
CHANNEL_ORDER, VALUE_RANGE = "RGB", "-1..1"


@dataclass(frozen=True)
class Card:
    """What a person should know of a style before using it; stored in the file's metadata."""

    name: str  # letters, digits, - and _; what --style takes
    look: str  # one sentence a person understands
    architecture: Architecture
    licence: str  # SPDX identifier
    provenance: str  # whose work it is and where it came from
    training: dict[str, Any] = field(default_factory=dict)  # how it was made: data, steps, losses
    parameters: int = 0
    sha256: str = ""  # of the weights: see weights_sha256

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; adds the cost per pixel, which follows from the architecture."""
        return {
            "name": self.name,
            "look": self.look,
            "architecture": self.architecture.to_card(),
            "kflop_per_pixel": round(flops_per_pixel(self.architecture) / 1e3, 1),
            "parameters": self.parameters,
            "licence": self.licence,
            "provenance": self.provenance,
            "training": self.training,
            "sha256": self.sha256,
        }


@dataclass(frozen=True)
class Style:
    """A card and its weights as read, checked, in float32 (`vidstyle.network.prepare`'s input).

    Attributes:
        ranges: for eight bits (`vidstyle.int8`); empty where pictures have not given them.
    """

    card: Card
    weights: Weights
    path: Path | None = None
    ranges: Ranges = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.card.name


def weights_sha256(weights: Weights) -> str:
    """Digest of names, types, shapes and bytes in name order: the same for any file layout."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = np.ascontiguousarray(weights[name])
        digest.update(f"{name}:{value.dtype.str}:{value.shape};".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def check_name(name: str) -> str:
    """Return ``name`` if it can be a style's name and a file's.

    Raises:
        StyleError: it holds anything but letters, digits, - and _, or is longer than 64.
    """
    if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum() or len(name) > 64:
        raise StyleError(f"a style cannot be named {name!r}: use letters, digits, - and _ (at most 64)")
    return name


def save_style(path: Path, card: Card, weights: Weights, ranges: Ranges | None = None) -> Card:
    """Write a style file whole or not at all (``.part``, then rename); return the card as stored.

    The digest and the parameter count are filled in here; the types of ``weights`` are kept. ``ranges``: see `Style`.
    """
    from safetensors.numpy import save

    check_name(card.name)
    prepare(card.architecture, weights)
    card = Card(
        **{
            **card.__dict__,
            "parameters": sum(value.size for value in weights.values()),
            "sha256": weights_sha256(weights),
        }
    )
    metadata = {
        "format": f"vidstyle {FORMAT}",
        "name": card.name,
        "look": card.look,
        "architecture": json.dumps(card.architecture.to_card()),
        "licence": card.licence,
        "provenance": card.provenance,
        "training": json.dumps(card.training),
        "parameters": str(card.parameters),
        "sha256": card.sha256,
        "channel_order": CHANNEL_ORDER,
        "value_range": VALUE_RANGE,
        **({"ranges": int8.to_text(ranges)} if ranges else {}),
    }
    data = save({name: np.ascontiguousarray(value) for name, value in weights.items()}, metadata)
    try:
        write_whole(path, data)
    except OSError as error:
        raise StyleError(f"cannot write the style {path}: {error.strerror or error}") from error
    return card


def _open(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise StyleError(f"{path} has {size} bytes; a style has at most {MAX_FILE_BYTES}: not a style")
        return safe_open(path, framework="np")
    except FileNotFoundError:
        raise StyleError(f"no style file {path}") from None
    except (OSError, ValueError, SafetensorError) as error:  # ValueError: a path no system call takes
        raise StyleError(f"{path} is not a style file ({error}): expected vidstyle's .safetensors") from error


def _architecture(text: str) -> Architecture:
    """Read a card's architecture, which may be anybody's: types and sizes are checked before use.

    Raises:
        ValueError: not a network's shape, or one far beyond any use.
    """
    entry = json.loads(text)
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise ValueError("the architecture is not a table with a name")
    arch = Architecture.from_card(entry)
    for key, least, most in (("widths", 1, MAX_WIDTH), ("blocks", 0, MAX_BLOCKS), ("down_blocks", 0, MAX_BLOCKS)):
        values = getattr(arch, key)
        if not isinstance(values, tuple) or len(values) > MAX_LEVELS:
            raise ValueError(f"{key} is not a list of at most {MAX_LEVELS}")
        if any(type(value) is not int or not least <= value <= most for value in values):
            raise ValueError(f"{key} holds something other than {least} to {most}")
    if type(arch.guided) is not bool or type(arch.smooth) is not bool:
        raise ValueError("guided or smooth is neither true nor false")
    return arch


def _training(text: str) -> dict[str, Any]:
    training = json.loads(text)
    if not isinstance(training, dict):
        raise ValueError("the training record is not a table")
    return training


def _card(metadata: dict[str, str] | None, path: Path) -> Card:
    metadata = metadata or {}
    kind, _, version = metadata.get("format", "").partition(" ")
    if kind != "vidstyle":
        raise StyleError(f"{path} is a safetensors file without a vidstyle card: not a style")
    if version != FORMAT:
        raise StyleError(f"{path} is a style of format {version}; this version reads {FORMAT}: update vidstyle")
    if (metadata.get("channel_order"), metadata.get("value_range")) != (CHANNEL_ORDER, VALUE_RANGE):
        raise StyleError(f"{path}: channel order or value range is not {CHANNEL_ORDER}, {VALUE_RANGE}")
    try:
        return Card(
            name=check_name(metadata["name"]),
            look=metadata["look"],
            architecture=_architecture(metadata["architecture"]),
            licence=metadata["licence"],
            provenance=metadata["provenance"],
            training=_training(metadata["training"]),
            parameters=int(metadata["parameters"]),
            sha256=metadata["sha256"],
        )
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise StyleError(f"{path}: the style's card is damaged ({error!r}): get the file again") from error


def _ranges(metadata: dict[str, str], arch: Architecture, path: Path) -> Ranges:
    try:
        channels = {name: layer.inp for name, layer in layers(arch).items()} if arch.name == "student" else {}
        return int8.from_text(metadata.get("ranges", ""), channels)
    except (ValueError, RecursionError) as error:
        raise StyleError(f"{path}: the style's ranges are damaged ({error}): get the file again") from error


def read_card(path: Path) -> Card:
    """Read a style's card only.

    Raises:
        StyleError: not a style file, of another format, or damaged.
    """
    with _open(path) as file:
        return _card(file.metadata(), path)


def _weights(file: Any, path: Path) -> Weights:
    from safetensors import SafetensorError

    try:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (TypeError, AttributeError, SafetensorError) as error:  # bfloat16, float8: types that numpy lacks
        raise StyleError(f"{path}: a weight is of a type this version cannot read ({error})") from error
    if other := [name for name, value in weights.items() if value.dtype not in (np.float16, np.float32)]:
        raise StyleError(f"{path}: weight {other[0]} is {weights[other[0]].dtype}, expected float16 or float32")
    return weights


def load_style(path: Path) -> Style:
    """Read a style and check its digest and shapes.

    Raises:
        StyleError: not a style file, damaged, or altered since it was made.
    """
    with _open(path) as file:
        card = _card(file.metadata(), path)
        ranges = _ranges(file.metadata(), card.architecture, path)
        weights = _weights(file, path)
    if (found := weights_sha256(weights)) != card.sha256:
        raise StyleError(f"{path} was altered: its weights are {found[:12]}..., its card says {card.sha256[:12]}...")
    prepare(card.architecture, weights)
    return Style(card, weights, path, ranges)
