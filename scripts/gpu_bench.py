"""Measure vidstyle on an NVIDIA GPU: every figure beside its target, as it is known, and in a JSON file.

Parts, in order of value; each may fail without stopping the others, and then the exit code is 1. Nothing is changed
on the GPU: no clock, no power limit, no partition.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import gpu_site
from gpu_figures import TRIAL, Book, NotMeasuredError
from gpu_table import markdown, of_files

#: part -> module, and the function in it that takes a `gpu_setup.Setup` and a `Book`
PARTS = {
    "machine": ("gpu_machine", "machine"),
    "network": ("gpu_network", "network"),
    "latency": ("gpu_latency", "latency"),
    "copies": ("gpu_copies", "copies"),
    "file": ("gpu_file", "file"),
    "compile": ("gpu_network", "compiled"),
    "shapes": ("gpu_network", "shapes"),
    "sizes": ("gpu_network", "sizes"),
    "memory": ("gpu_memory", "memory"),
    "presets": ("gpu_file", "presets"),
    "needs": ("gpu_memory", "needs"),
}
NETS = ("ttn", "student")


def options() -> gpu_site.Parser:
    parser = gpu_site.Parser(prog="gpu_bench", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if left out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="kept up to date; what it holds already stays")
    text = "print the README's table from such files, gpu_check's too, and end"
    parser.add_argument("--table", type=Path, nargs="+", metavar="FILE", help=text)
    parser.add_argument("--seconds", type=positive, default=3.0, help="of one measurement of several things in turns")
    parser.add_argument("--minutes", type=positive, default=30.0, help="after which nothing more is begun")
    parser.add_argument("--clip", type=Path, default=gpu_site.PACK / "clip.mp4", help="video at 1080p")
    parser.add_argument("--teachers", type=Path, default=gpu_site.PACK / "teachers", help="folder of style files")
    parser.add_argument("--style", default="anime", help="bundled look")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=NETS, help="published network, bundled look")
    parser.add_argument("--engine", choices=("cuda", "tensorrt", "torch"), help="the one that has targets (cuda)")
    parser.add_argument("--cpu", action="store_true", help="try the code without a GPU: tiny pictures, few repeats")
    return parser


def positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def setup_of(args: argparse.Namespace, folder: Path) -> tuple[Any, dict[str, str]]:
    """What is measured (`gpu_setup.Setup`), and facts about it.

    Raises:
        NotMeasuredError: there is no GPU.
    """
    from gpu_setup import bundled, cpu_setup, gpu_setup, published

    found = {"ttn": published(args.teachers), "student": bundled(args.style)}
    nets = {name: found[name][0] for name in args.nets}
    engine = {"engine": args.engine} if args.engine else {}
    if args.cpu:
        trial = {TRIAL: "on the CPU with tiny pictures: the figures say nothing"}
        return cpu_setup(nets=nets, seconds=0.01, clip=None, folder=folder, **engine), trial
    clip = args.clip if args.clip.is_file() else None
    facts = {name: found[name][1] for name in nets} | {"clip": "drawn noise" if clip is None else clip.name}
    return gpu_setup(nets=nets, seconds=args.seconds, clip=clip, folder=folder, **engine), facts


def measure(args: argparse.Namespace, book: Book) -> None:
    with tempfile.TemporaryDirectory() as folder:
        setup, facts = setup_of(args, Path(folder))
        book.know(**facts)
        for name in args.parts or PARTS:
            with book.attempt(name, f"part {name}"):
                module, function = PARTS[name]
                getattr(importlib.import_module(module), function)(setup, book)


def book_of(args: argparse.Namespace) -> Book:
    """
    Raises:
        ValueError: the file is of the other kind of run, or no such file at all.
    """
    ends = time.monotonic() + 60 * args.minutes
    book = Book.open(args.json, ends=ends, say=lambda text: print(text, flush=True))
    if book.figures and (TRIAL in book.facts) != args.cpu:
        found = "a run on a GPU" if args.cpu else "a trial on the CPU"
        raise ValueError(f"{args.json} is of {found}: give another file")
    return book


def main(words: list[str] | None = None) -> int:
    args = options().parse_args(words)
    if unknown := [name for name in args.parts if name not in PARTS]:
        return refuse(f"no part {unknown[0]!r}: one of {', '.join(PARTS)}")
    try:
        if args.table is not None:
            print(markdown(*of_files(args.table)))
            return 0
        book = book_of(args)
        gpu_site.ensure()
        if args.cpu and args.engine == "cuda":
            os.environ["TRITON_INTERPRET"] = "1"  # before anything imports Triton
        measure(args, book)
    except (ValueError, NotMeasuredError, OSError) as error:
        return refuse(str(error))
    except ImportError as error:
        return refuse(f"{error}: python3 needs torch and Triton here, and what scripts/gpu_pack brings")
    missed = [figure for figure in book.figures.values() if figure.good is False]
    print(f"{len(book.figures)} figures, {len(missed)} targets missed, {book.failures} failed")
    return 1 if book.failures else 0


def refuse(text: str) -> int:
    print(f"gpu_bench: {text}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what it made is removed
    sys.exit(main())
