"""Distillation: averages by their formula, resuming to the bit, several processes, what a run writes."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from distilling import CPU, SMALL, canvases
from processes import launch
from style_files import TINY, published_pb, random_weights

from engines.torch import Network
from training import distill, losses, pack, steps
from training.crops import CropOptions, Cropper, Crops
from training.data import EMPTY, FACE, MOVING, SIDE, spread
from training.distill import train
from training.options import set_options
from training.ranges import of_canvases
from training.run import Options, Run, finish, learning_rate, ramp
from training.world import DivergedError
from vidstyle.engine import EngineSpec, Recipe, load_engine
from vidstyle.errors import UsageError
from vidstyle.network import Architecture, layers
from vidstyle.style import load_style

TTN = Architecture("ttn")
OPTIONS = Options(
    steps=6,
    shift=0.7,
    shift_from=0.2,
    costly_every=1,
    adversarial_from=0.3,
    adversarial_eyes=(0.1, 1000.0),
    contrast_eyes=(0.1, 1000.0),
    closeups_from=0.3,
    crops=replace(
        SMALL, exact=0.0, empty=0.0, near=(20.0, 40.0), near_share=1.0
    ),  # faces so small that their eyes and mouths lie in the crops
    lr=1e-2,
    flat=0.5,
    seed=7,
)


pytestmark = pytest.mark.usefixtures("one_thread")


def test_learning_rate_and_ramp() -> None:
    options = replace(OPTIONS, steps=1000, lr=1.0, shift_from=0.2)
    assert learning_rate(options, 0) == pytest.approx(0.01)
    assert learning_rate(options, 500) == pytest.approx(0.02 + 0.98 / 2)
    assert learning_rate(options, 1000) == pytest.approx(0.02)
    assert [ramp(options, step) for step in (0, 200, 350, 500, 900)] == pytest.approx([0, 0, 0.5, 1, 1])


def test_the_average_follows_its_formula() -> None:
    run = Run(TINY, OPTIONS, CPU)
    means = [value.double().clone() for value in run.average.parameters()]
    for run.step, decay in ((1, 2 / 11), (40, 41 / 50), (10_000, 0.9)):
        with torch.no_grad():
            for value in run.student.parameters():
                value.add_(0.5)
        values = [value.double() for value in run.student.parameters()]
        means = [decay * mean + (1 - decay) * value for mean, value in zip(means, values, strict=True)]
        run.update_average(0.9)
        for mean, got in zip(means, run.average.parameters(), strict=True):
            torch.testing.assert_close(got.double(), mean, rtol=1e-5, atol=1e-6)


def trained(folder: Path, *stops: int) -> Run:
    """Train to each stop, every time by a new process's means: a fresh run loaded from the checkpoint."""
    folder.mkdir()
    for stop in stops:
        run = Run(TINY, OPTIONS, CPU)
        if (folder / "checkpoint.pt").exists():
            run.load(folder / "checkpoint.pt")
        teacher = Network(TTN, random_weights(TTN))
        train(run, Cropper(canvases(), OPTIONS.crops, CPU), teacher, OPTIONS, folder, until=stop)
    return run


