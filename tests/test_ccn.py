"""Training of G_s and its calibration to G_t: going on to the bit, what the identity loss does, pairs of the same z."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from portrait_crops import TINY, crops, generator_file, same_weights

from training import ccn, generator, pairs, stylegan2_weights
from training.ccn import Options, Sampler
from training.stylegan2 import Generator, Shape
from training.world import TrainingError
from vidstyle.errors import Interrupted

OPTIONS = Options(
    steps=5, batch=4, r1_every=3, path_every=2, seed=7, ada_start=0.5, samples=5, shard=2, log_every=1, sheet_every=5
)


pytestmark = pytest.mark.usefixtures("one_thread")


def stop_at(step: int) -> object:
    def on_step(done: int, _: int, __: dict[str, float]) -> None:
        if done == step:
            raise Interrupted(130)

    return on_step


def calibrate(folder: Path, name: str, options: Options = OPTIONS, stop: int = 0) -> Path:
    """Fine-tune in ``folder/name``, stopped once if ``stop``."""
    weights, exemplars = folder / "g.safetensors", folder / "exemplars"
    if not weights.exists():
        generator_file(weights)
        crops(exemplars, tint=30)
    if stop:
        with pytest.raises(Interrupted):
            ccn.train(folder / name, weights, exemplars, options, stop_at(stop))  # type: ignore[arg-type]
    return ccn.train(folder / name, weights, exemplars, options)


def test_a_stopped_calibration_equals_a_straight_one_to_the_bit(tmp_path: Path) -> None:
    straight, resumed = calibrate(tmp_path, "a"), calibrate(tmp_path, "b", stop=3)
    assert same_weights(straight, resumed)
    networks = stylegan2_weights.load(straight)
    first = stylegan2_weights.load(tmp_path / "g.safetensors")
    for ours, theirs in ((networks.teacher, first.teacher), (networks.critic, first.critic)):
        assert ours is not None and theirs is not None
        assert not torch.equal(next(ours.parameters()), next(theirs.parameters())), "nothing was learned"
    rows = [json.loads(line) for line in (tmp_path / "b" / "stats.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5]
    assert {"critic_loss", "critic_r1", "generator", "identity", "path", "path_length", "ada_p"} <= set(rows[0])
    assert "critic_r1" in rows[3] and "critic_r1" not in rows[1]
    assert (tmp_path / "a" / "sheet-000005.png").exists()


def test_the_identity_loss_holds_what_is_made_near_the_source(tmp_path: Path) -> None:
    free = calibrate(tmp_path, "free", replace(OPTIONS, steps=12, identity=0.0, lr=0.01))
    held = calibrate(tmp_path, "held", replace(OPTIONS, steps=12, identity=300.0, lr=0.01))
    source = stylegan2_weights.load(tmp_path / "g.safetensors").average

    def away(path: Path) -> float:
        target = stylegan2_weights.load(path).teacher
        rng = torch.Generator().manual_seed(0)
        z, noise = torch.randn(32, 8, generator=rng), source.noise(32, rng)
        with torch.no_grad():
            return float(ccn.identity_loss(ccn.load_identity("", z.device)[1], target(z, noise), source(z, noise)))

    assert away(held) < 0.7 * away(free)


def test_pairs_are_of_the_same_z_and_come_in_shards(tmp_path: Path) -> None:
    weights = generator_file(tmp_path / "g.safetensors")
    other = generator_file(tmp_path / "t.safetensors", seed=9)
    folder = crops(tmp_path / "crops", side=16)
    out = ccn.sample(weights, other, folder, tmp_path / "pairs", OPTIONS)
    made = pairs.load(out)
    assert [path.name for path in pairs.shards(out)] == [f"pairs-{i:05d}.npz" for i in range(3)]
    assert made.source.shape == made.target.shape == (5, 8, 8, 3) and made.landmarks.shape == (5, 5, 2)
    assert made.landmarks.min() > 0 and made.landmarks.max() < 8  # brought to the samples' size
    second = (out / "pairs-00001.npz").read_bytes()
    (out / "pairs-00001.npz").unlink()
    ccn.sample(weights, other, folder, out, OPTIONS)
    assert (out / "pairs-00001.npz").read_bytes() == second
    alike = ccn.sample(weights, weights, folder, tmp_path / "same", OPTIONS)
    assert np.array_equal(pairs.load(alike).source, pairs.load(alike).target)
    assert np.array_equal(pairs.load(alike).source, made.source)
    assert not np.array_equal(made.source, made.target)


def test_samples_are_pulled_towards_the_mean() -> None:
    torch.manual_seed(0)
    source = Generator(TINY)
    numbers = np.arange(16)
    wide, narrow = (Sampler(source, source, replace(OPTIONS, truncation=psi))(numbers)[0] for psi in (1.0, 0.0))
    w = source.spread(source.mean_latent(OPTIONS.seed)[None].expand(16, -1))
    rngs = [torch.Generator().manual_seed((OPTIONS.seed << 32) + n) for n in range(16)]
    for rng in rngs:
        torch.randn(1, TINY.latent, generator=rng)
    noise = [torch.cat(parts) for parts in zip(*(source.noise(1, rng) for rng in rngs), strict=True)]
    with torch.no_grad():
        torch.testing.assert_close(narrow, source.synthesis(w, noise))
    assert wide.std(0).mean() > 2 * narrow.std(0).mean()
    one = Sampler(source, source, OPTIONS)(np.array([11]))[0]
    torch.testing.assert_close(one[0], Sampler(source, source, OPTIONS)(numbers)[0][11], rtol=1e-4, atol=1e-5)


def test_the_target_keeps_the_sources_first_layers() -> None:
    torch.manual_seed(0)
    source, target = Generator(TINY), Generator(TINY)
    sampler = Sampler(source, target, OPTIONS)
    assert torch.equal(sampler.target.synthesis.b8.conv0.weight, source.synthesis.b8.conv0.weight)
    assert torch.equal(sampler.target.synthesis.b8.conv1.weight, target.synthesis.b8.conv1.weight)
    assert torch.equal(sampler.target.mapping.fc0.weight, source.mapping.fc0.weight)


def test_no_exemplars_and_no_weights_are_told(tmp_path: Path) -> None:
    weights = generator_file(tmp_path / "g.safetensors")
    empty = crops(tmp_path / "empty", count=2)
    with pytest.raises(TrainingError, match="no exemplars"):
        ccn.train(tmp_path / "run", weights, empty, OPTIONS)
    with pytest.raises(TrainingError, match="no weights"):
        ccn.train(tmp_path / "run", tmp_path / "none.safetensors", empty, OPTIONS)


def test_a_generator_trained_here_goes_on_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "small", lambda size: Shape(size, (4, 4, 4, 4), latent=8, mapping=2))
    photos = crops(tmp_path / "photos", side=32)
    options = generator.Options(steps=4, batch=4, size=32, r1_every=2, path_every=2, ada_start=0.3, sheet_every=4)
    straight = generator.train(tmp_path / "a", photos, options)
    with pytest.raises(Interrupted):
        generator.train(tmp_path / "b", photos, options, stop_at(1))  # type: ignore[arg-type]
    assert same_weights(straight, generator.train(tmp_path / "b", photos, options))
    networks = stylegan2_weights.load(straight)
    assert networks.average.shape.size == 32 and networks.critic is not None
    assert (tmp_path / "a" / "sheet-000004.png").exists()
    with pytest.raises(TrainingError, match="32, 64, 128 or 256"):
        generator.train(tmp_path / "c", photos, replace(options, size=48))
