"""A further leg of a bundled look."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from distilling import canvases
from test_bundled import OPEN

from training import distill, legs
from training.options import set_options
from training.run import Options, called
from vidstyle.errors import UsageError
from vidstyle.paths import bundled_dir
from vidstyle.style import load_style


def test_every_look_that_has_a_teacher_has_one() -> None:
    assert {path.stem for path in bundled_dir().glob("*.safetensors")} == {*legs.OWN, *OPEN}
    assert {called(look, shape) for look in distill.LOOKS for shape in distill.SHAPES} == set(legs.OWN)
    for look in distill.LOOKS:
        for shape in distill.SHAPES:
            options = set_options(Options(shape=shape), legs.options_of(look, shape))
            assert options.shift > Options.shift and options.contrast > Options.contrast
            assert legs.start_of(look, shape).card.architecture == distill.SHAPES[shape]


def test_a_look_that_is_not_bundled_has_none() -> None:
    with pytest.raises(UsageError, match="goes on from a bundled look, 'mine-fast' is none: name one of anime, "):
        legs.options_of("mine", "fast")


def test_it_begins_where_the_look_is_with_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = {}

    def train(run, _crops, _teacher, options, folder, **_):  # type: ignore[no-untyped-def]
        begun[folder.name] = run.average.weights(), options

    teacher = legs.start_of("anime", "fast")
    monkeypatch.setattr(distill, "_materials", lambda *_: (teacher, canvases()))
    monkeypatch.setattr(distill, "train", train)
    words = ["--teacher", "a.pb", "--photos", "b", "--run", str(tmp_path), "--shape", "fast", "--steps", "3", "--leg"]
    monkeypatch.setattr("sys.argv", ["distill", "sketch", *words, "--set", "lr=0.5"])
    distill.main()
    weights, options = begun["sketch-fast"]
    look = load_style(bundled_dir() / "sketch-fast.safetensors")
    assert all((weights[name] == value.astype("float32")).all() for name, value in look.weights.items())
    assert (options.lr, options.shift, options.crops.coloured, options.steps) == (0.5, 32.0, 0.8, 3)
    assert json.loads((tmp_path / "sketch-fast/options.json").read_text())["started_from"] == look.card.sha256


def test_it_begins_at_one_place(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["distill", "anime", "--teacher", "a.pb", "--photos", "b", "--leg", "--start", "c.safetensors"]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as stopped:
        distill.main()
    assert stopped.value.code == 2 and "not allowed with argument --leg" in capsys.readouterr().err
