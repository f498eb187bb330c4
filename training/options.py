"""Options of a training stage: a frozen dataclass, set from texts, saved with the run; and its command line."""

from __future__ import annotations

import argparse
import ast
import logging
import math
import sys
from collections.abc import Callable
from dataclasses import Field, asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from training.world import TrainingError, leave
from vidstyle.errors import SinkError, UsageError, VidstyleError

SEEDS = 1 << 31  # the generators of steps are seeded by 32 bits more


def share(default: float) -> Any:
    """A field of a dataclass: a part of a whole, from 0 to 1."""
    return field(default=default, metadata={"most": 1})


def rate(default: float) -> Any:
    """A field of a dataclass: a learning rate, above 0, with which nothing would be learned."""
    return field(default=default, metadata={"least": 1e-9})


@dataclass(frozen=True)
class Basics:
    """What every stage has; its own options come on top."""

    steps: int = 1000
    batch: int = 8  # pictures a step, of all processes together
    seed: int = field(default=0, metadata={"below": SEEDS})
    log_every: int = 25  # steps between lines of stats.jsonl
    save_every: int = 250  # steps between checkpoints
    sheet_every: int = 500  # steps between sample sheets


#: May change when a run goes on: they do not touch what a step computes.
FREE = frozenset({"steps", "log_every", "save_every", "sheet_every"})
AnyOptions = TypeVar("AnyOptions", bound=Basics)


def set_options(options: Any, texts: list[str], stage: str = "") -> Any:
    """``options`` with ``["lr=1e-3", "geometry.turn=30"]`` applied; values are Python literals, or plain words.

    Args:
        stage: what a person wrote before the names, as "student.".

    Raises:
        UsageError: no such option, or a value of another kind than its default; or options that do not go together.
    """
    for text in texts:
        name, _, value = text.partition("=")
        try:
            options = _set(options, name.split("."), value, name)
        except UsageError as error:
            raise UsageError(f"--set {stage}{text}: {error}") from None
    _check(options, stage)
    return options


def _check(options: Any, stage: str) -> None:
    """What options together cannot be, a record says itself: ``check``, if it has one, gives "a=3: ..." of the fault.

    Only once all are set: on the way from one good set to another there may be a bad one.
    """
    if hasattr(options, "check") and (wrong := options.check()):
        raise UsageError(f"--set {stage}{wrong}")
    for option in fields(options):
        if is_dataclass(inner := getattr(options, option.name)):
            _check(inner, f"{stage}{option.name}.")


def _set(options: Any, path: list[str], text: str, name: str) -> Any:
    known = {option.name: option for option in fields(options)}
    if path[0] not in known:
        raise UsageError(f"no option {name!r}: there are {', '.join(known)}")
    inner = getattr(options, path[0])
    if is_dataclass(inner):
        if len(path) == 1:
            raise UsageError(f"it has parts ({', '.join(part.name for part in fields(inner))}): set one of those")
        return replace(options, **{path[0]: _set(inner, path[1:], text, name)})
    if len(path) > 1:
        raise UsageError(f"option {path[0]!r} has no parts, got {name!r}")
    return replace(options, **{path[0]: _value(known[path[0]], text)})


def _value(option: Field[Any], text: str) -> Any:
    value, default = _literal(text), option.default
    if isinstance(default, str):
        return _word(value if isinstance(value, str) else text, option)
    value = tuple(value) if isinstance(value, list) else value
    if not _fits(value, default, option):
        raise UsageError(f"expected {_expected(default, option)}")
    return value


def _word(text: str, option: Field[Any]) -> str:
    """A text; where only some do, the option says so: ``field(default="a", metadata={"choices": ("a", "b")})``."""
    choices = option.metadata.get("choices")
    if choices and text not in choices:
        raise UsageError(f"expected {' or '.join(choices)}")
    return text


def _fits(value: Any, default: Any, option: Field[Any]) -> bool:
    if isinstance(default, tuple):
        same = isinstance(value, tuple) and len(value) == len(default)
        return same and all(_fits(v, d, option) for v, d in zip(value, default, strict=True))
    if isinstance(default, bool) or isinstance(value, bool):
        return type(value) is type(default)
    kinds = int if isinstance(default, int) else (int, float)
    return isinstance(value, kinds) and _in_range(value, default, option)


def _in_range(value: float, default: float, option: Field[Any]) -> bool:
    if "choices" in option.metadata:
        return value in option.metadata["choices"]
    return _least(default, option) <= value < _below(option) and value <= option.metadata.get("most", value)


def _least(default: float, option: Field[Any]) -> float:
    """The smallest value: of what is counted there must be one, a weight or a share may be nothing.

    Where another one makes sense the option says so: ``field(default=500, metadata={"least": 0})``.
    """
    if "least" in option.metadata:
        return float(option.metadata["least"])
    if default < 0:
        return -math.inf
    return 1 if isinstance(default, int) and default else 0


