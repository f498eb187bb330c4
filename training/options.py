"""Options of a training stage: a frozen dataclass, set from texts, saved with the run; and its command line."""

from __future__ import annotations

import argparse
import ast
import logging
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from vidstyle.errors import UsageError, VidstyleError


@dataclass(frozen=True)
class Basics:
    """What every stage has; its own options come on top."""

    steps: int = 1000
    batch: int = 8  # pictures a step, of all processes together
    seed: int = 0
    log_every: int = 25  # steps between lines of stats.jsonl
    save_every: int = 250  # steps between checkpoints
    sheet_every: int = 500  # steps between sample sheets


#: May change when a run goes on: they do not touch what a step computes.
FREE = frozenset({"steps", "log_every", "save_every", "sheet_every"})
AnyOptions = TypeVar("AnyOptions", bound=Basics)


def set_options(options: Any, texts: list[str]) -> Any:
    """``options`` with ``["lr=1e-3", "geometry.turn=30"]`` applied; values are Python literals, or plain words.

    Raises:
        UsageError: no such option.
    """
    for text in texts:
        name, _, value = text.partition("=")
        options = _set(options, name.split("."), _literal(value), name)
    return options


def _set(options: Any, path: list[str], value: Any, name: str) -> Any:
    known = [field.name for field in fields(options)]
    if path[0] not in known:
        raise UsageError(f"no option {name!r}: there are {', '.join(known)}")
    if len(path) > 1:
        inner = getattr(options, path[0])
        if not is_dataclass(inner):
            raise UsageError(f"option {path[0]!r} has no parts, got {name!r}")
        value = _set(inner, path[1:], value, name)
    return replace(options, **{path[0]: value})


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def changed(before: dict[str, Any], options: Basics) -> list[str]:
    """The options that differ from those a run was begun with, as ``lr was 0.1, is 0.2``."""
    now = asdict(options)
    keys = [key for key in {**before, **now} if key not in FREE and _plain(before.get(key)) != _plain(now.get(key))]
    return [f"{key} was {before.get(key)}, is {now.get(key)}" for key in keys]


def _plain(value: Any) -> Any:
    """What JSON makes of it: tuples become lists."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def parser(module: str, about: str | None, defaults: Basics) -> argparse.ArgumentParser:
    """The arguments that all stages share; ``module`` is its name under ``training``."""
    names = ", ".join(field.name for field in fields(defaults))
    made = argparse.ArgumentParser(prog=f"python -m training.{module}", description=about)
    made.add_argument("--run", type=Path, required=True, help="folder of the run; one that was stopped goes on")
    made.add_argument("--steps", type=int, default=defaults.steps)
    made.add_argument("--batch", type=int, default=defaults.batch, help="pictures a step, of all processes together")
    made.add_argument("--seed", type=int, default=defaults.seed)
    made.add_argument("--device", default="auto", help="cpu, cuda or auto; torchrun gives each process its own")
    made.add_argument("--set", nargs="*", default=[], metavar="K=V", help=f"any option: {names}")
    return made


def from_arguments(defaults: AnyOptions, args: argparse.Namespace) -> AnyOptions:
    """``defaults`` with what the shared arguments say."""
    begun: AnyOptions = replace(defaults, steps=args.steps, batch=args.batch, seed=args.seed)
    return set_options(begun, args.set)


def run_command(command: Callable[[], None]) -> None:
    """Run a stage's command; its errors are one line, and the process's exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        command()
    except VidstyleError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        sys.stderr.write("stopped: the same command goes on from the last checkpoint\n")
        raise SystemExit(130) from None
