"""Weights of StyleGAN2: published layouts in, our own file in and out; nothing is ever unpickled into code.

Taken are safetensors files and PyTorch ``.pt`` files (read with ``weights_only=True``), in one of two layouts:

``nvidia``
    ``G_ema.synthesis.b8.conv0.weight``, ``D.b4.out.weight``: the state of NVIDIA's torch networks, and ours.
``rosinality``
    ``g_ema.convs.0.conv.weight``, ``d.final_linear.1.weight``: rosinality/stylegan2-pytorch, whose ``.pt`` holds
    ``g``, ``g_ema`` and ``d``.

Both keep the same numbers under different names; the shape of the networks follows from the weights. What NVIDIA
publishes itself are pickles with the program's source inside: reading one runs it, so they are refused.
"""

from __future__ import annotations

import argparse
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training.stylegan2 import Discriminator, Generator, Shape
from training.world import TrainingError

State = dict[str, Tensor]
ROLES = {"g": "g", "g_ema": "g_ema", "d": "d", "G": "g", "G_ema": "g_ema", "D": "d"}
DROPPED = ("resample_filter", "noise_const", "kernel", "w_avg")  # follow from the shape, or are measured anew
CRITIC = r"b\d+\.(fromrgb|skip|conv|fc|out)|convs\.0\.[01]\.|convs\.\d+\.(conv[12]|skip)\.|final_"
CONVERT = (
    "python -c \"import pickle,torch; n=pickle.load(open('IN.pkl','rb')); "
    "torch.save({k: n[k].state_dict() for k in ('G','G_ema','D')}, 'OUT.pt')\""
)


@dataclass(frozen=True)
class Networks:
    """``teacher``: the raw generator, ``average``: its moving average; either may stand in for the other."""

    teacher: Generator
    average: Generator
    critic: Discriminator | None


def read_tensors(path: Path) -> dict[str, Any]:
    """The nested tables of tensors in a .safetensors or .pt file.

    Raises:
        TrainingError: no such file, none of weights, or a pickle that would need its program to be run.
    """
    if not path.is_file():
        raise TrainingError(f"no weights {path}: expected a .safetensors or .pt file")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        # rosinality keeps its command line; what torch warns of is told below, in one line.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings(action="ignore"):
            found = torch.load(path, weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, AttributeError, LookupError) as error:
        if not _is_pickle(path):
            raise TrainingError(f"{path} is damaged, or no weights: expected a .safetensors or .pt file") from error
        raise TrainingError(
            f"{path} cannot be read without running what is inside it: in a place you trust, with the program that "
            f"made it, run {CONVERT}, and give OUT.pt"
        ) from error
    if not isinstance(found, Mapping):
        raise TrainingError(f"{path} holds a {type(found).__name__}, expected tables of weights")
    return dict(found)


def _is_pickle(path: Path) -> bool:
    """A whole one as torch writes it, or a bare one of Python's."""
    with open(path, "rb") as file:
        return file.read(1) == b"\x80" or zipfile.is_zipfile(path)


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise TrainingError(f"{path} is not a safetensors file ({error})") from error


def _by_role(found: dict[str, Any]) -> dict[str, State]:
    """Split into g, g_ema and d, whether nested or told by the names' beginnings; bare names are one network's."""
    roles: dict[str, State] = {}
    for name, value in found.items():
        if isinstance(value, Mapping) and name in ROLES:
            roles.setdefault(ROLES[name], {}).update({k: v for k, v in value.items() if isinstance(v, Tensor)})
        elif isinstance(value, Tensor):
            head, _, rest = name.partition(".")
            known = head in ROLES
            bare = "d" if re.match(CRITIC, name) else "g"
            roles.setdefault(ROLES[head] if known else bare, {})[rest if known else name] = value
    return roles


def from_rosinality(state: State) -> State:
    """Our names for a rosinality generator's or discriminator's weights."""
    if any(name.startswith("final_conv") for name in state):
        return _critic(state)
    return _generator(state)


