"""The network alone, pictures staying on the device: every engine and torch itself, in turns."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from gpu_figures import Book, Figure
from gpu_machine import multiply
from gpu_setup import Pictures, Setup, Size
from gpu_table import aimed
from gpu_timing import Work, interleaved, pipelined, repeated

from vidstyle.engine import Recipe
from vidstyle.network import flops_per_pixel

BATCHES, IN_FLIGHT = (1, 2, 4, 8), (1, 2, 3, 4)
MAIN = "1080p"  # the size that the targets are for
COMPILE_SECONDS = 90.0  # that a compilation may take: none is begun with less left
STEP_SECONDS = 20.0  # the same of anything else


def network(setup: Setup, book: Book) -> None:
    """Every network at the size that the targets are for."""
    for net in setup.nets:
        _size(setup, book, net, MAIN, compiled=False)


def compiled(setup: Setup, book: Book) -> None:
    """The same once more with torch.compile among them, which takes minutes to begin."""
    for net in setup.nets:
        _size(setup, book, net, MAIN, compiled=True)


def sizes(setup: Setup, book: Book) -> None:
    """Every network at the other sizes."""
    for net in setup.nets:
        for text in setup.sizes:
            if text != MAIN:
                _size(setup, book, net, text, compiled=False)


def shapes(setup: Setup, book: Book) -> None:
    """At the main size: several pictures a call, and several calls under way."""
    for net in setup.nets:
        with book.attempt(f"shapes.{net}.batches", f"{net} {MAIN}: batches"):
            book.need(STEP_SECONDS)
            _batches(setup, book, net)
        with book.attempt(f"shapes.{net}.in_flight", f"{net} {MAIN}: calls in flight"):
            book.need(STEP_SECONDS)
            _in_flight(setup, book, net)


def _size(setup: Setup, book: Book, net: str, text: str, compiled: bool) -> None:
    key, name = f"network.{net}.{text}", f"{net} {text}"
    with book.attempt(key, name):
        book.need(STEP_SECONDS)
        with ExitStack() as stack:
            works = _works(setup, book, net, text, stack, compiled)
            seconds = interleaved(works | {"matmul": _matmul(setup)}, setup.device, setup.seconds)
        for figure in figures(key, name, seconds, setup.nets[net], setup.sizes[text], setup.engine, setup.product):
            book.add(figure)


def _works(setup: Setup, book: Book, net: str, text: str, stack: ExitStack, compiled: bool) -> dict[str, Work]:
    """What can be run, ready to; what cannot is told in the book."""
    recipe, size = setup.nets[net], setup.sizes[text]
    batch = setup.pictures(1, size)
    makers: dict[str, Callable[[], Work]] = {"eager": lambda: _eager(setup, recipe, batch)}
    for engine in (setup.engine, *setup.others):
        makers[engine] = lambda engine=engine: _engine(setup, recipe, size, engine, batch, stack)  # type: ignore[misc]
    if compiled:
        makers["compiled"] = lambda: _compiled(setup, book, recipe, batch)
    works: dict[str, Work] = {}
    for name, make in makers.items():
        with book.attempt(f"network.{net}.{text}.{name}", f"{net} {text}: {name}"):
            work = make()
            work(3)
            works[name] = work
    return works


def _eager(setup: Setup, recipe: Recipe, batch: Any) -> Work:
    return _tuned(Pictures(recipe, setup.device, setup.dtype), batch)


def _compiled(setup: Setup, book: Book, recipe: Recipe, batch: Any) -> Work:
    """``max-autotune`` records CUDA graphs by itself; without a GPU there is nothing to compile for."""
    book.need(COMPILE_SECONDS if setup.on_gpu else 0.0)
    module = Pictures(recipe, setup.device, setup.dtype)
    if not setup.on_gpu:
        return _tuned(torch.compile(module, backend="eager", dynamic=False), batch)
    torch.compiler.reset()
    return _tuned(torch.compile(module, mode="max-autotune", dynamic=False), batch)


def _tuned(module: Any, batch: Any) -> Work:
    """With cuDNN trying its algorithms, for this module alone."""
    work = repeated(lambda: module(batch))

    def tuned(count: int) -> None:
        with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False):
            work(count)

    return tuned


def _engine(
    setup: Setup, recipe: Recipe, size: Size, name: str, batch: Any, stack: ExitStack, in_flight: int = 0
) -> Work:
    engine = stack.enter_context(setup.loaded(recipe, size, name, len(batch), in_flight))
    return pipelined(engine.submit_on_device, batch, engine.spec.in_flight)


def _matmul(setup: Setup) -> Work:
    """The machine's arithmetic at the same moment: what the share of it is taken of."""
    return repeated(multiply(setup))


