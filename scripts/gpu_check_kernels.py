"""What each launch of `engines.cuda.launches` is to compute, in float64 by torch, and random cases to hold it to.

The functions `combine`, `from_pixels`, `finish_look` and `finish_guided` take what those of the same name take, and
write to ``out``: so a whole network can be run by them too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from engines.cuda import launches
from engines.cuda.convolutions import Filters
from engines.cuda.convolve import FusedConvolution, tiles
from engines.cuda.launches import PLAIN, SHUFFLE, UPSAMPLE, Mixture, Term
from engines.torch import TorchOps
from vidstyle.network import LEAKY_SLOPE, guided_filter

OPS = TorchOps({})
PIXEL_LIMIT = 0.51  # levels: half a level of rounding, and float32


def values(term: Term, height: int, width: int) -> Tensor:
    """float64 [n, channels, height, width] that a term stands for."""
    x = term.x.double()
    if term.bias is not None:
        x = x + term.bias.double()
    if term.leaky:
        x = F.leaky_relu(x, LEAKY_SLOPE)
    x = x.permute(0, 3, 1, 2)
    if term.kind == UPSAMPLE:
        x = OPS.upsample2(x)
    elif term.kind == SHUFFLE:
        n, channels, h, w = x.shape
        block = term.block
        x = x.reshape(n, block * block, channels // block**2, h, w).transpose(1, 2).reshape(n, channels, h, w)
        x = F.pixel_shuffle(x, block)
    return x[:, :, :height, :width]


def combine(out: Tensor, terms: list[Term], leaky: bool = False) -> None:
    y = torch.stack([values(term, *out.shape[1:3]) for term in terms]).sum(0)
    out.copy_((F.leaky_relu(y, LEAKY_SLOPE) if leaky else y).permute(0, 2, 3, 1))


def source(frames: Tensor, height: int, width: int) -> Tensor:
    """float64 [n, 3, height, width], the last row and column repeated."""
    x = frames.permute(0, 3, 1, 2).double() / 127.5 - 1
    return OPS.pad_edge(x, height - x.shape[2], width - x.shape[3])


def from_pixels(frames: Tensor, out: Tensor, block: int) -> None:
    n, height, width, _ = out.shape
    x = source(frames, height * block, width * block).reshape(n, 3, height, block, width, block)
    out.zero_()
    out[..., : 3 * block**2].copy_(x.permute(0, 2, 4, 3, 5, 1).reshape(n, height, width, -1))


def finish_look(frames: Tensor, out: Tensor, a: Term, gate: Term | None, channels: int, mixture: Mixture) -> None:
    height, width = frames.shape[1:3]
    look = values(a, height, width)
    if gate is not None:
        look = look + source(frames, height, width) * values(gate, height, width)
        assert channels == gate.x.shape[3] // gate.block**2
    write(frames, look, out, mixture)


def finish_guided(frames: Tensor, out: Tensor, a: Term, padded: tuple[int, int], mixture: Mixture) -> None:
    look = guided_filter(OPS, source(frames, *padded), values(a, *padded))
    write(frames, look[:, :, : frames.shape[1], : frames.shape[2]], out, mixture)


def write(frames: Tensor, look: Tensor, out: Tensor, mixture: Mixture) -> None:
    """Pixels, or levels where ``out`` is no integer tensor; or the mixture's total."""
    x = source(frames, *frames.shape[1:3])
    if mixture.shares is not None:
        change = (look.clamp(-1, 1) - x) * mixture.shares[mixture.index].double()
        if mixture.index:
            assert mixture.total is not None
            change = change + mixture.total.permute(0, 3, 1, 2).double()
        if mixture.index < mixture.count - 1:
            assert mixture.total is not None
            mixture.total.copy_(change.permute(0, 2, 3, 1))
            return
        look = x + change
    level = ((look + 1) * 127.5).clamp(0, 255).permute(0, 2, 3, 1)
    out.copy_(level if out.is_floating_point() else level.round())


@dataclass(frozen=True)
class Result:
    """``error`` is right where it is at most ``limit``; both in units of what the result may be off."""

    name: str
    case: str
    error: float
    limit: float


