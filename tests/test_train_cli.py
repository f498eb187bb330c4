"""`vidstyle train` and its chain: from pictures to a style, stopped and resumed, planned, refused in one line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from test_chain import Told
from train_command import TINY, command, drawn_faces_are_found, run

from training import measures, portraits, recipes, ways
from vidstyle.catalog import find_style
from vidstyle.errors import VidstyleError
from vidstyle.style import load_style, read_card

ROOT = Path(__file__).resolve().parents[1]
pytest_plugins = "train_fixtures"


def test_one_command_makes_a_style_and_a_second_one_does_nothing(
    pictures: tuple[Path, Path], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command(pictures, "--look", "A look of lines", "--licence", "CC-BY-4.0", "--json")) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    stages = [event["name"] for event in events if event["event"] == "done"]
    assert stages == ["crops/photos", "crops/exemplars", "pairs", "student", "style"]
    path = home / "styles" / "mine.safetensors"
    assert events[-1]["event"] == "finished" and events[-1]["path"] == str(path)
    card = read_card(path)
    assert (card.name, card.look, card.licence) == ("mine", "A look of lines", "CC-BY-4.0")
    assert card.training["photos"] == 22 and card.training["exemplars"] == 21 and card.training["mode"] == "quick"
    assert run(command(pictures, "--look", "A look of lines", "--licence", "CC-BY-4.0", "--json")) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(event["before"] for event in events if event["event"] == "done")


def test_a_plan_says_time_and_memory_and_makes_nothing(
    pictures: tuple[Path, Path], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command(pictures, "--plan", "--json")) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["name"] for row in rows] == ["crops/photos", "crops/exemplars", "pairs", "student", "style"]
    assert rows[0]["steps"] == 22 and rows[2]["steps"] == 4
    assert all(row["seconds"] > 0 for row in rows[:4]) and rows[3]["memory"] > 0
    assert not any(path.is_file() for path in home.rglob("*"))
    assert run(command(pictures, "--plan")) == 0
    assert "all together" in capsys.readouterr().out


def test_a_training_replaces_only_the_style_that_it_wrote(
    pictures: tuple[Path, Path], home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two names for one --run: the second had somebody else's file replaced."""
    words = ["--run", str(tmp_path / "run")]
    assert run(command(pictures, *words)) == 0
    theirs = home / "styles" / "theirs.safetensors"
    theirs.write_bytes(b"another style")
    assert run(command(pictures, *words, name="theirs")) == 7
    assert "there is a style theirs" in capsys.readouterr().err and theirs.read_bytes() == b"another style"
    assert run(command(pictures, *words, "--look", "Another sentence")) == 0


