"""What an interrupted run is not gone on with for is told by its option's name, and both values."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from media import make_clip, save_tiny

from vidstyle.catalog import parse_recipe
from vidstyle.changes import changes
from vidstyle.codecs import EncoderOptions
from vidstyle.engine_options import EngineOptions
from vidstyle.errors import SinkError
from vidstyle.job import FileJob
from vidstyle.sink import SinkOptions
from vidstyle.source import SourceOptions
from vidstyle.workfolder import WorkFolder


@pytest.fixture
def job(tmp_path: Path) -> FileJob:
    recipe = parse_recipe(str(save_tiny(tmp_path, "tiny")))
    return FileJob(make_clip(tmp_path / "in.mkv", frames=2).path, recipe, tmp_path / "out.mkv")


CRF = SinkOptions(EncoderOptions(crf=22.5))


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ({}, {"writing": CRF}, "an option of writing changed (--crf was not given, is 22.5)"),
        (
            {"writing": CRF},
            {"writing": SinkOptions(EncoderOptions("hevc", 22.5, extra=(("tune", "grain"), ("g", "9"))), compare=True)},
            "an option of writing changed (--codec was not given, is hevc; "
            "--encoder-option was not given, is tune=grain g=9; --compare was not given, is given)",
        ),
        (
            {"writing": SinkOptions(EncoderOptions(preset="slow", pix_fmt="yuv444p"))},
            {},
            "an option of writing changed (--preset was slow, is not given; --pixel-format was yuv444p, is not given)",
        ),
        (
            {"reading": SourceOptions(originals=True), "writing": SinkOptions(compare=True)},
            {},
            "an option of reading changed (--compare was given, is not given)",
        ),
        (
            {"reading": SourceOptions.of_size("auto")},
            {"reading": SourceOptions.of_size(720)},
            "an option of reading changed (--size was auto, is 720)",
        ),
        (
            {"reading": SourceOptions.of_size(480)},
            {"reading": SourceOptions(None, start=Fraction(25, 2), hdr="keep")},
            "an option of reading changed (--size was 480, is native; --start was not given, is 12.5; "
            "--hdr was not given, is keep)",
        ),
        (
            {"engine": EngineOptions("openvino", threads=2)},
            {"engine": EngineOptions("torch")},
            "the engine changed (--engine was openvino, is torch; --threads was 2, is not given)",
        ),
        ({}, {"output": Path("other.mkv"), "resume": True}, ""),
    ],
)
def test_an_option_is_named_with_both_values(job: FileJob, before: Any, now: Any, told: str) -> None:
    texts = replace(job, **before).fingerprint(), replace(job, **now).fingerprint()
    assert ", ".join(changes(*texts)) == told


def test_what_has_no_values_is_named_alone() -> None:
    """A digest, a style, and what no version of this has written."""
    before = {"the source": "ab", "the style": "cd [1.0", "the engine": "{'a': b(", "vidstyle's version": "0.1.0"}
    now = {
        "the source": "ac",
        "the style": "cd [0.7]",
        "the engine": 3,
        "vidstyle's version": "0.2",
        "the steadying": 0.4,
    }
    assert changes(before, now) == [
        "the source changed",
        "the style changed",
        "the engine changed",
        "vidstyle's version changed (was 0.1.0, is 0.2)",
        "the steadying changed (was not given, is 0.4)",
    ]
    assert changes({}, {"an option of reading": "{}"}) == ["an option of reading changed"]
    assert changes({"the engine": "(" * 5000}, {"the engine": "{}"}) == ["the engine changed"]


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ("ab [1.0]", "cd [0.699999988079071]", " (--strength was 1, is 0.7)"),
        ("ab [0.6, 0.4]", "ab [0.7, 0.3]", " (the shares of its mix were 0.6 0.4, are 0.7 0.3)"),
        ("ab [0.6, 0.4]", "cd [1.0]", ""),
        ("ab [1.0]", "cd [1.0]", ""),
        ("ab [None]", "cd [1.0]", ""),
        ("ab 3", "cd [1.0]", ""),
        (3, "cd [1.0]", ""),
    ],
)
def test_of_a_style_its_strength_and_its_shares_are_told(before: Any, now: str, told: str) -> None:
    """Of the same name, after all: 'the style changed' was all there was to see."""
    assert changes({"the style": before}, {"the style": now}) == [f"the style changed{told}"]


def test_a_run_that_is_refused_says_so_in_one_line(job: FileJob, monkeypatch: pytest.MonkeyPatch) -> None:
    with WorkFolder(job.target, job.fingerprint(), resume=False, overwrite=False, parts=True):
        pass
    monkeypatch.setattr("vidstyle.workfolder.complete_segments", lambda _: ["one"])
    now = replace(job, writing=CRF).fingerprint()
    words = "since that run an option of writing changed (--crf was not given, is 22.5); give the same again, or"
    with pytest.raises(SinkError, match=re.escape(words)), WorkFolder(job.target, now, True, False, parts=True):
        pass
