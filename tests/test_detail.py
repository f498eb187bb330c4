"""The source's fine detail in a look that was computed on a smaller picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from lossless import write_lossless
from media import save_tiny
from picture_files import save

import vidstyle
from vidstyle.catalog import parse_recipe
from vidstyle.codecs import EncoderOptions
from vidstyle.convert import resize
from vidstyle.detail import give_back, in_detail, lacking, luma_of
from vidstyle.frame import TRC_HLG, TRC_PQ
from vidstyle.inputs import video_input
from vidstyle.job import FileJob, stylize_file
from vidstyle.sink import SinkOptions
from vidstyle.source import SourceOptions, VideoSource

HEIGHT, WIDTH = 96, 128
FINE = EncoderOptions(extra=(("qp", "4"),))


def texture(seed: int = 0) -> np.ndarray:
    """uint8 [HEIGHT, WIDTH, 3], gray: tones with much that half of the size cannot hold."""
    rng = np.random.default_rng(seed)
    coarse = resize(rng.integers(70, 190, (6, 8, 3), np.uint8), HEIGHT, WIDTH).mean(2)
    fine = rng.normal(0, 18, (HEIGHT, WIDTH))
    return np.repeat((coarse + fine).clip(16, 235).astype(np.uint8)[..., None], 3, 2)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.square(one.astype(float) - other).mean()))


def scaled_there_and_back(image: np.ndarray) -> np.ndarray:
    return resize(resize(image, HEIGHT // 2, WIDTH // 2), HEIGHT, WIDTH)


def test_what_a_look_kept_comes_back() -> None:
    source = texture()
    small = scaled_there_and_back(source)
    whole = in_detail(small, source, (HEIGHT // 2, WIDTH // 2))
    assert psnr(small, source) < 25
    assert psnr(whole, source) > psnr(small, source) + 5


def test_what_a_look_left_out_stays_out() -> None:
    source, flat = texture(), np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    assert np.array_equal(in_detail(flat, source, (HEIGHT // 2, WIDTH // 2)), flat)


def test_each_place_by_itself() -> None:
    source = texture()
    look = scaled_there_and_back(source)
    look[:, : WIDTH // 2] = 200
    delta = lacking(source[..., 0], look[..., 0], (HEIGHT // 2, WIDTH // 2))
    assert delta.dtype == np.int16
    assert np.abs(delta[:, : WIDTH // 2 - 16]).max() <= 1
    assert np.abs(delta[:, WIDTH // 2 + 16 :]).mean() > 4


def as_video(image: np.ndarray, form: str) -> Any:
    return av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=form)


@pytest.mark.parametrize("form", ["yuv420p", "yuv444p", "yuv420p10le", "yuv422p12le", "nv12"])
def test_in_planes_of_any_depth(form: str) -> None:
    source, small = texture(), scaled_there_and_back(texture())
    exact, picture = as_video(source, form), as_video(small, form)
    luma = luma_of(exact)
    assert luma is not None and luma.dtype == np.uint8 and luma.shape == (HEIGHT, WIDTH)
    chroma = bytes(picture.planes[1])
    give_back(picture, luma, (HEIGHT // 2, WIDTH // 2), limited=True)
    result = picture.reformat(format="rgb24").to_ndarray()
    assert psnr(result, source) > psnr(small, source) + 4
    assert bytes(picture.planes[1]) == chroma


def test_limited_range_is_kept() -> None:
    source = np.where(np.indices((HEIGHT, WIDTH)).sum(0)[..., None] % 2 == 0, 255, 0).astype(np.uint8).repeat(3, 2)
    luma, picture = luma_of(as_video(source, "yuv444p")), as_video(np.roll(source, 1, 0), "yuv444p")
    assert luma is not None
    give_back(picture, luma, (HEIGHT // 2, WIDTH // 2), limited=True)
    values = np.frombuffer(picture.planes[0], np.uint8).reshape(HEIGHT, -1)[:, :WIDTH]
    assert values.min() >= 16 and values.max() <= 235


@pytest.mark.parametrize("form", ["rgb24", "gbrp", "yuyv422", "yuv420p10be", "p010le"])
def test_pictures_without_a_plane_of_luma_stay(form: str) -> None:
    picture = as_video(texture(), form)
    before = [bytes(plane) for plane in picture.planes]
    assert luma_of(picture) is None
    give_back(picture, texture(1)[..., 0], (HEIGHT // 2, WIDTH // 2), limited=False)
    assert [bytes(plane) for plane in picture.planes] == before


def write_clip(path: Path, form: str = "yuv420p", transfer: int = 0) -> Path:
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt, video.options = WIDTH, HEIGHT, form, {"qp": "4"}
        if transfer:
            context = video.codec_context
            context.color_trc, context.color_primaries, context.colorspace, context.color_range = transfer, 9, 9, 1
        for seed in range(3):
            out.mux(video.encode(as_video(texture(seed), form)))
        out.mux(video.encode(None))
    return path


def pictures(path: Path, size: int | None = None) -> list[np.ndarray]:
    with VideoSource(path, SourceOptions(size)) as source:
        return [frame.image for frame in source]


@pytest.mark.parametrize(
    ("form", "transfer"), [("yuv420p", 0), ("yuv420p10le", 0), ("yuv420p10le", TRC_PQ), ("yuv420p10le", TRC_HLG)]
)
def test_a_video_worked_at_half_its_size_keeps_its_detail(tmp_path: Path, home: Path, form: str, transfer: int) -> None:
    clip = write_clip(tmp_path / "in.mkv", form, transfer)
    recipe = parse_recipe(str(save_tiny(home, "t")), strength=0.0)
    stylize_file(FileJob(clip, recipe, tmp_path / "out.mkv", SourceOptions(HEIGHT // 2), SinkOptions(FINE)))
    for source, result in zip(pictures(clip), pictures(tmp_path / "out.mkv"), strict=True):
        assert psnr(result, source) > psnr(scaled_there_and_back(source), source) + 4


@pytest.mark.parametrize("form", ["bgr0", "gbrp10le", "gray"])
def test_so_does_a_video_without_luma_of_its_own(tmp_path: Path, home: Path, form: str) -> None:
    """RGB of renderers and screen recordings, where the luma is made as the output's will be."""
    frames = [av.VideoFrame.from_ndarray(texture(seed), format="rgb24").reformat(format=form) for seed in range(3)]
    clip = write_lossless(tmp_path / "in.mkv", frames)
    recipe = parse_recipe(str(save_tiny(home, "t")), strength=0.0)
    stylize_file(FileJob(clip, recipe, tmp_path / "out.mkv", SourceOptions(HEIGHT // 2), SinkOptions(FINE)))
    for source, result in zip(pictures(clip), pictures(tmp_path / "out.mkv"), strict=True):
        assert psnr(result, source) > psnr(scaled_there_and_back(source), source) + 4


def test_so_do_numbered_pictures_of_any_kind(tmp_path: Path, home: Path) -> None:
    """A JPEG's luma is of full range, and the output's is limited: without a thought its detail would be too strong."""
    image, recipe = texture(), parse_recipe(str(save_tiny(home, "t")), strength=0.0)
    fine = image - scaled_there_and_back(image).astype(float)
    given_back = []
    for extension in (".png", ".jpg"):
        save(tmp_path / f"0{extension}", image)
        output = tmp_path / f"{extension[1:]}.mkv"
        source = video_input(str(tmp_path / f"%d{extension}"), "24")
        stylize_file(FileJob(source, recipe, output, SourceOptions(HEIGHT // 2), SinkOptions(FINE)))
        given_back.append((pictures(output)[0] * fine).sum() / (fine * fine).sum())
    assert given_back[0] > 0.5 and given_back[1] == pytest.approx(given_back[0], rel=0.04)


def test_a_picture_worked_at_half_its_size_keeps_its_detail(home: Path) -> None:
    image, style = texture(), save_tiny(home, "t")
    result = vidstyle.stylize(image, style, strength=0.0, size=HEIGHT // 2)
    assert psnr(result, image) > psnr(scaled_there_and_back(image), image) + 4


def test_frames_carry_luma_only_where_some_is_lacking(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mkv")
    with VideoSource(clip, SourceOptions(HEIGHT // 2)) as source:
        frame = next(iter(source))
        assert frame.luma is not None and frame.luma.shape == (HEIGHT, WIDTH)
    with VideoSource(clip, SourceOptions(HEIGHT)) as source:
        assert next(iter(source)).luma is None