def test_a_resumed_run_equals_a_straight_one_to_the_bit(tmp_path: Path) -> None:
    straight, resumed = trained(tmp_path / "a", 6), trained(tmp_path / "b", 3, 6)
    fresh = Run(TINY, OPTIONS, CPU)
    assert straight.step == resumed.step == 6
    for name in ("student", "average", "critic", "closeup_critic"):
        ours, theirs, first = (getattr(run, name).state_dict() for run in (straight, resumed, fresh))
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
        assert not all(torch.equal(ours[key], first[key]) for key in ours), f"the {name} did not learn"
    rows = [json.loads(line) for line in (tmp_path / "b" / "stats.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [3, 6]
    assert {"l1", "gradient", "features", "flat", "shift", "adversarial", "critic"} <= set(rows[-1])
    assert {"closeups", "closeups_like", "closeup_critic"} <= set(rows[0])  # not every step has one


TWO = """
import sys
from dataclasses import asdict, replace
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import torch
from test_training import CPU, OPTIONS, TINY, TTN, Cropper, Network, Run, canvases, random_weights, train
from training.world import join, leave
torch.set_num_threads(1)
world, folder = join("cpu"), Path(sys.argv[1])
run = Run(TINY, OPTIONS, CPU)
teacher = Network(TTN, random_weights(TTN))
train(run, Cropper(canvases(), OPTIONS.crops, CPU), teacher, OPTIONS, folder, until=3, world=world)
torch.save(run.student.state_dict(), folder / f"{world.rank}.pt")
leave()
"""


@pytest.mark.parametrize("launcher", ["by hand", pytest.param("torchrun", marks=pytest.mark.slow)])
def test_two_processes_distil_what_one_would(tmp_path: Path, launcher: str) -> None:
    here, alone = Path(__file__).resolve().parent, trained(tmp_path / "one", 3).student.state_dict()
    (tmp_path / "two").mkdir()
    launch(launcher, TWO, [str(tmp_path / "two"), str(here), str(here.parent)])
    first, second = (torch.load(tmp_path / f"two/{rank}.pt", weights_only=True) for rank in range(2))
    start = Run(TINY, OPTIONS, CPU).student.state_dict()
    for name, value in alone.items():
        assert torch.equal(first[name], second[name])
        learnt = (value - start[name]).norm()
        assert (
            learnt > 0 and (first[name] - value).norm() < 0.35 * learnt
        )  # the critic's means are over each one's faces
    rows = [json.loads(line) for line in (tmp_path / "two/stats.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [3]


def test_finish_writes_a_style_that_loads(tmp_path: Path) -> None:
    run = Run(TINY, OPTIONS, CPU)
    card = finish(run, OPTIONS, "mine", "A look", "From nothing.", tmp_path / "mine.safetensors")
    style = load_style(tmp_path / "mine.safetensors")
    assert json.loads(json.dumps(card.as_dict())) == style.card.as_dict()
    assert card.training["steps_done"] == 0 and "DCT-Net" in card.provenance
    for name, value in run.average.weights().items():
        np.testing.assert_array_equal(style.weights[name], value.astype(np.float16))
    with load_engine(Recipe(((style, 1.0),)), EngineSpec(8, 8, precision="f32")) as network:
        picture = np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3)
        assert network(picture).shape == picture.shape


def test_a_style_has_the_ranges_of_its_pictures(tmp_path: Path) -> None:
    run, sources = Run(TINY, OPTIONS, CPU), canvases().source
    finish(run, OPTIONS, "mine", "", "", tmp_path / "mine.safetensors", sources)
    style = load_style(tmp_path / "mine.safetensors")
    assert style.ranges == of_canvases(run.average, sources) and set(style.ranges) == set(layers(TINY))
    finish(run, OPTIONS, "other", "", "", tmp_path / "other.safetensors")
    assert load_style(tmp_path / "other.safetensors").ranges == {}


@pytest.mark.parametrize(("shape", "name"), [("default", "anime"), ("fast", "anime-fast")])
def test_a_style_written_from_a_checkpoint_has_them_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str, name: str
) -> None:
    monkeypatch.setitem(distill.SHAPES, shape, TINY)
    folder, sources = tmp_path / "run", canvases().source
    (folder / name).mkdir(parents=True)
    (folder / "canvases").mkdir()
    np.save(folder / "canvases/sources.npy", sources)
    run = Run(TINY, replace(OPTIONS, crops=CropOptions()), CPU)
    run.save(folder / name / "checkpoint.pt")
    options = replace(OPTIONS, steps=77, shape=shape, crops=CropOptions(pairs=24))
    noted = json.dumps({**asdict(options), "of_another_version": 1})
    (folder / name / "options.json").write_text(noted)
    monkeypatch.setattr("sys.argv", ["distill", "anime", "--shape", shape, "--run", str(folder), "--finish"])
    distill.main()
    style = load_style(folder / name / f"{name}.safetensors")
    assert style.card.training["steps"] == 77 and style.card.training["crops"]["pairs"] == 24
    assert (folder / name / "options.json").read_text() == noted
    assert style.ranges == of_canvases(run.average, sources) and style.name == name
    assert style.card.provenance.startswith("Distilled from the anime network of DCT-Net")
    assert style.card.look.endswith("softer)") == (shape == "fast")


def test_a_resumed_run_keeps_its_options_and_the_style_it_began_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other options were taken without a word, and the card told of those; --finish forgot the start."""
    monkeypatch.setitem(distill.SHAPES, "default", TINY)
    start = finish(Run(TINY, OPTIONS, CPU), OPTIONS, "start", "", "", tmp_path / "start.safetensors")
    monkeypatch.setattr(distill, "_materials", lambda *_: (load_style(tmp_path / "start.safetensors"), canvases()))
    monkeypatch.setattr(
        distill, "train", lambda run, _crops, _teacher, _options, folder, **_: run.save(folder / "checkpoint.pt")
    )
    words = ["distill", "anime", "--teacher", "a.pb", "--photos", "b", "--run", str(tmp_path / "runs")]
    began = [*words, "--start", str(tmp_path / "start.safetensors")]
    for again in (began, words, [*words, "--finish"]):
        monkeypatch.setattr("sys.argv", again)
        distill.main()
        card = load_style(tmp_path / "runs/anime/anime.safetensors").card
        assert card.training["started_from"] == start.sha256
    monkeypatch.setattr("sys.argv", [*words, "--set", "lr=0.1"])
    with pytest.raises(SystemExit) as stopped:
        distill.main()
    assert stopped.value.code == 1 and "has other options (lr was 0.0015, is 0.1)" in capsys.readouterr().err
    assert json.loads((tmp_path / "runs/anime/options.json").read_text())["lr"] == 0.0015


def test_nothing_is_written_from_a_run_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was a look of random weights."""
    monkeypatch.setattr("sys.argv", ["distill", "anime", "--run", str(tmp_path / "runs"), "--finish"])
    with pytest.raises(SystemExit) as stopped:
        distill.main()
    assert stopped.value.code == 2 and not (tmp_path / "runs").exists()
    assert "there is no" in (said := capsys.readouterr().err) and "checkpoint.pt: expected the folder of a run" in said


def test_a_pack_keeps_the_pictures_and_the_teachers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (3, 6, 6, 3)).astype(np.uint8)
    soft = coarse.repeat(2 * SIDE // 6, 1).repeat(2 * SIDE // 6, 2)
    graph = tmp_path / "look.pb"
    graph.write_bytes(published_pb(random_weights(TTN)))
    pack.write(tmp_path / "pack", soft, np.array([0, 0, 1], np.uint8), [graph])
    source, kind = pack.read(tmp_path / "pack")
    assert source.shape == soft.shape and kind.tolist() == [0, 0, 1]
    assert np.abs(source.astype(int) - soft).mean() < 6
    teacher = load_style(tmp_path / "pack" / "look.safetensors")
    assert teacher.card.architecture == TTN


def test_fewer_canvases_are_spread_over_all_with_every_moving_face() -> None:
    kind = np.array([FACE] * 20 + [MOVING] * 5 + [EMPTY] * 15)
    some = spread(kind, 8)
    assert isinstance(some, np.ndarray)
    assert len(set(some.tolist())) == len(some) and set(range(20, 25)) <= set(some.tolist())
    assert len(some) <= 13 and min(some) < 3 and sum(kind[some] == FACE) >= 3 and sum(kind[some] == EMPTY) >= 2


def test_options_are_set_by_name() -> None:
    options = set_options(OPTIONS, ["lr=0.5", "crops.turn=12", "crops.near=(1.0, 2.0)"])
    assert (options.lr, options.crops.turn, options.crops.near, options.seed) == (0.5, 12, (1.0, 2.0), OPTIONS.seed)
    for wrong in ("speed=1", "crops.speed=1", "a.b=1"):
        with pytest.raises(UsageError, match=r"no option|has no parts"):
            set_options(OPTIONS, [wrong])


def test_distilling_with_an_option_of_another_kind_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["distill", "anime", "--pack", "nowhere", "--run", str(tmp_path / "runs"), "--set", "crops.turn=far"]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as stopped:
        distill.main()
    assert stopped.value.code == 2 and not (tmp_path / "runs").exists()
    assert capsys.readouterr().err == "error: --set crops.turn=far: expected a number of 0 or more\n"


def test_all_looks_at_once_need_a_pack(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["distill", "all", "--teacher", "a.pb", "--photos", "b"])
    with pytest.raises(SystemExit) as stopped:
        distill.main()
    assert stopped.value.code == 2
    assert capsys.readouterr().err == (
        "error: all looks at once need --pack: make one with training.pack, or name one look\n"
    )


def test_a_look_that_fails_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: Any
) -> None:
    """All looks are trained by night, or on a machine that is lent for minutes."""
    for name in ("3d", "anime", "sketch"):
        (tmp_path / f"{name}.safetensors").touch()
    tried: list[str] = []

    def made(_: object, name: str, *__: object) -> None:
        tried.append(name)
        if name == "3d":
            raise DivergedError("the loss of step 7 is not finite")

    monkeypatch.setattr(pack, "read", lambda _: None)
    monkeypatch.setattr(distill, "distill", made)
    monkeypatch.setattr("sys.argv", ["distill", "all", "--pack", str(tmp_path), "--device", "cpu"])
    with pytest.raises(SystemExit) as stopped:
        distill.main()
    assert stopped.value.code == 1 and tried == ["anime", "3d", "sketch"]
    assert "3d failed: the loss of step 7" in caplog.text
    assert capsys.readouterr().err.endswith("error: 3d failed, as said above; of 3 looks 2 are done\n")


def test_a_pack_without_networks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["distill", "all", "--pack", str(tmp_path), "--device", "cpu"])
    with pytest.raises(SystemExit) as stopped:
        distill.main()
    assert stopped.value.code == 2 and "no published network in" in capsys.readouterr().err


