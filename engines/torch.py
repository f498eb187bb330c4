"""PyTorch: the reference engine (extra ``torch``), and the module that training optimises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidstyle.engine import EngineSpec, Recipe, check_batch, check_shares
from vidstyle.errors import EngineError, OutOfMemoryError
from vidstyle.network import LEAKY_SLOPE, Architecture, Pad, Weights, layers, prepare, run


class TorchOps:
    """`vidstyle.network.Ops` for torch; ``weights`` by name, as tensors or parameters."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self._weights = weights

    def size(self, x: Tensor) -> tuple[int, int]:
        return x.shape[2], x.shape[3]

    def pad_edge(self, x: Tensor, bottom: int, right: int) -> Tensor:
        return F.pad(x, (0, right, 0, bottom), mode="replicate")

    def crop(self, x: Tensor, height: int, width: int) -> Tensor:
        return x[:, :, :height, :width]

    def conv(self, x: Tensor, name: str, stride: int = 1, pad: Pad = (1, 1, 1, 1)) -> Tensor:
        top, left, bottom, right = pad
        padding = (top, left) if (top, left) == (bottom, right) else 0
        if not padding and any(pad):
            x = F.pad(x, (left, right, top, bottom))
        return F.conv2d(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"], stride, padding)

    def leaky_relu(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, LEAKY_SLOPE)

    def add(self, x: Tensor, y: Any) -> Tensor:
        return x + y

    def sub(self, x: Tensor, y: Any) -> Tensor:
        return x - y

    def mul(self, x: Tensor, y: Any) -> Tensor:
        return x * y

    def div(self, x: Tensor, y: Any) -> Tensor:
        return x / y

    def upsample2(self, x: Tensor) -> Tensor:
        # On 2N+1 samples of N+1 the aligned grid is exactly TF's legacy one (performance.md section 0).
        height, width = self.size(x)
        x = F.pad(x, (0, 1, 0, 1), mode="replicate")
        y = F.interpolate(x, size=(2 * height + 1, 2 * width + 1), mode="bilinear", align_corners=True)
        return y[:, :, :-1, :-1]

    def unshuffle(self, x: Tensor, block: int) -> Tensor:
        return F.pixel_unshuffle(x, block)

    def shuffle(self, x: Tensor, block: int) -> Tensor:
        return F.pixel_shuffle(x, block)

    def box3(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class Network(nn.Module):
    """A network of ``arch`` with trainable weights; [N, 3, H, W] RGB in -1..1 in and out.

    ``state_dict`` has the style file's names with ``/`` for ``.``, which torch does not allow in them.
    """

    def __init__(
        self, arch: Architecture, weights: Weights | None = None, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.arch = arch
        self._params = nn.ParameterDict()
        for name, layer in layers(arch).items():
            shape = (layer.out, layer.inp, layer.k, layer.k)
            std = (2.0 / ((1 + LEAKY_SLOPE**2) * layer.inp * layer.k**2)) ** 0.5
            weight = torch.randn(shape, generator=generator) * std
            self._params[f"{name}.weight".replace(".", "/")] = nn.Parameter(weight)
            self._params[f"{name}.bias".replace(".", "/")] = nn.Parameter(torch.zeros(layer.out))
        if weights is not None:
            self.load(weights)

    def named_weights(self) -> dict[str, Tensor]:
        return {name.replace("/", "."): value for name, value in self._params.items()}

    def weights(self) -> Weights:
        """float32 arrays by name, as a style file holds them."""
        return {name: value.detach().float().cpu().numpy() for name, value in self.named_weights().items()}

    def load(self, weights: Weights) -> None:
        with torch.no_grad():
            for name, value in self.named_weights().items():
                value.copy_(_tensor(np.asarray(weights[name], np.float32)))

    def forward(self, x: Tensor) -> Tensor:
        named = self.named_weights()
        if self.arch.name == "ttn":  # folded in the definition; differentiable as a gather
            named = named | _fold(named)
        return run(TorchOps(named), self.arch, x)


def _fold(named: dict[str, Tensor]) -> dict[str, Tensor]:
    weight, bias = named["conv9.weight"], named["conv9.bias"]
    shifted = [F.pad(weight, (dx, 1 - dx, dy, 1 - dy)) for dy in range(2) for dx in range(2)]
    return {
        "conv9.weight": torch.stack(shifted, 1).flatten(0, 1),
        "conv9.bias": bias.repeat_interleave(4),
    }


DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


class TorchEngine:
    """See `vidstyle.engine.Engine`: the reference every other engine is compared with.

    ``spec.threads`` sets torch's threads for the whole process. bf16 and f16 are the arithmetic of the
    convolutions alone, on any CPU (slowly where the CPU has none). A `vidstyle.engine.DeviceEngine`, on the CPU too.
    """

    def __init__(self, recipe: Recipe, spec: EngineSpec) -> None:
        device = "cpu" if spec.device == "auto" else spec.device
        precision = "f32" if spec.precision == "auto" else spec.precision
        self._dtype = DTYPES[precision]
        self._device = _device(device, self._dtype)
        if spec.threads:
            torch.set_num_threads(spec.threads)
        threads = torch.get_num_threads()
        self.spec = replace(spec, device=device, precision=precision, threads=threads, in_flight=spec.in_flight or 1)
        self._shares = None if recipe.is_plain else recipe.shares
        cards = [(style.card.architecture, style.weights) for style, _ in recipe.parts]
        self._nets = [(arch, TorchOps(self._tensors(prepare(arch, weights)))) for arch, weights in cards]
        self.description = f"torch {torch.__version__} on {device}, {precision}, {threads} threads"

    def _tensors(self, weights: Weights) -> dict[str, Tensor]:
        return {name: _tensor(value).to(self._device) for name, value in weights.items()}

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        return self._styled(_tensor(batch), batch).cpu().numpy()

    def _styled(self, frames: Tensor, batch: Any) -> Tensor:
        if not self._nets:
            raise EngineError("the engine is closed: load it again")
        check_batch(batch, self.spec)
        if self._shares is not None and not self._shares.any():  # strength 0: the source, to the byte
            return frames.clone()
        try:
            return self._translate(frames)
        except RuntimeError as error:
            if is_full(error):
                raise OutOfMemoryError(f"{self._device} has too little memory: {reason(error)}") from error
            raise EngineError(f"torch failed on a picture: {reason(error)}") from error

    @torch.inference_mode()
    def _translate(self, frames: Tensor) -> Tensor:
        """uint8 [n, height, width, 3] to the same on the device."""
        x = frames.to(self._device).permute(0, 3, 1, 2).float() / 127.5 - 1
        with (
            torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32),
            torch.backends.cudnn.flags(True, allow_tf32=False),  # on by default: 10 bits of a factor, which is no f32
        ):
            looks = [run(ops, arch, x).float().clamp(-1, 1) for arch, ops in self._nets]
        y = looks[0]
        if self._shares is not None:
            y = x + sum(float(share) * (look - x) for share, look in zip(self._shares, looks, strict=True))
        y = ((y + 1) * 127.5).clamp(0, 255).round().to(torch.uint8)
        return y.permute(0, 2, 3, 1).contiguous()

    def submit(self, batch: np.ndarray) -> Callable[[], np.ndarray]:
        result = self(batch)
        return lambda: result

    def submit_on_device(self, batch: Tensor) -> Callable[[], Tensor]:
        result = self._styled(batch, batch)
        return lambda: result

    def set_shares(self, shares: np.ndarray) -> None:
        """Change the share of each style, float32 [styles], from the next `submit` on (see `Recipe.shares`)."""
        self._shares = check_shares(shares, self._shares)

    def close(self) -> None:
        self._nets.clear()

    def __enter__(self) -> TorchEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def load(recipe: Recipe, spec: EngineSpec) -> TorchEngine:
    return TorchEngine(recipe, spec)


def _device(name: str, dtype: torch.dtype) -> torch.device:
    """The device, after a convolution in ``dtype`` has come back from it."""
    try:
        device = torch.device(name)
        one = torch.ones(1, 1, 1, 1, device=device, dtype=dtype)
        F.conv2d(one, one).cpu()
    except (RuntimeError, AssertionError) as error:
        what = f"no device {name!r}" + (f" with {dtype} arithmetic" if dtype != torch.float32 else "")
        raise EngineError(f"torch has {what} here: {reason(error)}") from error
    return device


def _tensor(array: np.ndarray) -> Tensor:
    """A tensor of ``array``, copied where it is read-only or scattered: torch takes neither."""
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def reason(error: BaseException) -> str:
    """The first line of what torch says, which holds the cause; its type's name where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


#: cuDNN's first: where each of its ways wants more memory, torch finds no engine; the last two are of the CPU
_FULL = (
    "alloc_failed",
    "device_allocation_failed",
    "unable to find an engine",
    "out of memory",
    "can't allocate memory",
    "not enough memory",
)


def is_full(error: BaseException) -> bool:
    """Whether torch, or a library below it, found too little memory on a GPU or the CPU."""
    words = str(error).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(part in words for part in _FULL)
