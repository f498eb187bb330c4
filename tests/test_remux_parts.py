"""Second videos, covers, attachments and chapters, in every container."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest
from remuxing import add_video, cues, notes, remuxed, source

from vidstyle.copying import payload
from vidstyle.reencode import SoundConversion

EXTENSIONS = [".mp4", ".mov", ".mkv", ".webm", ".ts"]


# --- a second video


@pytest.mark.parametrize("extension", [".mp4", ".mov", ".mkv", ".ts"])
def test_a_second_video_is_copied_and_is_not_the_default(tmp_path: Path, extension: str) -> None:
    path, output = tmp_path / "in.mkv", tmp_path / f"out{extension}"
    with source(path) as made:
        stream, other = add_video(made.out, "libx265", 20)
        stream.options["x265-params"] = "log-level=none"
        made.out.streams.video[0].disposition = stream.disposition = 1
        made.add(other())
    remuxer = remuxed(path, output)
    assert notes(remuxer, "video") == [("copied", "")]
    with av.open(str(output)) as container:
        styled, copy = container.streams.video
        assert (styled.codec_context.name, copy.codec_context.name) == ("h264", "hevc")
        assert container.streams.best("video") is styled
        assert not copy.disposition & 1
        if extension in (".mp4", ".mov"):
            assert copy.codec_context.codec_tag == "hvc1"
    assert pictures(output, 1) == pictures(path, 1) != []


def test_a_second_video_in_mov_keeps_the_name_of_its_kind(tmp_path: Path) -> None:
    """Players know by it alone which ProRes it is, and whether it is transparent."""
    path, output = tmp_path / "in.mov", tmp_path / "out.mov"
    with source(path) as made:
        stream, other = add_video(made.out, "prores_ks", 5)
        stream.pix_fmt, stream.options["profile"] = "yuv422p10le", "1"
        made.add(other())
    remuxed(path, output)
    for file in (path, output):
        with av.open(str(file)) as container:
            assert container.streams.video[1].codec_context.codec_tag == "apcs"


def pictures(path: Path, number: int) -> list[str]:
    """A digest of every decoded picture of a video."""
    with av.open(str(path)) as container:
        frames = container.decode(container.streams.video[number])
        return [hashlib.md5(frame.to_ndarray().tobytes()).hexdigest() for frame in frames]


def test_a_second_video_that_has_no_place_is_named(tmp_path: Path) -> None:
    with source(tmp_path / "in.mkv") as made:
        made.add(add_video(made.out, "mpeg4", 5)[1]())
    remuxer = remuxed(tmp_path / "in.mkv", tmp_path / "out.webm")
    assert notes(remuxer, "video") == [("dropped", "webm cannot hold a second video in mpeg4 (use .mkv)")]


@pytest.mark.parametrize("extension", [".mp4", ".mkv", ".ts"])
def test_a_real_file_of_two_videos(shared, tmp_path: Path, extension: str) -> None:
    path, output = shared("media/nasa_13013.mp4"), tmp_path / f"out{extension}"
    remuxer = remuxed(path, output, frames=400)
    with av.open(str(path)) as before, av.open(str(output)) as after:
        given = [p.pts * Fraction(p.time_base) for p in before.demux(before.streams[0]) if p.size]
        written = [p.pts * Fraction(p.time_base) for p in after.demux(after.streams.video[1]) if p.size]
    moved = min(written) - min(given)
    tick = {".mkv": Fraction(1, 1000), ".ts": Fraction(1, 90000)}.get(extension, Fraction(0))
    assert all(abs(a - b - moved) <= tick for a, b in zip(sorted(written), sorted(given), strict=True))
    for index, digest in remuxer.digests.items():  # not of the video where its packets begin in another way
        assert digest.digest() == digest_of(output, index)
    assert len(remuxer.digests) == {".mp4": 3, ".mkv": 3, ".ts": 2}[extension]


def digest_of(path: Path, index: int) -> bytes:
    found = hashlib.sha256()
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams[index]):
            if packet.size:
                found.update(payload(packet))
    return found.digest()


def test_an_empty_track_is_no_loss(shared, tmp_path: Path) -> None:
    remuxer = remuxed(shared("media/sample_empty_track.mp4"), tmp_path / "out.mp4")
    assert notes(remuxer, "video") == [("dropped", "it is empty")]
    assert next(n.harmless for n in remuxer.notes if n.kind == "video")


# --- covers


@pytest.mark.parametrize("extension", [".mp4", ".mkv"])
@pytest.mark.parametrize("span", [(None, None), (Fraction(1, 100), None)])
def test_cover_art_is_where_players_look_for_it(shared, tmp_path: Path, extension: str, span: Any) -> None:
    path, output = shared("media/metadata.mp4"), tmp_path / f"out{extension}"
    remuxer = remuxed(path, output, span=span)
    assert notes(remuxer, "cover") == [("kept", "")]
    with av.open(str(path)) as before, av.open(str(output)) as after:
        (cover,) = [s for s in after.streams.video if s.disposition & 0x400]
        assert cover.codec_context.name == "mjpeg"
        picture = next(bytes(p) for p in before.demux(before.streams[2]) if p.size)
        assert next(bytes(p) for p in after.demux(cover) if p.size) == picture
        assert not after.streams.video[0].disposition & 0x400


@pytest.mark.parametrize("extension", [".mov", ".webm", ".ts"])
def test_other_containers_say_that_they_hold_no_cover(shared, tmp_path: Path, extension: str) -> None:
    remuxer = remuxed(shared("media/metadata.mp4"), tmp_path / f"out{extension}")
    ((action, reason),) = notes(remuxer, "cover")
    assert action == "dropped" and reason.endswith("cannot hold a cover picture (use .mkv)")


def test_two_covers_have_two_names(tmp_path: Path, shared) -> None:
    with av.open(str(shared("media/metadata.mp4"))) as container:
        jpeg = next(bytes(p) for p in container.demux(container.streams[2]) if p.size)
    with source(tmp_path / "in.mkv", frames=5) as made:
        made.out.add_attachment("cover.jpg", "image/jpeg", jpeg)
        made.out.add_attachment("small_cover.jpg", "image/jpeg", jpeg)
    remuxer = remuxed(tmp_path / "in.mkv", tmp_path / "out.mkv", frames=5)
    assert notes(remuxer, "cover") == [("kept", ""), ("kept", "")]
    with av.open(str(tmp_path / "out.mkv")) as container:
        names = [s.metadata["filename"] for s in container.streams.video if s.disposition & 0x400]
    assert names == ["cover.jpg", "cover 2.jpg"]


# --- attachments, chapters


def test_attachments(tmp_path: Path) -> None:
    font = bytes(range(256)) * 20
    with source(tmp_path / "in.mkv", frames=5) as made:
        made.out.add_attachment("Schrift… eins.ttf", "font/ttf", font)
        made.subtitles("ass", [(0, 100, "0,0,Default,,0,0,0,,x")])
    remuxer = remuxed(tmp_path / "in.mkv", tmp_path / "out.mkv", frames=5)
    assert notes(remuxer, "attachment") == [("kept", "")]
    with av.open(str(tmp_path / "out.mkv")) as container:
        (found,) = [s for s in container.streams if s.type == "attachment"]
        assert (found.name, found.mimetype, bytes(found.data)) == ("Schrift… eins.ttf", "font/ttf", font)
    assert cues(tmp_path / "out.mkv") == [(0.0, 0.1, "x")]
    remuxer = remuxed(tmp_path / "in.mkv", tmp_path / "out.mp4", frames=5)
    assert notes(remuxer, "attachment") == [("dropped", "mp4 cannot hold attachments (use .mkv)")]


def chapter(start: int, end: int, title: str) -> dict[str, Any]:
    return {"id": start, "start": start, "end": end, "time_base": Fraction(1, 1000), "metadata": {"title": title}}


CHAPTERS = [chapter(0, 1000, "eins"), chapter(1000, 2500, "zwei"), chapter(2500, 4000, "drei")]


def chapters(path: Path) -> list[tuple[float, float, str]]:
    with av.open(str(path)) as container:
        return [
            (float(c["start"] * c["time_base"]), float(c["end"] * c["time_base"]), c["metadata"]["title"])
            for c in container.chapters()
        ]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_chapters(tmp_path: Path, extension: str) -> None:
    path, output = tmp_path / "in.mkv", tmp_path / f"out{extension}"
    with source(path, frames=100) as made:
        made.out.set_chapters(CHAPTERS)
    remuxer = remuxed(path, output, frames=100)
    if extension == ".ts":
        assert notes(remuxer, "chapters") == [("dropped", "mpegts cannot hold chapters (use .mkv)")]
    else:
        assert chapters(output) == [(0.0, 1.0, "eins"), (1.0, 2.5, "zwei"), (2.5, 4.0, "drei")]
        remuxed(path, output, span=(Fraction(3, 2), Fraction(3)), frames=37)
        assert chapters(output) == [(0.0, 1.0, "zwei"), (1.0, 1.5, "drei")]


def test_the_track_that_mp4_keeps_chapters_in_is_not_called_lost(shared, tmp_path: Path) -> None:
    remuxer = remuxed(shared("media/sample_with_chapters.mp4"), tmp_path / "out.mp4")
    assert notes(remuxer, "data") == [("kept", "as chapters")]
    assert len(chapters(tmp_path / "out.mp4")) == 3


def test_sound_of_an_unknown_kind_is_no_unexpected_error() -> None:
    """As DTS whose packets are damaged: nothing but them tells its samples' format."""
    unknown: Any = SimpleNamespace(codec_context=SimpleNamespace(format=None, sample_rate=0))
    with pytest.raises(ValueError, match="nothing of it tells how its samples are stored"):
        SoundConversion(unknown, None, "aac", Fraction(0))
