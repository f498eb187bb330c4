"""Recordings put end to end, whose timestamps begin again in the middle."""

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest
from media import make_clip, packets, save_tiny, video_times
from web import Site, serve

from vidstyle.catalog import parse_recipe
from vidstyle.inputs import parse_input
from vidstyle.job import FileJob, Progress, stylize_file
from vidstyle.joins import Joins, begins_again
from vidstyle.others import SecondReading
from vidstyle.source import SourceOptions, VideoSource

FRAMES = 60  # 2.4 s


@pytest.fixture
def joined(tmp_path: Path) -> Path:
    """Two recordings, as ``cat`` puts them together."""
    return twice(make_clip(tmp_path / "part.ts", frames=FRAMES).path)


def twice(part: Path) -> Path:
    whole = part.with_name(f"joined{part.suffix}")
    whole.write_bytes(part.read_bytes() * 2)
    return whole


def times(path: Path) -> list[Fraction]:
    with VideoSource(path) as source:
        return [frame.time for frame in source]


def sound(path: Path, span: tuple[Fraction | None, Fraction | None] = (None, None)) -> list[Fraction]:
    with SecondReading(path, 0, span) as others:
        return [packet.pts * Fraction(packet.time_base) for _, packet in others.until({1}, None)]


def steps(found: list[Fraction]) -> list[float]:
    return [float(b - a) for a, b in pairwise(found)]


