"""Feature spaces for the content loss: VGG-16 or VGG-19 of the user, or a small encoder given by path.

All are read without running what is in the file. Taken are, told apart by their names:

``torchvision``  ``features.0.weight``...: VGG-16 or VGG-19, RGB with ImageNet's mean and deviation.
``caffe``        ``conv1_1.weight``...: the original VGG-16 or VGG-19, BGR in 0-255 minus the mean.
``small``        ``conv11.weight``...: VGG-19 to relu4_1 compressed 16 times (MingSun-Tse/Collaborative-Distillation).
``squeezenet``   a Keras .h5 of SqueezeNet 1.1 (needs h5py).

The layer is conv4_4 of VGG-19 before its ReLU, as the released code of DCT-Net has it. The paper says conv4_4 of
VGG-16, which has no such layer: there conv4_3 is used, its nearest.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.stylegan2_weights import read_tensors
from training.world import TrainingError

State = dict[str, Tensor]
CAFFE_MEAN = (103.939, 116.779, 123.68)  # blue, green, red
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # red, green, blue
STAGES = {13: (2, 2, 3, 3, 3), 16: (2, 2, 4, 4, 4)}  # convolutions between poolings, by their number in all
TORCHVISION_255 = 255.0  # its features are of pictures in 0-1: this brings them to about the scale of 0-255


class Features(nn.Module):
    """``forward``: pictures [N, 3, S, S] in -1..1 to features [N, C, S/8, S/8].

    ``unit``: what a feature difference is multiplied with to be on the scale of the original VGG; None where that is
    not known and differences are taken relative to the features' own size.
    """

    def __init__(self, name: str, weights: State, run: Callable[[State, Tensor], Tensor], unit: float | None) -> None:
        super().__init__()
        self.name, self.unit, self._run = name, unit, run
        self._names = list(weights)
        for index, value in enumerate(weights.values()):
            self.register_buffer(f"w{index}", value.detach().float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        weights = {name: getattr(self, f"w{index}") for index, name in enumerate(self._names)}
        return self._run(weights, x)


def load_features(path: Path) -> Features:
    """Read a feature network.

    Raises:
        TrainingError: no such file, or none of the layouts above.
    """
    if path.suffix == ".h5":
        return Features("squeezenet", _keras(path), _squeezenet, None)
    found = read_tensors(path)
    inner = found.get("model", found.get("state_dict", found))
    state = {str(name): value for name, value in dict(inner).items() if isinstance(value, Tensor)}
    if "conv11.weight" in state and "conv41.weight" in state:
        return Features("small", {k: v for k, v in state.items() if "aux" not in k}, _small, None)
    for name, kind, unit in (("features.0.weight", _torchvision, TORCHVISION_255), ("conv1_1.weight", _caffe, 1.0)):
        if name in state:
            return _vgg(path, state, kind, unit)
    raise TrainingError(
        f"{path} is no feature network this version knows: expected VGG-16 or VGG-19 with torchvision's or Caffe's "
        "names, or VGG-19 to relu4_1 compressed (conv11 ... conv41)"
    )


def _vgg(path: Path, state: State, run: Callable[[State, Tensor], Tensor], unit: float) -> Features:
    convs = {k: v for k, v in state.items() if re.fullmatch(r"(features\.\d+|conv\d_\d)\.(weight|bias)", k)}
    count = sum(name.endswith("weight") for name in convs)
    if count not in STAGES and count not in (10, 12):  # cut after conv4_3 or conv4_4
        raise TrainingError(f"{path} has {count} convolutions, expected VGG-16 (13) or VGG-19 (16), or those to conv4")
    return Features(f"vgg{16 if count in (10, 13) else 19}", convs, run, unit)


def _chain(x: Tensor, layers: list[tuple[Tensor, Tensor]], stages: tuple[int, ...]) -> Tensor:
    """VGG's convolutions with poolings between the stages; without the ReLU after the last."""
    used = 0
    for stage, count in enumerate(stages[:4]):
        if stage:
            x = F.max_pool2d(x, 2)
        for place in range(count):
            weight, bias = layers[used]
            x = F.conv2d(x, weight, bias, padding=1)
            used += 1
            if stage < 3 or place < count - 1:
                x = F.relu(x)
    return x


