"""Closed captions inside the pictures: in every output picture as they were in the source's, or told to be lost."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import av
import pytest
from caption_clips import ROOM, UNEVEN, block, captioned_clip, decoded_captions, told, with_message
from media import save_tiny

from vidstyle.captions import ASTRAY, CAPTIONS, Captions, captions_in, prefix_of, says_something, with_captions
from vidstyle.catalog import parse_recipe
from vidstyle.codecs import EncoderOptions
from vidstyle.job import FileJob, Progress, stylize_file
from vidstyle.planning import make_plan
from vidstyle.report import Report
from vidstyle.sink import SegmentSink, SinkOptions
from vidstyle.source import SourceOptions, VideoSource
from vidstyle.stylizer import Stylizer
from vidstyle.unit import Unit, pump, unit_frames

EVEN = [index * 512 for index in range(12)]


@pytest.fixture
def style(home: Path) -> str:
    return str(save_tiny(home, "tiny"))


def parsed(path: Path) -> dict[Fraction, bytes]:
    """The triples of every picture, by our own parser, by seconds."""
    with av.open(str(path)) as container:
        stream: Any = container.streams.video[0]
        prefix = prefix_of(stream.codec_context.name, stream.codec_context.extradata)
        found = [
            (p, captions_in(bytes(p), stream.codec_context.name, prefix)) for p in container.demux(stream) if p.size
        ]
        return {p.pts * Fraction(p.time_base): data[2:] for p, data in found}


def close(times: dict[Fraction, bytes]) -> list[tuple[int, bytes]]:
    """By milliseconds, which Matroska counts in, since the first picture: transport streams begin later."""
    return sorted((round(1000 * (time - min(times))), data) for time, data in times.items())


def check_kept(source: Path, report: Report, start: Fraction = Fraction(0)) -> None:
    output = Path(report.output)
    expected = close({time: data for time, data in decoded_captions(source).items() if time >= start})
    assert any(data for _, data in expected)
    assert close(decoded_captions(output)) == expected
    assert close(parsed(output)) == expected
    assert [line for line in report.strict_losses() if "deinterlaced" not in line] == []
    assert [note.action for note in report.streams if note.kind == "closed captions"] == ["kept"]


@pytest.mark.parametrize(
    ("codec", "source", "output", "wanted"),
    [
        ("libx264", "in.mp4", "out.mp4", "h264"),
        ("libx264", "in.mkv", "out.mkv", "h264"),
        ("libx264", "in.mov", "out.ts", "h264"),
        ("libx264", "in.mp4", "out.mov", "hevc"),
        ("libx264", "in.flv", "out.mkv", "hevc"),
        ("libx265", "in.mp4", "out.mp4", "hevc"),
        ("libx265", "in.mkv", "out.ts", "hevc"),
        ("mpeg2video", "in.ts", "out.mp4", "h264"),
        ("mpeg2video", "in.mkv", "out.mp4", "h264"),
    ],
)
def test_every_picture_keeps_its_own(
    style: str, tmp_path: Path, codec: str, source: str, output: str, wanted: str
) -> None:
    """B-frames, uneven times, packets with start codes and with lengths; FFmpeg's decoders find the same."""
    clip = captioned_clip(tmp_path / source, codec, EVEN if codec == "mpeg2video" else UNEVEN)
    writing = SinkOptions(EncoderOptions(wanted))
    report = stylize_file(FileJob(clip, parse_recipe(style), tmp_path / output, writing=writing))
    assert len(parsed(tmp_path / output)) == 12
    check_kept(clip, report)


def test_a_part_has_its_own_captions(style: str, tmp_path: Path) -> None:
    clip = captioned_clip(tmp_path / "in.mp4", options={"g": "4"})
    job = FileJob(clip, parse_recipe(style), tmp_path / "out.mp4", SourceOptions(start=Fraction(13, 100)))
    report = stylize_file(job)
    assert report.frames_out == 8
    check_kept(clip, report, Fraction(13, 100))


@pytest.mark.parametrize("deinterlace", ["always", "never"])
def test_deinterlaced_pictures_keep_theirs(style: str, tmp_path: Path, deinterlace: str) -> None:
    options = {"flags": "+ildct+ilme", "x264-params": "tff=1"}
    clip = captioned_clip(tmp_path / "in.mkv", options=options)
    reading = SourceOptions(deinterlace=deinterlace)
    check_kept(clip, stylize_file(FileJob(clip, parse_recipe(style), tmp_path / "out.mp4", reading)))


