"""StyleGAN2: sizes of configuration f, numbers of an independent reference, both published layouts, refused pickles."""

from __future__ import annotations

import argparse
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import stylegan2_reference as reference
import torch
from safetensors.torch import save_file

from training import stylegan2_weights as weights
from training.stylegan2 import Discriminator, Generator, Shape, minibatch_deviation, small, upsample
from training.world import TrainingError

CHANNELS = (6, 5, 4)
TINY = Shape(16, CHANNELS, latent=8, mapping=3)


pytestmark = pytest.mark.usefixtures("one_thread")


def published(seed: int = 0) -> dict[str, reference.State]:
    rng = np.random.default_rng(seed)
    return {
        "g": reference.random_generator(rng, CHANNELS, 8, 3),
        "g_ema": reference.random_generator(rng, CHANNELS, 8, 3),
        "d": reference.random_critic(rng, CHANNELS),
    }


def inputs(count: int = 8) -> tuple[torch.Tensor, list[torch.Tensor]]:
    rng = torch.Generator().manual_seed(5)
    return torch.randn(count, 8, generator=rng), Generator(TINY).noise(count, rng)


def expected(state: reference.State) -> np.ndarray:
    z, noise = inputs()
    return reference.generate(state, z.double().numpy(), [part.double().numpy() for part in noise])


def made(generator: Generator) -> np.ndarray:
    z, noise = inputs()
    with torch.no_grad():
        return generator.double()(z.double(), [part.double() for part in noise]).numpy()


def to_nvidia(network: torch.nn.Module, generator: bool) -> reference.State:
    """The state of NVIDIA's network: ours, and the buffers that ours leaves out."""
    state = {name: value.clone() for name, value in network.state_dict().items()}
    for name in list(state):
        layer = name.rpartition(".")[0]
        if name.endswith(("conv0.weight", "conv1.weight", "skip.weight")):
            state[f"{layer}.resample_filter"] = torch.ones(4, 4)
        if generator and name.endswith("noise_strength"):
            state[f"{layer}.noise_const"] = torch.zeros(4, 4)
    return state | ({"mapping.w_avg": torch.zeros(8)} if generator else {})


def test_configuration_f_at_256_has_its_size_and_shapes() -> None:
    with torch.device("meta"):
        generator, critic = Generator(Shape(256)), Discriminator(Shape(256))
    count = [sum(value.numel() for value in network.parameters()) for network in (generator, critic)]
    assert [round(number / 1e6, 1) for number in count] == [30.0, 28.9]
    shapes = {name: tuple(value.shape) for name, value in generator.state_dict().items()}
    assert shapes["mapping.fc7.weight"] == (512, 512) and "mapping.fc8.weight" not in shapes
    assert shapes["synthesis.b4.const"] == (512, 4, 4)
    for side, out in {8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128}.items():
        inp = {128: 512, 256: 256}.get(side, 512)
        assert shapes[f"synthesis.b{side}.conv0.weight"] == (out, inp, 3, 3)
        assert shapes[f"synthesis.b{side}.conv1.weight"] == (out, out, 3, 3)
        assert shapes[f"synthesis.b{side}.conv0.affine.weight"] == (inp, 512)
        assert shapes[f"synthesis.b{side}.torgb.weight"] == (3, out, 1, 1)
    theirs = {name: tuple(value.shape) for name, value in critic.state_dict().items()}
    assert theirs["b256.fromrgb.weight"] == (128, 3, 1, 1) and theirs["b256.conv1.weight"] == (256, 128, 3, 3)
    assert theirs["b4.conv.weight"] == (512, 513, 3, 3) and theirs["b4.fc.weight"] == (512, 8192)
    assert Shape(256).styles == 14


@pytest.mark.parametrize("size", [32, 64, 128])
def test_the_small_shapes_are_small(size: int) -> None:
    with torch.device("meta"):
        count = sum(value.numel() for value in Generator(small(size)).parameters())
    assert count < 1.6e6