def _ordered(weights: State) -> tuple[list[tuple[Tensor, Tensor]], tuple[int, ...]]:
    def key(name: str) -> list[int]:
        return [int(digits) for digits in re.findall(r"\d+", name)]

    names = sorted((name[:-7] for name in weights if name.endswith(".weight")), key=key)
    layers = [(weights[f"{name}.weight"], weights[f"{name}.bias"]) for name in names]
    return layers, STAGES[13] if len(layers) in (10, 13) else STAGES[16]


def _torchvision(weights: State, x: Tensor) -> Tensor:
    mean, std = (x.new_tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return _chain(((x + 1) / 2 - mean) / std, *_ordered(weights))


def _caffe(weights: State, x: Tensor) -> Tensor:
    mean = x.new_tensor(CAFFE_MEAN).view(1, 3, 1, 1)
    return _chain((x.flip(1) + 1) * 127.5 - mean, *_ordered(weights))


def _small(weights: State, x: Tensor) -> Tensor:
    """The compressed encoder's own preprocessing is its first, 1x1 convolution; each 3x3 mirrors the border."""

    def conv(h: Tensor, name: str) -> Tensor:
        weight = weights[f"{name}.weight"]
        if weight.shape[-1] == 3:
            h = F.pad(h, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(h, weight, weights[f"{name}.bias"])

    h = conv((x + 1) / 2, "conv0")
    for stage in (("11", "12"), ("21", "22"), ("31", "32", "33", "34"), ("41",)):
        if stage[0] != "11":
            h = F.max_pool2d(h, 2)
        for name in stage:
            h = conv(h, f"conv{name}")
            h = h if name == "41" else F.relu(h)
    return h


def _keras(path: Path) -> State:
    """Weights of a Keras .h5 by their last name, convolutions as [out, in, k, k]."""
    try:
        import h5py
    except ImportError:
        raise TrainingError(
            f"{path} needs h5py to be read: pip install h5py, or give another feature network"
        ) from None
    state: State = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            value, parts = torch.from_numpy(item[()]), name.split("/")
            layer = "_".join(parts[:2]) if parts[0].startswith("fire") else parts[0]  # fire2/expand1x1/..., conv1/...
            if value.dim() == 4:
                state[f"{layer}.weight"] = value.permute(3, 2, 0, 1).contiguous()
            else:
                state[f"{layer}.bias"] = value

    try:
        with h5py.File(path) as file:
            file.visititems(visit)
    except OSError as error:
        raise TrainingError(f"{path} is not a Keras weights file ({error})") from error
    if not {"conv1.weight", "fire5_expand3x3.weight"} <= set(state):
        raise TrainingError(f"{path} is not SqueezeNet 1.1 (has {', '.join(sorted(state)[:4])} ...)")
    return state


def _squeezenet(weights: State, x: Tensor) -> Tensor:
    """SqueezeNet 1.1 to the end of fire5, at 1/8 of the picture: padded, where Keras's loses a border."""

    def conv(h: Tensor, name: str, stride: int = 1, pad: int = 0) -> Tensor:
        return F.relu(F.conv2d(h, weights[f"{name}.weight"], weights[f"{name}.bias"], stride, pad))

    mean = x.new_tensor(CAFFE_MEAN).view(1, 3, 1, 1)
    h = F.max_pool2d(conv((x.flip(1) + 1) * 127.5 - mean, "conv1", 2, 1), 3, 2, 1)
    for fire in (2, 3, 4, 5):
        if fire == 4:
            h = F.max_pool2d(h, 3, 2, 1)
        s = conv(h, f"fire{fire}_squeeze1x1")
        h = torch.cat([conv(s, f"fire{fire}_expand1x1"), conv(s, f"fire{fire}_expand3x3", pad=1)], 1)
    return h
