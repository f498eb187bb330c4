"""StyleGAN2 written down once more, in float64, with rosinality/stylegan2-pytorch's names, to test ours against.

Every picture has its own modulated weights here, upsampling puts zeros between pixels, and filters are SciPy's.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
from scipy.signal import convolve2d
from torch.nn import functional as F

FIR = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
State = dict[str, torch.Tensor]


def fir(x: np.ndarray, before: int, behind: int, gain: float = 1.0) -> np.ndarray:
    padded = np.pad(x, ((0, 0), (0, 0), (before, behind), (before, behind)))
    return np.stack([[convolve2d(plane, FIR * gain, "valid") for plane in image] for image in padded])


def spread(x: np.ndarray) -> np.ndarray:
    out = np.zeros((*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3]))
    out[:, :, ::2, ::2] = x
    return out


def lrelu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.2 * x) * math.sqrt(2)


def conv(x: np.ndarray, w: np.ndarray, stride: int = 1, pad: int = 0) -> np.ndarray:
    return F.conv2d(torch.from_numpy(x), torch.from_numpy(w), None, stride, pad).numpy()


def random_generator(rng: np.random.Generator, channels: tuple[int, ...], latent: int, mapping: int) -> State:
    """A generator's state in the published layout, buffers included, weights of about unit size."""

    def normal(*shape: int, scale: float = 1.0) -> torch.Tensor:
        return torch.from_numpy((rng.normal(0, scale, shape)).astype(np.float32))

    def layer(name: str, inp: int, out: int) -> State:
        return {
            f"{name}.conv.weight": normal(1, out, inp, 3, 3),
            f"{name}.conv.modulation.weight": normal(inp, latent),
            f"{name}.conv.modulation.bias": 1 + normal(inp, scale=0.1),
            f"{name}.noise.weight": normal(1),
            f"{name}.activate.bias": normal(out),
        }

    def rgb(name: str, inp: int) -> State:
        return {
            f"{name}.bias": normal(1, 3, 1, 1),
            f"{name}.conv.weight": normal(1, 3, inp, 1, 1),
            f"{name}.conv.modulation.weight": normal(inp, latent),
            f"{name}.conv.modulation.bias": 1 + normal(inp, scale=0.1),
        }

    state = {"input.input": normal(1, channels[0], 4, 4)}
    for i in range(mapping):
        state |= {f"style.{i + 1}.weight": normal(latent, latent, scale=100), f"style.{i + 1}.bias": normal(latent)}
    state |= layer("conv1", channels[0], channels[0]) | rgb("to_rgb1", channels[0])
    for i, (inp, out) in enumerate(pairwise(channels)):
        state |= layer(f"convs.{2 * i}", inp, out) | layer(f"convs.{2 * i + 1}", out, out) | rgb(f"to_rgbs.{i}", out)
        state |= {f"{name}.kernel": torch.ones(4, 4) for name in (f"convs.{2 * i}.conv.blur", f"to_rgbs.{i}.upsample")}
    for i in range(2 * len(channels) - 1):
        side = 2 ** (2 + (i + 1) // 2)
        state[f"noises.noise_{i}"] = normal(1, 1, side, side)
    return state


def generate(state: State, z: np.ndarray, noise: list[np.ndarray]) -> np.ndarray:
    s = {name: value.double().numpy() for name, value in state.items()}
    w = z / np.sqrt((z**2).mean(1, keepdims=True) + 1e-8)
    for i in range(1, 1 + sum(name.startswith("style.") for name in s) // 2):
        weight, bias = s[f"style.{i}.weight"] * 0.01 / math.sqrt(w.shape[1]), s[f"style.{i}.bias"] * 0.01
        w = lrelu(w @ weight.T + bias)

    def modulated(x: np.ndarray, name: str, up: bool, demodulate: bool) -> np.ndarray:
        weight = s[f"{name}.weight"][0]
        style = w @ s[f"{name}.modulation.weight"].T / math.sqrt(w.shape[1]) + s[f"{name}.modulation.bias"]
        outs = []
        for image, scale in zip(x, style, strict=True):
            own = weight * scale[None, :, None, None] / math.sqrt(weight[0].size)
            if demodulate:
                own /= np.sqrt((own**2).sum((1, 2, 3), keepdims=True) + 1e-8)
            if up:
                flipped = np.ascontiguousarray(own[:, :, ::-1, ::-1])
                big = conv(np.pad(spread(image[None]), ((0, 0), (0, 0), (2, 1), (2, 1))), flipped)
                outs.append(fir(big, 1, 1, 4.0)[0])
            else:
                outs.append(conv(image[None], own, pad=own.shape[-1] // 2)[0])
        return np.stack(outs)

    def layer(x: np.ndarray, name: str, up: bool, extra: np.ndarray) -> np.ndarray:
        y = modulated(x, f"{name}.conv", up, True) + s[f"{name}.noise.weight"] * extra
        return lrelu(y + s[f"{name}.activate.bias"][:, None, None])

    x = np.repeat(s["input.input"], len(z), 0)
    x = layer(x, "conv1", False, noise[0])
    image = modulated(x, "to_rgb1.conv", False, False) + s["to_rgb1.bias"]
    for i in range(len(noise) // 2):
        x = layer(x, f"convs.{2 * i}", True, noise[2 * i + 1])
        x = layer(x, f"convs.{2 * i + 1}", False, noise[2 * i + 2])
        rgb = modulated(x, f"to_rgbs.{i}.conv", False, False) + s[f"to_rgbs.{i}.bias"]
        image = rgb + fir(spread(image), 2, 1, 4.0)
    return image


def random_critic(rng: np.random.Generator, channels: tuple[int, ...]) -> State:
    """A discriminator's state in the published layout; ``channels`` from 4 pixels up."""

    def normal(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(0, 1, shape).astype(np.float32))

    down = channels[::-1]
    state = {"convs.0.0.weight": normal(down[0], 3, 1, 1), "convs.0.1.bias": normal(down[0])}
    for i, (inp, out) in enumerate(pairwise(down), 1):
        state |= {
            f"convs.{i}.conv1.0.weight": normal(inp, inp, 3, 3),
            f"convs.{i}.conv1.1.bias": normal(inp),
            f"convs.{i}.conv2.0.kernel": torch.ones(4, 4),
            f"convs.{i}.conv2.1.weight": normal(out, inp, 3, 3),
            f"convs.{i}.conv2.2.bias": normal(out),
            f"convs.{i}.skip.0.kernel": torch.ones(4, 4),
            f"convs.{i}.skip.1.weight": normal(out, inp, 1, 1),
        }
    last = channels[0]
    return state | {
        "final_conv.0.weight": normal(last, last + 1, 3, 3),
        "final_conv.1.bias": normal(last),
        "final_linear.0.weight": normal(last, last * 16),
        "final_linear.0.bias": normal(last),
        "final_linear.1.weight": normal(1, last),
        "final_linear.1.bias": normal(1),
    }


def judge(state: State, x: np.ndarray) -> np.ndarray:
    s = {name: value.double().numpy() for name, value in state.items()}

    def equal(x: np.ndarray, name: str, stride: int = 1, pad: int = 0) -> np.ndarray:
        return conv(x, s[name] / math.sqrt(s[name][0].size), stride, pad)

    def bias(name: str) -> np.ndarray:
        return s[name][:, None, None]

    x = lrelu(equal(x, "convs.0.0.weight") + bias("convs.0.1.bias"))
    for i in range(1, 1 + sum(name.endswith("skip.1.weight") for name in s)):
        y = lrelu(equal(x, f"convs.{i}.conv1.0.weight", pad=1) + bias(f"convs.{i}.conv1.1.bias"))
        y = lrelu(equal(fir(y, 2, 2), f"convs.{i}.conv2.1.weight", 2) + bias(f"convs.{i}.conv2.2.bias"))
        x = (y + equal(fir(x, 1, 1), f"convs.{i}.skip.1.weight", 2)) / math.sqrt(2)
    groups = x.reshape(4, len(x) // 4, *x.shape[1:])
    deviation = np.sqrt(groups.var(0) + 1e-8).mean((1, 2, 3))
    extra = np.tile(deviation, 4)[:, None, None, None] * np.ones((1, 1, 4, 4))
    x = lrelu(equal(np.concatenate([x, extra], 1), "final_conv.0.weight", pad=1) + bias("final_conv.1.bias"))
    for i in range(2):
        weight = s[f"final_linear.{i}.weight"]
        x = x.reshape(len(x), -1) @ weight.T / math.sqrt(weight.shape[1]) + s[f"final_linear.{i}.bias"]
        x = x if i else lrelu(x)
    return x
