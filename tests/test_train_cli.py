"""`vidstyle train` and its chain: from pictures to a style, stopped and resumed, planned, refused in one line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from faces import draw_face, drawn_as
from test_chain import Told
from test_portraits import FixedDetector

from training import measures, portraits, recipes
from vidstyle.catalog import find_style
from vidstyle.cli import main
from vidstyle.errors import VidstyleError
from vidstyle.style import load_style, read_card

TINY = [
    "pairs.count=4",
    "pairs.side=64",
    "pairs.pieces.exemplars=3",
    "student.steps=4",
    "student.widths=(4, 4, 4)",
    "student.crops.side=32",
    "student.crops.pairs=1",
]
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def drawn_pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of 22 photos and of 21 exemplars."""
    root = tmp_path_factory.mktemp("pictures")
    for name, count in (("photos", 22), ("drawings", 21)):
        (root / name).mkdir()
        for seed in range(count):
            face = draw_face(seed + 50 * (name == "drawings"))
            face = drawn_as(face) if name == "drawings" else face
            cv2.imwrite(str(root / name / f"{seed}.png"), face[..., ::-1])
    return root / "photos", root / "drawings"


@pytest.fixture
def pictures(drawn_pictures: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The same folders, and a detector that finds the drawn faces."""
    monkeypatch.setattr(portraits, "Detector", FixedDetector)
    torch.set_num_threads(1)
    return drawn_pictures


def command(pictures: tuple[Path, Path], *more: str, name: str = "mine") -> list[str]:
    settings = [word for text in TINY for word in ("--set", text)]
    paths = ["--photos", str(pictures[0]), "--exemplars", str(pictures[1]), "--detector", __file__, "--device", "cpu"]
    return ["train", name, *paths, "--quick", *settings, *more]


def run(args: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(args)
    return int(ended.value.code or 0)


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


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (["--photos", "nowhere"], 4, "nowhere does not exist"),
        (["--full"], 2, "give one of them"),
        (["--features", "none.pth"], 4, "no file none.pth"),
        (["--set", "student.speed=1"], 2, "no option 'speed'"),
        (["--set", "nothing"], 2, "stage.option=value"),
        (["--device", "abacus"], 2, "expected auto, cpu or cuda"),
        (["--seed", "-1"], 2, "--seed is -1: expected a whole number from 0"),
        (["--plan", "--seed", "-1"], 2, "--seed is -1: expected a whole number from 0"),
        (["--plan", "--set", "student.steps=abc"], 2, "--set student.steps=abc: expected a whole number of 1 or more"),
        (["--set", "student.steps=0"], 2, "--set student.steps=0: expected a whole number of 1 or more"),
        (["--plan", "--set", "student.crops=3"], 2, "--set student.crops=3: it has parts (side, pairs,"),
        (["--set", "pairs.count=0"], 2, "expected a whole number of 1 or more"),
        (["--set", "student.shape=x"], 2, "--set student.shape=x: expected default or fast"),
        (["--plan", "--set", "photos.least=x"], 2, "--set photos.least=x: expected a whole number of 1 or more"),
    ],
)
def test_a_wrong_wish_is_refused_in_one_line(
    pictures: tuple[Path, Path], home: Path, capsys: pytest.CaptureFixture[str], change: list[str], code: int, says: str
) -> None:
    assert run(command(pictures, *change)) == code
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1
    assert not home.exists()


def test_a_training_does_not_train_on_what_it_draws(
    pictures: tuple[Path, Path], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for source in pictures:
        assert run(command(pictures, "--run", str(source / "run"))) == 2
        assert f"--run {source}/run lies in {source}, and what it draws" in capsys.readouterr().err
        assert run(command(pictures, "--run", str(source / ".hidden" / "run"), "--plan")) == 0
    assert not any(path.is_dir() for source in pictures for path in source.iterdir()) and not home.exists()


@pytest.mark.parametrize(
    ("way", "option", "data", "code", "says"),
    [
        ([], "--features", b"\x89PNG\r\n", 7, "is damaged, or no weights: expected a .safetensors or .pt file"),
        (["--full"], "--generator", b"\x89PNG\r\n", 7, "is damaged, or no weights: expected a .safetensors or .pt"),
        (["--full"], "--identity", b"", 7, "is damaged, or no weights"),
        (["--full"], "--features", {"layer.weight": torch.zeros(1)}, 7, "no feature network this version knows"),
        ([], "--identity", b"x", 2, "--identity is for full training, this one is standard: leave it out"),
        (["--quick"], "--features", b"x", 2, "--features is for standard or full training, this one is quick"),
        (["--quick"], "--generator", b"x", 2, "--generator is for full training, this one is quick"),
    ],
)
@pytest.mark.parametrize("plan", [[], ["--plan"]])
def test_a_network_that_is_none_or_is_not_used_is_refused_before_the_work(
    pictures: tuple[Path, Path],
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    way: list[str],
    option: str,
    data: object,
    code: int,
    says: str,
    plan: list[str],
) -> None:
    path = tmp_path / "network.pth"
    if isinstance(data, bytes):
        path.write_bytes(data)
    else:
        torch.save(data, path)
    words = command(pictures)[:10]  # up to the way of training
    assert run([*words, *way, option, str(path), *plan]) == code
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1 and not home.exists()


def test_what_may_not_be_read_or_written_is_told_before_the_work(
    pictures: tuple[Path, Path], home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("/".join(("x" * 300, "photos")), f"{'x' * 300}.portraits"):
        assert run(command((Path(place), pictures[1]))) == 4
        assert capsys.readouterr().err == f"vidstyle: cannot read {place}: File name too long\n"
    assert not home.exists()
    (home / "styles").mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != home / "styles")
    assert run(command(pictures)) == 5
    assert f"not allowed to write to {home / 'styles'}" in capsys.readouterr().err
    assert not (home / "training").exists()


@pytest.mark.parametrize(
    ("start", "code", "says"),
    [("nothing", 7, "no style named 'nothing'"), ("anime-fast", 1, "anime-fast is of another shape than the network")],
)
def test_a_start_that_is_none_is_refused_before_the_work(
    pictures: tuple[Path, Path], home: Path, capsys: pytest.CaptureFixture[str], start: str, code: int, says: str
) -> None:
    words = command(pictures)
    words = words[: words.index("--quick")]
    assert run([*words, "--set", f"ttn.start={start}"]) == code
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1 and not home.exists()


def test_names_that_are_taken_or_impossible_are_refused_before_the_work(
    pictures: tuple[Path, Path], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command(pictures, name="a b")) == 7
    assert "cannot be named" in capsys.readouterr().err
    (home / "styles").mkdir(parents=True)
    (home / "styles" / "mine.safetensors").write_bytes(b"another style")
    assert run(command(pictures)) == 7
    assert "--overwrite" in capsys.readouterr().err
    assert not (home / "training").exists()


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


def test_too_few_exemplars_end_it_with_the_list(
    pictures: tuple[Path, Path], home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(pictures[1], broken)
    for path in sorted(broken.iterdir())[:5]:
        path.write_bytes(b"broken")
    assert run(command((pictures[0], broken))) == 4
    said = capsys.readouterr().err.splitlines()[-1]
    assert "16 usable portraits, at least 20" in said and "refused.txt" in said
    assert not list((home / "styles").glob("*"))


def test_a_missing_extra_is_an_error_with_its_remedy(
    pictures: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == "training"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert run(command(pictures)) == 6
    assert "pip install 'vidstyle[train]'" in capsys.readouterr().err


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
    card, start = read_card(out), find_style(recipes.START)
    for text in (f"Begun from the weights of the look {recipes.START} (Apache-2.0)", start.card.provenance):
        assert text in card.provenance
    weights = load_style(tmp_path / "run" / "ttn" / "ttn.safetensors").weights
    moved = max(float(np.abs(weights[name].astype(np.float32) - start.weights[name]).max()) for name in weights)
    assert 0 < moved < 1e-3  # two steps of Adam, from there


def test_a_card_tells_of_its_own_way_of_training_alone(pictures: tuple[Path, Path], home: Path, tmp_path: Path) -> None:
    """A run that began as standard gave a quick style whose card named makers of a look that it was not begun from."""
    texture = tmp_path / "run" / "ttn"
    texture.mkdir(parents=True)
    (tmp_path / "run" / "lock").touch()
    (texture / "options.json").write_text(json.dumps({"start": recipes.START}))
    (texture / "done.json").write_text(json.dumps({"key": "of the other way", "seconds": 5}))
    assert run(command(pictures, "--run", str(tmp_path / "run"))) == 0
    card = read_card(home / "styles" / "mine.safetensors")
    assert recipes.START not in card.provenance
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
    monkeypatch.setattr(portraits, "Detector", FixedDetector)
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
