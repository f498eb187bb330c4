"""Options that several commands share, and how their texts become values."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated

import typer

from vidstyle.errors import UsageError


def _no_build(context: typer.Context, wanted: bool) -> None:
    """Told through the environment: engines are loaded by workers, too."""
    if wanted and not context.resilient_parsing:
        import os

        from vidstyle.built import NO_BUILD

        os.environ[NO_BUILD] = "1"


def looks(incomplete: str) -> list[str]:
    """For the shell's completion: the looks whose names go on from what is written, also in a mix."""
    from vidstyle.catalog import style_names

    before, plus, last = incomplete.rpartition("+")
    return [f"{before}{plus}{name}" for name in style_names() if name.startswith(last)]


def own_looks(incomplete: str) -> list[str]:
    """For the shell's completion: those that can be removed."""
    from vidstyle.catalog import USER, list_styles

    return [found.name for found in list_styles() if found.origin == USER and found.name.startswith(incomplete)]


Style = Annotated[
    str,
    typer.Option(
        "--style",
        "-s",
        metavar="NAME",
        help="The look: a name, a file, or a mix as anime:0.6+3d:0.4.",
        autocompletion=looks,
    ),
]
Strength = Annotated[float, typer.Option(metavar="N", help="How much of the look: 0 is the source, 1 the whole look.")]
Size = Annotated[
    str,
    typer.Option(
        metavar="auto|N|native",
        help="Short side the network works at; the output keeps the source's size. auto: 720, less for large faces; "
        "best: up to 1440 where faces are small.",
    ),
]
Steady = Annotated[
    float,
    typer.Option("--steady", metavar="AMOUNT", help="Even out flicker along the movement: 0 is off, 0.8 the most."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run stopped.")]
Device = Annotated[
    str, typer.Option(metavar="NAME", help="auto, cpu, cuda:0 (NVIDIA), gpu (Intel) ...: never replaced by another.")
]
Precision = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="auto, f32 (exact), bf16, f16 or int8.",
        callback=lambda text: {"fp16": "f16", "fp32": "f32"}.get(text, text),
    ),
]
Threads = Annotated[int, typer.Option(min=0, metavar="N", help="CPU threads of the network; 0 for all cores.")]
EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="openvino (CPU, Intel), tensorrt or cuda (NVIDIA), torch (the reference); auto: the fastest.",
    ),
]
NoBuild = Annotated[
    bool,
    typer.Option(
        "--no-build",
        help="Never wait for a TensorRT engine to be built: one that is not is an error.",
        callback=_no_build,
        expose_value=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout, for programs.")]


def was_given(context: typer.Context, name: str) -> bool:
    """Whether an option was given on the command line: in a config file it waits for its use."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def parse_size(text: str) -> int | str | None:
    """``"720"``, ``"native"`` (None), ``"auto"`` or ``"best"`` (`vidstyle.frame.AUTO`, `BEST`).

    Raises:
        UsageError: anything else.
    """
    from vidstyle.frame import AUTO, BEST, SMALLEST

    if text == "native":
        return None
    if text in (AUTO, BEST):
        return text
    if not text.isdecimal() or int(text) < SMALLEST:
        words = f"auto, best, native, or a number of pixels from {SMALLEST} on, as 720"
        raise UsageError(f"--size is {text!r}: expected {words}")
    return int(text)


def parse_time(text: str | None, option: str) -> Fraction | None:
    """Seconds as ``12.5``, or ``1:02:03.5``; exact.

    Raises:
        UsageError: anything else.
    """
    if text is None:
        return None
    if not re.fullmatch(r"(\d+:([0-5]?\d:)?[0-5]?\d|\d+)(\.\d+)?", text):
        raise UsageError(f"{option} is {text!r}: expected seconds as 12.5, or hours:minutes:seconds as 1:02:03.5")
    seconds = Fraction(0)
    for part in text.split(":"):
        seconds = seconds * 60 + Fraction(part)
    return seconds


def parse_pairs(texts: list[str]) -> tuple[tuple[str, str], ...]:
    """``["k=v", ...]`` of --encoder-option.

    Raises:
        UsageError: one has no ``=``.
    """
    pairs = [text.partition("=") for text in texts]
    if bad := [text for text, (key, equals, _) in zip(texts, pairs, strict=True) if not (key and equals)]:
        raise UsageError(f"--encoder-option is {bad[0]!r}: expected name=value, as tune=animation")
    return tuple((key, value) for key, _, value in pairs)
