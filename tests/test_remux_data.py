"""Timecodes, data tracks, metadata and programs, in every container, and what is refused on the way."""

from __future__ import annotations

import io
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from media import packets
from remuxing import RATE, add_video, notes, remuxed, source

from vidstyle.others import SecondReading
from vidstyle.programs import programs_of
from vidstyle.remux import Remuxer

EXTENSIONS = [".mp4", ".mov", ".mkv", ".webm", ".ts"]


# --- timecodes, data tracks


@pytest.mark.parametrize("extension", [".mp4", ".mov", ".mkv"])
def test_a_timecode_track_is_kept_as_the_videos_timecode(tmp_path: Path, extension: str) -> None:
    path = tmp_path / "in.mov"
    with source(path) as made:
        made.out.streams.video[0].metadata["timecode"] = "01:02:03:04"
    with av.open(str(path)) as container:
        assert [s.type for s in container.streams] == ["video", "data"]
    remuxer = remuxed(path, tmp_path / f"out{extension}")
    assert notes(remuxer, "timecode") == [("kept", "as the styled video's timecode")]
    with av.open(str(tmp_path / f"out{extension}")) as container:
        found = {key.lower(): value for key, value in container.streams.video[0].metadata.items()}
        assert found["timecode"] == "01:02:03:04"


@pytest.mark.parametrize("extension", [".mp4", ".mov"])
def test_a_cameras_telemetry(shared, tmp_path: Path, extension: str) -> None:
    path = tmp_path / "in.mp4"
    path.write_bytes(shared("media/h265_with_metadata_track.mp4").read_bytes().replace(b"mett", b"gpmd"))
    remuxer = remuxed(path, tmp_path / f"out{extension}")
    assert notes(remuxer, "data") == [("copied", "")]
    assert packets(tmp_path / f"out{extension}", "data") == packets(path, "data")
    with av.open(str(tmp_path / f"out{extension}")) as container:
        assert [s.name for s in container.streams if s.type == "data"] == ["bin_data"]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_data_of_unknown_kinds_is_named(shared, tmp_path: Path, extension: str) -> None:
    remuxer = remuxed(shared("media/pixel-motion-photo-2-hevc-tracks.mp4"), tmp_path / f"out{extension}")
    assert notes(remuxer, "data") == [("dropped", "of a kind that cannot be written")] * 2


@pytest.mark.parametrize("kind", ["klv", "timed_id3"])
def test_data_of_transport_streams(tmp_path: Path, kind: str) -> None:
    def data(stream: Any) -> Any:
        for index in range(20):
            packet = av.Packet(bytes([index]) * 50)
            packet.stream, packet.time_base = stream, Fraction(1, 90000)
            packet.pts = packet.dts = index * 3600
            yield packet

    with source(tmp_path / "in.ts") as made:
        made.add(data(made.out.add_data_stream(kind)))
    remuxer = remuxed(tmp_path / "in.ts", tmp_path / "out.ts")
    assert notes(remuxer, "data") == [("copied", "")]
    before, after = packets(tmp_path / "in.ts", "data"), packets(tmp_path / "out.ts", "data")
    assert [d for _, d in after[0]] == [d for _, d in before[0]] != []
    remuxer = remuxed(tmp_path / "in.ts", tmp_path / "out.mp4")
    assert notes(remuxer, "data") == [("dropped", f"mp4 cannot hold {kind} data tracks")]


# --- metadata


@pytest.mark.parametrize("extension", [".mp4", ".mov", ".mkv"])
def test_languages_titles_and_flags_of_streams(tmp_path: Path, extension: str) -> None:
    with source(tmp_path / "in.mkv") as made:
        for language, title, flags in (("deu", "Ton — eins", 1), ("fra", "Commentaire", 8)):
            sound = made.sound("aac")
            sound.metadata.update(language=language, title=title)
            sound.disposition = flags
        made.subtitles("subrip", [(0, 500, "x")]).disposition = 64  # forced
    remuxed(tmp_path / "in.mkv", tmp_path / f"out{extension}")
    german = "ger" if extension == ".mov" else "deu"
    with av.open(str(tmp_path / f"out{extension}")) as container:
        sound = container.streams.audio
        assert [s.language for s in sound] == [german, "fra"]
        titles = [s.metadata.get("title") or s.metadata.get("name") for s in sound]
        assert titles == ["Ton — eins", "Commentaire"]
        assert [bool(s.disposition & 1) for s in sound] == [True, False]
        if extension != ".mov":
            assert [bool(s.disposition & 8) for s in sound] == [False, True]
            assert container.streams.subtitles[0].disposition & 64
    again = tmp_path / f"again{extension}"  # FFmpeg reads the title of a track of MP4 by another name
    remuxed(tmp_path / f"out{extension}", again)
    with av.open(str(again)) as container:
        assert [s.metadata.get("title") or s.metadata.get("name") for s in container.streams.audio] == titles


