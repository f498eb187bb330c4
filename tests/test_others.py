"""The streams beside the styled one: read a second time, or taken from the one reading there is."""

import sys
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from media import make_clip
from web import Site, serve

import vidstyle.others
from vidstyle.errors import SourceError
from vidstyle.inputs import parse_input
from vidstyle.joins import Joins
from vidstyle.others import OtherStreams, SecondReading, Tee
from vidstyle.source import SourceOptions, VideoSource

Packets = list[tuple[int, Fraction, bytes]]
WHOLE = SourceOptions(timeout=5)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Four seconds with two tracks of sound and a chapter."""
    path = make_clip(tmp_path / "plain.mkv", frames=100, audio=2, size=(160, 120)).path
    target = tmp_path / "in.mkv"
    with av.open(str(path)) as container, av.open(str(target), "w") as out:
        copies = {stream.index: out.add_stream_from_template(stream) for stream in container.streams}
        out.metadata["title"] = "a film"
        chapter = {"id": 1, "start": 0, "end": 2000, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}}
        out.set_chapters([chapter])
        for packet in container.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                out.mux(packet)
    return target


def taken(others: OtherStreams, wanted: set[int], seconds: Fraction | None) -> Packets:
    return [(packet.stream_index, time, bytes(packet)) for time, packet in others.until(wanted, seconds)]


def run(source: VideoSource, wanted: set[int]) -> tuple[Packets, int]:
    """As a sink does: what is due after every picture, the rest at the end; and the number of pictures."""
    others = source.others()
    found: Packets = []
    times = []
    for frame in source:
        found += taken(others, wanted, frame.time)
        times.append(frame.time)
    found += taken(others, wanted, None)
    others.close()
    return found, len(times)


PARTS = [(None, None), (Fraction(1), None), (None, Fraction(2)), (Fraction(3, 2), Fraction(5, 2))]


@pytest.mark.parametrize("wanted", [{1, 2}, {2}, set()])
@pytest.mark.parametrize("part", PARTS)
def test_a_url_gives_what_a_second_reading_would(
    clip: Path, part: tuple[Fraction | None, Fraction | None], wanted: set[int]
) -> None:
    options = replace(WHOLE, start=part[0], end=part[1])
    with VideoSource(clip, options) as source:
        expected, pictures = run(source, wanted)
        assert isinstance(source.others(), SecondReading)
    with serve(Site(clip.parent)) as site, VideoSource(parse_input(f"{site.url}/{clip.name}"), options) as source:
        others = source.others()
        assert isinstance(others, Tee)
        assert (others.metadata["title"], len(others.chapters), len(others.streams)) == ("a film", 1, 2)
        found, count = run(source, wanted)
    assert count == pictures
    assert sorted(found) == sorted(expected)
    for index in wanted:
        assert [p for p in found if p[0] == index] == [p for p in expected if p[0] == index]


@pytest.mark.parametrize("wanted", [{1, 2}, {2}])
def test_nothing_is_read_far_behind_the_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: set[int]) -> None:
    monkeypatch.setattr(vidstyle.others, "SLACK", 1)
    path = make_clip(tmp_path / "in.mkv", frames=500, audio=2, repeat=True).path
    read = 0

    class Counted(Joins):
        def __call__(self, packets: Any) -> Any:
            nonlocal read
            for packet in super().__call__(packets):
                read += 1
                yield packet

    monkeypatch.setattr(vidstyle.others, "Joins", Counted)
    with SecondReading(path, 0, (None, Fraction(2))) as others:
        found = taken(others, wanted, None)
    assert max(time for _, time, _ in found) > Fraction(19, 10)
    assert {index for index, *_ in found} == wanted
    assert read < 1200  # of 2400


def test_a_pipe_gives_them_while_another_thread_reads(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with VideoSource(clip) as source:
        expected, pictures = run(source, {1, 2})
    with open(clip) as file:
        monkeypatch.setattr(sys, "stdin", file)
        with VideoSource(parse_input("-"), WHOLE) as source:
            others, frames = source.others(), []
            reader = threading.Thread(target=lambda: frames.extend(source))
            reader.start()
            found: Packets = []
            while reader.is_alive():
                due = frames[-1].time if frames else Fraction(0)
                found += taken(others, {1, 2}, due)
            reader.join()
            found += taken(others, {1, 2}, None)
    assert len(frames) == pictures
    assert sorted(found) == sorted(expected)


def test_nothing_is_kept_for_nobody(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vidstyle.others, "HELD", 20_000)
    with open(clip) as file:
        monkeypatch.setattr(sys, "stdin", file)
        with VideoSource(parse_input("-")) as source:
            assert len(list(source)) == 100


def test_sound_too_far_from_its_pictures_is_refused_before_memory_is_full(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vidstyle.others, "HELD", 20_000)
    with open(clip) as file:
        monkeypatch.setattr(sys, "stdin", file)
        with VideoSource(parse_input("-")) as source:
            source.others()
            with pytest.raises(SourceError, match="save it to a file"):
                list(source)


def test_the_sink_may_end_the_pictures(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of the sound is given though the pictures were not read to their end."""
    with VideoSource(clip) as source:
        expected, _ = run(source, {1, 2})
    with open(clip) as file:
        monkeypatch.setattr(sys, "stdin", file)
        with VideoSource(parse_input("-")) as source:
            others = source.others()
            next(iter(source))
            assert sorted(taken(others, {1, 2}, None)) == sorted(expected)