def test_the_second_part_follows_the_first_in_pictures_and_sound_alike(joined: Path) -> None:
    with VideoSource(joined) as source:
        found = [frame.time for frame in source]
        (note,) = [note for note in source.notes if "begin again" in note]
        assert not any("backwards" in note for note in source.notes)
    heard = sound(joined)
    assert len(found) == 2 * FRAMES and all(0.03 < step < 0.1 for step in steps(found))
    assert all(0.01 < step < 0.06 for step in steps(heard))
    moved = found[FRAMES] - found[0]
    assert heard[len(heard) // 2] - heard[0] == moved  # in step
    assert note == f"timestamps begin again at {float(found[0] + moved):.2f} s: joined"


@pytest.mark.parametrize("counts", [(60, 20, 100), (100, 20, 60)])
def test_pictures_of_all_parts_are_expected(tmp_path: Path, counts: tuple[int, ...]) -> None:
    parts = [make_clip(tmp_path / f"{count}.ts", frames=count).path.read_bytes() for count in counts]
    (tmp_path / "whole.ts").write_bytes(b"".join(parts))
    with VideoSource(tmp_path / "whole.ts") as source:
        assert source.info.frames == pytest.approx(sum(counts), rel=0.15)
    with VideoSource(tmp_path / "whole.ts", SourceOptions(start=Fraction(4))) as source:
        assert source.info.frames == pytest.approx(sum(counts) - 100, rel=0.15)


@pytest.mark.parametrize("clock", [100_000, 20_000_000])
def test_a_second_part_far_from_the_first_follows_it_too(tmp_path: Path, clock: int) -> None:
    """Of another day: an hour later, or earlier, which FFmpeg takes for the clock's wrapping around."""
    options: Any = {"time_base": Fraction(1, 1000), "size": (32, 32), "audio": 0}
    starts = 10_000_000, clock
    parts = [make_clip(tmp_path / f"{at}.ts", pts=[at + 40 * n for n in range(FRAMES)], **options) for at in starts]
    whole = tmp_path / "joined.ts"
    whole.write_bytes(b"".join(part.path.read_bytes() for part in parts))
    with VideoSource(whole) as source:
        found = [frame.time for frame in source]
        assert [note for note in source.notes if "begin again" in note] == source.notes != []
        assert source.declared_end is None
        assert source.info.frames == pytest.approx(2 * FRAMES, rel=0.1)
    assert len(found) == 2 * FRAMES and all(0.03 < step < 0.1 for step in steps(found))
    first = found[0] + Fraction(3)
    with VideoSource(whole, SourceOptions(start=Fraction(3), end=Fraction(4))) as source:
        assert [frame.time for frame in source] == [time for time in found if first <= time < first + 1] != []


def test_a_program_stream(tmp_path: Path) -> None:
    options: Any = {"codec": "mpeg2video", "pts": list(range(FRAMES)), "time_base": Fraction(1, 25), "audio": 0}
    found = times(twice(make_clip(tmp_path / "part.mpg", **options).path))
    assert len(found) == 2 * FRAMES and all(0.03 < step < 0.05 for step in steps(found))


def test_a_part_behind_the_joint(joined: Path) -> None:
    whole, heard = times(joined), sound(joined)
    start, end = Fraction(3), Fraction(4)
    expected = [t for t in whole if start <= t - whole[0] < end]
    assert len(expected) > 20
    with VideoSource(joined, SourceOptions(start=start, end=end)) as source:
        assert [frame.time for frame in source] == expected
        span = source.span
    assert span[0] is not None and span[1] is not None
    assert sound(joined, span) == [t for t in heard if span[0] <= t < span[1]]


@pytest.mark.parametrize(("frames", "start"), [((300, 300), 13), ((FRAMES, 600), 15)])
def test_a_part_behind_the_joint_of_a_url(tmp_path: Path, frames: tuple[int, int], start: int) -> None:
    parts = [make_clip(tmp_path / f"{n}.ts", n, (32, 32), audio=0).path for n in frames]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    whole, first, end = times(joined), Fraction(start), start + Fraction(1, 2)
    with serve(Site(tmp_path)) as site:
        whence = parse_input(f"{site.url}/joined.ts")
        with VideoSource(whence, SourceOptions(start=first, end=end)) as source:
            found = [frame.time for frame in source]
    assert found == [time for time in whole if first <= time - whole[0] < end]
    assert len(found) > 10


def test_what_is_read_once_is_joined_too(joined: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, heard = times(joined), sound(joined)
    with open(joined) as file:
        monkeypatch.setattr(sys, "stdin", file)
        with VideoSource(parse_input("-")) as source:
            others = source.others()
            assert [frame.time for frame in source] == whole
            assert [p.pts * Fraction(p.time_base) for _, p in others.until({1}, None)] == heard


def test_a_run_goes_on_behind_the_joint(
    joined: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidstyle.segment.SECONDS", 1)
    job = FileJob(joined, parse_recipe(str(save_tiny(home, "tiny"))), tmp_path / "out.mp4")
    straight = stylize_file(replace(job, output=tmp_path / "straight.mp4"))
    assert (straight.frames_out, straight.pts_equal, straight.audio_equal) == (2 * FRAMES, True, True)
    assert straight.losses == []

    def stop(progress: Progress) -> None:
        if progress.frames == 90:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stylize_file(job, stop)
    report = stylize_file(replace(job, resume=True))
    assert any("went on after" in note for note in report.notes)
    assert job.target.read_bytes() == (tmp_path / "straight.mp4").read_bytes()
    assert all(0.03 < step < 0.1 for step in steps(video_times(job.target)))
    (heard,) = packets(job.target, "audio")
    assert all(0.01 < step < 0.06 for step in steps([time for time, _ in heard]))


def test_files_of_one_clock_can_be_read_from_the_middle(joined: Path, tmp_path: Path) -> None:
    def again(path: Path, named: Path | None = None) -> bool:
        with av.open(str(path)) as container:
            return begins_again(container, parse_input(named or path), 0)

    assert again(joined) and not again(tmp_path / "part.ts")
    assert not again(make_clip(tmp_path / "a.mp4").path) and not again(joined, tmp_path / "none.ts")


CONTAINER = SimpleNamespace(format=SimpleNamespace(flags=0))
STREAMS = [
    SimpleNamespace(type=kind, disposition=0, codec_context=None, container=CONTAINER)
    for kind in ("video", "audio", "subtitle")
]


def on_one_clock(*given: tuple[int, int]) -> tuple[list[int], list[str]]:
    """Times of packets of (stream, time) in hundredths of a second, each 0.1 s long; and the notes."""
    notes: list[str] = []

    def made() -> Iterator[Any]:
        for index, time in given:
            what = {"stream_index": index, "stream": STREAMS[index], "duration": 10}
            yield SimpleNamespace(**what, pts=time, dts=time, time_base=Fraction(1, 100))

    return [packet.pts for packet in Joins(notes.append)(made())], notes


def test_streams_pass_the_joint_one_after_the_other() -> None:
    before = [(0, 290), (1, 280), (2, 200)]
    between = [(0, 0), (1, 290), (2, 290), (0, 10), (1, 0), (2, 5), (1, 10)]
    found, notes = on_one_clock(*before, *between)
    assert found == [290, 280, 200, 300, 290, 290, 310, 300, 305, 310]  # one packet more of the sound was to come
    assert notes == ["timestamps begin again at 3.00 s: joined"]


def test_a_joint_waits_for_the_longer_of_sound_and_pictures() -> None:
    assert on_one_clock((0, 290), (1, 300), (1, 310), (0, 0), (1, 0))[0] == [290, 300, 310, 330, 330]


def test_many_parts() -> None:
    assert on_one_clock((0, 200), (0, 0), (0, 200), (0, 50), (0, 60))[0] == [200, 210, 410, 420, 430]


@pytest.mark.parametrize(
    "given",
    [
        [(0, 0), (0, 10), (0, 500), (0, 510)],  # a gap
        [(0, 300), (0, 250), (0, 310)],  # a little back
        [(0, 300), (0, 310), (1, 100), (1, 110), (2, 20)],  # stored one far behind the other
        [(2, 300), (2, 20), (0, 0), (0, 10)],  # a subtitle's clock leads nobody
    ],
)
def test_what_is_no_new_beginning_stays(given: list[tuple[int, int]]) -> None:
    assert on_one_clock(*given) == ([time for _, time in given], [])


def test_slow_pictures_of_matroska_stay(tmp_path: Path) -> None:
    """Its first pictures have no decoding time, and the second one is shown as the fifth."""
    clip = make_clip(tmp_path / "slow.mkv", pts=[12800 * 7 * i for i in range(6)], audio=0)
    with VideoSource(clip.path) as source:
        assert [frame.time for frame in source] == clip.times
        assert source.notes == []


def test_a_gap_is_no_length_of_a_picture(tmp_path: Path) -> None:
    """In a transport stream pictures have no length: the one behind a gap seemed to last as long as that."""
    clip = make_clip(tmp_path / "gap.ts", pts=[512 * i + (i >= 20) * 12800 * 7 for i in range(40)])
    with VideoSource(clip.path) as source:
        found = [frame.time - source.origin for frame in source]
        assert found == [time - clip.times[0] for time in clip.times]
        assert source.notes == []


def test_a_single_packet_far_ahead_gets_the_time_of_its_place() -> None:
    found, notes = on_one_clock(
        (0, 0), (1, 0), (0, 10), (1, 10), (0, 900), (1, 20), (1, 30), (0, 30), (0, 40), (1, 800)
    )
    assert found == [0, 0, 10, 10, 20, 30, 20, 30, 40, 800]  # what waits comes after the others; the last one's place
    assert notes == ["a time far ahead of those around it was repaired, at 0.20 s"]  # is not known


@pytest.mark.parametrize("place", [1, 10, 11, 12, 59])
def test_a_single_picture_far_ahead_does_not_move_those_behind_it(tmp_path: Path, place: int) -> None:
    """Matroska has the time that a picture is shown at alone; a broken one does not show in that of decoding."""
    clip = make_clip(tmp_path / "in.mkv", frames=60, audio=0)
    data = bytearray(clip.path.read_bytes())
    blocks = [
        found.end() for found in re.finditer(rb"\xa3(?:[\x81-\xfe]|[\x40-\x7f].)\x81(?=..[\x00\x80])", data, re.DOTALL)
    ]
    assert len(blocks) == 60
    at = slice(blocks[place], blocks[place] + 2)
    data[at] = (int.from_bytes(data[at], "big") + 20_000).to_bytes(2, "big")
    clip.path.write_bytes(data)
    with VideoSource(clip.path) as source:
        assert [frame.time for frame in source] == clip.times
        assert len(source.notes) == 1 and source.notes[0].startswith("a time far ahead")


def test_after_a_gap_behind_a_joint_the_newest_clock_goes_on() -> None:
    assert on_one_clock((0, 200), (0, 0), (0, 900), (0, 910))[0] == [200, 210, 1110, 1120]
