"""Memory of the device: what each engine needs, and that too little of it changes the way, not the result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from gpu_figures import Book, Figure
from gpu_setup import Setup
from gpu_table import LEVELS, aimed

from vidstyle.engine import Recipe
from vidstyle.frame import Frame
from vidstyle.stylizer import Stylizer

BATCH, FRAMES = 8, 12
MIB = 1 << 20


def memory(setup: Setup, book: Book) -> None:
    """Whether too little changes the result."""
    found = [_too_little(setup, book, net, recipe) for net, recipe in setup.nets.items()]
    if known := [levels for levels in found if levels is not None]:
        book.add(aimed("memory.levels", "too little memory: difference of 255", max(known)))


def needs(setup: Setup, book: Book) -> None:
    """What each engine takes, for which there is no target."""
    for net, recipe in setup.nets.items():
        for text in setup.sizes:
            for engine in (setup.engine, *setup.others):
                key, name = f"memory.{net}.{text}.{engine}", f"{net} {text}: {engine}"
                with book.attempt(key, f"{name}, memory"):
                    setup.need_gpu()
                    book.need(5)
                    held, most = _needed(setup, recipe, text, engine)
                    book.add(Figure(f"{key}.held", f"{name}, memory while it is loaded", held, "MiB"))
                    book.add(Figure(f"{key}.most", f"{name}, most memory at any time", most, "MiB"))


def _needed(setup: Setup, recipe: Recipe, text: str, engine: str) -> tuple[float, float]:
    """MiB of the allocator: what stays taken between two pictures, and the most, while convolutions are tried too."""
    _forget(setup)
    torch.cuda.reset_peak_memory_stats(setup.device)
    before = torch.cuda.memory_reserved(setup.device)
    batch = setup.pictures(1, setup.sizes[text]).cpu().numpy()
    with setup.loaded(recipe, setup.sizes[text], engine, in_flight=1) as loaded:
        loaded(batch)
        _forget(setup)
        held = torch.cuda.memory_reserved(setup.device)
    return (held - before) / MIB, (torch.cuda.max_memory_reserved(setup.device) - before) / MIB


def _forget(setup: Setup) -> None:
    torch.cuda.synchronize(setup.device)
    torch.cuda.empty_cache()


def _too_little(setup: Setup, book: Book, net: str, recipe: Recipe) -> float | None:
    """Difference, of 255, where there is room for one and a half pictures, then for half of one; None if it failed."""
    name = f"{net} 1080p: too little memory"
    with book.attempt(f"memory.{net}.too_little", name):
        setup.need_gpu()
        frames = _frames(setup)
        whole = _styled(setup, recipe, frames, 1)[0]
        one, _ = _needed(setup, recipe, "1080p", setup.engine)
        worst = 0
        for share, text in ((1.5, "a batch of 8"), (0.5, "one picture")):
            with _room(setup, one * share):
                images, notes = _styled(setup, recipe, frames, BATCH)
            if not notes:
                raise RuntimeError(f"{one * share:.0f} MiB were enough for {text}: nothing was tried")
            worst = max(worst, *(int(np.abs(a.astype(int) - b).max()) for a, b in zip(images, whole, strict=True)))
            book.know(**{f"memory, {net}, {one * share:.0f} MiB": "; ".join(notes)})
        book.add(Figure(f"memory.{net}.levels", f"{name}: difference of 255", worst, "", LEVELS, True))
        return worst
    return None


def _frames(setup: Setup) -> list[Frame]:
    pictures = setup.pictures(FRAMES, setup.sizes["1080p"]).cpu().numpy()
    return [Frame(picture, index, Fraction(1, 30)) for index, picture in enumerate(pictures)]


def _styled(setup: Setup, recipe: Recipe, frames: list[Frame], batch: int) -> tuple[list[Any], list[str]]:
    """Results and what had to be done for them."""
    with Stylizer(recipe, setup.engine, str(setup.device), setup.precision, in_flight=0, batch=batch) as stylizer:
        return [frame.image for frame in stylizer.frames(frames)], stylizer.notes


@contextmanager
def _room(setup: Setup, mib: float) -> Iterator[None]:
    """So much memory more than is held now."""
    _forget(setup)
    total = torch.cuda.get_device_properties(setup.device).total_memory
    held = torch.cuda.memory_reserved(setup.device)
    torch.cuda.set_per_process_memory_fraction(min(1.0, (held + mib * MIB) / total), setup.device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, setup.device)
        _forget(setup)
