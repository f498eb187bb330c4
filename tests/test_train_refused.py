"""What `vidstyle train` refuses: in one line, before the work."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from train_command import command, run

pytest_plugins = "train_fixtures"


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
        (["--set", "pairs.side=1"], 2, "--set pairs.side=1: expected a whole number of 16 or more"),
        (["--set", "student.crops.side=8"], 2, "expected a whole number of 16 or more"),
        (["--set", "student.crops.near=(0, 10)"], 2, "expected 2 numbers, as (40.0, 110.0), of 1 or more"),
        (["--set", "student.seed=4294967296"], 2, "expected a whole number of 0 or more and less than 2147483648"),
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


@pytest.mark.parametrize(
    ("way", "setting", "says"),
    [
        ([], "pairs.count=4", "this training has no pairs: it has exemplars, expression, photos,"),
        (["--full"], "pairs.lr=0.1", "pairs are only sampled, by samples, shard, truncation, layers, seed, batch"),
        (["--full"], "ccn.layers=6", "it is used where pairs are sampled: set pairs.layers"),
        (["--full"], "ccn.size=64", "--set ccn.size=64: it follows from the generator"),
        ([], "ttn.expression=eyes.safetensors", "the stage before makes it"),
    ],
)
def test_a_setting_that_nothing_would_use_is_refused(
    pictures: tuple[Path, Path], home: Path, capsys: pytest.CaptureFixture[str], way: list[str], setting: str, says: str
) -> None:
    """It was taken, and changed nothing."""
    assert run([*command(pictures)[:10], *way, "--set", setting]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1 and not home.exists()


@pytest.mark.parametrize(
    ("way", "settings", "says"),
    [
        (["--full"], ["pairs.layers=21"], "layers is 21: a generator of 256 pixels has 20, expected 0 to 20"),
        (["--full"], ["generator.size=32", "pairs.layers=12"], "a generator of 32 pixels has 11, expected 0 to 11"),
        (["--full"], ["ccn.identity_net=face.pth"], "--set ccn.identity_net=face.pth: give it with --identity"),
        ([], ["ttn.features=vgg.pth"], "--set ttn.features=vgg.pth: give it with --features"),
        (["--quick"], ["student.crops.offset=128"], "offset=128: expected less than side, which is 128"),
    ],
)
def test_what_would_break_off_a_later_stage_is_refused_before_the_work(
    pictures: tuple[Path, Path],
    home: Path,
    capsys: pytest.CaptureFixture[str],
    way: list[str],
    settings: list[str],
    says: str,
) -> None:
    words = [word for text in settings for word in ("--set", text)]
    assert run([*command(pictures)[:10], *way, *words]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1 and not home.exists()


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
