"""The Python API: what `import vidstyle` gives, and what it refuses."""

from __future__ import annotations

import doctest
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media import make_clip, save_tiny

import vidstyle
from vidstyle.errors import EngineError, StyleError, UsageError


@pytest.fixture
def anime(home: Path) -> Path:
    """A style named as the default one is, ahead of the package's own if there is one."""
    return save_tiny(home / "styles", "anime")


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)


def test_all_is_sorted_and_is_what_there_is() -> None:
    assert sorted(vidstyle.__all__) == vidstyle.__all__ == dir(vidstyle)
    for name in vidstyle.__all__:
        assert getattr(vidstyle, name) is not None
    modules = {path.stem for path in Path(vidstyle.__file__).parent.iterdir()}
    public = {name for name in vars(vidstyle) if not name.startswith("_")} - modules
    assert public - {"TYPE_CHECKING", "Any", "Callable", "PathLike", "annotations"} <= set(vidstyle.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="stilize"):
        vidstyle.stilize  # type: ignore[attr-defined]  # noqa: B018


def test_importing_is_light() -> None:
    code = (
        "import sys, vidstyle; print(*sorted({'numpy', 'av', 'openvino', 'torch', 'typer', 'rich'} & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.usefixtures("anime")
def test_every_example_in_the_docstrings_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_clip(tmp_path / "in.mp4", frames=12)
    monkeypatch.chdir(tmp_path)
    found = [test for test in doctest.DocTestFinder().find(vidstyle) if test.examples]
    assert {test.name for test in found} == {
        f"vidstyle.{name}" for name in ("open_stylizer", "stylize", "stylize_file")
    }
    for test in found:
        runner = doctest.DocTestRunner()
        (tmp_path / "out.mp4").unlink(missing_ok=True)
        assert runner.run(test).failed == 0, test.name


@pytest.mark.usefixtures("anime")
def test_one_picture_and_a_batch_give_the_same(image: np.ndarray) -> None:
    one = vidstyle.stylize(image, precision="f32")
    assert one.dtype == np.uint8 and one.shape == image.shape
    assert np.abs(one.astype(int) - image).mean() > 3
    batch = np.stack([image, image[::-1]])
    before = batch.copy()
    both = vidstyle.stylize(batch, precision="f32")
    assert np.array_equal(both[0], one) and both.shape == batch.shape
    assert np.array_equal(batch, before), "the caller's array is theirs"


def test_several_threads_may_share_a_stylizer(anime: Path, image: np.ndarray) -> None:
    images = [np.roll(image, shift, axis=1) for shift in range(12)]
    with vidstyle.open_stylizer(anime, threads=1) as stylizer, ThreadPoolExecutor(4) as pool:
        expected = [stylizer(image) for image in images]
        for _ in range(5):
            assert all(map(np.array_equal, pool.map(stylizer, images), expected))


def test_a_style_may_be_a_path(anime: Path, image: np.ndarray) -> None:
    assert np.array_equal(vidstyle.stylize(image, anime), vidstyle.stylize(image, str(anime)))


def test_options_reach_the_engine(anime: Path, image: np.ndarray) -> None:
    assert np.array_equal(vidstyle.stylize(image, strength=0), image)
    assert vidstyle.stylize(image, str(anime), size=16).shape == image.shape
    view = image[:, ::-1]  # not contiguous
    assert np.array_equal(vidstyle.stylize(view, strength=0), view)
    for error, options in ((EngineError, {"device": "gpu7"}), (UsageError, {"precision": "f8"})):
        with pytest.raises(error):
            vidstyle.stylize(image, **options)  # type: ignore[arg-type]
    with pytest.raises(StyleError, match="nosuch"):
        vidstyle.stylize(image, "nosuch")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (np.zeros((8, 8, 3), np.float32), "255"),
        (np.zeros((8, 8, 3), np.uint16), "uint16"),
        (np.zeros((8, 8, 4), np.uint8), "alpha"),
        (np.zeros((8, 8), np.uint8), "stack"),
        (np.zeros((3, 8, 8), np.uint8), "moveaxis"),
        (np.zeros((2, 3, 8, 8), np.uint8), "moveaxis"),
        (np.zeros((0, 8, 3), np.uint8), "expected"),
        (np.zeros((1, 1, 8, 8, 3), np.uint8), "expected"),
        ([[[0, 0, 0]]], "asarray"),
    ],
)
def test_other_arrays_are_refused_with_a_remedy(wrong: np.ndarray, words: str) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        vidstyle.stylize(wrong)
    assert "\n" not in str(refused.value) and "uint8 [H, W, 3]" in str(refused.value)