def test_costly_losses_see_only_a_share_of_the_crops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    before = losses.TeacherFeatures.forward

    def counting(self: losses.TeacherFeatures, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return before(self, x, y)

    monkeypatch.setattr(losses.TeacherFeatures, "forward", counting)
    options = replace(OPTIONS, costly_every=2, steps=2, crops=replace(SMALL, pairs=4))
    teacher = Network(TTN, random_weights(TTN))
    train(Run(TINY, options, CPU), Cropper(canvases(), options.crops, CPU), teacher, options, tmp_path)
    assert seen == [2, 2]  # of eight


def test_lines_are_asked_for_where_the_source_says_where_they_are() -> None:
    eyes, crisp = torch.tensor([0.0, 40.0, 60.0, 60.0, 200.0]), torch.tensor([True, True, True, False, True])
    options = replace(OPTIONS, contrast_eyes=(44.0, 140.0))
    paired = Crops(*[torch.zeros(10, 1, 4, 4)] * 3, eyes, crisp, eyes, torch.zeros(5, 3, 2), (0, 0))
    assert steps.certain(paired, options).tolist() == [2]  # row 7 shows the same face
    apart = replace(paired, eyes=eyes.repeat(2), crisp=torch.cat([crisp, ~crisp]))
    assert steps.certain(apart, options).tolist() == [2, 8]


def test_a_run_goes_on_from_another_student(tmp_path: Path) -> None:
    first = Run(TINY, OPTIONS, CPU)
    finish(first, OPTIONS, "first", "", "", tmp_path / "first.safetensors")
    second = Run(TINY, replace(OPTIONS, seed=9), CPU)
    second.start_from(load_style(tmp_path / "first.safetensors"))
    card = finish(second, OPTIONS, "second", "", "", tmp_path / "second.safetensors")
    one, two = (load_style(tmp_path / f"{name}.safetensors") for name in ("first", "second"))
    assert all(np.array_equal(one.weights[name], two.weights[name]) for name in one.weights)
    assert card.training["started_from"] == one.card.sha256