def figures(
    key: str, name: str, seconds: dict[str, float], recipe: Recipe, size: Size, engine: str, product: float
) -> list[Figure]:
    """From seconds a picture to what is printed; those of "matmul" are of ``product`` floating point operations.

    The engine is called "cuda" in the keys, whichever stands for it.
    """
    work = flops_per_pixel(recipe.parts[0][0].card.architecture) * size[0] * size[1]
    peak = product / seconds["matmul"]
    made = [Figure(f"{key}.peak", f"{name}: bf16 matrix product meanwhile", peak / 1e12, "TFLOP/s")]
    for who, time in seconds.items():
        if who == "matmul":
            continue
        head, text = f"{key}.{'cuda' if who == engine else who}", f"{name}: {who}"
        made += [
            Figure(f"{head}.ms", f"{text}, a picture", time * 1e3, "ms"),
            Figure(f"{head}.fps", f"{text}, pictures a second", 1 / time, "fps"),
            Figure(f"{head}.tflops", f"{text}, arithmetic", work / time / 1e12, "TFLOP/s"),
            aimed(f"{head}.of_peak", f"{text}, share of the measured arithmetic", work / time / peak),
        ]
    return made + ratios(key, name, seconds, engine)


def ratios(key: str, name: str, seconds: dict[str, float], engine: str) -> list[Figure]:
    """How many times faster than the others the engine is."""
    if engine not in seconds:
        return []
    others = {"eager": "torch eager", "compiled": "torch.compile", "tensorrt": "TensorRT", "torch": "the torch engine"}
    return [
        aimed(f"{key}.cuda.over_{who}", f"{name}: {engine} against {text}", seconds[who] / seconds[engine], "x")
        for who, text in others.items()
        if who in seconds and who != engine
    ]


def _batches(setup: Setup, book: Book, net: str) -> None:
    recipe, size = setup.nets[net], setup.sizes[MAIN]
    with ExitStack() as stack:
        works: dict[str, Work] = {}
        for count in BATCHES:
            with book.attempt(f"shapes.{net}.batch{count}", f"{net} {MAIN}: {count} a call"):
                book.need(STEP_SECONDS)  # else those that are ready are measured
                batch = setup.pictures(count, size)
                works[str(count)] = _engine(setup, recipe, size, setup.engine, batch, stack)
        seconds = interleaved(works, setup.device, setup.seconds)
    for text, time in seconds.items():
        name = f"{net} {MAIN}: {setup.engine}, {text} a call"
        book.add(Figure(f"shapes.{net}.batch{text}", name, int(text) / time, "fps"))


def _in_flight(setup: Setup, book: Book, net: str) -> None:
    """From the host's memory to the host's memory, as where frames are decoded and encoded there."""
    recipe, size = setup.nets[net], setup.sizes[MAIN]
    batch = setup.pictures(1, size).cpu().numpy()
    with ExitStack() as stack:
        works: dict[str, Work] = {}
        for count in IN_FLIGHT:
            with book.attempt(f"shapes.{net}.in_flight{count}", f"{net} {MAIN}: {count} in flight"):
                book.need(STEP_SECONDS)
                engine = stack.enter_context(setup.loaded(recipe, size, setup.engine, 1, count))
                works[str(count)] = pipelined(engine.submit, batch, count)
        seconds = interleaved(works, torch.device("cpu"), setup.seconds)  # the host waits for each: its clock
    for text, time in seconds.items():
        name = f"{net} {MAIN}: {setup.engine}, from and to the host, {text} in flight"
        book.add(Figure(f"shapes.{net}.in_flight{text}", name, 1 / time, "fps"))