class CrashError(Exception):
    """As a crash would."""


def stop_after_eight(progress: Progress) -> None:
    if progress.frames == 8:
        raise CrashError


def test_a_run_that_is_gone_on_with_keeps_all(style: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the report of the second half knows of captions in the first alone."""
    monkeypatch.setattr("vidstyle.segment.SECONDS", Fraction(1, 5))
    clip = captioned_clip(tmp_path / "in.mp4", triples=lambda index: told(index) if index < 4 else b"")
    job = FileJob(clip, parse_recipe(style), tmp_path / "out.mp4")
    with pytest.raises(CrashError):
        stylize_file(job, stop_after_eight)
    report = stylize_file(replace(job, resume=True))
    assert [note for note in report.notes if "went on after" in note]
    check_kept(clip, report)
    stylize_file(replace(job, resume=False, output=tmp_path / "straight.mp4"))
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "straight.mp4").read_bytes()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_segment_made_elsewhere_has_the_same(style: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a worker of a cluster makes it, which begins to read near it."""
    monkeypatch.setattr("vidstyle.segment.SECONDS", Fraction(1, 5))
    clip = captioned_clip(tmp_path / "in.mp4", options={"g": "4"})
    job = FileJob(clip, parse_recipe(style), tmp_path / "out.mp4")
    with pytest.raises(CrashError):
        stylize_file(job, stop_after_eight)
    with VideoSource(job.input, job.reading) as source, Stylizer(job.recipe) as stylizer:
        plan, unit = make_plan(source), Unit(1, 1)
        sink = SegmentSink(job.target, source, job.writing, Report("", ""), tmp_path, plan, [], unit.first)
        pump(source, unit_frames(source, plan, unit), stylizer, sink.write)
        sink.finish()
    assert (tmp_path / "00001.mkv").read_bytes() == (tmp_path / "out.mp4.part" / "00001.mkv").read_bytes()
    assert b"" not in parsed(tmp_path / "00001.mkv").values()


def test_what_streams_through_keeps_all(style: str, tmp_path: Path) -> None:
    """A source that can be read once is encoded straight into its output."""
    clip, pipe = captioned_clip(tmp_path / "in.mkv"), tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = Thread(target=lambda: pipe.write_bytes(clip.read_bytes()))
    writer.start()
    report = stylize_file(FileJob(pipe, parse_recipe(style), tmp_path / "out.mp4"))
    writer.join()
    check_kept(clip, report)


def test_room_left_empty_is_kept_and_not_spoken_of(style: str, tmp_path: Path) -> None:
    clip = captioned_clip(tmp_path / "in.mp4", triples=lambda index: ROOM if index % 3 else b"")
    report = stylize_file(FileJob(clip, parse_recipe(style), tmp_path / "out.mp4"))
    assert close(decoded_captions(tmp_path / "out.mp4")) == close(decoded_captions(clip))
    assert set(parsed(tmp_path / "out.mp4").values()) == {ROOM, b""}
    assert report.strict_losses() == [] and not any("caption" in note.kind for note in report.streams)
    writing = SinkOptions(EncoderOptions("vp9"))
    report = stylize_file(FileJob(clip, parse_recipe(style), tmp_path / "out.webm", writing=writing))
    assert report.strict_losses() == []


@pytest.mark.parametrize("deinterlace", ["auto", "always"])
def test_a_codec_that_does_not_carry_them_is_named(style: str, tmp_path: Path, deinterlace: str) -> None:
    clip = captioned_clip(tmp_path / "in.ts")
    reading, writing = SourceOptions(48, deinterlace=deinterlace), SinkOptions(EncoderOptions("vp9"))
    report = stylize_file(FileJob(clip, parse_recipe(style), tmp_path / "out.webm", reading, writing))
    (loss,) = report.strict_losses()
    assert loss == f"{CAPTIONS}, and libvpx-vp9 does not keep them: use --codec h264 or hevc"
    assert set(decoded_captions(tmp_path / "out.webm").values()) == {b""}


def test_pictures_without_times_are_told(style: str, tmp_path: Path) -> None:
    """AVI has none."""
    clip = captioned_clip(tmp_path / "in.avi", pts=EVEN, options={"bf": "0"})
    report = stylize_file(FileJob(clip, parse_recipe(style), tmp_path / "out.mp4"))
    assert report.strict_losses() == [ASTRAY]


def test_a_damaged_picture_costs_its_own_alone(style: str, tmp_path: Path) -> None:
    def damaged(index: int, data: bytes) -> bytes:
        return data[: data.rindex(b"\0\0\1") + 4] + b"\1" * 20 if index == 6 else data

    clip = captioned_clip(tmp_path / "in.mkv", options={"bf": "0"}, change=damaged)
    report = stylize_file(FileJob(clip, parse_recipe(style), tmp_path / "out.mkv"))
    expected, found = dict(close(parsed(clip))), dict(close(decoded_captions(tmp_path / "out.mkv")))
    assert report.frames_out < 12 and len(found) == report.frames_out
    assert all(expected[time] == data != b"" for time, data in found.items())
    assert report.losses and report.reductions == [ASTRAY]


def packet(pts: int | None, index: int = 0) -> Any:
    data = with_message(b"\0\0\1\x65pixels", "libx264", block(told(index)))
    return type("Packet", (bytes,), {"pts": pts, "size": len(data), "is_discard": False})(data)


def carried(pts: list[int | None], times: list[int | None]) -> tuple[list[bytes | None], list[str]]:
    """What pictures of ``times`` get of packets with ``pts``, and what is noted."""
    notes: list[str] = []
    stream: Any = SimpleNamespace(codec_context=SimpleNamespace(name="h264", extradata=None))
    captions = Captions(stream, notes.append)

    def decode(packets: Iterable[Any]) -> Iterator[Any]:
        assert len(list(packets)) == len(pts)
        return (SimpleNamespace(pts=time, opaque=None) for time in times)

    frames = list(captions.carried(decode, (packet(time, index) for index, time in enumerate(pts))))
    return [frame.opaque and frame.opaque[2:] for frame in frames], [note for note in notes if note != CAPTIONS]


def test_captions_of_no_picture_are_told() -> None:
    """As of a second field whose packet has a time of its own; not of pictures before the first that can be decoded."""
    assert carried([0, 2, 1], [0, 1, 2]) == ([told(0), told(2), told(1)], [])
    assert carried([10, 20, 0, 5], [10, 20, 0, 5]) == ([told(index) for index in range(4)], [])
    assert carried([5, 7, 10, 20], [10, 20]) == ([told(2), told(3)], [])
    assert carried([0, 1, 2], [0, 2]) == ([told(0), told(2)], [ASTRAY])
    assert carried([0, 1, 2], [0, 1]) == ([told(0), told(1)], [ASTRAY])
    assert carried([0, None], [0, 1]) == ([told(0), None], [ASTRAY])


def test_lengths_and_start_codes_and_escaped_bytes() -> None:
    said = b"\x43\xff\xfc\x41\x42\0\0\0\0\0\1"  # three triples; what fills it up here has to be escaped
    slices = b"\x65" + bytes(range(5, 60))
    by_codes, by_lengths = b"\0\0\0\1\x09\xf0\0\0\1" + slices, b"\0\x02\x09\xf0\0\x38" + slices
    for original, prefix in ((by_codes, 0), (by_lengths, 2)):
        made = with_captions(original, "h264", prefix, said + said)
        assert captions_in(made, "h264", prefix) == said + said
        assert made.startswith(original[: original.index(b"\x09\xf0") + 2]) and made.endswith(slices)
        assert b"\0\0\0\0\0" not in made[8:]
    assert captions_in(by_codes, "h264", 0) == b""


def test_what_is_cut_short_or_of_another_kind_is_none() -> None:
    whole = with_message(b"", "libx264", block(told(0)))
    assert captions_in(whole, "h264", 0)[2:] == told(0)
    for end in range(len(whole) - 3):
        assert captions_in(whole[:end], "h264", 0) == b""
    assert captions_in(b"\0\0\1\x65" + whole[5:], "h264", 0) == b"", "in a slice"
    assert captions_in(whole.replace(b"GA94\x03", b"GA94\x06"), "h264", 0) == b"", "an active format"
    assert says_something(b"\x42\xff" + told(3)[:6]) and not says_something(b"\x43\xff" + ROOM)


def test_a_message_of_hevc_is_of_its_pictures_layers() -> None:
    slices = b"\x02\x03pixels"  # of the sub-layer in time 3 - 1
    made = with_captions(b"\0\0\1" + slices, "hevc", 0, b"\x42\xff" + told(0)[:6])
    assert made.startswith(b"\0\0\0\1\x4e\x03\x04") and made.endswith(b"\0\0\1" + slices)
