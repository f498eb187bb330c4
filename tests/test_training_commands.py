"""The training's commands given what they cannot use: one line that says so, and an exit code."""

from __future__ import annotations

import logging
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from style_files import TINY, published_pb, random_weights

from training import ablation, measures
from training.options import run_command
from training.world import TrainingError, World
from vidstyle.network import Architecture
from vidstyle.style import Card, save_style

NOT_A_NETWORK = __file__
TTN = Architecture("ttn")


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (f"portraits nowhere out --detector {NOT_A_NETWORK}", 4, "is not a face detector that OpenCV can load"),
        ("portraits pictures out --detector nowhere", 4, "no face detector nowhere"),
        ("portraits pictures cut --detector nowhere", 4, "no face detector nowhere"),
        ("portraits pictures pictures", 5, "pictures has a.png, and would be replaced: choose a folder that does not"),
        ("portraits pictures pictures/a.png", 5, "pictures/a.png is a file, and would be replaced: choose a folder"),
        ("open_looks pictures out --look comic --detector nowhere", 4, "no face detector nowhere"),
        ("pairs nowhere nowhere out", 4, "no portraits of a training in nowhere"),
        ("pairs cut cut out", 4, "no portraits of a training in cut"),
        ("generator --photos pictures --run out", 4, "no portraits of a training in pictures"),
        ("expression --crops nowhere --run out", 4, "no portraits of a training in nowhere"),
        ("ttn --photos nowhere --exemplars nowhere --run out", 4, "no portraits of a training in nowhere"),
        ("pack out --photos nowhere --teachers none.pb", 4, "nowhere has no faces.json"),
        ("evaluate nowhere --teacher none.pb --photos nowhere", 7, "no style file nowhere"),
        ("curves nowhere", 4, "no training in nowhere"),
        ("curves begun", 4, "no training in begun: expected a folder with a stats.jsonl that has figures"),
        ("compare nowhere full=empty/faces.json", 4, "no portraits of a training in nowhere"),
        ("distill x --teacher empty/x.safetensors --photos empty --run out", 4, "nothing to learn from"),
        ("distill x --teacher empty/x.safetensors --photos pictures --run out", 4, "pictures has no faces.json"),
        ("distill all --pack empty --run out", 4, "empty/canvases.npz is missing or damaged"),
        ("evaluate empty/x.safetensors --teacher x.pb --photos empty", 4, "empty has no held-out photos of people"),
        ("ranges empty/x.safetensors --photos empty", 4, "nothing to learn from"),
        ("pack out --photos empty --clips a.mp4 --teachers x.pb", 2, "the faces in --clips are found by --detector"),
        (f"warping empty/x.safetensors --clips {NOT_A_NETWORK}", 4, "(Invalid data found when processing input)"),
        ("warping empty/x.safetensors --clips nowhere.mp4", 4, "cannot read nowhere.mp4 (No such file or directory)"),
        ("ttn --photos a --exemplars b --run out --device abacus", 2, "'abacus': expected auto, cpu or cuda"),
        ("distill anime --finish --device abacus", 2, "'abacus': expected auto, cpu or cuda"),
        ("ablation x --photos a --exemplars b --run out --device abacus", 2, "'abacus': expected auto, cpu or cuda"),
        (
            "evaluate empty/x.safetensors --teacher x.pb --photos empty --limit 0",
            2,
            "'0': expected a whole number of 1",
        ),
        ("compare out full=empty/x.safetensors --most 1", 2, "'1': expected a whole number of 2 or more"),
        ("pack out --photos empty --teachers x.pb --limit -3", 2, "'-3': expected a whole number of 0 or more"),
        ("distill x --teacher x.pb --photos empty --limit x", 2, "'x': expected a whole number of 0 or more"),
        ("distill x --pack empty --photos empty", 2, "--pack holds pictures and teachers: leave --teacher, --photos"),
        ("open_looks pictures out --look comic --count 0", 2, "'0': expected a whole number of 1 or more"),
        ("open_looks pictures out --look comic --seed -4", 2, "'-4': expected a whole number of 0 or more"),
        ("warping empty/x.safetensors --clips nowhere.mp4 --side -5", 2, "'-5': expected a whole number of 16 or more"),
        (
            "warping empty/x.safetensors --clips nowhere.mp4 --pictures 1",
            2,
            "'1': expected a whole number of 2 or more",
        ),
        ("warping empty/x.safetensors --clips nowhere.mp4 --steady 7", 2, "--steady is 7: expected 0 (off) to 0.8"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(
    command: str,
    code: int,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    Path("pictures").mkdir()
    Path("pictures/a.png").write_bytes(b"somebody's own")
    Path("cut").mkdir()
    Path("cut/faces.npy").write_bytes(b"\x93NUMPY\x01")
    Path("begun").mkdir()
    Path("begun/stats.jsonl").touch()
    Path("empty").mkdir()
    Path("empty/faces.json").write_text("{}")
    save_style(Path("empty/anime.safetensors"), Card("x", "", TINY, "", ""), random_weights(TINY))
    Path("empty/x.safetensors").write_bytes(Path("empty/anime.safetensors").read_bytes())
    Path("x.pb").write_bytes(published_pb(random_weights(TTN)))
    module, *arguments = command.split()
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    monkeypatch.delitem(sys.modules, f"training.{module}", raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"training.{module}", run_name="__main__")
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert (ended.value.code, says in last) == (code, True), last
    assert not Path("nowhere").exists() and Path("pictures/a.png").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "training.generator", raising=False)
    monkeypatch.setattr(sys, "argv", ["generator", "--photos", "a", "--run", "b", "--device", "cuda"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("training.generator", run_name="__main__")
    assert ended.value.code == 2 and "torch finds no GPU here" in capsys.readouterr().err


def test_what_the_disk_refuses_is_told_with_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as ended:
        run_command((tmp_path / "file" / "folder").mkdir)
    assert ended.value.code == 5
    assert capsys.readouterr().err == f"error: cannot use {tmp_path}/file/folder (Not a directory)\n"


@pytest.mark.parametrize("text", ["training/README.md", "training/distill.py", "training/options.py"])
def test_torchrun_is_named_as_it_takes_our_options(text: str) -> None:
    """It would take --run for the beginning of its own --run-path, and end."""
    from torch.distributed.run import parse_args

    named = re.findall(r"torchrun (?:--\S+ \d )?-m (\S+)", (Path(__file__).parents[1] / text).read_text())
    assert named and set(named) == {"--"}
    command = ["training.expression", "--run", "folder", "--start", "style"]
    parsed = parse_args(["--nproc-per-node", "4", "-m", "--", *command])
    assert [parsed.training_script, *parsed.training_script_args] == command


def test_an_ablation_trains_and_is_measured_on_the_device_that_auto_stands_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(ablation, "join", lambda name: {"auto": World(torch.device("cuda:0"))}[name])
    monkeypatch.setattr(ablation, "chains", lambda wishes, _: seen.append(wishes.device) or {})
    monkeypatch.setattr(measures, "space", lambda _, device: seen.append(device))
    monkeypatch.setattr(ablation, "compare", lambda *args, **_: seen.append(args[-1]) or {})
    monkeypatch.setattr(measures, "table", str)
    words = ["ablation", "mine", "--photos", "a", "--exemplars", "b", "--run", str(tmp_path), "--device", "auto"]
    monkeypatch.setattr(sys, "argv", words)
    ablation.main()
    assert seen == ["cuda:0"] * 3


@pytest.mark.parametrize("option", ["--inception", "--identity", "--features"])
def test_what_an_ablation_is_measured_with_is_read_before_hours_of_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setattr(ablation, "chains", lambda *_: {"full": (None, tmp_path)})
    words = ["ablation", "mine", "--photos", "a", "--exemplars", "b", "--run", str(tmp_path), "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", [*words, option, NOT_A_NETWORK])
    with pytest.raises(TrainingError, match="is damaged, or no weights"):
        ablation.main()
