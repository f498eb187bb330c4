"""Texture translation: going on to the bit, its terms, what it draws from, the style it writes; R_exp going on."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from portrait_crops import crops, paired, same_weights
from processes import launch
from style_files import TINY, random_weights, write_style

from training import expression, ttn
from training.ttn import Options
from training.ttn_pictures import Pictures
from training.world import TrainingError, World
from vidstyle.engine import EngineSpec, Recipe, load_engine
from vidstyle.errors import Interrupted, SourceError
from vidstyle.network import Architecture
from vidstyle.style import Card, load_style, save_style

OPTIONS = Options(steps=4, batch=2, size=16, network="student", warm=2, seed=3, log_every=1, sheet_every=4)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ttn.NETWORKS, "student", TINY)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Photos, exemplars and pairs."""
    return crops(tmp_path / "photos"), crops(tmp_path / "exemplars", seed=1, tint=40), paired(tmp_path / "pairs")


def stop_at(step: int) -> object:
    def on_step(done: int, _: int, __: dict[str, float]) -> None:
        if done == step:
            raise Interrupted(130)

    return on_step


@pytest.fixture
def judge(tmp_path: Path, folders: tuple[Path, Path, Path]) -> str:
    """A file of R_exp, hardly trained."""
    options = expression.Options(steps=1, batch=2, size=16)
    return str(expression.train(tmp_path / "expression", [folders[0]], options))


@pytest.mark.parametrize("stop", [1, 3])
def test_a_stopped_run_equals_a_straight_one_to_the_bit(
    tmp_path: Path, folders: tuple[Path, Path, Path], judge: str, stop: int
) -> None:
    options = replace(OPTIONS, expression=judge)
    straight = ttn.train(tmp_path / "a", *folders, options)
    with pytest.raises(Interrupted):
        ttn.train(tmp_path / "b", *folders, options, stop_at(stop))  # type: ignore[arg-type]
    assert same_weights(ttn.train(tmp_path / "b", *folders, options), straight)
    for name in ("network", "average", "critic"):
        ours, theirs = (torch.load(tmp_path / run / "checkpoint.pt", weights_only=True)[name] for run in "ab")
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    rows = [json.loads(line) for line in (tmp_path / "b" / "stats.jsonl").read_text().splitlines()]
    assert {"warm_l1", "warm_gradient"} <= set(rows[0])
    assert {"style", "content", "perception", "tv", "critic"} <= set(rows[3])
    assert (tmp_path / "b" / "sheet-000004.png").exists()


def test_the_result_is_a_style_that_an_engine_runs(tmp_path: Path, folders: tuple[Path, Path, Path]) -> None:
    options = replace(OPTIONS, name="comic", look="Ink and flat colours", provenance="Made of nothing.")
    style = load_style(ttn.train(tmp_path / "run", *folders, options))
    assert (style.card.name, style.card.look, style.card.architecture) == ("comic", "Ink and flat colours", TINY)
    assert style.card.training["steps_done"] == 4 and style.card.training["geometry"]["turn"] == 90.0
    with load_engine(Recipe(((style, 1.0),)), EngineSpec(16, 16, precision="f32")) as engine:
        picture = np.arange(768, dtype=np.uint8).reshape(1, 16, 16, 3)
        assert engine(picture).shape == picture.shape


def test_the_published_shape_is_the_default() -> None:
    assert ttn.NETWORKS[Options().network] == Architecture("ttn") and Options().geometry.turn == 90
    assert (Options().content, Options().perception, Options().tv, Options().lr) == (200, 1, 1e4, 1e-4)
    assert Options().tones == 0 and Options().critic_lr == 0
    assert (Options().steps, Options().style, Options().normalisation) == (10_000, "released", "released")


def test_pairs_are_learned_first(tmp_path: Path, folders: tuple[Path, Path, Path]) -> None:
    options = replace(OPTIONS, steps=60, warm=60, batch=4, warm_lr=4e-3)
    ttn.train(tmp_path / "run", *folders, options)
    rows = [json.loads(line) for line in (tmp_path / "run" / "stats.jsonl").read_text().splitlines()]
    assert rows[-1]["warm_l1"] < 0.6 * rows[0]["warm_l1"]
    # Without pairs the photo is given back.
    ttn.train(tmp_path / "alone", folders[0], folders[1], None, replace(options, steps=2))


def test_the_terms_after_the_pairs_are_not_stepped_by_what_was_remembered_of_them(
    tmp_path: Path, folders: tuple[Path, Path, Path]
) -> None:
    """Gradients become many times larger there: by its memory Adam would step as many times too far."""
    options = replace(OPTIONS, steps=21, warm=20, warm_lr=1e-3, lr=1e-2, content=1e9)
    weights = {}

    for stop in (20, 21):
        with contextlib.suppress(Interrupted):
            ttn.train(tmp_path / "run", *folders, options, stop_at(stop))  # type: ignore[arg-type]
        weights[stop] = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["network"]
    moved = max(float((weights[21][name] - weights[20][name]).abs().max()) for name in weights[20])
    assert 0 < moved <= 1.001 * options.lr / ttn.RISE


def test_a_style_of_the_same_shape_may_be_the_start(tmp_path: Path) -> None:
    path = write_style(tmp_path / "mine.safetensors", seed=5)
    begun = ttn.Translation(replace(OPTIONS, start=str(path)), World(torch.device("cpu")))
    for name, value in load_style(path).weights.items():
        assert torch.equal(begun.network.named_weights()[name], torch.from_numpy(value).float())
        assert torch.equal(begun.average.named_weights()[name], torch.from_numpy(value).float())
    with pytest.raises(TrainingError, match="anime is of another shape"):
        ttn.Translation(replace(OPTIONS, start="anime"), World(torch.device("cpu")))


