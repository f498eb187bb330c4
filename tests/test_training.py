"""Distillation: losses and averages against references written here, crops by their geometry, resuming to the bit."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import launch
from style_files import TINY, published_pb, random_weights
from torch.nn import functional as F

from engines.torch import Network
from training import distill, losses, pack
from training.crops import CropOptions, Cropper, Crops
from training.data import EYES, SIDE, Canvases, empty_canvas, face_canvas, held_out
from training.distill import train
from training.options import set_options
from training.run import Options, Run, finish, learning_rate, ramp
from vidstyle.engine import EngineSpec, Recipe, load_engine
from vidstyle.errors import UsageError
from vidstyle.network import Architecture
from vidstyle.style import load_style

CPU = torch.device("cpu")
TTN = Architecture("ttn")
SMALL = CropOptions(side=32, pairs=2, offset=3)
OPTIONS = Options(
    steps=6,
    shift=0.7,
    shift_from=0.2,
    costly_every=1,
    adversarial_from=0.3,
    adversarial_eyes=(0.1, 1000.0),
    crops=SMALL,
    lr=1e-2,
    seed=7,
)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)  # the pictures are too small to share out


def canvases(n: int = 4, side: int = 48) -> Canvases:
    """Soft, lopsided pictures whose target is the source at half size; the last one has no face."""
    y, x = np.mgrid[: 2 * side, : 2 * side][..., None] / (2 * side)
    phase = np.random.default_rng(0).uniform(0, 1, (n, 1, 1, 3))
    source = (np.sin(2 * x + phase) + np.cos(3 * y + x - phase)) * 55 + 128
    target = source.reshape(n, side, 2, side, 2, 3).mean((2, 4))
    kind = np.array([0] * (n - 1) + [1], np.uint8)
    return Canvases(source.round().astype(np.uint8), target.round().astype(np.uint8), kind)


def crops(options: CropOptions, seed: int = 0, paired: bool = True) -> Crops:
    return Cropper(canvases(), options, CPU)(torch.Generator().manual_seed(seed), paired)


def pair(seed: int = 0, *shape: int) -> tuple[torch.Tensor, torch.Tensor, np.ndarray, np.ndarray]:
    """Two float32 tensors in -1..1, and the same as float64 arrays."""
    a, b = np.random.default_rng(seed).uniform(-1, 1, (2, *(shape or (2, 3, 9, 11)))).astype(np.float32)
    return torch.from_numpy(a), torch.from_numpy(b), a.astype(np.float64), b.astype(np.float64)


def test_l1_counts_faces_more() -> None:
    x, y, a, b = pair()
    weight = np.random.default_rng(3).uniform(1, 4, (2, 1, 9, 11)).astype(np.float32)
    got = losses.weighted_l1(x, y, torch.from_numpy(weight))
    assert float(got) == pytest.approx((np.abs(a - b) * weight).mean(), rel=1e-6)


def test_gradient_loss_compares_slopes_and_the_laplacian_inside_the_border() -> None:
    x, y, a, b = pair()
    weight = np.random.default_rng(3).uniform(1, 4, (2, 1, 9, 11)).astype(np.float32)
    want = 0.0
    for n, c, i, j in np.ndindex(2, 3, 7, 9):
        d = (a - b)[n, c, i : i + 3, j : j + 3]
        slopes = abs(d[1, 2] - d[1, 1]) + abs(d[2, 1] - d[1, 1])
        laplacian = abs(d[0, 1] + d[2, 1] + d[1, 0] + d[1, 2] - 4 * d[1, 1])
        want += float(weight[n, 0, i + 1, j + 1]) * (slopes + 0.5 * laplacian)
    assert float(losses.gradient_l1(x, y, torch.from_numpy(weight))) == pytest.approx(want / (2 * 3 * 7 * 9), rel=1e-5)
    assert float(losses.gradient_l1(x, x + 0.5, torch.from_numpy(weight))) < 1e-6  # brightness is L1's


def test_lines_are_compared_by_their_contrast_and_not_by_their_place() -> None:
    x, y, a, b = pair(0, 2, 3, 18, 22)
    weight = np.random.default_rng(3).uniform(1, 4, (2, 1, 18, 22)).astype(np.float32)

    def rms(image: np.ndarray, top: int, left: int) -> float:
        luma = np.tensordot([0.299, 0.587, 0.114], image, 1)
        around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * luma[1:-1, 1:-1]
        return float(np.sqrt((around[top : top + 8, left : left + 8] ** 2).mean() + 1e-4))

    want = [
        abs(rms(a[n], top, left) - rms(b[n], top, left)) * weight[n, 0, 1 + top : 9 + top, 1 + left : 9 + left].mean()
        for n in range(2)
        for top in (0, 4, 8)
        for left in (0, 4, 8, 12)
    ]
    got = float(losses.line_contrast(x, y, torch.from_numpy(weight)))
    assert got == pytest.approx(np.mean(want), rel=1e-5)
    line = torch.zeros(1, 3, 34, 34)
    line[..., 13] = 1
    even, soft = torch.ones(1, 1, 34, 34), F.avg_pool2d(line, (1, 5), 1, (0, 2))
    moved = line.roll(1, -1)
    assert losses.weighted_l1(moved, line, even) >= losses.weighted_l1(soft, line, even)  # a soft line pays off
    assert float(losses.line_contrast(moved, line, even)) < 0.3 * float(losses.line_contrast(soft, line, even))


def test_shift_consistency_is_the_rms_of_what_both_crops_show() -> None:
    x, _, a, _ = pair(0, 2, 3, 20, 20)
    noise = np.random.default_rng(1).normal(0, 0.1, (2, 3, 16, 16))
    moved = torch.from_numpy(a[..., 4:, 2:18] + noise).float()
    want = np.sqrt((noise[..., :12, :14] ** 2).mean((1, 2, 3)) + 1e-6).mean()
    assert float(losses.shift_consistency(x[..., :16, :16], moved, (4, 2))) == pytest.approx(want, rel=1e-4)
    assert float(losses.shift_consistency(x[..., :16, :16], x[..., 4:, 2:18], (4, 2))) == pytest.approx(1e-3, rel=1e-2)


def test_features_are_the_published_encoder() -> None:
    weights = random_weights(TTN)
    x, y, a, b = pair(0, 2, 3, 16, 20)

    def layer(h: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        w, bias = (torch.from_numpy(weights[f"{name}.{part}"]).double() for part in ("weight", "bias"))
        h = F.pad(h, (0, 1, 0, 1)) if stride == 2 else h
        return F.leaky_relu(F.conv2d(h, w, bias, stride, 0 if stride == 2 else w.shape[-1] // 2), 0.2)

    def encoder(picture: np.ndarray) -> list[torch.Tensor]:
        half = layer(layer(layer(torch.from_numpy(picture), "conv0"), "conv1", 2), "conv2")
        return [half, layer(layer(half, "conv3", 2), "conv4")]

    want = sum(float((p - q).abs().mean() / q.abs().mean()) for p, q in zip(encoder(a), encoder(b), strict=True))
    network = Network(TTN, weights)
    features = losses.TeacherFeatures(network)
    loss = features(x.requires_grad_(), y)
    assert loss.item() == pytest.approx(want, rel=1e-4)
    loss.backward()
    assert x.grad is not None and all(value.grad is None for value in network.parameters())
    assert not list(features.parameters())
    assert features(y, y).item() == 0


def test_the_critic_is_the_published_one() -> None:
    critic = losses.PatchGAN()
    assert sum(value.numel() for value in critic.parameters()) == 286_561
    assert critic(torch.zeros(1, 1, 64, 64)).shape == (1, 1, 8, 8)
    real, fake, r, f = pair()
    assert losses.discriminator_loss(real, fake).item() == pytest.approx(0.5 * (((r - 1) ** 2).mean() + (f**2).mean()))
    assert losses.generator_loss(fake).item() == pytest.approx(((f - 1) ** 2).mean())


def test_texture_is_a_random_grey_of_the_published_range() -> None:
    x, _, a, _ = pair()
    mixes = torch.stack([losses.draw_mix(torch.Generator().manual_seed(seed), CPU) for seed in range(300)])
    torch.testing.assert_close(mixes.sum(1), torch.ones(300))
    red_to_green = mixes[:, 0] / mixes[:, 1]
    assert 0.199 / 0.687 <= red_to_green.min() < 0.35 and 0.7 < red_to_green.max() <= 0.399 / 0.487
    want = np.einsum("nchw,c->nhw", a, mixes[0].double().numpy())
    np.testing.assert_allclose(losses.texture(x, mixes[0])[:, 0], want, atol=1e-6)


def test_psnr_is_of_pictures() -> None:
    x, y, a, b = pair()
    levels = np.sqrt(((a - b) ** 2).mean()) * 127.5
    assert losses.psnr(x * 1.0, y).item() == pytest.approx(20 * math.log10(255 / levels), rel=1e-5)


@pytest.mark.parametrize("exact", [0.0, 1.0])
def test_source_and_target_are_cut_alike(exact: float) -> None:
    """The target is the source at half size, so that any two cuts of one place show the same."""
    options = replace(SMALL, pairs=24, noise=0, gain=0, exact=exact, eyes=(30, 100), near=(30, 100), empty=0)
    cut = crops(options)
    error = (cut.source - cut.target).abs()
    assert error.mean() < 0.004 and error.amax((1, 2, 3)).median() < 0.02
    assert (cut.source.flip(-1) - cut.target).abs().mean() > 0.05  # the pictures would tell
    assert cut.source.std((0, 1)).mean() > 0.1


def test_a_crops_partner_is_moved_by_whole_pixels() -> None:
    options = replace(SMALL, noise=0)
    for seed in range(8):
        cut = crops(options, seed)
        dy, dx = cut.shift
        assert 0 <= dy <= 3 and 0 <= dx <= 3
        for name in ("source", "target", "weight"):
            a, b = getattr(cut, name).chunk(2)
            torch.testing.assert_close(a[..., dy:, dx:], b[..., : 32 - dy, : 32 - dx], rtol=0, atol=0)


def test_crops_cover_the_sizes_of_faces_that_were_asked_for() -> None:
    options = replace(CropOptions(), side=16, pairs=400)
    cut = crops(options)
    assert cut.source.shape == cut.target.shape == (800, 3, 16, 16) and cut.weight.shape == (800, 1, 16, 16)
    assert cut.source.abs().max() <= 1 and cut.target.abs().max() <= 1
    faces = cut.eyes[cut.eyes > 0]
    assert options.eyes[0] <= faces.min() < options.near[0] and options.near[1] < faces.max() <= options.eyes[1]
    assert (cut.eyes == 0).float().mean() == pytest.approx(options.empty, abs=0.06)
    assert (faces == EYES).float().mean() == pytest.approx(options.exact, abs=0.08)
    assert cut.weight.min() >= 1 and cut.weight.max() <= 4
    assert (cut.weight[:400][cut.eyes == 0] == 1).all()
    assert len(crops(options, paired=False).eyes) == 800


def test_crops_follow_from_the_seed_alone() -> None:
    first, again, other = crops(SMALL, 1), crops(SMALL, 1), crops(SMALL, 2)
    assert torch.equal(first.source, again.source) and torch.equal(first.target, again.target)
    assert not torch.equal(first.source, other.source)


def test_a_face_canvas_has_the_nose_in_the_middle_and_a_known_eye_distance() -> None:
    image = np.zeros((400, 500, 3), np.uint8)
    points = np.array([[200, 150], [240, 150], [220, 175], [205, 200], [235, 200]], np.float64)
    for x, y in points[:3].astype(int):
        image[y - 2 : y + 3, x - 2 : x + 3] = 255
    canvas = face_canvas(image, points)
    assert canvas.shape == (2 * SIDE, 2 * SIDE, 3)
    scale = 2 * EYES / (50 * 0.95)  # from the eyes to the mouth: more than between the eyes
    for point in points[:3]:
        x, y = ((point - points[2]) * scale + SIDE).astype(int)
        assert canvas[y, x].min() > 200


def test_an_empty_canvas_keeps_clear_of_faces() -> None:
    image = np.zeros((300, 300, 3), np.uint8)
    image[:, :160] = 255  # the face's half
    for seed in range(5):
        canvas = empty_canvas(image, [np.array([0, 0, 160, 300])], np.random.default_rng(seed))
        assert canvas is None or canvas.max() == 0
    assert empty_canvas(image, [np.array([0, 0, 300, 300])], np.random.default_rng(0)) is None


def test_the_same_pictures_are_held_out_in_every_run() -> None:
    kept = [name for name in (f"{i}.jpg" for i in range(2000)) if held_out(name)]
    assert 0.04 < len(kept) / 2000 < 0.08
    assert kept[:3] == [name for name in (f"{i}.jpg" for i in range(2000)) if held_out(name)][:3]


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
    for name in ("student", "average", "critic"):
        ours, theirs, first = (getattr(run, name).state_dict() for run in (straight, resumed, fresh))
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
        assert not all(torch.equal(ours[key], first[key]) for key in ours), f"the {name} did not learn"
    rows = [json.loads(line) for line in (tmp_path / "b" / "stats.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [3, 6]
    assert {"l1", "gradient", "features", "shift", "adversarial", "critic"} <= set(rows[-1])


TWO = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import torch
from test_training import CPU, OPTIONS, TINY, TTN, Cropper, Network, Run, canvases, random_weights, train
from training.world import join
torch.set_num_threads(1)
world, folder = join("cpu"), Path(sys.argv[1])
run = Run(TINY, OPTIONS, CPU)
teacher = Network(TTN, random_weights(TTN))
train(run, Cropper(canvases(), OPTIONS.crops, CPU), teacher, OPTIONS, folder, until=3, world=world)
torch.save(run.student.state_dict(), folder / f"{world.rank}.pt")
torch.distributed.destroy_process_group()
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


def test_a_share_of_the_crops_keeps_pairs_together() -> None:
    whole = crops(replace(SMALL, pairs=4))
    part = whole.rows(slice(2, 4))
    for name in ("source", "target", "weight"):
        values = getattr(whole, name)
        assert torch.equal(getattr(part, name), torch.cat([values[2:4], values[6:8]]))
    assert torch.equal(part.eyes, whole.eyes[2:4]) and part.shift == whole.shift
    apart = crops(replace(SMALL, pairs=4), paired=False)
    assert torch.equal(apart.rows(slice(0, 2)).eyes, torch.cat([apart.eyes[0:2], apart.eyes[4:6]]))


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


def test_options_are_set_by_name() -> None:
    options = set_options(OPTIONS, ["lr=0.5", "crops.turn=12", "crops.near=(1.0, 2.0)"])
    assert (options.lr, options.crops.turn, options.crops.near, options.seed) == (0.5, 12, (1.0, 2.0), OPTIONS.seed)
    for wrong in ("speed=1", "crops.speed=1", "a.b=1"):
        with pytest.raises(UsageError, match=r"no option|has no parts"):
            set_options(OPTIONS, [wrong])


def test_all_looks_at_once_need_a_pack(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["distill", "all", "--teacher", "a.pb", "--photos", "b"])
    with pytest.raises(SystemExit) as stopped:
        distill.main()
    assert stopped.value.code == 2
    assert capsys.readouterr().err == (
        "error: all looks at once need --pack: make one with training.pack, or name one look\n"
    )


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


def test_a_run_goes_on_from_another_student(tmp_path: Path) -> None:
    first = Run(TINY, OPTIONS, CPU)
    finish(first, OPTIONS, "first", "", "", tmp_path / "first.safetensors")
    second = Run(TINY, replace(OPTIONS, seed=9), CPU)
    second.start_from(load_style(tmp_path / "first.safetensors"))
    card = finish(second, OPTIONS, "second", "", "", tmp_path / "second.safetensors")
    one, two = (load_style(tmp_path / f"{name}.safetensors") for name in ("first", "second"))
    assert all(np.array_equal(one.weights[name], two.weights[name]) for name in one.weights)
    assert card.training["started_from"] == one.card.sha256