def test_a_bundled_looks_name_is_not_taken_unasked(
    pictures: tuple[Path, Path], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--style anime took the new one from then on, and nothing had said so."""
    assert run(command(pictures, name="anime")) == 7
    error = capsys.readouterr().err
    assert "--style anime would take yours from then on: give another name, or --overwrite" in error
    assert error.count("\n") == 1 and not any(path.is_file() for path in home.rglob("*"))
    assert run(command(pictures, "--plan", name="anime")) == 0
    assert run(command(pictures, "--overwrite", name="anime")) == 0
    assert run(command(pictures, name="anime")) == 0  # it is its own now
    assert find_style("anime").card.training["by"] == "vidstyle train"


def test_without_a_generator_a_bundled_look_is_the_start_and_its_makers_are_named(
    pictures: tuple[Path, Path], tmp_path: Path
) -> None:
    small = [*TINY[-4:], "expression.steps=2", "expression.batch=2", "expression.size=32", "ttn.steps=2", "ttn.batch=1"]
    out = tmp_path / "mine.safetensors"
    wishes = recipes.Wishes(
        "mine", *pictures, tmp_path / "run", out, detector=Path(__file__), settings=(*small, "ttn.size=32")
    )
    chain, told = recipes.chain(wishes), Told()
    chain.go(told)
    assert [name for name, _ in told.ended] == [
        *("crops/photos", "crops/exemplars", "expression", "ttn", "student", "style")
    ]
    card, start = read_card(out), find_style(ways.START)
    for text in (f"Begun from the weights of the look {ways.START} (Apache-2.0)", start.card.provenance):
        assert text in card.provenance
    weights = load_style(tmp_path / "run" / "ttn" / "ttn.safetensors").weights
    moved = max(float(np.abs(weights[name].astype(np.float32) - start.weights[name]).max()) for name in weights)
    assert 0 < moved < 1e-3  # two steps of Adam, from there


def test_a_card_tells_of_its_own_way_of_training_alone(pictures: tuple[Path, Path], home: Path, tmp_path: Path) -> None:
    """A run that began as standard gave a quick style whose card named makers of a look that it was not begun from."""
    texture = tmp_path / "run" / "ttn"
    texture.mkdir(parents=True)
    (tmp_path / "run" / "lock").touch()
    (texture / "options.json").write_text(json.dumps({"start": ways.START}))
    (texture / "done.json").write_text(json.dumps({"key": "of the other way", "seconds": 5}))
    assert run(command(pictures, "--run", str(tmp_path / "run"))) == 0
    card = read_card(home / "styles" / "mine.safetensors")
    assert ways.START not in card.provenance
    assert list(card.training["seconds"]) == ["crops/exemplars", "crops/photos", "pairs", "student"]


@pytest.mark.parametrize("mode", ["standard", "full"])
def test_every_ablation_shares_all_but_what_it_changes(pictures: tuple[Path, Path], tmp_path: Path, mode: str) -> None:
    from dataclasses import replace

    whole = recipes.Wishes("x", *pictures, tmp_path / "run", tmp_path / "x.safetensors", mode)
    keys = recipes.chain(whole).keys()
    for part in recipes.ablations(mode):
        less = recipes.chain(replace(whole, without=part))
        shared = [stage.name for stage in less.stages if not stage.name.endswith(f"-without-{part}")]
        if (mode, part) == ("standard", "ttn"):
            shared.remove("pairs")  # in place of the texture network
        assert {name: less.keys()[name] for name in shared} == {name: keys[name] for name in shared}
        own = {stage.name for stage in less.stages} - set(shared) - {"pairs"}
        assert own == {
            f"{name}-without-{part}" for name in ("ttn", "student", "style") if (name, part) != ("ttn", "ttn")
        }
        assert len({keys["student"], less.keys()[f"student-without-{part}"]}) == 2
    for nothing in ("hat", *({"ccn"} if mode == "standard" else ())):
        with pytest.raises(VidstyleError, match=f"cannot leave out '{nothing}' of {mode}: there is .*gem, ttn, per$"):
            recipes.chain(replace(whole, without=nothing))


def test_ctrl_c_stops_between_steps_and_the_same_command_goes_on(
    drawn_pictures: tuple[Path, Path], tmp_path: Path
) -> None:
    """In a process of its own, with a real signal."""
    code = f"""
import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from training import portraits
from test_chain import Told
from test_portraits import FixedDetector
from train_command import TINY, command, run
portraits.Detector = FixedDetector
import vidstyle.cli
vidstyle.cli.main(sys.argv[1:])
"""
    words = command(drawn_pictures, "--set", "student.steps=4000")
    environment = os.environ | {"VIDSTYLE_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    args = [sys.executable, "-c", code, *words, "--json"]
    with subprocess.Popen(args, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "step" and event["stage"] == "student":
                process.send_signal(signal.SIGINT)
                break
        rest, said = process.stdout.read(), process.stderr.read()
        assert process.wait(60) == 130, said + rest
    assert "the same command goes on" in said.splitlines()[-1]
    kept = torch.load(tmp_path / "home" / "training" / "mine" / "student" / "checkpoint.pt", weights_only=True)
    assert kept["step"] >= 1


@pytest.mark.slow
def test_raw_photos_become_a_style_that_is_visibly_learned(
    shared: Callable[[str], Path], home: Path, tmp_path: Path
) -> None:
    """The whole way on real faces of 128 pixels: the look of drawn other people is met, and people stay known."""
    from training import open_looks
    from training.student import drawn

    detector, people = shared("weights/yunet_n_dynamic.onnx"), shared("photos/london_canada_ccby4")
    everyone = sorted(people.glob("*.jpg"))
    for name, chosen in (("others", everyone[:60]), ("photos", everyone[99:189])):
        (tmp_path / name).mkdir()
        for path in chosen:
            (tmp_path / name / path.name).symlink_to(path)
    assert open_looks.make(tmp_path / "others", tmp_path / "comic", "comic", detector) == 60
    settings = ["pairs.count=64", "pairs.side=128", "student.steps=300", "student.crops.side=96"]
    settings += ["student.crops.pairs=2", "student.crops.exact=1.0", "student.shift=0.0", "student.lr=4e-3"]
    words = ["train", "look", "--photos", str(tmp_path / "photos"), "--exemplars", str(tmp_path / "comic"), "--quick"]
    words += ["--detector", str(detector), "--device", "cpu", "--set", "student.ema=0.98"]
    assert run(words + [word for text in settings for word in ("--set", text)]) == 0
    made = home / "training" / "look" / "crops"
    held = np.ascontiguousarray(portraits.load(made / "photos", "held", 128).faces)
    exemplars = portraits.load(made / "exemplars", "train", 128).faces
    results = drawn(home / "styles" / "look.safetensors", held, torch.device("cpu"))
    before, after = (measures.distances(x, exemplars, measures.space(None))["FD-statistics"] for x in (held, results))
    assert after < 0.8 * before
    who = measures.identity(held, results)
    assert who["ID same (layout)"] > who["ID other (layout)"] + 0.1
    clip = ["file", str(shared("media/sample.mkv")), "--style", "look", "--end", "0.4", "-o", str(tmp_path / "out.mp4")]
    assert run(clip) == 0
    assert (tmp_path / "out.mp4").stat().st_size > 1000


WAYS = {
    "standard": ["pairs.count=4", "pairs.side=64", "pairs.pieces.exemplars=3", "ttn.warm=1"],
    "full": [
        *("generator.size=32", "generator.full=False", "generator.steps=2", "generator.batch=4"),
        *("ccn.steps=2", "ccn.batch=4", "pairs.samples=4", "pairs.shard=2", "pairs.batch=2", "ttn.warm=1"),
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("mode", WAYS)
def test_the_longer_ways_go_through_all_their_stages(
    drawn_pictures: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """A few steps of each: what one stage writes, the next one reads."""
    drawn_faces_are_found(monkeypatch)
    few = ["expression.steps=2", "expression.batch=2", "ttn.steps=3", "ttn.batch=2", "ttn.size=64", *WAYS[mode]]
    settings = (*few, "student.steps=2", "student.crops.side=32", "student.crops.pairs=1")
    out, detector = tmp_path / "mine.safetensors", Path(__file__)
    wishes = recipes.Wishes(
        "mine", *drawn_pictures, tmp_path / "run", out, mode, detector, licence="CC-BY-4.0", settings=settings
    )
    told = Told()
    recipes.chain(wishes).go(told)
    stages = [name for name, _ in told.ended]
    assert stages[-4:] == ["expression", "ttn", "student", "style"] and ("ccn" in stages) == (mode == "full")
    assert load_style(out).card.training["mode"] == mode
