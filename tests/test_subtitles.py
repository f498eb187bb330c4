"""Subtitles from every text format to every other: what is shown when stays the same."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import av
import pytest
from remuxing import ASS_HEADER, cues, remuxed, source

from vidstyle.remux import Remuxer
from vidstyle.subtitle_text import Cue, Span, keeps, parse, styles_of, to_subrip, to_timed_text, to_webvtt
from vidstyle.subtitles import Shown, Timeline

TEXT = "Zeile eins\nsecond line… ünïcode 日本 😀"
SAID = TEXT.replace("\n", "\\N")


def subtitle(remuxer: Remuxer) -> tuple[str, str]:
    found = next(n for n in remuxer.notes if n.kind == "subtitle")
    return found.action, found.reason


def plain(text: str) -> str:
    """Without FFmpeg's tags."""
    return re.sub(r"\{[^}]*\}", "", text)


SOURCES = [  # codec, container, payload of TEXT
    ("subrip", ".mkv", TEXT),
    ("ass", ".mkv", f"0,0,Default,,0,0,0,,{SAID}"),
    ("webvtt", ".webm", TEXT),
    ("mov_text", ".mp4", TEXT),
]


@pytest.mark.parametrize("extension", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize(("codec", "holder", "payload"), SOURCES)
def test_text_and_times_are_kept(tmp_path: Path, codec: str, holder: str, payload: str, extension: str) -> None:
    path, output = tmp_path / f"in{holder}", tmp_path / f"out{extension}"
    second = payload.replace("Zeile", "Noch").replace("0,0,Default", "1,0,Default")
    with source(path, frames=100, codec="libvpx-vp9" if holder == ".webm" else "libx264") as made:
        stream = made.subtitles(codec, [(500, 1250, payload), (1250, 2000, second), (3000, 3500, payload)])
        stream.metadata["language"] = "eng"
    remuxer = remuxed(path, output, frames=100)
    wanted = {".mp4": "mov_text", ".mov": "mov_text", ".webm": "webvtt"}.get(extension)
    converted = wanted not in (None, codec) or (extension == ".mkv" and codec == "mov_text")
    assert subtitle(remuxer)[0] == ("converted" if converted else "copied")
    again = SAID.replace("Zeile", "Noch")
    assert [(a, b, plain(t)) for a, b, t in cues(output)] == [(0.5, 1.25, SAID), (1.25, 2.0, again), (3.0, 3.5, SAID)]
    with av.open(str(output)) as container:
        assert container.streams.subtitles[0].language == "eng"


def test_transport_streams_name_what_they_cannot_hold(tmp_path: Path) -> None:
    with source(tmp_path / "in.mkv") as made:
        made.subtitles("subrip", [(0, 900, "x")])
    remuxer = remuxed(tmp_path / "in.mkv", tmp_path / "out.ts")
    assert subtitle(remuxer) == ("dropped", "mpegts cannot hold subrip subtitles (use .mkv)")


@pytest.mark.parametrize("extension", [".mp4", ".mkv", ".webm"])
def test_what_overlaps_is_shown_together(tmp_path: Path, extension: str) -> None:
    path, output = tmp_path / "in.mkv", tmp_path / f"out{extension}"
    with source(path, frames=100) as made:
        made.subtitles("subrip", [(500, 3000, "long"), (1000, 1500, "short"), (2500, 3500, "late")])
    remuxed(path, output, frames=100)
    if extension != ".mp4":
        assert cues(output) == [(0.5, 3.0, "long"), (1.0, 1.5, "short"), (2.5, 3.5, "late")]
        return
    assert cues(output) == [
        (0.5, 1.0, "long"),
        (1.0, 1.5, "long\\Nshort"),
        (1.5, 2.5, "long"),
        (2.5, 3.0, "long\\Nlate"),
        (3.0, 3.5, "late"),
    ]


@pytest.mark.parametrize("extension", [".mp4", ".webm"])
def test_a_cue_of_unknown_length_is_shown_until_the_next(tmp_path: Path, extension: str) -> None:
    with source(tmp_path / "in.mkv", frames=300) as made:
        made.subtitles("subrip", [(500, 500, "a"), (1500, 2000, "b"), (2500, 2500, "c"), (8000, 8000, "d")])
    remuxed(tmp_path / "in.mkv", tmp_path / f"out{extension}", frames=300)
    assert cues(tmp_path / f"out{extension}") == [(0.5, 1.5, "a"), (1.5, 2, "b"), (2.5, 6.5, "c"), (8, 12, "d")]


def test_a_cue_that_timed_text_shows_for_no_time_is_not_shown(tmp_path: Path) -> None:
    with source(tmp_path / "in.mp4", frames=100) as made:
        made.subtitles("mov_text", [(500, 1000, "a"), (2000, 2000, "never"), (2500, 3000, "b")])
    remuxed(tmp_path / "in.mp4", tmp_path / "out.mkv", frames=100)
    assert cues(tmp_path / "out.mkv") == [(0.5, 1.0, "a"), (2.5, 3.0, "b")]


def test_a_cue_far_behind_the_pictures_clock_ends_in_time(tmp_path: Path) -> None:
    """MP4's writer compares clocks of different streams, and would end it with the next picture, or never."""
    with source(tmp_path / "in.mkv", frames=250) as made:
        made.subtitles("subrip", [(100, 200, "a"), (300, 9000, "b"), (9500, 9600, "c")])
    remuxed(tmp_path / "in.mkv", tmp_path / "out.mp4", frames=250)
    assert cues(tmp_path / "out.mp4") == [(0.1, 0.2, "a"), (0.3, 9.0, "b"), (9.5, 9.6, "c")]


def test_styling_is_kept_where_it_can_be_and_named_where_not(tmp_path: Path) -> None:
    path = tmp_path / "in.mkv"
    with source(path) as made:
        made.subtitles("subrip", [(0, 900, "<i>so</i> <b>bold</b> a < b & c")])
    for extension in (".mp4", ".webm"):
        remuxer = remuxed(path, tmp_path / f"out{extension}")
        assert "left out" not in subtitle(remuxer)[1]
        assert next(n.harmless for n in remuxer.notes if n.kind == "subtitle")
        ((_, _, text),) = cues(tmp_path / f"out{extension}")
        assert plain(text) == "so bold a < b & c"
        assert text.startswith("{\\i1}so{") and "{\\b1}bold{" in text
    with source(path) as made:
        made.subtitles("ass", [(0, 900, "0,0,Sign,,0,0,0,,{\\pos(10,20)\\fs40}Exit")])
    remuxer = remuxed(path, tmp_path / "out.mp4")
    assert subtitle(remuxer) == (
        "converted",
        "mp4 cannot hold ass subtitles; now mov_text, part of its styling is left out",
    )
    ((_, _, text),) = cues(tmp_path / "out.mp4")
    assert plain(text) == "Exit" and "\\b1" in text


def test_a_part_of_the_video_takes_its_cues_along(tmp_path: Path) -> None:
    with source(tmp_path / "in.mkv", frames=100) as made:
        made.subtitles("subrip", [(200, 400, "before"), (1500, 2000, "in"), (2800, 3900, "over the end")])
    for extension in (".mkv", ".mp4", ".webm"):
        output = tmp_path / f"out{extension}"
        remuxed(tmp_path / "in.mkv", output, span=(Fraction(1), Fraction(3)), frames=50)
        assert cues(output) == [(0.5, 1.0, "in"), (1.8, 2.0, "over the end")]


@pytest.mark.parametrize("holder", [".mkv", ".mp4"])
def test_what_is_on_the_screen_at_the_start_of_a_part_is_kept(tmp_path: Path, holder: str) -> None:
    with source(tmp_path / f"in{holder}", frames=100) as made:
        shown = [(0, 1000, "over"), (1400, 2400, "on it"), (2600, 3000, "in")]
        made.subtitles("mov_text" if holder == ".mp4" else "subrip", shown)
    for extension in (".mkv", ".mp4", ".webm"):
        output = tmp_path / f"out{extension}"
        remuxed(tmp_path / f"in{holder}", output, span=(Fraction(2), Fraction(4)), frames=50)
        found = [cue for cue in cues(output) if cue[2]]
        assert found == [(0.0, 0.4, "on it"), (0.6, 1.0, "in")]


def test_what_began_long_before_the_part_is_looked_for(tmp_path: Path) -> None:
    with source(tmp_path / "in.mkv", frames=1000) as made:
        made.subtitles("subrip", [(2000, 31000, "a sign"), (32000, 40000, "next")])
    remuxed(tmp_path / "in.mkv", tmp_path / "out.mkv", span=(Fraction(30), Fraction(33)), frames=75)
    assert cues(tmp_path / "out.mkv") == [(0.0, 1.0, "a sign"), (2.0, 3.0, "next")]


def test_pictures_as_subtitles(shared, tmp_path: Path) -> None:
    path = shared("media/sample_with_pgs_subtitles.mkv")
    remuxer = remuxed(path, tmp_path / "out.mkv")
    assert subtitle(remuxer) == ("copied", "")
    assert bitmaps(tmp_path / "out.mkv") == bitmaps(path) != []
    for extension, muxer in ((".mp4", "mp4"), (".webm", "webm"), (".ts", "mpegts")):
        remuxer = remuxed(path, tmp_path / f"out{extension}")
        assert subtitle(remuxer) == ("dropped", f"{muxer} cannot hold pgs subtitles (use .mkv)")


def bitmaps(path: Path) -> list[bytes]:
    found = []
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[0]
        for packet in container.demux(stream):
            shown = stream.codec_context.decode2(packet) if packet.size else None
            found += [bytes(rect.planes[0]) for rect in shown or ()]
    return found


def test_a_real_track_of_timed_text(shared, tmp_path: Path) -> None:
    path = shared("media/nasa_13013.mp4")
    for extension in (".mkv", ".webm", ".mov"):
        remuxed(path, tmp_path / f"out{extension}", frames=400)
        for number in (0, 1):
            before, after = cues(path, number), cues(tmp_path / f"out{extension}", number)
            moved = after[0][0] - before[0][0]  # Matroska moves all streams where the sound begins before 0
            assert [(round(a - moved, 2), round(b - moved, 2), t) for a, b, t in after] == [
                (round(a, 2), round(b, 2), t) for a, b, t in before
            ]


# --- the text itself


def test_events_are_read_as_players_show_them() -> None:
    styles = styles_of(ASS_HEADER)
    cue = parse("0,0,Sign,,0,0,0,,one\\Ntwo\\hthree {\\c&H0000FF&}red{\\r}{\\i1} {odd} \\{x\\}", styles)
    assert cue.text == "one\ntwo\u00a0three red {odd} {x}"
    assert cue.align == 8 and cue.plain
    yellow, red = 0xFFFF00, 0xFF0000
    assert [(s.faces, s.colour) for s in cue.spans] == [
        (frozenset("b"), yellow),
        (frozenset("b"), red),
        (frozenset("bi"), yellow),
    ]
    assert parse("0,0,Default,,0,0,0,,{\\p1}m 0 0 l 9 9{\\p0}", styles) == Cue((), plain=False)
    assert parse("0,0,Default,,0,0,0,,{\\bord2\\pos(1,2)}a, b", styles) == Cue((Span("a, b"),), plain=False)
    assert parse("0,0,None,,0,0,0,,a\\N\\N", {}) == Cue((Span("a"),))


def test_each_format_is_written_as_it_is_read() -> None:
    cue = Cue((Span("a < b & "), Span("c", frozenset("i"), 0x00FF00), Span("\n\nd")), align=8)
    assert to_subrip(cue).decode() == '{\\an8}a < b & <font color="#00ff00"><i>c</i></font>\n\u00a0\nd'
    assert to_webvtt(cue).decode() == "a &lt; b &amp; <i>c</i>\n\u00a0\nd"
    sample = to_timed_text(cue)
    assert sample[:2] == (12).to_bytes(2, "big") and sample[2:14] == b"a < b & c\n\nd"
    assert sample[14:] == bytes.fromhex("00000016") + b"styl" + bytes.fromhex("0001 0008 0009 0001 02 10 00ff00ff")
    assert keeps("subrip", cue) and not keeps("webvtt", cue) and not keeps("mov_text", cue)
    assert keeps("webvtt", Cue((Span("x", frozenset("b")),)))


def test_timed_text_is_never_longer_than_its_length_can_say() -> None:
    sample = to_timed_text(Cue((Span("ü" * 40000),)))
    length = int.from_bytes(sample[:2], "big")
    assert len(sample) == 2 + length and sample[2:].decode() == "ü" * (length // 2)


def test_the_timeline_has_no_gaps_and_no_overlaps() -> None:
    timeline, second = Timeline(), Fraction(1)
    cue = [Cue((Span(name),)) for name in "abc"]
    found = [*timeline.add(Shown(second, 3 * second, cue[0])), *timeline.add(Shown(2 * second, 5 * second, cue[1]))]
    found += timeline.advance(4 * second)
    found += timeline.add(Shown(4 * second, 4 * second + 1, cue[2]))  # shorter than the one before it
    found += timeline.advance(None)
    assert [(int(s.start), int(s.end), s.cue.text) for s in found] == [
        (0, 1, ""),
        (1, 2, "a"),
        (2, 3, "a\nb"),
        (3, 4, "b"),
        (4, 5, "b\nc"),
        (5, 5, ""),
    ]
