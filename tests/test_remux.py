"""Everything beside the styled picture, in every container: copied, converted, or named."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media import packets
from remuxing import Sound, encoded, remuxed, source, tone

from vidstyle.containers import can_hold
from vidstyle.copying import payload
from vidstyle.remux import Remuxer

EXTENSIONS = [".mp4", ".mov", ".mkv", ".webm", ".ts"]
MUXERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".ts": "mpegts"}


def note(remuxer: Remuxer, kind: str, number: int = 0) -> tuple[str, str]:
    """(action, reason) of the stream of a kind."""
    found = [n for n in remuxer.notes if n.kind == kind]
    return found[number].action, found[number].reason


# --- sound that is copied: what the table says a container holds is decoded again from it

HOLDERS = {  # a container that holds the codec for sure: the source
    **dict.fromkeys(("aac", "ac3", "libmp3lame", "mp2", "alac", "flac", "libopus", "vorbis", "tta", "wavpack"), ".mkv"),
    **dict.fromkeys(("pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_s16be", "pcm_u8", "pcm_f32le", "pcm_f64le"), ".mkv"),
    **dict.fromkeys(("pcm_s24be", "pcm_f32be", "pcm_alaw", "pcm_mulaw", "pcm_s8", "nellymoser"), ".mov"),
    **dict.fromkeys(("eac3", "adpcm_ima_qt", "libopencore_amrnb"), ".mov"),
}


@pytest.mark.parametrize("codec", HOLDERS)
def test_sound_that_a_container_holds_is_decoded_as_before(tmp_path: Path, codec: str) -> None:
    path = tmp_path / f"in{HOLDERS[codec]}"
    narrow = {"libopencore_amrnb": (8000, "mono"), "nellymoser": (44100, "mono")}
    with source(path, frames=10) as made:
        made.sound(codec, *narrow.get(codec, (48000, "stereo")), seconds=0.5)
    before = Sound(path)
    held = [e for e in EXTENSIONS if can_hold(MUXERS[e], before.codec)]
    assert held
    for extension in held:
        output = tmp_path / f"out{extension}"
        remuxer = remuxed(path, output, frames=10)
        assert note(remuxer, "audio")[0] == "copied"
        _same_sound(before, Sound(output), packets(path, "audio")[0], packets(output, "audio")[0])


def _same_sound(before: Sound, after: Sound, given: list, written: list) -> None:
    assert len(given) == len(written)
    # Priming that one container hides and another plays is no difference: whole frames at the ends.
    if before.samples.shape == after.samples.shape:
        assert np.abs(before.samples - after.samples).max() < 1e-3  # MPEG layers 2 and 3 may change decoders
    else:
        assert abs(before.seconds - after.seconds) < 0.05
    assert after.click() - before.click() == pytest.approx(_shift(given, written), abs=0.002)
    assert before.channels == after.channels and before.rate == after.rate


def _shift(given: list, written: list) -> float:
    return float(written[0][0] - given[0][0])


def test_pcm_that_names_no_speakers_is_held_by_mp4(tmp_path: Path) -> None:
    with source(tmp_path / "in.mkv") as made:
        made.sound("pcm_s24le", layout="5.1")
    with av.open(str(tmp_path / "in.mkv")) as container:
        assert container.streams.audio[0].layout.name == "6 channels"
    remuxer = remuxed(tmp_path / "in.mkv", tmp_path / "out.mp4")
    assert note(remuxer, "audio") == ("copied", "")
    before, after = Sound(tmp_path / "in.mkv"), Sound(tmp_path / "out.mp4")
    assert np.array_equal(before.samples, after.samples)
    assert after.layout == "5.1"


def test_times_in_milliseconds_become_exact_samples_in_mp4(tmp_path: Path) -> None:
    with source(tmp_path / "in.mkv") as made:
        made.sound("aac", rate=44100)
    remuxed(tmp_path / "in.mkv", tmp_path / "out.mp4")
    times = [time for time, _ in packets(tmp_path / "out.mp4", "audio")[0]]
    assert {b - a for a, b in pairwise(times)} == {Fraction(1024, 44100)}


def test_the_last_packet_is_played_where_the_source_gives_no_lengths(tmp_path: Path) -> None:
    with source(tmp_path / "in.mkv") as made:
        made.sound("alac")
    with av.open(str(tmp_path / "in.mkv")) as container:
        assert not any(packet.duration for packet in container.demux(audio=0) if packet.size)
    for extension in (".mp4", ".mov"):
        remuxed(tmp_path / "in.mkv", tmp_path / f"out{extension}")
        assert np.array_equal(Sound(tmp_path / "in.mkv").samples, Sound(tmp_path / f"out{extension}").samples)


def test_digests_are_of_the_finished_files_streams(tmp_path: Path) -> None:
    """An attachment, a conversion and a track that is empty must not move them."""
    path = tmp_path / "in.mkv"
    with source(path, frames=10) as made:
        made.out.add_attachment("font.ttf", "font/ttf", b"\0\1\2" * 100)
        made.subtitles("subrip", [])
        made.sound("pcm_u8", seconds=0.4)
        made.sound("aac", seconds=0.4)
    for extension, copied in ((".mp4", 1), (".mkv", 2), (".ts", 1), (".webm", 0)):
        output = tmp_path / f"out{extension}"
        remuxer = remuxed(path, output, frames=10)
        assert len(remuxer.digests) == copied
        assert {index: digest.digest() for index, digest in remuxer.digests.items()} == {
            index: _digest(output, index) for index in remuxer.digests
        }


def _digest(path: Path, index: int) -> bytes:
    again = hashlib.sha256()
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams[index]):
            if packet.size:
                again.update(payload(packet))
    return again.digest()


# --- sound that is converted

CONVERTED = [
    ("pcm_u8", ".mkv", ".mp4", "alac", "alac, the same samples"),
    ("wavpack", ".mkv", ".mov", "alac", "alac, the same samples"),
    ("pcm_alaw", ".mov", ".mkv", "flac", "flac, the same samples"),
    ("pcm_f32be", ".mov", ".mkv", "pcm_f32le", "pcm_f32le, the same samples"),
    ("flac", ".mkv", ".ts", "aac", "aac 256k"),
    ("aac", ".mkv", ".webm", "opus", "opus 192k"),
    ("libopus", ".mkv", ".mov", "aac", "aac 256k"),
    ("vorbis", ".mkv", ".ts", "aac", "aac 256k"),
]


@pytest.mark.parametrize(("codec", "holder", "extension", "target", "words"), CONVERTED)
def test_other_sound_is_converted_in_time(
    tmp_path: Path, codec: str, holder: str, extension: str, target: str, words: str
) -> None:
    path, output = tmp_path / f"in{holder}", tmp_path / f"out{extension}"
    with source(path) as made:
        made.sound(codec)
    remuxer = remuxed(path, output)
    action, reason = note(remuxer, "audio")
    assert action == "converted" and reason.endswith(f"now {words}")
    assert remuxer.digests == {}
    before, after = Sound(path), Sound(output)
    assert after.codec == target
    assert (after.channels, after.rate) == (before.channels, before.rate)
    assert after.seconds == pytest.approx(before.seconds, abs=0.025)
    with av.open(str(output)) as container:
        shift = float(container.streams.video[0].start_time * container.streams.video[0].time_base)
    assert after.click() - shift == pytest.approx(before.click(), abs=0.002)
    if "same samples" in words:
        assert next(n.harmless for n in remuxer.notes if n.kind == "audio")
        assert np.array_equal(before.samples, after.samples)


def test_a_late_start_and_a_gap_stay_in_time(tmp_path: Path) -> None:
    path, output = tmp_path / "in.mkv", tmp_path / "out.webm"
    with source(path, frames=75) as made:
        stream = made.out.add_stream("aac", rate=48000, layout="mono")
        sound = tone(48000, 1, 2.5, click=2.0)
        made.add(encoded(stream, sound, skip=lambda at: 48000 <= at < 72000, late=14400))  # half a second is missing
    remuxed(path, output, frames=75)
    before, after = Sound(path), Sound(output)
    assert after.start == pytest.approx(before.start, abs=0.025) and before.start > 0.25
    assert after.click() == pytest.approx(2.3, abs=0.025)


@pytest.mark.parametrize("layout", ["mono", "5.1(side)", "7.1"])
@pytest.mark.parametrize("extension", [".mp4", ".webm", ".ts"])
def test_all_channels_are_kept(tmp_path: Path, layout: str, extension: str) -> None:
    path, output = tmp_path / "in.mkv", tmp_path / f"out{extension}"
    with source(path, frames=10) as made:
        made.sound("wavpack", layout=layout, seconds=0.4)
    remuxer = remuxed(path, output, frames=10)
    assert note(remuxer, "audio")[0] == "converted"
    before, after = Sound(path), Sound(output)
    assert after.channels == before.channels
    for ours, theirs in zip(after.samples, before.samples, strict=True):
        before_click = slice(2000, 9000)
        spectra = [np.abs(np.fft.rfft(x[before_click] - x[before_click].mean())).argmax() for x in (ours, theirs)]
        assert abs(spectra[0] - spectra[1]) <= 1  # each channel has a tone of its own


def test_a_rate_that_no_encoder_takes_is_resampled(tmp_path: Path) -> None:
    with source(tmp_path / "in.mkv") as made:
        made.sound("pcm_s16le", rate=37800)
    remuxed(tmp_path / "in.mkv", tmp_path / "out.webm")
    after = Sound(tmp_path / "out.webm")
    assert after.rate == 48000
    assert after.click() == pytest.approx(0.5, abs=0.002)
    assert after.seconds == pytest.approx(1, abs=0.025)


def test_a_part_of_converted_sound(tmp_path: Path) -> None:
    with source(tmp_path / "in.mkv", frames=75) as made:
        made.sound("flac", seconds=3)
    remuxed(tmp_path / "in.mkv", tmp_path / "out.webm", span=(Fraction(5, 4), Fraction(2)), frames=19)
    after = Sound(tmp_path / "out.webm")
    assert after.click() == pytest.approx(0.25, abs=0.002)
    assert after.seconds == pytest.approx(0.75, abs=0.1)


def test_damaged_sound_is_said_and_does_not_end_the_rest(tmp_path: Path) -> None:
    def damaged(stream: Any) -> Iterator[Any]:
        for number, packet in enumerate(encoded(stream, tone(48000, 1))):
            if number == 1:
                broken = av.Packet(b"\xff\xf8" + bytes(range(200)))
                broken.stream, broken.pts, broken.dts = stream, packet.pts, packet.dts
                broken.time_base, broken.duration = packet.time_base, packet.duration
                packet = broken
            yield packet

    with source(tmp_path / "in.mkv") as made:
        made.add(damaged(made.out.add_stream("flac", rate=48000, layout="mono")))
    remuxer = remuxed(tmp_path / "in.mkv", tmp_path / "out.webm")
    action, reason = note(remuxer, "audio")
    assert action == "converted" and "1 packets could not be decoded" in reason
    assert not next(n.harmless for n in remuxer.notes if n.kind == "audio")
    assert Sound(tmp_path / "out.webm").click() == pytest.approx(0.5, abs=0.02)
