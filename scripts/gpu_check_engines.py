"""Every engine against the network's definition run by torch in float64 or float32, on random pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engines.cuda import CudaEngine
from engines.torch import DTYPES, Network
from vidstyle.engine import DeviceEngine, EngineSpec, Recipe, load_engine
from vidstyle.style import Style, load_style

LEVELS, DECIBELS = 2, 45.0
DOUBLE = 1 << 19  # pixels up to which the reference is float64; float32 without TF32 beyond


@dataclass(frozen=True)
class Result:
    """How far an engine is from the reference: levels of 255 at worst, PSNR in dB (infinite where all is equal)."""

    engine: str
    precision: str
    style: str
    case: str
    levels: int
    psnr: float

    @property
    def passed(self) -> bool:
        """bf16 keeps 8 bits of a factor: its worst pixel is not held to what 11 bits give."""
        levels = self.levels <= LEVELS or self.precision == "bf16"
        return levels and (self.precision == "f32" or self.psnr >= DECIBELS)


def pictures(n: int, height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """uint8 [n, height, width, 3]: soft shapes with some noise, every second one noise alone."""
    y, x = np.mgrid[:height, :width].astype(np.float32)[..., None]
    phase = random.uniform(0, 6, (n, 1, 1, 3)).astype(np.float32)
    waves = np.sin(y / 7 + phase) * np.cos(x / 9 + phase) * 100 + 128
    soft = (waves + random.normal(0, 8, waves.shape)).clip(0, 255).astype(np.uint8)
    soft[1::2] = random.integers(0, 256, soft[1::2].shape, np.uint8)
    return soft


@torch.inference_mode()
def reference(recipe: Recipe, batch: np.ndarray, device: torch.device) -> np.ndarray:
    """The definition's result, in whole levels."""
    dtype = torch.float64 if batch[0].size <= 3 * DOUBLE else torch.float32
    results = []
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        nets = [Network(style.card.architecture, style.weights).to(device, dtype).eval() for style, _ in recipe.parts]
        for picture in batch:  # one at a time: float64 takes memory
            x = torch.from_numpy(picture[None]).to(device).permute(0, 3, 1, 2).to(dtype) / 127.5 - 1
            looks = [net(x) for net in nets]
            y = looks[0]
            if not recipe.is_plain:
                shares = zip(recipe.shares.tolist(), looks, strict=True)
                y = x + sum(share * (look.clamp(-1, 1) - x) for share, look in shares)
            results.append(((y + 1) * 127.5).clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu())
    return torch.cat(results).numpy()


def compare(got: np.ndarray, want: np.ndarray) -> tuple[int, float]:
    """(levels at worst, PSNR in dB)."""
    difference = got.astype(np.int16) - want
    error = float(np.square(difference, dtype=np.float64).mean())
    return int(np.abs(difference).max()), 10 * math.log10(255**2 / error) if error else math.inf


def compiled_network(
    style: Style, precision: str, device: torch.device, mode: str = "default"
) -> Callable[[Tensor], Tensor]:
    """The network by torch.compile, uint8 [n, height, width, 3] to the same on the device: what ours is held against.

    ``mode`` "max-autotune" also tries Triton's convolutions, and replays a CUDA graph.
    """
    net = Network(style.card.architecture, style.weights).to(device, DTYPES[precision]).eval()
    net = net.requires_grad_(False).to(memory_format=torch.channels_last)

    def function(frames: Tensor) -> Tensor:
        x = frames.permute(0, 3, 1, 2).to(DTYPES[precision]) / 127.5 - 1
        y = net(x).float()
        return ((y + 1) * 127.5).clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    return torch.compile(function, mode=mode, fullgraph=True, dynamic=False)


def plain(style: Style) -> Recipe:
    return Recipe(((style, 1.0),))


def find_styles(folder: Path) -> list[Style]:
    """Every style file of a folder, by name."""
    return [load_style(path) for path in sorted(folder.glob("*.safetensors"))]


class Checks:
    """Runs engines and compares; pictures come from ``seed``."""

    def __init__(self, device: torch.device, seed: int) -> None:
        self._device, self._random = device, np.random.default_rng(seed)

    def _load(self, engine: str, recipe: Recipe, spec: EngineSpec) -> DeviceEngine:
        if engine == "cuda" and self._device.type == "cpu":
            return CudaEngine(recipe, spec, self._device)
        loaded = load_engine(recipe, spec, engine)
        assert isinstance(loaded, DeviceEngine)
        return loaded

    def engine(
        self, engine: str, precision: str, recipe: Recipe, size: tuple[int, int], n: int = 1, in_flight: int = 1
    ) -> Iterator[Result]:
        """From the host's memory and from the device's; with a batch, also of one picture less."""
        batch = pictures(n, *size, self._random)
        want = reference(recipe, batch, self._device)
        spec = EngineSpec(*size, max_batch=n, precision=precision, device=str(self._device), in_flight=in_flight)
        ways: dict[str, Callable[[DeviceEngine], np.ndarray]] = {
            "host": lambda loaded: [loaded.submit(batch) for _ in range(in_flight + 1)][-1](),
            "device": lambda loaded: loaded.submit_on_device(torch.from_numpy(batch).to(self._device))().cpu().numpy(),
        }
        if n > 1:
            ways["host, one less"] = lambda loaded: loaded.submit(batch[:-1])()
        with self._load(engine, recipe, spec) as loaded:
            for way, run in ways.items():
                got = run(loaded)
                levels, psnr = compare(got, want[: len(got)])
                case = f"{n}x{size[0]}x{size[1]}, {in_flight} in flight, {way}"
                yield Result(engine, precision, recipe.name, case, levels, psnr)

    def compiled(self, precision: str, style: Style, size: tuple[int, int]) -> Result:
        batch = pictures(1, *size, self._random)
        with torch.inference_mode():
            got = compiled_network(style, precision, self._device)(torch.from_numpy(batch).to(self._device))
        levels, psnr = compare(got.cpu().numpy(), reference(plain(style), batch, self._device))
        return Result("torch.compile", precision, style.name, f"1x{size[0]}x{size[1]}", levels, psnr)