def _below(option: Field[Any]) -> float:
    """What all values are less than: any, or what the option says as of `_least`."""
    return float(option.metadata.get("below", math.inf))


def _expected(default: Any, option: Field[Any]) -> str:
    if isinstance(default, tuple):
        bound = f", of {_least(default[0], option):g} or more" if "least" in option.metadata else ""
        return f"{len(default)} numbers, as {default}{bound}"
    if isinstance(default, bool):
        return "True or False"
    if "choices" in option.metadata:
        return " or ".join(map(str, option.metadata["choices"]))
    least, kind = _least(default, option), "a whole number" if isinstance(default, int) else "a number"
    if "most" in option.metadata:
        return f"{kind} of {least:g} to {option.metadata['most']:g}"
    most = f" and less than {_below(option):.10g}" if _below(option) < math.inf else ""
    return kind if least == -math.inf else f"{kind} of {least:g} or more{most}"


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def restored(defaults: Any, noted: dict[str, Any]) -> Any:
    """``defaults`` with what a run's options.json says, perhaps of another version."""

    def value(before: Any, now: Any) -> Any:
        if is_dataclass(before):
            return restored(before, now)
        return tuple(now) if isinstance(now, list) else now

    known = {option.name for option in fields(defaults)}
    return replace(defaults, **{key: value(getattr(defaults, key), now) for key, now in noted.items() if key in known})


def changed(before: dict[str, Any], options: Any) -> list[str]:
    """The options that differ from those a run was begun with, as ``lr was 0.1, is 0.2``."""
    now = asdict(options)
    keys = [key for key in {**before, **now} if key not in FREE and _plain(before.get(key)) != _plain(now.get(key))]
    return [f"{key} was {before.get(key)}, is {now.get(key)}" for key in keys]


def check_unchanged(run: Path, before: dict[str, Any], options: Any) -> None:
    """Refuse to go on with a run that was begun with other options than these; ``before``: of its options.json.

    Raises:
        TrainingError: it was.
    """
    if before and (different := changed(before, options)):
        raise TrainingError(
            f"the run in {run} has other options ({'; '.join(different)}): give those it began with, or another folder"
        )


def _plain(value: Any) -> Any:
    """What JSON makes of it: tuples become lists."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def parser(module: str, about: str | None, defaults: Basics) -> argparse.ArgumentParser:
    """The arguments that all stages share; ``module`` is its name under ``training``."""
    names = ", ".join(option.name for option in fields(defaults))
    made = argparse.ArgumentParser(prog=f"python -m training.{module}", description=about)
    made.add_argument("--run", type=Path, required=True, help="folder of the run; one that was stopped goes on")
    made.add_argument("--steps", type=int, default=defaults.steps)
    made.add_argument("--batch", type=int, default=defaults.batch, help="pictures a step, of all processes together")
    made.add_argument("--seed", type=int, default=defaults.seed)
    made.add_argument(
        "--device",
        type=device_name,
        default="auto",
        help="cpu, cuda, auto; torchrun -m -- gives each process its own",
    )
    made.add_argument("--set", nargs="*", default=[], metavar="K=V", help=f"any option: {names}")
    return made


def device_name(text: str) -> str:
    """For argparse: auto, or what torch can use here."""
    kind = text.partition(":")[0]
    if kind not in ("auto", "cpu", "cuda"):
        raise argparse.ArgumentTypeError(f"{text!r}: expected auto, cpu or cuda")
    if kind == "cuda" and not torch.cuda.is_available():
        raise argparse.ArgumentTypeError("torch finds no GPU here: use cpu")
    return text


def at_least(least: int) -> Callable[[str], int]:
    """For argparse: whole numbers from ``least`` on."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of {least} or more")
        return int(text)

    return number


def from_arguments(defaults: AnyOptions, args: argparse.Namespace) -> AnyOptions:
    """``defaults`` with what the shared arguments say.

    Raises:
        UsageError: see `set_options`.
    """
    shared = [f"{name}={getattr(args, name)}" for name in ("steps", "batch", "seed")]
    begun: AnyOptions = set_options(defaults, [*shared, *args.set])
    return begun


def run_command(command: Callable[[], None]) -> None:
    """Run a stage's command; its errors are one line, and the process's exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        command()
        leave()  # after an error nobody is waited for: torchrun ends the others
    except VidstyleError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(error.exit_code) from None
    except OSError as error:
        sys.stderr.write(f"error: cannot use {error.filename or 'a file'} ({error.strerror or error})\n")
        raise SystemExit(SinkError.exit_code) from None
    except KeyboardInterrupt:
        sys.stderr.write("stopped: the same command goes on from the last checkpoint\n")
        raise SystemExit(130) from None