class Cases:
    """Random cases; ``size`` is the picture's (height, width), ``n`` pictures, ``dtype`` what lies between steps."""

    def __init__(self, n: int, size: tuple[int, int], dtype: torch.dtype, device: torch.device, seed: int) -> None:
        self._n, self._size, self._dtype, self._device = n, size, dtype, device
        self._random = torch.Generator(device).manual_seed(seed)
        self._case = f"{n}x{size[0]}x{size[1]} {str(dtype).removeprefix('torch.')}"
        self._frames = torch.randint(0, 256, (n, *size, 3), dtype=torch.uint8, device=device, generator=self._random)

    def run(self) -> Iterator[Result]:
        yield from self._from_pixels()
        yield from self._combine()
        yield from self._finish_look()
        yield from self._finish_guided()
        if self._dtype != torch.float32:
            yield from self._convolve()

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, device=self._device, generator=self._random)

    def _term(self, height: int, width: int, channels: int, window: bool = False, **options: Any) -> Term:
        """A term of random numbers; ``window``: it begins beyond the first row, column and eight channels."""
        more = 1 if window else 0
        x = self._normal(self._n, height + more, width + more, channels + 8 * more).to(self._dtype)
        return Term(x[:, more:, more:, 8 * more :], self._normal(channels), **options)

    def _result(self, name: str, out: Tensor, want: Tensor, more: float = 1e-5) -> Result:
        """One unit in the last place, and ``more``, by default float32's own errors."""
        allowed = want.abs() * max(torch.finfo(self._dtype).eps, 1e-6) + more
        return Result(name, self._case, float(((out.double() - want).abs() / allowed).max()), 1.0)

    def _from_pixels(self) -> Iterator[Result]:
        for block, channels in ((1, 8), (4, 48), (2, 16)):
            height, width = (-(-side // block) + 1 for side in self._size)
            out = torch.full((self._n, height, width, channels), 9.0, dtype=self._dtype, device=self._device)
            want = out.double()
            launches.from_pixels(self._frames, out, block)
            from_pixels(self._frames, want, block)
            yield self._result(f"from_pixels by {block}", out, want)

    def _combine(self) -> Iterator[Result]:
        height, width = (2 * side for side in self._size)
        half = self._size
        plain = self._term(height, width, 24, leaky=True)
        forms: dict[str, list[Term]] = {
            "plain": [plain],
            "window": [self._term(height, width, 32, True)],
            "plain + value": [self._term(height, width, 24), replace(plain, bias=None, leaky=False)],
            "upsample + window": [
                self._term(*half, 24, leaky=True, kind=UPSAMPLE),
                self._term(height, width, 24, True, kind=PLAIN),
            ],
            "shuffle + value": [self._term(*half, 4 * 24, kind=SHUFFLE, block=2), replace(plain, bias=None)],
        }
        for name, terms in forms.items():
            for leaky in (False, True):
                shape = (self._n, height, width, 32 if name == "window" else 24)
                out = torch.empty(shape, dtype=self._dtype, device=self._device)
                want = torch.empty(shape, dtype=torch.float64, device=self._device)
                combine(want, terms, leaky)
                launches.combine(out, terms, leaky)
                yield self._result(f"combine {name}" + (", leaky" if leaky else ""), out, want)

    def _convolve(self) -> Iterator[Result]:
        """Sums are of about 1; tensor cores cut single products off, so that errors of 1e-3 may come."""
        height, width = (2 * side for side in self._size)
        for inp, out, k, stride, pad in (
            (32, 32, 3, 1, (1, 1, 1, 1)),
            (48, 96, 3, 2, (0, 0, 1, 1)),
            (128, 128, 3, 1, (1, 1, 1, 1)),
        ):
            x = self._normal(self._n, height, width, inp).to(self._dtype)
            weight = (self._normal(out, inp, k, k) / (inp * k * k) ** 0.5).to(self._dtype)
            bias, size = self._normal(out), (height // stride, width // stride)
            value = self._normal(self._n, *size, out).to(self._dtype)
            filters = Filters(weight.float().cpu().numpy(), bias.cpu().numpy())
            padded = F.pad(x.double().permute(0, 3, 1, 2), (pad[1], pad[3], pad[0], pad[2]))
            sums = F.conv2d(padded, weight.double(), bias.double(), stride).permute(0, 2, 3, 1)
            first, second = F.leaky_relu(sums, LEAKY_SLOPE), F.leaky_relu(sums + value.double(), LEAKY_SLOPE)
            for tile in tiles(out):
                fused = FusedConvolution(filters, stride, pad, size, tile).to(self._device, self._dtype)
                name = f"convolve {inp} to {out} by {stride}, {tile.pixels}"
                yield self._result(name, fused(x, None, True, False), first, 1e-3)
                yield self._result(f"{name}, added", fused(x, value, False, True), second, 1e-3)

    def _pixels(self, name: str, launch: Any, reference: Any) -> Iterator[Result]:
        """By itself, and as each of two looks of a mixture."""
        total = self._normal(*self._frames.shape)
        shares = torch.tensor([0.7, 0.4], device=self._device)
        alone = Mixture()
        mixed = (Mixture(shares[:1]), Mixture(shares, total, 0, 2), Mixture(shares, total, 1, 2))
        for form, mixture in zip(("alone", "strength", "first", "last"), (alone, *mixed), strict=True):
            out = torch.zeros_like(self._frames)
            level = torch.zeros(out.shape, dtype=torch.float64, device=self._device)
            want = replace(mixture, total=total.double().clone())
            reference(self._frames, level, want)
            launch(self._frames, out, mixture)
            if form == "first":
                yield Result(name, f"{self._case} {form}", float((total - want.total).abs().max() * 127.5), 0.01)
            else:
                error = float((out.double() - level).abs().max())
                yield Result(name, f"{self._case} {form}", error, PIXEL_LIMIT)

    def _finish_look(self) -> Iterator[Result]:
        height, width = (-(-side // 4) for side in self._size)
        head, gate = self._term(height, width, 48, True, kind=SHUFFLE, block=4), None
        for gate in (None, self._term(height, width, 16, kind=SHUFFLE, block=4)):
            yield from self._pixels(
                "finish with gate" if gate else "finish",
                lambda f, o, m, gate=gate: launches.finish_look(f, o, head, gate, 1, m),
                lambda f, o, m, gate=gate: finish_look(f, o, head, gate, 1, m),
            )

    def _finish_guided(self) -> Iterator[Result]:
        height, width = (-(-side // 4) * 2 for side in self._size)
        term, padded = self._term(height, width, 12, True, kind=SHUFFLE, block=2), (2 * height, 2 * width)
        yield from self._pixels(
            "guided",
            lambda f, o, m: launches.finish_guided(f, o, term, padded, m),
            lambda f, o, m: finish_guided(f, o, term, padded, m),
        )