def test_the_remedies_are_right(image: np.ndarray) -> None:
    bgra = np.dstack([image[..., ::-1], image[..., 0]])
    assert np.array_equal(bgra[..., 2::-1], image)
    assert np.array_equal(np.moveaxis(image.transpose(2, 0, 1), 0, -1), image)
    assert np.stack([image[..., 0]] * 3, -1).shape == image.shape


@pytest.mark.usefixtures("anime")
def test_a_file_by_its_names(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=5)
    seen = []
    report = vidstyle.stylize_file(str(clip.path), style="anime:1", on_progress=seen.append)
    assert isinstance(report, vidstyle.Report)
    assert (report.frames_out, report.losses, len(seen)) == (5, [], 5)
    assert (tmp_path / "in.anime.mp4").exists()
    with pytest.raises(vidstyle.SinkError, match="overwrite"):
        vidstyle.stylize_file(clip.path)
    vidstyle.stylize_file(clip.path, overwrite=True)


@pytest.mark.usefixtures("anime")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": -5}, "size is -5; expected 16 or more pixels"),
        ({"size": 8}, "size is 8;"),
        ({"size": 0}, "size is 0;"),
        ({"size": "native"}, "size is 'native'; .* None for the picture's own"),
        ({"output": "-"}, "output is '-': give a file"),
        ({"output": Path("-")}, "output is '-'"),
        ({"output": ""}, "name is empty"),
        ({"source": "ftp://host/in.mp4"}, "cannot read ftp:// URLs"),
        ({"source": "http:///in.mp4"}, "names no host"),
    ],
)
def test_a_files_wrong_words_are_refused(tmp_path: Path, options: dict[str, object], words: str) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=2)
    with pytest.raises(UsageError, match=words) as refused:
        vidstyle.stylize_file(**{"source": str(clip.path), **options})  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "in.mp4"]


@pytest.mark.usefixtures("anime")
def test_a_url_is_read_as_one(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=2)
    report = vidstyle.stylize_file(clip.path.as_uri(), tmp_path / "out.mp4")
    assert report.frames_out == 2


@pytest.mark.usefixtures("anime")
def test_a_folder_gets_the_default_name(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=2)
    (tmp_path / "out.d").mkdir()
    report = vidstyle.stylize_file(clip.path, tmp_path / "out.d")
    assert Path(report.output) == tmp_path / "out.d" / "in.anime.mp4"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (np.zeros((8, 8, 3), np.float32), "255"),
        (np.zeros((8, 8, 4), np.uint8), "alpha"),
        (np.zeros((8, 8), np.uint8), "stack"),
        (np.zeros((1, 8, 8, 3), np.uint8), "expected one picture"),
        (None, "NoneType"),
    ],
)
def test_a_stylizer_says_what_pictures_it_takes(anime: Path, wrong: Any, words: str) -> None:
    with vidstyle.open_stylizer(anime) as stylizer, pytest.raises(UsageError, match=words):
        stylizer(wrong)


def test_threads_below_none_are_told_as_that(anime: Path, image: np.ndarray) -> None:
    with pytest.raises(UsageError, match="threads is -1: expected 0"):
        vidstyle.open_stylizer(anime, threads=-1)(image)


FORKED = """
import multiprocessing, sys
import numpy as np, vidstyle
image = np.full((24, 32, 3), 99, np.uint8)
stylizer = vidstyle.open_stylizer(sys.argv[1], precision="f32")
def styled(_):
    return stylizer(image)
expected = stylizer(image)
with multiprocessing.get_context("fork").Pool(1) as pool:
    print(np.array_equal(pool.map_async(styled, [0]).get(60)[0], expected))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_loads_a_network_of_its_own(anime: Path) -> None:
    """It waited for ever for the threads of the one that was loaded before."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", FORKED, str(anime)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.strip() == "True"
