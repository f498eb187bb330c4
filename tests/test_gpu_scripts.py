"""The scripts for the day a GPU is there: every part runs without one, and what they say of figures is right."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpu_bench
import gpu_network
import gpu_pack
import gpu_site
import pytest
import torch
from gpu_figures import TRIAL, Book, Figure, read
from gpu_setup import published
from gpu_table import ROWS
from gpu_tools import tiny_setup
from media import make_clip, save_tiny

ROOT = Path(__file__).resolve().parents[1]


pytestmark = pytest.mark.usefixtures("kept_threads")  # the trial on the CPU sets them


def script(name: str, *words: object) -> subprocess.CompletedProcess[str]:
    """A wrapper, with this Python as its python3."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [str(ROOT / "scripts" / name), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PATH": path}, timeout=300)


# --- every part, without a GPU


def test_every_part_runs_without_a_gpu(tmp_path: Path) -> None:
    file = tmp_path / "all.json"
    done = script("gpu_bench", "--cpu", "--json", file)
    assert done.returncode == 0, done.stdout + done.stderr
    facts, figures = read(file)
    assert TRIAL in facts and not [figure for figure in figures.values() if figure.failed]
    parts = {key.split(".")[0] for key in figures}
    assert parts == {"machine", "network", "latency", "copies", "file", "shapes", "memory"}
    assert {"network.ttn.1080p.compiled.fps", "network.student.720p.eager.fps"} <= set(figures)
    assert all(figures[key].value for key in ("file.over_loop", "file.of_slowest", "latency.ttn.1080p.p95"))
    assert figures["copies.counted_down"].value == pytest.approx(32 * 48 * 3 / 2 / 1e6)  # yuv420p
    without = {key for key, figure in figures.items() if figure.value is None}
    assert {key.split(".")[0] for key in without} == {"copies", "memory"}  # what only a GPU can tell
    assert all(figures[key].note == "not measured: needs a GPU" for key in without)
    assert not [figure for figure in figures.values() if figure.target is not None]


@pytest.mark.parametrize("facts", [{TRIAL: "on the CPU"}, None])
def test_the_readmes_table_shows_nothing_of_a_trial(tmp_path: Path, facts: dict[str, str] | None) -> None:
    if facts is not None:
        Book(tmp_path / "b.json", facts=facts | {"torch": "torch 2.13.0+cpu"}).add(Figure("file.fps", "n", 12.0, "fps"))
    table = script("gpu_bench", "--table", tmp_path / "b.json").stdout
    assert table.count("not measured") == len(ROWS) and table.startswith("| figure |")


@pytest.mark.parametrize(
    ("name", "words", "text"),
    [
        ("gpu_bench", ["nosuch"], "no part 'nosuch': one of machine, network"),
        ("gpu_bench", ["--seconds", "0"], "0 is not a number above 0"),
        ("gpu_bench", ["--nosuch"], "unrecognized arguments: --nosuch"),
        ("gpu_bench", [], "finds no NVIDIA GPU here; --cpu tries the code without one"),
        ("gpu_bench", ["--json", ROOT / "pyproject.toml", "--cpu"], "holds no figures of gpu_bench"),
        ("gpu_all", [], "the following arguments are required: OUT"),
        ("gpu_all", ["out", "--minutes", "-1"], "--minutes is -1: give a number above 0"),
        ("gpu_pack", ["nosuch"], "the following arguments are required: TEACHERS"),
        ("gpu_pack", ["nosuch", "nosuch"], "no .mp4 in nosuch: give a folder of clips with people"),
    ],
)
def test_wrong_words_are_refused_in_one_line(name: str, words: list[str], text: str) -> None:
    if name == "gpu_bench" and not words and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = script(name, *words)
    assert done.returncode == 2 and text in done.stderr
    assert done.stderr.startswith(f"{name}: ") and done.stderr.count("\n") == 1 and not done.stdout


