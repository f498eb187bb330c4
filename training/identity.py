"""Who someone is, as a vector, for CCN's identity loss (DCT-Net section 3.2, R_id).

``arcface``   IR-SE50 (Deng et al., 2019) from the user's ``model_ir_se50.pth`` in InsightFace_Pytorch's names.
``features``  the features of any network that `training.features` reads, pooled over the face: a stand-in.
``layout``    the luminance of the face at 16x16, its mean removed: a stand-in that needs no weights. It holds the
              structure of a face in place, but does not know people.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.features import Features, load_features
from training.stylegan2_weights import read_tensors
from training.world import TrainingError

Identity = Callable[[Tensor], Tensor]  # [N, 3, S, S] in -1..1 to [N, D]
ROWS, COLUMNS = (35 / 256, 223 / 256), (32 / 256, 220 / 256)  # the face in an aligned crop, as ArcFace is shown it


def face(x: Tensor) -> Tensor:
    """The inner face of an aligned crop."""
    side = x.shape[-1]
    rows, columns = (slice(round(a * side), round(b * side)) for a, b in (ROWS, COLUMNS))
    return x[..., rows, columns]


def identity_loss(net: Identity, made: Tensor, source: Tensor) -> Tensor:
    """Mean of 1 - cosine between the two pictures' vectors; the gradient goes to ``made``."""
    with torch.no_grad():
        wanted = net(source)
    return (1 - F.cosine_similarity(net(made), wanted, dim=1)).mean()


def layout(x: Tensor) -> Tensor:
    grey = (x * x.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    small = F.adaptive_avg_pool2d(face(grey), 16).flatten(1)
    return small - small.mean(1, keepdim=True)


def _pooled(net: Features) -> Identity:
    def embed(x: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(net(face(x)), 7)
        return (pooled - pooled.mean((2, 3), keepdim=True)).flatten(1)

    return embed


def load_identity(path: str, device: torch.device) -> tuple[str, Identity]:
    """(which of the three, the function); "" is ``layout``.

    Raises:
        TrainingError: no such file, or neither IR-SE50 nor a feature network.
    """
    if not path:
        return "layout", layout
    file = Path(path)
    if file.suffix != ".h5":
        found = read_tensors(file)
        if "input_layer.0.weight" in found:
            net = IrSe50()
            try:
                net.load_state_dict(found)
            except RuntimeError as error:
                raise TrainingError(f"{path} is not IR-SE50: {str(error).splitlines()[-1].strip()}") from error
            return "arcface", net.to(device).eval().requires_grad_(False)
    return "features", _pooled(load_features(file).to(device))


class _Se(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // 16, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // 16, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))).sigmoid()


class _Bottleneck(nn.Module):
    def __init__(self, inp: int, out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        if inp != out:
            self.shortcut_layer = nn.Sequential(nn.Conv2d(inp, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inp),
            nn.Conv2d(inp, out, 3, 1, 1, bias=False),
            nn.PReLU(out),
            nn.Conv2d(out, out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out),
            _Se(out),
        )

    def forward(self, x: Tensor) -> Tensor:
        short = self.shortcut_layer(x) if hasattr(self, "shortcut_layer") else x[:, :, :: self.stride, :: self.stride]
        return short + self.res_layer(x)


class IrSe50(nn.Module):
    """IR-SE50: aligned crops in -1..1 to vectors [N, 512] of unit length."""

    def __init__(self) -> None:
        super().__init__()
        self.input_layer = nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64))
        units: list[nn.Module] = []
        inp = 64
        for out, count in ((64, 3), (128, 4), (256, 14), (512, 3)):
            for place in range(count):
                units.append(_Bottleneck(inp, out, 1 if place else 2))
                inp = out
        self.body = nn.Sequential(*units)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(512), nn.Dropout(0.4), nn.Flatten(), nn.Linear(512 * 49, 512), nn.BatchNorm1d(512)
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.input_layer(F.adaptive_avg_pool2d(face(x), 112))
        return F.normalize(self.output_layer(self.body(h)), dim=1)
