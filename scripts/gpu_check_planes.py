"""YUV to RGB and back on a device, by torch and by kernels, against the same formulae in float64 on random pictures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from gpu_check_kernels import PIXEL_LIMIT, Result
from torch import Tensor

from engines.device.grid import Size, Taps, in_pairs, taps
from engines.device.memory import DeviceMemory
from engines.device.planes import FORMS, Colours, Form, ToPlanes, ToRgb

SITING = (0.25, 0.5)
#: pixel format, matrix, full range, size of the planes, size of the picture
CASES = [
    ("nv12", 1, False, (1080, 1920), (720, 1280)),
    ("nv12", 1, False, (1080, 1920), (1080, 1920)),
    ("p010le", 9, False, (2160, 3840), (720, 1280)),
    ("yuv420p", 5, True, (480, 854), (720, 1280)),
    ("yuv420p10le", 1, False, (1080, 1920), (720, 1280)),
    ("yuv422p", 1, False, (101, 202), (67, 135)),
    ("yuv444p10le", 1, True, (101, 67), (101, 67)),
]
TINY = [(name, matrix, full, (6, 18), (4, 12)) for name, matrix, full, *_ in CASES[3:6]]


def dense(way: Taps | None, source: int) -> np.ndarray:
    """float64 [target, source] of `engines.device.grid.taps`."""
    if way is None:
        return np.eye(source)
    matrix = np.zeros((len(way.places), source))
    for row, places, weights in zip(matrix, *way, strict=True):
        np.add.at(row, places, weights)
    return matrix


def moved(plane: np.ndarray, down: Taps | None, across: Taps | None) -> np.ndarray:
    return dense(down, plane.shape[0]) @ plane.astype(np.float64) @ dense(across, plane.shape[1]).T


def exact_rgb(planes: list[np.ndarray], form: Form, colours: Colours, source: Size, target: Size) -> np.ndarray:
    """float64 [height, width, 3] in 0..255."""
    area, chroma = target[0] * target[1] < source[0] * source[1], form.chroma(source)
    across, down = SITING[0] if form.across == 2 else 0.5, SITING[1] if form.down == 2 else 0.5
    y, cb, cr = (plane >> form.shift for plane in planes)
    luma = moved(y, taps(source[0], target[0], area), taps(source[1], target[1], area))
    ways = taps(chroma[0], target[0], area, down), taps(chroma[1], target[1], area, across)
    factors, zeros = colours.rgb_of(form.bits)
    values = np.stack([luma, moved(cb, *ways), moved(cr, *ways)], -1)
    return np.clip(values @ factors.T + zeros, 0, 255)


def exact_planes(image: np.ndarray, form: Form, colours: Colours, source: Size, target: Size) -> list[np.ndarray]:
    """Y, Cb, Cr as float64."""
    chroma = form.chroma(target)
    rows, columns = taps(source[0], chroma[0], False), taps(source[1], chroma[1], False)
    if form.across == 2 and chroma[1] <= source[1] // 2:
        columns = in_pairs(taps(-(-source[1] // 2), chroma[1], False), source[1])
    ways = [(taps(source[0], target[0], False), taps(source[1], target[1], False)), (rows, columns), (rows, columns)]
    factors, zeros = colours.values_of(form.bits)
    found = [
        sum(factor * moved(image[..., channel], *way) for channel, factor in enumerate(row)) + zero
        for row, zero, way in zip(factors, zeros, ways, strict=True)
    ]
    return [np.clip(plane, 0, 2**form.bits - 1) for plane in found]


def check(device: torch.device, seed: int) -> Iterator[Result]:
    """Every case by torch and, where the device has them, by kernels; and the copies to and from the device."""
    random = np.random.default_rng(seed)
    is_gpu = device.type == "cuda"
    for name, matrix, full, size, other in CASES if is_gpu else TINY:
        form, colours = FORMS[name], Colours(matrix, full)
        kind = np.uint8 if form.bits == 8 else np.uint16
        planes = [random.integers(0, 2**form.bits, shape) << form.shift for shape in _single(form, size)]
        image = random.integers(0, 256, (*other, 3)).astype(np.uint8)
        rgb, values = exact_rgb(planes, form, colours, size, other), exact_planes(image, form, colours, other, size)
        given = [torch.from_numpy(plane.astype(kind)).to(device) for plane in planes]
        given = [given[0], torch.stack(given[1:], -1)] if form.paired else given
        # float32 has 24 bits: 16-bit values and their sums are a little off
        limit = PIXEL_LIMIT + 2.0 ** (form.bits - 14)
        for fused in (False, True) if is_gpu else (False,):
            case = f"{name} {matrix} {'full' if full else 'limited'} {size} {other} {'kernel' if fused else 'torch'}"
            got = ToRgb(form, colours, size, other, device, 0, SITING, fused)(given)
            yield Result("planes to RGB", case, _worst(got, rgb), PIXEL_LIMIT)
            made = ToPlanes(form, colours, other, size, device, fused)
            y, *chroma = made.split(made(torch.from_numpy(image).to(device)))
            cb, cr = chroma[0].unbind(2) if form.paired else chroma
            for what, plane, exact in zip(("Y", "Cb", "Cr"), (y, cb, cr), values, strict=True):
                yield Result(f"RGB to {what}", case, _worst(plane, exact * 2**form.shift) / 2**form.shift, limit)
    yield from _copies(str(device), random)


def _copies(name: str, random: np.random.Generator) -> Iterator[Result]:
    """Up, styled by doing nothing, and down, several times over: what comes down is what went up."""
    memory, worst = DeviceMemory(name), 0.0
    for _ in range(20):
        image = random.integers(0, 256, (270, 480, 3)).astype(np.uint8)
        there = memory.upload(image)
        with memory.styling():
            styled = 255 - there
        wait = memory.planes(styled, "yuv444p", Colours(1, True), (270, 480))
        worst = max(worst, float(np.abs(memory.fetch(styled).astype(int) - (255 - image)).max()))
        exact = exact_planes(255 - image, FORMS["yuv444p"], Colours(1, True), (270, 480), (270, 480))
        worst = max(worst, max(float(np.abs(one - other).max()) for one, other in zip(wait(), exact, strict=True)))
    yield Result("copies up and down", "270x480, 20 times", worst, PIXEL_LIMIT)


def _single(form: Form, size: Size) -> list[Size]:
    return [size, form.chroma(size), form.chroma(size)]


def _worst(got: Tensor, exact: np.ndarray) -> float:
    return float(np.abs(got.cpu().numpy().astype(np.float64) - exact).max())
