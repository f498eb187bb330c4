"""How long a chain will take on this machine, and how much memory: measured with a few steps of each stage.

The steps are of the real size on noise in place of faces. Only StyleGAN2's are reckoned, from what a convolution of its
kind takes here: one real step at 256 pixels is minutes on a CPU.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from training import ccn, expression, generator, landmarks, packed, paired, pairs, portraits, student, ttn
from training.analogies import Maker
from training.chain import Chain
from training.detector import Detector, detector_file
from training.pictures import read_all
from training.recipes import Wishes, options_of
from training.world import join
from vidstyle.errors import Interrupted, VidstyleError

FACES = 16  # of noise
TRIED = 3  # steps
CONFIG_F = 1.3e12  # operations a picture at 256 pixels: both networks, forth and back, with the regularisers
SMALL = 0.1  # of that, for the narrower networks of `training.stylegan2.small`
SAMPLE = 2 * 9e10  # operations of a pair


@dataclass(frozen=True)
class Row:
    """One stage; ``seconds`` still to come, ``memory`` in bytes (0: little), ``measured`` False where reckoned."""

    name: str
    title: str
    steps: int
    unit: str
    seconds: float
    memory: int
    done: bool
    measured: bool = True

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def plan(chain: Chain, wishes: Wishes) -> list[Row]:
    """A row a stage.

    Raises:
        VidstyleError: a stage cannot even begin, as with a damaged network of the user's.
    """
    keys, options, rows = chain.keys(), options_of(wishes), []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), wishes, options)
        for stage in chain.stages:
            done = chain.done(stage, keys[stage.name]) is not None
            kind = stage.name.split("-")[0]
            seconds, memory, measured = (0.0, 0, True) if done else bench.measure(kind)
            rows.append(Row(stage.name, stage.title, stage.steps, stage.unit, seconds, memory, done, measured))
    return rows


class Bench:
    """Measures stages in a scratch folder that holds two domains of noise, and pairs of it."""

    def __init__(self, folder: Path, wishes: Wishes, options: dict[str, Any]) -> None:
        self.folder, self.wishes, self.options = folder, wishes, options
        self.photos, self.exemplars, self.pairs = (folder / name for name in ("photos", "exemplars", "pairs"))
        for place in (self.photos, self.exemplars):
            _noise(place)
        faces = portraits.load(self.photos)
        pairs.write(self.pairs, 0, faces.faces, faces.faces, faces.landmarks)
        self._made: set[str] = set()

    def measure(self, kind: str) -> tuple[float, int, bool]:
        """(seconds of the whole stage, bytes, whether measured) of a kind of stage."""
        if kind.startswith("crops/"):
            source = self.wishes.photos if kind.endswith("photos") else self.wishes.exemplars
            return self._detection(source), 0, True
        if kind == "pairs" and self.wishes.mode == "full":
            return self._reckoned(SAMPLE * self.options["pairs"].samples), 0, False
        measures: dict[str, Callable[[], tuple[float, int, bool]]] = {
            "paired": self._pairing,
            "pairs": self._analogies,
            "generator": lambda: self._gan(self.options["generator"]),
            "ccn": lambda: self._gan(self.options["ccn"]),
            "expression": self._expression,
            "ttn": self._texture,
            "student": self._student,
        }
        return measures[kind]() if kind in measures else (0.0, 0, True)

    def _detection(self, source: Path) -> float:
        if packed.is_packed(source):
            return 0.0  # it was done before
        total, begun = portraits.count(source), time.monotonic()
        try:
            detector = Detector(detector_file(self.wishes.detector), 0.8)
        except VidstyleError:
            if self.wishes.detector:
                raise
            return 0.05 * total  # not fetched yet, and no network: what it usually takes
        seen = len(list(portraits.sift(islice(read_all(source), 6), detector, portraits.Options())))
        return (time.monotonic() - begun) / max(1, seen) * total

    def _pairing(self) -> tuple[float, int, bool]:
        """As `_detection` of the photos, and half as much again for what is cut and read of the drawings."""
        options = self.options["paired"]
        some = len(paired.check(self.wishes.photos, self.wishes.exemplars, options))
        share = min(options.pictures, some) / max(1, portraits.count(self.wishes.photos))
        return 1.5 * share * self._detection(self.wishes.photos), 0, True

    def _analogies(self) -> tuple[float, int, bool]:
        options = self.options["pairs"]
        faces = portraits.load(self.photos, "train", options.side)
        maker, begun = Maker(faces, faces, options.pieces), time.monotonic()
        maker.draw(np.ascontiguousarray(faces.faces[0]), faces.landmarks[0])
        return (time.monotonic() - begun) * options.count / max(1, torch.get_num_threads()), 0, True

    def _gan(self, options: generator.Options | ccn.Options) -> tuple[float, int, bool]:
        size = options.size or 256
        share = (size / 256) ** 2 * (1.0 if getattr(options, "full", True) else SMALL)
        memory = int(1.1e9 + options.batch * 0.55e9 * share)  # weights and Adam's state; activations
        return self._reckoned(CONFIG_F * share * options.batch * options.steps), memory, False

    def _expression(self) -> tuple[float, int, bool]:
        options = self.options["expression"]
        small = replace(options, batch=2, steps=TRIED + 1)
        folder, crops, world = self.folder / "r", [self.photos], join(self.wishes.device)
        return self._paced(
            lambda step: expression.train(folder, crops, small, step, world), options.steps, options.batch / 2
        )

    def _texture(self) -> tuple[float, int, bool]:
        options = self.options["ttn"]
        small = replace(options, batch=2, steps=TRIED + 1, warm=0, expression="")
        made = self.pairs if self.wishes.mode == "full" else None
        crops, world = (self.photos, self.exemplars, made), join(self.wishes.device)
        return self._paced(
            lambda step: ttn.train(self.folder / "t", *crops, small, step, world), options.steps, options.batch / 2
        )

    def _student(self) -> tuple[float, int, bool]:
        options = self.options["student"]
        small = replace(options, steps=TRIED + 1, shift_from=-2.0)  # with the shifts' loss from the first step
        folder, device = self.folder / "s", self.wishes.device
        made = student.canvases(self.photos, self.pairs, None, options, torch.device(device))
        return self._paced(
            lambda step: student.learn(folder, made, None, small, step, torch.device(device)), options.steps, 1.0
        )

    def _paced(
        self, work: Callable[[Callable[[int, int, dict[str, float]], None]], object], steps: int, scale: float
    ) -> tuple[float, int, bool]:
        """Seconds and bytes of ``steps`` steps, from two after the first; ``scale``: real batch to the tried one.

        ``work`` is of one step more: after the last come checkpoint and sheet.
        """
        before, times = peak(), [time.monotonic()]

        def on_step(done: int, _of: int, _figures: dict[str, float]) -> None:
            times.append(time.monotonic())
            if done == TRIED:
                raise Interrupted(0)

        with suppress(Interrupted):
            work(on_step)
        pace = (times[-1] - times[1]) / max(1, len(times) - 2)
        return pace * steps * scale, int(before + max(0, peak() - before) * scale), True

    def _reckoned(self, operations: float) -> float:
        return operations / speed(torch.device(self.wishes.device))


def speed(device: torch.device) -> float:
    """Operations a second of a convolution as StyleGAN2's are, forth and back."""
    x = torch.randn(2, 256, 64, 64, device=device, requires_grad=True)
    weight = torch.randn(256, 256, 3, 3, device=device, requires_grad=True)
    seconds = []
    for _ in range(3):
        begun = time.monotonic()
        F.conv2d(x, weight, padding=1).square().mean().backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.monotonic() - begun)
    return 3 * 2 * x.numel() * weight[0].numel() / min(seconds)


def peak() -> int:
    """The most bytes this process has held so far, on the GPU where there is one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    if sys.platform == "win32":  # it does not say
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _noise(folder: Path) -> None:
    folder.mkdir(parents=True)
    side, rng = portraits.SIDE, np.random.default_rng(0)
    points = np.array([[96, 121], [160, 121], [128, 160], [99, 187], [157, 187]], np.float32)
    np.save(folder / "faces.npy", rng.integers(0, 256, (FACES, side, side, 3), np.uint8))
    np.save(folder / "landmarks.npy", np.repeat(points[None], FACES, 0))
    landmarks.write(folder, rng.uniform(0, side, (FACES, landmarks.COUNT, 2)))
    rows = list(range(FACES))
    (folder / "split.json").write_text(
        json.dumps({"train": rows, "held": rows[:1], "names": [str(row) for row in rows]})
    )
