"""Second videos, covers, chapters, attachments, timecodes, data tracks and metadata, in every container."""

from __future__ import annotations

import hashlib
import io
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from media import packets
from remuxing import RATE, add_video, cues, remuxed, source

from vidstyle.others import SecondReading
from vidstyle.programs import programs_of
from vidstyle.remux import Remuxer, payload

EXTENSIONS = [".mp4", ".mov", ".mkv", ".webm", ".ts"]


def notes(remuxer: Remuxer, kind: str) -> list[tuple[str, str]]:
    return [(n.action, n.reason) for n in remuxer.notes if n.kind == kind]


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