@pytest.mark.parametrize("extension", [".mp4", ".mov", ".mkv", ".webm", ".ts"])
def test_what_a_stream_is_for_is_named_where_it_is_not_kept(tmp_path: Path, extension: str) -> None:
    """An output either says the same of its streams, or the note says that it does not."""
    path, output = tmp_path / "in.mkv", tmp_path / f"out{extension}"
    with source(path) as made:
        made.sound("aac").disposition = 8  # comment
        made.subtitles("subrip", [(0, 500, "x")]).disposition = 64  # forced
    remuxer = remuxed(path, output)
    with av.open(str(output)) as container:
        for kind, flag, name in (("audio", 8, "comment"), ("subtitle", 64, "forced")):
            [(action, reason)] = notes(remuxer, kind)
            held = any(stream.disposition & flag for stream in container.streams if stream.type == kind)
            assert held != (f"not marked as {name} any more" in reason) or action == "dropped"


def test_tags_that_a_container_drops_are_named(tmp_path: Path) -> None:
    with source(tmp_path / "in.mkv") as made:
        made.sound("aac").metadata["REPLAYGAIN_TRACK_GAIN"] = "-3.20 dB"
        made.out.metadata.update(title="A day", custom="mine")
    for extension in (".mkv", ".mp4"):
        remuxed(tmp_path / "in.mkv", tmp_path / f"out{extension}")
        with av.open(str(tmp_path / f"out{extension}")) as container:
            found = {key.lower(): value for key, value in container.metadata.items()}
            assert (found["title"], found["custom"]) == ("A day", "mine")
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams.audio[0].metadata["REPLAYGAIN_TRACK_GAIN"] == "-3.20 dB"
    assert notes(remuxed(tmp_path / "in.mkv", tmp_path / "out.mp4"), "audio") == [
        ("copied", "without its tags REPLAYGAIN_TRACK_GAIN")
    ]
    assert notes(remuxed(tmp_path / "in.mkv", tmp_path / "out.ts"), "metadata") == [
        ("dropped", "mpegts cannot hold CUSTOM, title")
    ]


def test_a_cover_and_tags_of_ones_own_do_not_go_together_in_mp4(shared, tmp_path: Path) -> None:
    remuxer = remuxed(shared("media/metadata.mp4"), tmp_path / "out.mp4")
    ((action, reason),) = notes(remuxer, "metadata")
    assert action == "dropped"
    assert reason == (
        "mp4 cannot hold category, podcast, rating, sort_album and 5 more beside a cover picture (use .mkv)"
    )
    with av.open(str(shared("media/metadata.mp4"))) as before, av.open(str(tmp_path / "out.mp4")) as after:
        kept = {key for key in before.metadata if after.metadata.get(key) == before.metadata[key]}
        assert {"title", "artist", "album", "lyrics", "track"} <= kept
        assert len(before.metadata) - len(kept) <= 10


# --- the programs of transport streams