def test_a_failing_part_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def lost(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be ...")

    monkeypatch.setattr(gpu_network, "network", lost)
    monkeypatch.setitem(gpu_bench.PARTS, "sizes", ("gpu_nosuch", "sizes"))
    file = tmp_path / "b.json"
    assert gpu_bench.main(["network", "sizes", "latency", "--cpu", "--json", str(file)]) == 1
    _, figures = read(file)
    assert figures["network"].note == "failed: RuntimeError: CUDA error: an illegal memory access was encountered"
    assert figures["sizes"].note == "failed: ModuleNotFoundError: No module named 'gpu_nosuch'"
    assert figures["latency.ttn.1080p.p50"].value
    assert "2 failed" in capsys.readouterr().out


def test_a_failing_engine_stops_no_other(tmp_path: Path) -> None:
    setup, book = tiny_setup(tmp_path, others=("nosuch",)), Book()
    gpu_network.network(setup, book)
    assert "unknown engine 'nosuch'" in book.figures["network.ttn.1080p.nosuch"].note
    assert book.figures["network.student.1080p.cuda.fps"].value and book.failures == 2


@pytest.mark.slow  # kernels by Triton's interpreter
def test_the_cuda_engine_runs_through_the_same_code(tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    words = [
        "network",
        "latency",
        "--cpu",
        "--engine",
        "cuda",
        "--nets",
        "student",
        "--style",
        save_tiny(tmp_path, "t"),
    ]
    done = script("gpu_bench", *words, "--json", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert read(file)[1]["network.student.1080p.cuda.over_eager"].value


def test_a_trial_and_a_measurement_are_not_mixed(tmp_path: Path, capsys: Any) -> None:
    book = Book(tmp_path / "b.json", facts={"GPU": "NVIDIA H200"})
    book.add(Figure("a", "a", 1.0))
    assert gpu_bench.main(["machine", "--cpu", "--json", str(book.path)]) == 2
    assert "is of a run on a GPU: give another file" in capsys.readouterr().err


# --- what travels


def test_the_wheels_are_those_that_the_project_asks_for() -> None:
    wanted = gpu_pack.requirements(ROOT / "pyproject.toml")
    assert [text.split(">")[0] for text in wanted] == list(gpu_site.NEEDED)
    assert wanted[0] == "av>=18.1,<19"


def test_a_pack_is_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Callable[[str], Path]
) -> None:
    teachers = shared("teachers/anime.tflite").parent
    make_clip(tmp_path / "a.mp4", 5, (64, 48), audio=0)
    make_clip(tmp_path / "b.mp4", 5, (64, 64), audio=0)
    for name, value in {"WIDTH": 96, "HEIGHT": 54, "SECONDS": 0.1}.items():
        monkeypatch.setattr(gpu_pack, name, value)
    monkeypatch.setattr(gpu_pack, "fetch", lambda folder, _: folder.mkdir())
    folder = tmp_path / "pack"
    size = gpu_pack.pack(tmp_path, teachers, ["anime"], folder)
    assert {str(path.relative_to(folder)) for path in folder.rglob("*")} == {
        ".gitignore", "clip.mp4", "teachers", "teachers/anime.safetensors", "wheels",
    }  # fmt: skip
    assert 2_500_000 < size < 3_500_000  # half precision
    recipe, name = published(folder / "teachers")
    assert name == "anime" and recipe.parts[0][0].card.architecture.name == "ttn"
    from gpu_clip import decoded

    pictures = list(decoded(folder / "clip.mp4"))
    assert len(pictures) == 6 and (pictures[0].width, pictures[0].height) == (96, 54)
    with pytest.raises(gpu_pack.PackError, match=r"no published network nosuch\.tflite"):
        gpu_pack.pack(tmp_path, teachers, ["nosuch"], folder)
    monkeypatch.setattr(gpu_pack, "MOST_BYTES", 1 << 20)
    with pytest.raises(gpu_pack.PackError, match="give fewer networks"):
        gpu_pack.pack(tmp_path, teachers, ["anime"], tmp_path / "again")


def test_a_checkout_has_a_version_where_it_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_site, "PACK", tmp_path / "none")
    gpu_site.install(tmp_path / "site")
    command = [sys.executable, "-S", "-c", "from importlib.metadata import version; print(version('vidstyle'))"]
    environment = {"PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.stdout.strip() == "0.1.0", done.stderr


def test_what_is_there_is_not_installed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_site, "install", lambda _: pytest.fail("installed"))
    gpu_site.ensure()


def test_a_run_that_is_ended_leaves_nothing(tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "scripts/gpu_bench.py"), "--cpu"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline()  # the temporary folder is there
        assert [path for path in tmp_path.iterdir() if path.name.startswith("tmp")]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("tmp")]


@pytest.mark.parametrize("words", [("gpu_train", "run", "out"), ("gpu_look", "run", "mine", "out")])
def test_a_training_without_opencv_is_told_in_one_line(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1 is missing')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = script(*words)
    assert done.returncode == 1 and not (ROOT / "out").exists()
    assert done.stderr == (
        "cv2 cannot be imported (libGL.so.1 is missing): this needs python3 with torch, cv2, numpy, safetensors\n"
    )
