"""Turn the published DCT-Net files (TensorFlow frozen graph or .tflite) into a style, without TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vidstyle import frozen_graph, tflite
from vidstyle.errors import StyleError
from vidstyle.network import Architecture, Weights, prepare
from vidstyle.style import Card, Style, check_name, weights_sha256

MAX_BYTES = 32 << 20  # the published files have 4-6 MB
PICKLE_MARKS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")  # raw, or torch's zip
DCTNET = (
    "DCT-Net (Men et al., ACM TOG 41(4), 2022), published by its authors (Alibaba DAMO Academy) "
    "through ModelScope; converted without change of values"
)

#: name of a layer in the published graph -> ours
_LAYERS = {"Conv" if i == 0 else f"Conv_{i}": f"conv{i}" for i in range(10)}
_LAYERS |= {f"block_{i}/conv{j}": f"block{i}.conv{j}" for i in range(4) for j in (1, 2)}


def _to_rgb(weights: Weights) -> Weights:
    """The published network takes and gives BGR: turn its first inputs and its last outputs round."""
    first, last, bias = weights["conv0.weight"], weights["conv9.weight"], weights["conv9.bias"]
    return weights | {"conv0.weight": first[:, ::-1], "conv9.weight": last[::-1], "conv9.bias": bias[::-1]}


def published_weights(constants: dict[str, np.ndarray]) -> Weights:
    """Map a published file's constants to the TTN's weights: OIHW, RGB in and out.

    A frozen graph holds ``generator/<layer>/weights`` as HWIO; a .tflite ``generator/<layer>/Conv2D`` as OHWI.

    Raises:
        StyleError: a layer is missing or of another shape, or a value is not finite: another network.
    """
    weights: Weights = {}
    for theirs, ours in _LAYERS.items():
        if (kernel := constants.get(f"generator/{theirs}/weights")) is not None and kernel.ndim == 4:
            weights[f"{ours}.weight"] = kernel.transpose(3, 2, 0, 1)
        elif (kernel := constants.get(f"generator/{theirs}/Conv2D")) is not None and kernel.ndim == 4:
            weights[f"{ours}.weight"] = kernel.transpose(0, 3, 1, 2)
        if (bias := constants.get(f"generator/{theirs}/biases")) is not None and bias.ndim == 1:
            weights[f"{ours}.bias"] = bias
        if f"{ours}.weight" not in weights or f"{ours}.bias" not in weights:
            raise StyleError(f"no layer generator/{theirs} in it: not a published DCT-Net network")
        if not all(np.isfinite(weights[f"{ours}.{part}"]).all() for part in ("weight", "bias")):
            raise StyleError(f"the layer generator/{theirs} holds values that are not numbers: fetch the file again")
    weights = {name: np.ascontiguousarray(value) for name, value in _to_rgb(weights).items()}
    prepare(Architecture("ttn"), weights)
    return weights


def read_published(path: Path) -> Weights:
    """Read a published ``cartoon_bg.pb`` or ``.tflite``; the kind is told from the bytes, not the name.

    Raises:
        StyleError: missing, too large, a pickle, or anything else.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path no system call takes
        raise StyleError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > MAX_BYTES:
        raise StyleError(f"{path} is larger than {MAX_BYTES >> 20} MB; a published network has 4-6 MB: not one")
    if not data:
        raise StyleError(f"{path} is empty; expected a published network of 4-6 MB: fetch it again")
    if data.startswith(PICKLE_MARKS):
        raise StyleError(
            f"{path} is a pickle or torch archive, which may run code when read: expected a .pb or .tflite"
        )
    try:
        constants = tflite.read_constants(data) if data[4:8] == b"TFL3" else frozen_graph.read_constants(data)
        return published_weights(constants)
    except StyleError as error:
        raise StyleError(f"cannot import {path}: {error}") from error


def import_published(path: Path, name: str) -> Style:
    """Read a published network as the style ``name``.

    Raises:
        StyleError: see `read_published`; or the name cannot be a style's.
    """
    weights = read_published(path)
    card = Card(
        name=check_name(name),
        look=f"The published DCT-Net network from {path.name}, full size",
        architecture=Architecture("ttn"),
        licence="Apache-2.0",
        provenance=DCTNET,
        training={"source_file": path.name},
        parameters=sum(value.size for value in weights.values()),
        sha256=weights_sha256(weights),
    )
    return Style(card, weights)
