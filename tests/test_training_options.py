"""Options of a training by name and by argument, and the one line in which a command ends."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from test_training_loop import Options

from training import generator, pairs, portraits, run, student, ttn
from training import options as opts
from training.gem import Geometry
from training.world import TrainingError
from vidstyle.errors import UsageError


def test_options_are_set_by_name() -> None:
    got = opts.set_options(Options(), ["lr=0.5", "geometry.turn=12", "geometry.border=white", "geometry.scale=(1, 1)"])
    assert got == replace(Options(), lr=0.5, geometry=Geometry(scale=(1, 1), turn=12, border="white"))
    for wrong in ("speed=1", "geometry.speed=1", "lr.x=1"):
        with pytest.raises(UsageError, match=r"no option|has no parts"):
            opts.set_options(Options(), [wrong])


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("steps=abc", "a whole number of 1 or more"),
        ("steps=0", "a whole number of 1 or more"),
        ("steps=-5", "a whole number of 1 or more"),
        ("steps=2.5", "a whole number of 1 or more"),
        ("steps=True", "a whole number of 1 or more"),
        ("seed=-1", "a whole number of 0 or more"),
        ("lr=-1", "a number of 0 or more"),
        ("lr=1e999", "a number of 0 or more"),
        ("lr", "a number of 0 or more"),
        ("geometry=3", r"it has parts \(scale, turn, flip, border\): set one of those"),
        ("geometry.flip=1", "True or False"),
        ("geometry.scale=(1,)", r"2 numbers, as \(0.8, 1.2\)"),
        ("geometry.scale=(1, 'a')", "2 numbers"),
    ],
)
def test_options_of_another_kind_than_their_defaults_are_refused(wrong: str, expected: str) -> None:
    with pytest.raises(UsageError, match=f"^--set net.{re.escape(wrong)}: .*{expected}"):
        opts.set_options(Options(), [wrong], "net.")


def test_options_say_where_less_than_their_kind_has_makes_sense() -> None:
    assert opts.set_options(ttn.Options(), ["warm=0", "provenance=2024"]) == replace(
        ttn.Options(), warm=0, provenance="2024"
    )
    assert opts.set_options(run.Options(), ["shift_from=-2.0", "crops.eyes_at=-1"]).shift_from == -2.0


@pytest.mark.parametrize(
    ("options", "wrong", "expected"),
    [
        (ttn.Options(), "network=x", "ttn or student"),
        (ttn.Options(), "normalisation=x", "released or paper"),
        (run.Options(), "shape=faster", "default or fast"),
        (portraits.Options(), "held=1", "a number of 0 or more and less than 1"),
    ],
)
def test_options_say_which_words_and_numbers_there_are(options: Any, wrong: str, expected: str) -> None:
    with pytest.raises(UsageError, match=f"--set {wrong}: expected {expected}$"):
        opts.set_options(options, [wrong])


def test_arguments_are_checked_as_options_are() -> None:
    args = opts.parser("x", None, Options()).parse_args(["--run", "r", "--steps", "0"])
    with pytest.raises(UsageError, match="steps=0: expected a whole number of 1 or more"):
        opts.from_arguments(Options(), args)


def test_a_command_ends_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> None:
        raise TrainingError("no photos: give some")

    with pytest.raises(SystemExit) as end:
        opts.run_command(fails)
    assert end.value.code == 1 and capsys.readouterr().err == "error: no photos: give some\n"


@pytest.mark.parametrize(
    ("options", "wrong", "expected"),
    [
        (run.Options(), "crops.coloured=35", "a number of 0 to 1"),
        (run.Options(), "crops.gain=1.5", "a number of 0 to 1"),
        (run.Options(), "ema=99.8", "a number of 0 to 1"),
        (student.Options(), "lr=0", "a number of 1e-09 or more"),
        (pairs.Options(), "varied=50", "a number of 0 to 1"),
        (portraits.Options(), "score=80", "a number of 0 to 1"),
        (portraits.Options(), "enlarged=0", "a number of 0.1 or more"),
        (ttn.Options(), "exemplars=7", "a number of 0 to 1"),
        (ttn.Options(), "geometry.border=x", "reflection or white"),
        (generator.Options(), "size=48", "32 or 64 or 128 or 256"),
        (generator.Options(), "ada_start=1.5", "a number of 0 to 1"),
    ],
)
def test_what_cannot_work_is_refused_at_once(options: Any, wrong: str, expected: str) -> None:
    """Some of it broke a training off after hours, the rest was taken for all, or for nothing."""
    with pytest.raises(UsageError, match=f"^--set {re.escape(wrong)}: expected {expected}$"):
        opts.set_options(options, [wrong])


@pytest.mark.parametrize(
    ("options", "texts", "expected"),
    [
        (run.Options(), ["crops.offset=192"], "crops.offset=192: expected less than side, which is 192"),
        (student.Options(), ["crops.side=32", "crops.offset=40"], "crops.offset=40: expected less than side, which is"),
        (run.Options(), ["crops.side=19"], "crops.side=19: expected 20 or more, or contrast=0"),
        (student.Options(), ["contrast=1", "crops.side=16"], "crops.side=16: expected 20 or more, or contrast=0"),
        (ttn.Options(), ["name=a b"], "name=a b: a style cannot be named 'a b'"),
    ],
)
def test_options_that_do_not_go_together_are_refused_at_once(options: Any, texts: list[str], expected: str) -> None:
    with pytest.raises(UsageError, match=f"^--set net.{re.escape(expected)}"):
        opts.set_options(options, texts, "net.")


def test_options_are_checked_together_when_all_are_set() -> None:
    for texts in (
        ["crops.offset=200", "crops.side=256"],
        ["crops.side=16", "contrast=0"],
        ["contrast=0", "crops.side=16"],
    ):
        opts.set_options(run.Options(), texts)
