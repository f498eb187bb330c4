"""What scripts/gpu_bench measures: the networks, the sizes, the engines, the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_figures import NotMeasuredError
from torch import Tensor, nn

from engines.torch import DTYPES, Network, TorchOps
from vidstyle.catalog import find_style
from vidstyle.engine import EngineSpec, Recipe, load_engine
from vidstyle.errors import StyleError
from vidstyle.network import Architecture, prepare, run
from vidstyle.style import Card, Style, weights_sha256

Size = tuple[int, int]  # height, width
SIZES: dict[str, Size] = {
    "360p": (360, 640),
    "720p": (720, 1280),
    "1080p": (1080, 1920),
    "1440p": (1440, 2560),
    "4K": (2160, 3840),
}
TINY: dict[str, Size] = {"720p": (24, 32), "1080p": (32, 48)}  # stand for the others with --cpu
NOTE_RANDOM = "random weights"


@dataclass(frozen=True)
class Setup:
    """
    Attributes:
        device: where all of it runs.
        nets: recipe by name, "ttn" and "student".
        engine: the one that the whole is measured with, and ``others`` beside it on its own.
        seconds: of one measurement of several things in turns.
        clip: a video; None where there is none.
        folder: for what is written on the way.
        limit: most frames of the file's measurement.
    """

    device: torch.device
    nets: dict[str, Recipe]
    sizes: dict[str, Size]
    engine: str
    others: tuple[str, ...]
    seconds: float
    clip: Path | None
    folder: Path
    limit: int = 1200

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def side(self) -> int:
        """Of the matrices whose product tells what arithmetic the device can do."""
        return 8192 if self.on_gpu else 64

    @property
    def product(self) -> float:
        """Floating point operations of that product."""
        return 2.0 * self.side**3

    @property
    def precision(self) -> str:
        return "f16" if self.on_gpu else "f32"

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES[self.precision]

    def need_gpu(self) -> None:
        """
        Raises:
            NotMeasuredError: this is the run on the CPU.
        """
        if not self.on_gpu:
            raise NotMeasuredError("needs a GPU")

    def pictures(self, count: int, size: Size) -> Tensor:
        """uint8 [count, *size, 3] on the device, random."""
        generator = torch.Generator().manual_seed(0)
        return torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8, generator=generator).to(self.device)

    @contextmanager
    def loaded(self, recipe: Recipe, size: Size, engine: str, batch: int = 1, in_flight: int = 0) -> Iterator[Any]:
        """An engine of this project, closed in the end."""
        spec = EngineSpec(*size, batch, self.precision, str(self.device), in_flight=in_flight)
        with self._load(recipe, spec, engine) as found:
            yield found

    def _load(self, recipe: Recipe, spec: EngineSpec, engine: str) -> Any:
        if engine == "cuda" and not self.on_gpu:  # by Triton's interpreter, for which TRITON_INTERPRET is 1
            from engines.cuda import CudaEngine

            return CudaEngine(recipe, spec, self.device)
        return load_engine(recipe, spec, engine)


def gpu_setup(engine: str = "cuda", **rest: Any) -> Setup:
    """
    Raises:
        NotMeasuredError: torch finds no GPU.
    """
    if not torch.cuda.is_available():
        raise NotMeasuredError(f"torch {torch.__version__} finds no NVIDIA GPU here; --cpu tries the code without one")
    known = ("cuda", "torch", *(("tensorrt",) if find_spec("torch_tensorrt") else ()))
    others = tuple(name for name in known if name != engine)
    return Setup(torch.device("cuda:0"), sizes=SIZES, engine=engine, others=others, **rest)


def cpu_setup(engine: str = "torch", **rest: Any) -> Setup:
    torch.set_num_threads(1)
    return Setup(torch.device("cpu"), sizes=TINY, engine=engine, others=(), limit=6, **rest)


def published(folder: Path | None) -> tuple[Recipe, str]:
    """The published network, and a note: a style file of ``folder``, or one of random weights, which are as fast."""
    for path in sorted(folder.glob("*.safetensors")) if folder is not None and folder.is_dir() else ():
        return Recipe(((find_style(str(path)), 1.0),)), path.stem
    return Recipe(((random_style(Architecture()), 1.0),)), NOTE_RANDOM


def bundled(name: str) -> tuple[Recipe, str]:
    """A bundled look, or random weights of the smallest student where there is none of that name."""
    try:
        return Recipe(((find_style(name), 1.0),)), name
    except StyleError:
        return Recipe(
            ((random_style(Architecture("student", (32, 64, 96), (1, 1, 2), (0, 1, 0), False)), 1.0),)
        ), NOTE_RANDOM


def random_style(arch: Architecture) -> Style:
    weights = Network(arch, generator=torch.Generator().manual_seed(0)).weights()
    card = Card("random", "For measuring", arch, "Apache-2.0", "random numbers", sha256=weights_sha256(weights))
    return Style(card, weights)


class Pictures(nn.Module):
    """The network as plain torch runs it at its best: half precision, channels last, uint8 pictures in and out."""

    def __init__(self, recipe: Recipe, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        card = recipe.parts[0][0].card
        self._arch, self._dtype = card.architecture, dtype
        self._names: dict[str, str] = {}
        for name, value in prepare(card.architecture, recipe.parts[0][0].weights).items():
            self._names[name] = name.replace(".", "_")
            layout = torch.channels_last if value.ndim == 4 else torch.contiguous_format
            weight = torch.from_numpy(np.ascontiguousarray(value)).to(device, dtype, memory_format=layout)
            self.register_buffer(self._names[name], weight)

    def forward(self, frames: Tensor) -> Tensor:
        """uint8 [N, H, W, 3] to the same."""
        ops = TorchOps({name: getattr(self, attribute) for name, attribute in self._names.items()})
        y = run(ops, self._arch, frames.permute(0, 3, 1, 2).to(self._dtype) / 127.5 - 1)
        return ((y.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