def _generator(state: State) -> State:
    def side(index: int) -> tuple[int, int]:  # of convs.{index}: its resolution and place in the block
        return 8 * 2 ** (index // 2), index % 2

    out: State = {}
    for name, value in state.items():
        if match := re.fullmatch(r"style\.(\d+)\.(weight|bias)", name):
            out[f"mapping.fc{int(match[1]) - 1}.{match[2]}"] = value
        elif name == "input.input":
            out["synthesis.b4.const"] = value[0]
        elif match := re.fullmatch(r"(conv1|to_rgb1|convs\.\d+|to_rgbs\.\d+)\.(.+)", name):
            head, inner = match[1], _inner(match[2])
            index = int(head.rpartition(".")[2]) if "." in head else -1
            if head.startswith("to_rgb"):
                block = f"b{8 * 2**index if index >= 0 else 4}.torgb"
            else:
                size, place = side(index) if index >= 0 else (4, 1)
                block = f"b{size}.conv{place}"
            if inner:
                out[f"synthesis.{block}.{inner}"] = _unbatched(inner, value)
    return out


def _inner(name: str) -> str:
    """The part's own name inside a layer; "" for what is not a weight."""
    known = {
        "conv.weight": "weight",
        "conv.modulation.weight": "affine.weight",
        "conv.modulation.bias": "affine.bias",
        "noise.weight": "noise_strength",
        "activate.bias": "bias",
        "bias": "bias",
    }
    return known.get(name, "")


def _unbatched(inner: str, value: Tensor) -> Tensor:
    if inner == "weight":
        return value[0]
    return value.reshape([]) if inner == "noise_strength" else value.flatten() if inner == "bias" else value


def _critic(state: State) -> State:
    blocks = max(int(m[1]) for m in (re.match(r"convs\.(\d+)\.", name) for name in state) if m)
    inner = {
        "conv1.0.weight": "conv0.weight",
        "conv1.1.bias": "conv0.bias",
        "conv2.1.weight": "conv1.weight",
        "conv2.2.bias": "conv1.bias",
        "skip.1.weight": "skip.weight",
    }
    first = f"b{4 * 2**blocks}"
    named = {"convs.0.0.weight": f"{first}.fromrgb.weight", "convs.0.1.bias": f"{first}.fromrgb.bias"}
    for i in range(1, blocks + 1):
        named |= {f"convs.{i}.{theirs}": f"b{4 * 2 ** (blocks + 1 - i)}.{ours}" for theirs, ours in inner.items()}
    named |= {"final_conv.0.weight": "b4.conv.weight", "final_conv.1.bias": "b4.conv.bias"}
    for i, ours in enumerate(("fc", "out")):
        named |= {f"final_linear.{i}.{part}": f"b4.{ours}.{part}" for part in ("weight", "bias")}
    return {named[name]: value for name, value in state.items() if name in named}


def _ours(state: State) -> State:
    if any(name.startswith(("convs.", "style.")) for name in state):
        return from_rosinality(state)
    return {name: value for name, value in state.items() if name.rpartition(".")[2] not in DROPPED}


def generator_shape(state: State) -> Shape:
    """The shape that a generator's weights (our names) have.

    Raises:
        KeyError: they are not a generator's.
    """
    sides = sorted(int(m[1]) for m in (re.fullmatch(r"synthesis\.b(\d+)\.conv1\.weight", name) for name in state) if m)
    channels = tuple(state[f"synthesis.b{side}.conv1.weight"].shape[0] for side in sides)
    mapping = sum(bool(re.fullmatch(r"mapping\.fc\d+\.weight", name)) for name in state)
    return Shape(sides[-1], channels, state["mapping.fc0.weight"].shape[1], mapping)


def _filled(network: nn.Module, state: State, path: Path, what: str) -> Any:
    wanted = network.state_dict()
    wrong = sorted(set(wanted) ^ set(state)) or [k for k in wanted if wanted[k].shape != state[k].shape]
    if wrong:
        raise TrainingError(f"{path}: the {what} lacks, or has too much or of another size: {', '.join(wrong[:4])}")
    network.load_state_dict({name: value.float() for name, value in state.items()})
    return network


def load(path: Path) -> Networks:
    """Read generators, and the discriminator where there is one.

    Raises:
        TrainingError: not such a file, a pickle (with how to convert it), or weights that fit no StyleGAN2.
    """
    roles = {role: _ours(state) for role, state in _by_role(read_tensors(path)).items()}
    if not {"g", "g_ema"} & set(roles):
        raise TrainingError(f"{path} has no StyleGAN2 generator: expected g or g_ema in rosinality's or NVIDIA's names")
    raw, average = roles.get("g", roles.get("g_ema", {})), roles.get("g_ema", roles.get("g", {}))
    try:
        shape = generator_shape(average)
    except (KeyError, IndexError, ValueError) as error:
        raise TrainingError(
            f"{path} has no StyleGAN2 generator in rosinality's or NVIDIA's names: lacks {error}"
        ) from error
    generators = [_filled(Generator(shape), state, path, "generator") for state in (raw, average)]
    critic = _filled(Discriminator(shape), roles["d"], path, "discriminator") if roles.get("d") else None
    return Networks(generators[0], generators[1], critic)


def save(path: Path, teacher: Generator, average: Generator, critic: Discriminator, about: dict[str, Any]) -> None:
    """Write the networks as one safetensors file, whole or not at all; ``about`` goes into its metadata.

    Raises:
        TrainingError: the disk is full, or the folder cannot be written.
    """
    from safetensors.torch import save as to_bytes

    from vidstyle.whole import write_whole

    parts = {"g": teacher, "g_ema": average, "d": critic}
    states = {role: network.state_dict() for role, network in parts.items()}
    # Cloned: at the start the average may be the generator itself, and the format has no two names for one tensor.
    state = {f"{role}.{k}": v.detach().cpu().clone() for role, names in states.items() for k, v in names.items()}
    metadata = {"format": "stylegan2", "shape": json.dumps(asdict(average.shape)), "about": json.dumps(about)}
    try:
        write_whole(path, to_bytes(state, metadata))
    except OSError as error:
        raise TrainingError(f"cannot write {path}: {error.strerror or error}") from error


def module_order(shape: Shape) -> list[str]:
    """Names of the synthesis modules in the order in which `blend` counts them."""
    order = ["b4.conv1", "b4.torgb"]
    for side in shape.sides[1:]:
        order += [f"b{side}.conv0", f"b{side}.torgb", f"b{side}.conv1"]
    return order


@torch.no_grad()
def blend(source: Generator, target: Generator, layers: int) -> Generator:
    """``target`` with its first ``layers`` modules taken from ``source`` (DCT-Net section 3.2, k).

    Counted are convolutions and colour layers, from 4 pixels up: with k = 4 both of 4 pixels, and the first
    convolution and the colours of 8. The constant and the mapping belong to the first.
    """
    shape = target.shape
    if source.shape != shape or not 0 <= layers <= len(module_order(shape)):
        raise TrainingError(f"cannot blend {layers} layers of {source.shape} into {shape}: expected equal shapes")
    result = Generator(shape)
    taken = tuple(f"synthesis.{name}." for name in module_order(shape)[:layers])
    if layers:
        taken += ("synthesis.b4.const", "mapping.")
    theirs, ours = source.state_dict(), target.state_dict()
    result.load_state_dict({name: (theirs if name.startswith(taken) else ours)[name] for name in ours})
    return result.to(next(target.parameters()).device)
