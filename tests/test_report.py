"""The report: its lines, its JSON, and what counts as a loss."""

from __future__ import annotations

import json

import pytest

from vidstyle.report import Report, StreamNote, printable

STYLED = StreamNote(0, "video", "h264", "styled")
COPIED = StreamNote(1, "audio", "aac", "copied", packets=100)
CONVERTED = StreamNote(2, "audio", "pcm_s24le", "converted", "mpegts cannot hold pcm_s24le sound; now aac 256k", 9)
PACKED = StreamNote(3, "audio", "pcm_u8", "converted", "…; now flac, the same samples", 9, harmless=True)
DROPPED = StreamNote(4, "subtitle", "hdmv_pgs_subtitle", "dropped", "mp4 cannot hold pgs subtitles (use .mkv)")
EMPTY = StreamNote(5, "video", "h264", "dropped", "it is empty", harmless=True)


def report(*notes: StreamNote, **more: object) -> Report:
    return Report("in.mp4", "out.mp4", 10, 10, pts_equal=True, streams=[STYLED, *notes], **more)  # type: ignore[arg-type]


def test_strict_counts_what_makes_the_output_less() -> None:
    assert report(COPIED, PACKED, EMPTY, notes=["the source is interlaced"]).kept_everything
    less = report(COPIED, CONVERTED, DROPPED, losses=["cut short"], reductions=["written as 4:2:0"])
    assert not less.kept_everything
    assert less.strict_losses() == [
        "cut short",
        "audio pcm_s24le: mpegts cannot hold pcm_s24le sound; now aac 256k",
        "subtitle hdmv_pgs_subtitle: mp4 cannot hold pgs subtitles (use .mkv)",
        "written as 4:2:0",
    ]


def test_people_read_a_handful_of_lines() -> None:
    lines = report(COPIED, CONVERTED, DROPPED, audio_equal=True, reductions=["written as 4:2:0"]).lines()
    assert lines[1] == "  10 frames in, 10 out, every time exact; sound bit-exact"
    assert lines[3:] == [
        "  kept: audio aac",
        "  converted: audio pcm_s24le: mpegts cannot hold pcm_s24le sound; now aac 256k",
        "  not kept: subtitle hdmv_pgs_subtitle: mp4 cannot hold pgs subtitles (use .mkv)",
        "  note: written as 4:2:0",
    ]


@pytest.mark.parametrize(
    ("notes", "equal", "words"),
    [
        ([COPIED], True, "sound bit-exact"),
        ([COPIED], False, "SOUND DIFFERS"),
        ([COPIED], None, "sound not checked"),
        ([CONVERTED], None, "sound converted"),
        ([StreamNote(1, "audio", "", "dropped", "its codec is unknown")], None, "no sound kept"),
        ([], None, "no sound"),
    ],
)
def test_what_became_of_the_sound(notes: list[StreamNote], equal: bool | None, words: str) -> None:
    assert report(*notes, audio_equal=equal).lines()[1].endswith(f"; {words}")


def test_json_there_and_back() -> None:
    before = report(COPIED, DROPPED, losses=["x"], seconds=1.5)
    data = json.loads(json.dumps(before.as_dict()))
    assert data["kept_everything"] is False
    assert Report.from_dict(data) == before
    newer = data | {"colour": "blue", "streams": [note | {"mood": "calm"} for note in data["streams"]]}
    assert Report.from_dict(newer) == before


def test_nothing_in_a_line_moves_a_terminals_cursor() -> None:
    bad = Report("in", "a\x1b[2Jb\r\n\x9b\u202ec\udcff.mp4", notes=["tab\there"])
    text = "".join(bad.lines())
    assert "a\\x1b[2Jb\\r\\n\\x9b\\u202ec?.mp4" in text and "tab\\there" in text
    text.encode()
    assert printable("ünïcode 日本 😀") == "ünïcode 日本 😀"
