"""HLS playlists of several recordings, each with a clock of its own."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from media import make_clip
from web import Site, serve

from vidstyle.inputs import parse_input
from vidstyle.others import SecondReading
from vidstyle.preview import sample_picture
from vidstyle.source import SourceOptions, VideoSource

COUNTS = (25, 150)  # pictures: in the second part a time of the first one's clock is there too
PART = Fraction(3), Fraction(5)
MASTER = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100000\nlist.m3u8\n"


@pytest.fixture(params=["\n", "\r\n"])
def playlist(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    for count in COUNTS:
        make_clip(tmp_path / f"{count}.ts", frames=count, size=(32, 32))
    parts = "#EXT-X-DISCONTINUITY\n".join(f"#EXTINF:{count / 25},\n{count}.ts\n" for count in COUNTS)
    text = f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:6\n{parts}#EXT-X-ENDLIST\n"
    (tmp_path / "list.m3u8").write_text(text, newline=request.param)
    (tmp_path / "master.m3u8").write_text(MASTER)
    return tmp_path / "master.m3u8"


def pictures(source: Any, options: SourceOptions = SourceOptions()) -> list[tuple[Fraction, bytes]]:
    with VideoSource(source, options) as opened:
        return [(frame.time - opened.origin, frame.image.tobytes()) for frame in opened]


@pytest.mark.parametrize("remote", [False, True])
def test_a_part_behind_a_discontinuity_is_that_of_the_whole(playlist: Path, remote: bool) -> None:
    with serve(Site(playlist.parent)) as site:
        source = parse_input(f"{site.url}/master.m3u8") if remote else playlist
        wanted = [picture for picture in pictures(source) if PART[0] <= picture[0] < PART[1]]
        assert pictures(source, SourceOptions(start=PART[0], end=PART[1])) == wanted and len(wanted) == 50


def test_its_sound_is_kept(playlist: Path) -> None:
    with SecondReading(playlist, 0, PART) as others:
        times = [packet.pts * packet.time_base for _, packet in others.until({1}, None)]
    assert PART[0] <= times[0] < PART[0] + 0.1 and PART[1] - 0.1 < times[-1] < PART[1]


def test_a_picture_of_it_can_be_seen(playlist: Path) -> None:
    assert sample_picture(playlist, Fraction(2), 32).shape == (32, 32, 3)


def test_a_part_of_a_list_that_cannot_be_read_from_the_middle_has_its_sound(playlist: Path) -> None:
    lines = ["ffconcat version 1.0", *(f"file {count}.ts" for count in COUNTS)]
    (playlist.parent / "a.ffconcat").write_text("\n".join(lines))
    with SecondReading(playlist.parent / "a.ffconcat", 0, PART) as others:
        assert len(list(others.until({1}, None))) == pytest.approx(2 * 48000 / 1024, abs=2)


def test_a_rest_that_its_list_promises_is_missed(playlist: Path) -> None:
    with VideoSource(playlist) as source:
        assert source.declared_end == pytest.approx(float(source.origin) + sum(COUNTS) / 25, abs=0.2)
