"""Which container a source's streams need, what it does with each, and its metadata."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from remuxing import add_video, remuxed, source

from vidstyle.containers import (
    CONTAINERS,
    container_format,
    contents,
    default_output,
    fate,
    fitting_container,
    next_best,
    pipe_format,
)
from vidstyle.errors import UsageError
from vidstyle.inputs import parse_input
from vidstyle.metadata import later, muxer_options, of_file, of_stream, of_styled, unkept, unkept_of_stream

PGS, SRT, AAC = ("subtitle", "hdmv_pgs_subtitle"), ("subtitle", "subrip"), ("audio", "aac")


@pytest.mark.parametrize(
    ("preferred", "streams", "extension", "reason"),
    [
        (".mp4", [AAC, ("subtitle", "mov_text"), ("chapters", "")], ".mp4", None),
        (".MP4", [AAC], ".MP4", None),
        (".mp4", [AAC, PGS], ".mkv", ".mp4 cannot hold pgs subtitles"),
        (".mp4", [SRT, SRT, PGS], ".mkv", ".mp4 cannot hold subrip subtitles, pgs subtitles"),
        (".webm", [AAC], ".mkv", ".webm cannot hold aac sound"),
        (".mov", [("audio", "pcm_s24be"), ("timecode", ""), ("data", "bin_data")], ".mov", None),
        (".mov", [("cover", "mjpeg")], ".mkv", ".mov cannot hold a cover picture"),
        (".mov", [("data", "")], ".mov", None),  # nor could Matroska
        (".ts", [("data", "klv")], ".ts", None),
        (".mp4", [("audio", "")], ".mp4", None),
        (".avi", [AAC], ".mkv", ".avi cannot be written"),
        ("", [AAC], ".mkv", None),
    ],
)
def test_the_container_that_holds_most(preferred: str, streams: list, extension: str, reason: str | None) -> None:
    assert fitting_container(preferred, streams) == (extension, reason)


def test_the_default_output_lies_beside_the_source_and_fits_it(tmp_path: Path) -> None:
    assert default_output(parse_input(tmp_path / "a.b.mp4"), "ink") == tmp_path / "a.b.ink.mp4"
    assert default_output(parse_input(tmp_path / "a.mp4"), "ink", [PGS]) == tmp_path / "a.ink.mkv"
    assert default_output(parse_input(tmp_path / "a.avi"), "ink") == tmp_path / "a.ink.mkv"
    assert default_output(parse_input("https://host/a/film.mp4?key=1"), "ink") == Path("film.ink.mkv")
    assert default_output(parse_input("-"), "ink") == Path("stdin.ink.mkv")


def test_contents_of_real_files(shared) -> None:
    def of(name: str) -> list[tuple[str, str]]:
        with av.open(str(shared(f"media/{name}")), metadata_errors="replace") as container:
            return contents(container.streams, container.chapters())

    assert of("metadata.mp4") == [("video", "h264"), AAC, ("cover", "mjpeg")]
    assert of("sample_with_chapters.mp4")[2:] == [("data", "bin_data"), ("chapters", "")]
    assert of("sample_missing_stsd.mp4") == [("video", "h264"), ("audio", "")]


def test_every_fate_is_one_that_the_container_can_give() -> None:
    kinds = [AAC, PGS, SRT, ("audio", "pcm_f32be"), ("audio", "wmav2"), ("video", "vp9"), ("cover", "png")]
    for muxer in {muxer for muxer, _ in CONTAINERS.values()}:
        for kind, codec in kinds:
            way = fate(muxer, kind, codec)
            assert bool(way.encoder) == (way.action == "convert")
            assert bool(way.reason) == (way.action in ("convert", "drop"))
    assert fate("matroska", "audio", "pcm_f32be").encoder == "pcm_f32le"
    assert fate("mpegts", "audio", "pcm_f32be").encoder == "aac"
    assert {fate("yuv4mpegpipe", kind, codec).action for kind, codec in kinds} == {"drop"}
    lossless = fate("mp4", "audio", "wavpack")
    assert lossless.encoder == "alac"
    lossy = next_best("mp4", "audio", lossless)
    assert lossy is not None and lossy.encoder == "aac" and next_best("mp4", "audio", lossy) is None
    assert next_best("mp4", "subtitle", fate("mp4", *SRT)) is None


def test_names_that_cannot_be_written() -> None:
    with pytest.raises(UsageError, match=r"cannot write 'a.avi': use .mkv, which holds nearly everything, or one of"):
        container_format(Path("a.avi"))
    assert (pipe_format("mkv"), pipe_format("y4m")) == ("matroska", "yuv4mpegpipe")
    with pytest.raises(UsageError, match="cannot write 'mp4' to standard output: use one of mkv, y4m"):
        pipe_format("mp4")


def test_y4m_holds_the_pictures() -> None:
    """As the sink writes it: raw video whose clock is the rate."""
    file = io.BytesIO()
    with av.open(file, "w", format=pipe_format("y4m")) as out:
        stream, packets = add_video(out, "rawvideo", 4)
        stream.codec_context.time_base = Fraction(1, 25)
        for packet in packets():
            out.mux(packet)
    assert file.getvalue().startswith(b"YUV4MPEG2 W64 H48 F25:1")
    with av.open(io.BytesIO(file.getvalue())) as container:
        frames = [frame.to_ndarray() for frame in container.decode(video=0)]
    assert len(frames) == 4 and not np.array_equal(frames[0], frames[1])


# --- metadata


def test_what_was_measured_of_other_packets_does_not_go_along() -> None:
    given = {
        "BPS-eng": "1",
        "DURATION": "0:1",
        "_STATISTICS_TAGS": "x",
        "ENCODER": "Lavc",
        "language": "deu",
        "name": "n",
    }
    assert of_stream(given, "matroska") == {"ENCODER": "Lavc", "language": "deu", "title": "n"}
    assert of_stream(given, "mov", changed=True) == {"language": "ger", "title": "n"}
    assert unkept_of_stream("mp4", given | {"mood": "calm"}) == ["mood"]
    assert unkept_of_stream("matroska", given) == []


def test_mp4_has_the_metadata_that_players_read_where_that_is_enough() -> None:
    base = Fraction(1, 30000)
    plain, own = {"title": "t", "encoder": "Lavf", "major_brand": "isom"}, {"title": "t", "com.android.version": "14"}
    assert muxer_options("mp4", base, plain, False) == {"movflags": "+faststart", "movie_timescale": "30000"}
    assert muxer_options("mp4", base, own, False)["movflags"] == "+faststart+use_metadata_tags"
    assert muxer_options("mp4", base, own, True)["movflags"] == "+faststart"
    assert unkept("mp4", own, True) == ["com.android.version"] and unkept("mp4", own, False) == []
    assert muxer_options("mp4", Fraction(1, 25), plain, False) == {"movflags": "+faststart"}
    assert muxer_options("matroska", base, own, True) == {}
    assert unkept("mpegts", own | {"service_name": "s"}, False) == ["com.android.version", "title"]


@pytest.mark.parametrize(
    ("timecode", "frames", "rate", "expected"),
    [
        ("01:02:03:04", 50, Fraction(25), "01:02:05:04"),
        ("23:59:59:24", 1, Fraction(25), "00:00:00:00"),
        ("00:00:59;29", 1, Fraction(30000, 1001), "00:01:00;02"),  # the first two numbers of a minute are dropped,
        ("00:09:59;29", 1, Fraction(30000, 1001), "00:10:00;00"),  # but not in every tenth
        ("00:00:00;00", 17982, Fraction(30000, 1001), "00:10:00;00"),
        ("10:01:59;29", 1, Fraction(30000, 1001), "10:02:00;02"),
        ("00:00:59;59", 1, Fraction(60000, 1001), "00:01:00;04"),
        ("whenever", 1, Fraction(25), "whenever"),
    ],
)
def test_timecodes_move_with_the_part_that_is_made(timecode: str, frames: int, rate: Fraction, expected: str) -> None:
    assert later(timecode, frames / rate, rate) == expected
    assert of_styled({"TIMECODE": timecode}, "mov", frames / rate, rate) == {"TIMECODE": expected}
    assert of_file({"timecode": timecode, "encoder": "x"}) == {"timecode": timecode}


def test_text_that_is_not_unicode_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "in.mkv"
    with source(path, frames=5) as made:
        made.out.metadata["title"] = "caf@ noir"
    path.write_bytes(path.read_bytes().replace(b"caf@ noir", b"caf\xe9 noir"))
    remuxed(path, tmp_path / "out.mkv", frames=5)
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.metadata["title"] == "caf\ufffd noir"


@pytest.mark.slow
@pytest.mark.parametrize("extension", [".mp4", ".mov", ".mkv", ".webm", ".ts"])
def test_every_stream_of_every_real_file_is_accounted_for(shared, tmp_path: Path, extension: str) -> None:
    tried = 0
    for path in sorted(shared("media").iterdir()):
        try:
            with av.open(str(path), metadata_errors="replace") as container:
                best = container.streams.best("video")
                expected = sorted(s.index for s in container.streams if best is None or s.index != best.index)
        except (OSError, av.error.FFmpegError):
            continue
        tried += 1
        remuxer = remuxed(path, tmp_path / f"out{extension}")
        found = [note for note in remuxer.notes if note.index >= 0]
        assert [note.index for note in found] == expected, path.name
        for note in found:
            assert note.action in ("copied", "kept", "converted", "dropped")
            assert note.reason or note.action in ("copied", "kept"), path.name
        assert undecodable(tmp_path / f"out{extension}") <= undecodable(path), path.name
    assert tried > 30


def undecodable(path: Path) -> int:
    """Packets of sound and subtitles that their decoders refuse."""
    refused = 0
    with av.open(str(path), metadata_errors="replace") as container:
        streams = [s for s in container.streams if s.type in ("audio", "subtitle") and s.codec_context is not None]
        try:
            for packet in container.demux(streams) if streams else ():
                try:
                    if packet.size:
                        packet.decode()
                except av.error.FFmpegError:
                    refused += 1
        except av.error.FFmpegError:
            refused += 1
    return refused


@pytest.mark.parametrize(
    ("preferred", "video", "streams", "extension", "reason"),
    [
        (".mp4", "prores", [("audio", "aac")], ".mov", ".mp4 cannot hold prores video"),
        (".m4v", "dnxhd", [], ".mov", ".m4v cannot hold dnxhd video"),
        (".mp4", "v210", [], ".mov", ".mp4 cannot hold v210 video"),
        (
            ".mp4",
            "prores",
            [("audio", "flac")],
            ".mkv",
            ".mp4 cannot hold prores video, and .mov cannot hold flac sound",
        ),
        (".mov", "vp9", [], ".mkv", ".mov cannot hold vp9 video"),
        (".webm", "h264", [("audio", "opus")], ".mkv", ".webm cannot hold h264 video"),
        (".mkv", "prores", [], ".mkv", None),
        (".mp4", "h264", [], ".mp4", None),
        (".mp4", "rawvideo", [], ".mp4", None),  # none holds it: told when the encoder is chosen
        ("", "prores", [], ".mkv", None),
    ],
)
def test_a_codec_finds_a_container(
    preferred: str, video: str, streams: list[tuple[str, str]], extension: str, reason: str | None
) -> None:
    assert fitting_container(preferred, streams, video) == (extension, reason)