def test_generator_and_critic_compute_the_reference(tmp_path: Path) -> None:
    state = published()
    torch.save(state, tmp_path / "published.pt")
    networks = weights.load(tmp_path / "published.pt")
    for generator, name in ((networks.teacher, "g"), (networks.average, "g_ema")):
        np.testing.assert_allclose(made(generator), expected(state[name]), rtol=1e-5, atol=1e-5)
    x = np.random.default_rng(1).normal(0, 1, (8, 3, 16, 16))
    assert networks.critic is not None
    got = networks.critic.double()(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(got, reference.judge(state["d"], x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["nested .pt", "flat .safetensors", "one network"])
def test_nvidias_layout_is_read(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(0)
    generator, critic = Generator(TINY), Discriminator(TINY)
    g, d = to_nvidia(generator, True), to_nvidia(critic, False)
    if kind == "nested .pt":
        path = tmp_path / "nvidia.pt"
        torch.save({"G_ema": g, "D": d, "training_set_kwargs": None}, path)
    elif kind == "flat .safetensors":
        path = tmp_path / "nvidia.safetensors"
        save_file({f"G_ema.{k}": v for k, v in g.items()} | {f"D.{k}": v for k, v in d.items()}, path)
    else:
        path = tmp_path / "nvidia.safetensors"
        save_file(g, path)
    networks = weights.load(path)
    np.testing.assert_array_equal(made(networks.average), made(generator))
    assert (networks.critic is None) == (kind == "one network")
    if networks.critic is not None:
        assert all(torch.equal(a, b) for a, b in zip(networks.critic.parameters(), critic.parameters(), strict=True))


def test_what_a_rosinality_checkpoint_also_holds_is_no_trouble(tmp_path: Path) -> None:
    state = published()
    path = tmp_path / "550000.pt"
    more = {"g_optim": {"state": {}, "param_groups": []}, "args": argparse.Namespace(size=16), "ada_aug_p": 0.1}
    torch.save(state | more, path)
    np.testing.assert_allclose(made(weights.load(path).average), expected(state["g_ema"]), rtol=1e-5, atol=1e-5)
    flat = {f"{role}.{name}": value for role in state for name, value in state[role].items()}
    save_file(flat, tmp_path / "flat.safetensors")
    networks = weights.load(tmp_path / "flat.safetensors")
    assert networks.critic is not None
    np.testing.assert_allclose(made(networks.teacher), expected(state["g"]), rtol=1e-5, atol=1e-5)


class Program:
    """What a published pickle holds: an object whose reading runs a program."""

    ran = False

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Program._run, ("",)

    @staticmethod
    def _run(_: str) -> dict[str, int]:
        Program.ran = True
        return {}


@pytest.mark.parametrize("writer", ["pickle", "torch"])
def test_a_pickle_is_refused_with_how_to_convert_it_and_never_run(tmp_path: Path, writer: str) -> None:
    path = tmp_path / "ffhq.pkl"
    if writer == "pickle":
        path.write_bytes(pickle.dumps({"G_ema": Program()}))
    else:
        torch.save({"G_ema": Program()}, path)
    with pytest.raises(TrainingError, match=r"torch\.save.*OUT\.pt") as error:
        weights.load(path)
    assert "\n" not in str(error.value) and not Program.ran


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["g_ema"].pop("convs.0.conv.weight"), "lacks"),
        (lambda s: s["g_ema"].update({"conv1.activate.bias": torch.zeros(9)}), "of another size"),
        (lambda s: (s.pop("g"), s.pop("g_ema")), "no StyleGAN2 generator"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, change: object, message: str) -> None:
    state = published()
    change(state)  # type: ignore[operator]
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(TrainingError, match=message):
        weights.load(tmp_path / "odd.pt")


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    for name, data in (("a.pt", b"no weights"), ("a.safetensors", b"no weights"), ("empty.pt", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(TrainingError):
            weights.load(tmp_path / name)
    with pytest.raises(TrainingError, match="no weights"):
        weights.load(tmp_path / "missing.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(TrainingError, match="holds a list"):
        weights.load(tmp_path / "list.pt")


def test_our_own_file_comes_back(tmp_path: Path) -> None:
    torch.manual_seed(1)
    generator, average, critic = Generator(TINY), Generator(TINY), Discriminator(TINY)
    weights.save(tmp_path / "own.safetensors", generator, average, critic, {"steps": 3})
    networks = weights.load(tmp_path / "own.safetensors")
    assert networks.critic is not None and networks.average.shape == TINY
    for ours, theirs in ((generator, networks.teacher), (average, networks.average), (critic, networks.critic)):
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_blending_four_layers_swaps_what_the_released_code_swaps() -> None:
    torch.manual_seed(2)
    source, target = Generator(TINY), Generator(TINY)
    for network in (source, target):  # so that no two values are alike
        for value in network.parameters():
            torch.nn.init.normal_(value)
    state, theirs, own = (network.state_dict() for network in (weights.blend(source, target, 4), source, target))
    parts = ("b4.const", "b4.conv1.", "b4.torgb.", "b8.conv0.", "b8.torgb.")
    swapped = ("mapping.", *(f"synthesis.{part}" for part in parts))
    for name, value in state.items():
        assert torch.equal(value, (theirs if name.startswith(swapped) else own)[name]), name
    assert all(
        torch.equal(a, b) for a, b in zip(weights.blend(source, target, 0).parameters(), own.values(), strict=False)
    )
    with pytest.raises(TrainingError):
        weights.blend(source, target, 99)


def test_upsampling_keeps_a_flat_picture_and_its_mean_position() -> None:
    flat = upsample(torch.full((1, 2, 6, 6), 0.7))
    torch.testing.assert_close(flat[..., 2:-2, 2:-2], torch.full((1, 2, 8, 8), 0.7))
    ramp = upsample(torch.arange(8.0).view(1, 1, 1, 8).expand(1, 1, 8, 8))[0, 0, 8]
    torch.testing.assert_close(ramp[3:-3], (torch.arange(3.0, 13.0) - 0.5) / 2)


def test_minibatch_deviation_is_of_groups_of_four() -> None:
    x = torch.randn(8, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    got = minibatch_deviation(x)
    for member in range(8):
        group = x[[i for i in range(8) if i % 2 == member % 2]].double()
        want = (group.var(0, unbiased=False) + 1e-8).sqrt().mean()
        assert got[member, 3].tolist() == [[pytest.approx(float(want), rel=1e-5)] * 2] * 2
    assert minibatch_deviation(x[:1])[0, 3].max() == pytest.approx(math.sqrt(1e-8), rel=1e-3)  # one picture varies not


def test_the_mean_latent_is_that_of_many() -> None:
    torch.manual_seed(0)
    generator = Generator(TINY)
    z = torch.randn(4096, 8, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(generator.mean_latent(3), generator.mapping(z).mean(0))