def test_a_programs_name_goes_along(tmp_path: Path) -> None:
    path = tmp_path / "in.ts"
    with source(path) as made:
        made.sound("aac")
        made.out.metadata.update(service_name="Das Erste ü", service_provider="ARD")
    assert programs_of(path) == [("Das Erste ü", "ARD")]
    remuxer = remuxed(path, tmp_path / "out.ts")
    assert notes(remuxer, "program") == [("kept", "the name 'Das Erste ü'")]
    assert programs_of(tmp_path / "out.ts") == [("Das Erste ü", "ARD")]
    remuxed(path, tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.metadata["SERVICE_NAME"] == "Das Erste ü"
    remuxer = remuxed(path, tmp_path / "out.mp4")
    assert notes(remuxer, "program") == [("dropped", "mp4 does not get the name 'Das Erste ü'")]


def test_programs_of_other_files(shared, tmp_path: Path) -> None:
    assert programs_of(shared("media/sample_with_sdt.ts")) == [("Some Channel", "Some provider")]
    blu_ray = tmp_path / "in.m2ts"
    data = shared("media/sample_with_sdt.ts").read_bytes()
    blu_ray.write_bytes(b"".join(bytes(4) + data[at : at + 188] for at in range(0, len(data) - 187, 188)))
    assert programs_of(blu_ray) == [("Some Channel", "Some provider")]
    for content in (b"", b"G", b"G" * 5000, bytes(range(256)) * 100):
        (tmp_path / "odd.ts").write_bytes(content)
        assert programs_of(tmp_path / "odd.ts") == []


# --- refusals


def test_what_a_container_refuses_is_known_before_any_packet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is added to the output that its header would then be refused for."""
    with source(tmp_path / "in.mkv") as made:
        made.sound("aac")
        made.sound("pcm_s16le")
    monkeypatch.setattr("vidstyle.containers._NOT", {})  # believe what FFmpeg says it holds
    from vidstyle import containers

    containers._supported.cache_clear()
    try:
        with source(tmp_path / "flac.mkv") as made:
            made.sound("flac")
        remuxer = remuxed(tmp_path / "flac.mkv", tmp_path / "out.mov")
    finally:
        monkeypatch.undo()
        containers._supported.cache_clear()
    ((action, reason),) = notes(remuxer, "audio")
    assert action == "converted" and "it cannot be copied" in reason and reason.endswith("now alac, the same samples")


def test_a_track_whose_packets_are_refused_does_not_end_the_others(tmp_path: Path) -> None:
    with source(tmp_path / "in.mkv") as made:
        made.sound("aac")
        made.sound("ac3")
    others = SecondReading(tmp_path / "in.mkv", 0, (None, None))
    with others, av.open(str(tmp_path / "out.mkv"), "w") as out:
        _, video = add_video(out, "libx264", 25)
        remuxer = Remuxer(others, out, "matroska", Fraction(0))
        for packet in video():
            remuxer.copy_until(packet.pts * Fraction(1, RATE * 512))
            if packet.pts == 512 * 10:
                real = remuxer._tracks[2].take

                def refused(packet: Any, real: Any = real) -> Any:
                    for ready in real(packet):
                        raise ValueError("non monotonically increasing dts")
                        yield ready

                remuxer._tracks[2].take = refused  # type: ignore[method-assign]
            out.mux(packet)
        remuxer.finish()
    assert [action for action, _ in notes(remuxer, "audio")] == ["copied", "dropped"]
    assert "it cannot be written after" in notes(remuxer, "audio")[1][1]
    assert set(remuxer.digests) == {1}
    assert [d for _, d in packets(tmp_path / "out.mkv", "audio")[0]] == [
        d for _, d in packets(tmp_path / "in.mkv", "audio")[0]
    ]


def test_y4m_takes_nothing_and_says_so(shared, tmp_path: Path) -> None:
    with (
        SecondReading(shared("media/sample_with_chapters.mp4"), 0, (None, None)) as others,
        av.open(str(tmp_path / "out.y4m"), "w", format="yuv4mpegpipe") as out,
    ):
        _, video = add_video(out, "rawvideo", 2)
        remuxer = Remuxer(others, out, "yuv4mpegpipe", Fraction(0))
        for packet in video():
            remuxer.copy_until(Fraction(0))
            out.mux(packet)
        remuxer.finish()
    assert {note.action for note in remuxer.notes} == {"dropped"}
    assert {note.kind for note in remuxer.notes} == {"audio", "chapters", "data", "metadata"}
    assert notes(remuxer, "audio") == [("dropped", "y4m holds pictures alone (use mkv)")]


def test_a_full_disk_is_an_error_of_the_whole_file(tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            if self.tell() > 2000:
                raise OSError(28, "No space left on device")
            return super().write(data)

    with source(tmp_path / "in.mkv") as made:
        made.sound("pcm_s16le")
    with SecondReading(tmp_path / "in.mkv", 0, (None, None)) as others, pytest.raises(OSError, match="No space"):
        out = av.open(Full(), "w", format="matroska")
        add_video(out, "libx264", 5)
        remuxer = Remuxer(others, out, "matroska", Fraction(0))
        remuxer.finish()
        out.close()


def test_times_that_run_backwards_are_repaired_and_said(tmp_path: Path) -> None:
    with source(tmp_path / "in.mkv") as made:
        made.sound("ac3")
    others = SecondReading(tmp_path / "in.mkv", 0, (None, None))
    real = others.until

    def disturbed(wanted: set[int], seconds: Fraction | None) -> Any:
        for number, (time, packet) in enumerate(real(wanted, seconds)):
            if number == 5:
                packet.pts = packet.dts = packet.dts - 40
            yield time, packet

    others.until = disturbed  # type: ignore[method-assign]
    with others, av.open(str(tmp_path / "out.mkv"), "w") as out:
        _, video = add_video(out, "libx264", 25)
        remuxer = Remuxer(others, out, "matroska", Fraction(0))
        for packet in video():
            out.mux(packet)
        remuxer.finish()
    assert notes(remuxer, "audio") == [("copied", "with times that ran backwards repaired")]
    (written,), (given,) = packets(tmp_path / "out.mkv", "audio"), packets(tmp_path / "in.mkv", "audio")
    assert [d for _, d in written] == [d for _, d in given]
    assert all(a < b for (a, _), (b, _) in pairwise(written))


def test_a_sound_that_no_decoder_knows_is_named(shared, tmp_path: Path) -> None:
    remuxer = remuxed(shared("media/sample_missing_stsd.mp4"), tmp_path / "out.mp4")
    assert notes(remuxer, "audio") == [("dropped", "its codec is unknown")]