def test_a_bundled_look_is_the_start_whatever_a_person_calls_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDSTYLE_HOME", str(tmp_path))
    (tmp_path / "styles").mkdir()
    own = tmp_path / "styles" / "artstyle.safetensors"
    save_style(own, Card("artstyle", "", TINY, "", ""), random_weights(TINY))
    assert ttn.start_style("artstyle").card.provenance.startswith("Distilled from the artstyle network of DCT-Net")
    assert ttn.start_style(str(own)).card.architecture == TINY


def test_colours_of_the_exemplars_faces_are_asked_for(tmp_path: Path, folders: tuple[Path, Path, Path]) -> None:
    options = replace(OPTIONS, steps=60, warm=0, batch=4, lr=4e-3, tones=1000.0)
    ttn.train(tmp_path / "run", folders[0], folders[1], None, options)
    rows = [json.loads(line) for line in (tmp_path / "run" / "stats.jsonl").read_text().splitlines()]
    assert rows[-1]["tones"] < 0.5 * rows[0]["tones"]


def test_the_critics_may_learn_at_a_rate_of_their_own() -> None:
    t = ttn.Translation(replace(OPTIONS, critic_lr=3e-3), World(torch.device("cpu")))
    assert t.opt_critic.param_groups[0]["lr"] == 3e-3 and t.opt_network.param_groups[0]["lr"] == OPTIONS.lr


def test_the_papers_reading_of_the_losses_is_there_too(tmp_path: Path, folders: tuple[Path, Path, Path]) -> None:
    options = replace(OPTIONS, warm=0, steps=1)
    terms = {}
    for kind in ("paper", "released"):
        ttn.train(tmp_path / kind, *folders, replace(options, style=kind, normalisation=kind))
        terms[kind] = json.loads((tmp_path / kind / "stats.jsonl").read_text())
    assert terms["paper"]["content"] == pytest.approx(terms["released"]["content"] * 524_288, rel=1e-3)


def test_style_pictures_are_exemplars_and_generated_ones_by_number(folders: tuple[Path, Path, Path]) -> None:
    pictures = Pictures(*folders, OPTIONS.size)
    rng = torch.Generator().manual_seed(0)

    def raw(share: float) -> float:
        drawn = pictures.style(2000, share, rng)
        return float(np.mean([(image == pictures.exemplars).all((1, 2, 3)).any() for image in drawn]))

    assert raw(0.0) == pytest.approx(8 / 14, abs=0.04)  # 8 exemplars, 6 generated
    assert raw(0.2) == pytest.approx(0.2, abs=0.04)


def test_what_is_off_is_told(tmp_path: Path, folders: tuple[Path, Path, Path]) -> None:
    for options, message in (
        (replace(OPTIONS, network="unet"), "the network is ttn or student"),
        (replace(OPTIONS, normalisation="mine"), "released or paper"),
        (replace(OPTIONS, style="mine"), "paper or released"),
        (replace(OPTIONS, features=str(tmp_path / "vgg.pth")), "no weights"),
        (replace(OPTIONS, expression=str(tmp_path / "e")), "no expression network"),
    ):
        with pytest.raises(TrainingError, match=message):
            ttn.train(tmp_path / "run", *folders, options)
    with pytest.raises(SourceError, match="no pairs"):
        ttn.train(tmp_path / "run", folders[0], folders[1], tmp_path / "nothing", OPTIONS)
    with pytest.raises(TrainingError, match="no pictures"):
        ttn.train(tmp_path / "run", crops(tmp_path / "few", count=2), *folders[1:], OPTIONS)


def test_a_stopped_expression_run_equals_a_straight_one_to_the_bit(
    tmp_path: Path, folders: tuple[Path, Path, Path]
) -> None:
    options = expression.Options(steps=4, batch=3, size=16, log_every=1)
    straight = expression.train(tmp_path / "a", list(folders[:2]), options)
    with pytest.raises(Interrupted):
        expression.train(tmp_path / "b", list(folders[:2]), options, stop_at(2))  # type: ignore[arg-type]
    assert same_weights(expression.train(tmp_path / "b", list(folders[:2]), options), straight)
    with pytest.raises(TrainingError, match="no faces with landmarks"):
        expression.train(tmp_path / "c", [crops(tmp_path / "none", count=2)], options)


TRANSLATE = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import torch
from training import ttn
from training.world import join, leave
from style_files import TINY, write_style
from test_ttn import OPTIONS
torch.set_num_threads(1)
ttn.NETWORKS["student"] = TINY
folder = Path(sys.argv[1])
ttn.train(folder / "two", *(folder / name for name in ("photos", "exemplars", "pairs")), OPTIONS, world=join("cpu"))
leave()
"""


@pytest.mark.slow
def test_two_processes_translate_as_one_does(tmp_path: Path, folders: tuple[Path, Path, Path]) -> None:
    alone = load_style(ttn.train(tmp_path / "one", *folders, OPTIONS))
    launch("torchrun", TRANSLATE, [str(tmp_path), str(Path(__file__).parent), str(Path(__file__).parents[1])])
    both = load_style(tmp_path / "two" / ttn.RESULT)
    first, second = ((tmp_path / run / "stats.jsonl").read_text().splitlines() for run in ("one", "two"))
    for ours, theirs in zip(first, second, strict=True):
        rows = [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in (ours, theirs)]
        assert rows[0] == pytest.approx(rows[1], rel=1e-3)
    for name, value in alone.weights.items():
        np.testing.assert_allclose(value, both.weights[name], atol=2e-3)
