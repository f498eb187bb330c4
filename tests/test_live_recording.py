"""A session in a file: every picture at its time, with sound, whole or playable up to a kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from live_fakes import SimulatedClock
from media import left_behind, make_clip, picture

from vidstyle.errors import SinkError, SourceError, UsageError
from vidstyle.live import microphone as microphone_module
from vidstyle.live.clock import Clock
from vidstyle.live.devices import find_microphone
from vidstyle.live.microphone import RATE, Microphone
from vidstyle.live.recording import Recorder


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def said() -> list[str]:
    return []


def record(recorder: Recorder, clock: SimulatedClock, times: list[float]) -> None:
    """Send `picture` 0, 1, 2 ... captured at these seconds from now, each when it is captured."""
    start = clock.now()
    for index, time in enumerate(times):
        clock.sleep(max(0.0, start + time - clock.now()))
        recorder.send(picture(index, 64, 48), {"time": start + time, "repeat": False})


def read(path: Path) -> tuple[list[float], list[np.ndarray], np.ndarray]:
    """(seconds of every picture, the pictures, samples of the sound)."""
    times, images, sound = [], [], [np.zeros((1, 0), np.float32)]
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            times.append(frame.time)
            images.append(frame.reformat(format="gbrp").reformat(format="rgb24").to_ndarray())
    with av.open(str(path)) as container:
        if container.streams.audio:
            sound += [frame.to_ndarray()[:1] for frame in container.decode(audio=0)]
    return times, images, np.concatenate(sound, axis=1)[0]


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.mov"])
def test_a_recording_has_every_picture_at_its_time(tmp_path: Path, clock: SimulatedClock, name: str) -> None:
    recorder = Recorder(tmp_path / name, 64, 48, 30.0, clock)
    times = [0.0, 0.033, 0.067, 0.5, 0.533, 2.0]  # the camera was away in between
    record(recorder, clock, times)
    recorder.send(picture(99, 64, 48), {"time": clock.now(), "repeat": True})
    recorder.close()
    found, images, sound = read(tmp_path / name)
    assert found == pytest.approx(times, abs=1e-3) and not len(sound)
    for index, image in enumerate(images):
        assert np.abs(image.astype(int) - picture(index, 64, 48)).mean() < 6
    assert left_behind(tmp_path, name) == []


def beep(path: Path, at: float, seconds: float = 3.0) -> Path:
    """A sound that is silent but for 0.1 s of a tone."""
    samples = np.zeros((1, int(RATE * seconds)), np.float32)
    place = int(at * RATE)
    samples[0, place : place + RATE // 10] = 0.5 * np.sin(np.arange(RATE // 10) * 0.2)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_f32le", rate=RATE, layout="mono")
        for start in range(0, samples.shape[1], 4800):
            frame = av.AudioFrame.from_ndarray(samples[:, start : start + 4800], format="flt", layout="mono")
            frame.sample_rate, frame.pts = RATE, start
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def onset(sound: np.ndarray) -> float:
    return float(np.flatnonzero(np.abs(sound) > 0.1)[0]) / RATE


def test_sound_lies_beside_the_picture_of_its_moment(tmp_path: Path, clock: SimulatedClock) -> None:
    """The tone begins 1.2 s after the first picture; the look's slowness does not move it."""
    microphone = Microphone(find_microphone(str(beep(tmp_path / "beep.wav", 1.2))), clock)
    recorder = Recorder(tmp_path / "out.mkv", 64, 48, 30.0, clock, microphone)
    start = clock.now()
    for index in range(60):  # pictures come 0.15 s after their capture
        captured = start + index / 30
        clock.sleep(max(0.0, captured + 0.15 - clock.now()))
        recorder.send(picture(index, 64, 48), {"time": captured, "repeat": False})
    recorder.close()
    times, _, sound = read(tmp_path / "out.mkv")
    assert times == pytest.approx([i / 30 for i in range(60)], abs=1e-3)
    # The file of the beep began to play when the first picture arrived: 0.15 s after its capture.
    assert onset(sound) == pytest.approx(1.2 + 0.15, abs=0.03)


def test_a_gap_in_the_sound_is_silence(tmp_path: Path, clock: SimulatedClock) -> None:
    class Gappy:
        channels, label = 1, "microphone"

        def chunks(self, stop: Any) -> Iterator[tuple[float, np.ndarray]]:
            start = clock.now() - 0.5  # begins before the first picture
            for index in range(20):
                if stop.wait(max(0.0, start + index / 10 - clock.now())):
                    return
                if not 8 <= index < 12:
                    yield start + index / 10, np.full((1, RATE // 10), 0.5 if index >= 12 else 0.0, np.float32)

        def close(self) -> None:
            pass

    recorder = Recorder(tmp_path / "out.mkv", 64, 48, 30.0, clock, Gappy())  # type: ignore[arg-type]
    record(recorder, clock, [i / 30 for i in range(50)])
    recorder.close()
    assert onset(read(tmp_path / "out.mkv")[2]) == pytest.approx(1.2 - 0.5, abs=0.03)


def test_a_recording_goes_on_without_its_microphone(tmp_path: Path, clock: SimulatedClock, said: list[str]) -> None:
    class Lost:
        channels, label = 2, "microphone X"

        def chunks(self, _: Any) -> Iterator[tuple[float, np.ndarray]]:
            yield clock.now(), np.zeros((2, 4800), np.float32)
            raise SourceError("unplugged")

        def close(self) -> None:
            pass

    recorder = Recorder(tmp_path / "out.mp4", 64, 48, 30.0, clock, Lost(), say=said.append)  # type: ignore[arg-type]
    record(recorder, clock, [i / 30 for i in range(30)])
    recorder.close()
    assert said == [recorder.problem] == ["the recording goes on without microphone X: unplugged"]
    assert len(read(tmp_path / "out.mp4")[0]) == 30


class Broken:
    size = 1

    def decode(self) -> None:
        raise av.error.InvalidDataError(1, "Invalid data")


def test_damaged_sound_costs_itself_alone(
    tmp_path: Path, clock: SimulatedClock, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, broken = microphone_module.timed_packets, range(3, 8)  # about 85 ms each

    def some(*args: Any) -> Any:
        for number, (time, packet) in enumerate(real(*args)):
            yield time, Broken() if number in broken else packet

    monkeypatch.setattr(microphone_module, "timed_packets", some)
    microphone = Microphone(find_microphone(str(beep(tmp_path / "beep.wav", 1.2))), clock)
    recorder = Recorder(tmp_path / "out.mkv", 64, 48, 30.0, clock, microphone, say=said.append)
    record(recorder, clock, [i / 30 for i in range(60)])
    recorder.close()
    assert onset(read(tmp_path / "out.mkv")[2]) == pytest.approx(1.2, abs=0.03) and said == []


def test_sound_of_which_nothing_can_be_decoded_is_told(
    tmp_path: Path, clock: SimulatedClock, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(microphone_module, "timed_packets", lambda *_: ((0.0, Broken()) for _ in range(1000)))
    microphone = Microphone(find_microphone(str(beep(tmp_path / "beep.wav", 1.2))), clock)
    recorder = Recorder(tmp_path / "out.mkv", 64, 48, 30.0, clock, microphone, say=said.append)
    record(recorder, clock, [0.0, 0.1])
    recorder.close()
    assert len(said) == 1 and "its sound cannot be decoded" in said[0] and len(read(tmp_path / "out.mkv")[0]) == 2


@pytest.mark.parametrize("rate", [30.0, 400.0])  # the second is not the real one: key pictures are rare then
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_what_was_recorded_before_a_kill_can_be_played(
    tmp_path: Path, clock: SimulatedClock, name: str, rate: float
) -> None:
    recorder = Recorder(tmp_path / name, 64, 48, rate, clock)
    record(recorder, clock, [i / 30 for i in range(200)])
    copy = tmp_path / f"copy.{name}"
    copy.write_bytes((tmp_path / f"{name}.part").read_bytes())  # as a kill leaves it
    assert len(read(copy)[0]) >= 200 - 61
    recorder.close()
    assert len(read(tmp_path / name)[0]) == 200
    if name == "out.mp4":  # finished, it is one whole film, which other programs read too
        with av.open(str(tmp_path / name)) as container:
            assert container.streams.video[0].frames == 200


def test_what_a_killed_session_left_is_not_gone_over_unasked(tmp_path: Path, clock: SimulatedClock) -> None:
    part = tmp_path / "out.mp4.part"
    part.write_bytes(b"minutes of a call")
    with pytest.raises(SinkError, match=r"out\.mp4\.part is what an interrupted session recorded.*or --overwrite"):
        Recorder(tmp_path / "out.mp4", 64, 48, 30.0, clock)
    assert part.read_bytes() == b"minutes of a call" and len(list(tmp_path.iterdir())) == 1
    recorder = Recorder(tmp_path / "out.mp4", 64, 48, 30.0, clock, overwrite=True)
    record(recorder, clock, [0.0, 0.1])
    recorder.close()
    assert len(read(tmp_path / "out.mp4")[0]) == 2
    part.touch()  # of a session killed before its first picture: nothing is lost with it
    Recorder(tmp_path / "out.mp4", 64, 48, 30.0, clock, overwrite=True).close()


def test_a_second_session_in_one_file_is_refused(tmp_path: Path, clock: SimulatedClock) -> None:
    recorder = Recorder(tmp_path / "out.mp4", 64, 48, 30.0, clock)
    record(recorder, clock, [0.0, 0.1])
    for overwrite in (False, True):
        with pytest.raises(SinkError, match=r"another session records to .*out\.mp4: give another name"):
            Recorder(tmp_path / "out.mp4", 64, 48, 30.0, clock, overwrite=overwrite)
    recorder.close()
    assert len(read(tmp_path / "out.mp4")[0]) == 2 and left_behind(tmp_path, "out.mp4") == []
    Recorder(tmp_path / "out.mp4", 64, 48, 30.0, clock, overwrite=True).close()  # it is free again


def test_a_folder_is_no_recording(tmp_path: Path, clock: SimulatedClock) -> None:
    for name in ("out.mp4", "a.mkv.part"):  # the second as an interrupted run of vidstyle file leaves it
        (tmp_path / name).mkdir()
        with pytest.raises(SinkError, match=f"{name} is a folder: give --record another name"):
            Recorder(tmp_path / name.removesuffix(".part"), 64, 48, 30.0, clock, overwrite=True)


def test_what_a_link_leads_to_is_written(tmp_path: Path, clock: SimulatedClock) -> None:
    for name in ("here", "kept"):
        (tmp_path / name).mkdir()
    link, target = tmp_path / "here" / "out.mp4", tmp_path / "kept" / "film"
    target.write_bytes(b"before")
    link.symlink_to(target)
    recorder = Recorder(link, 64, 48, 30.0, clock, overwrite=True)
    record(recorder, clock, [0.0])
    assert target.read_bytes() == b"before"
    recorder.close()
    assert link.is_symlink() and len(read(target)[0]) == 1
    assert left_behind(link.parent, "out.mp4") == left_behind(target.parent, "film") == []


def test_without_pictures_nothing_is_left(tmp_path: Path, clock: SimulatedClock) -> None:
    Recorder(tmp_path / "out.mp4", 64, 48, 30.0, clock).close()
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_recorded_to_is_refused(tmp_path: Path, clock: SimulatedClock) -> None:
    def refused(path: Path, kind: type[Exception], says: str) -> None:
        with pytest.raises(kind, match=says):
            Recorder(path, 64, 48, 30.0, clock)

    refused(tmp_path / "out.avi", UsageError, r"\.mp4 \.mov \.mkv")
    refused(Path(), UsageError, r"cannot record to '': use one of")
    refused(tmp_path / "missing" / "out.mp4", SinkError, "make it first")
    (tmp_path / "there.mp4").write_bytes(b"mine")
    refused(tmp_path / "there.mp4", SinkError, "--overwrite")
    assert (tmp_path / "there.mp4").read_bytes() == b"mine"
    recorder = Recorder(tmp_path / "there.mp4", 64, 48, 30.0, clock, overwrite=True)
    record(recorder, clock, [0.0])
    recorder.close()
    assert len(read(tmp_path / "there.mp4")[0]) == 1


@pytest.mark.parametrize("written", ["out.mp4", "out.mp4.part"])
def test_what_is_read_meanwhile_is_not_written_to(tmp_path: Path, clock: SimulatedClock, written: str) -> None:
    """Nor through a link: with --overwrite, the session would end what it lives on."""
    source = tmp_path / "in.mp4"
    source.write_bytes(b"a film")
    (tmp_path / written).symlink_to(source)
    for overwrite in (True, False):
        with pytest.raises(UsageError, match=rf"{written} is read in this session: give --record another name"):
            Recorder(tmp_path / "out.mp4", 64, 48, 30.0, clock, overwrite=overwrite, sources=[source])
    assert source.read_bytes() == b"a film" and len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full to fill")
def test_a_full_disk_is_told_and_the_rest_goes_on(tmp_path: Path, clock: SimulatedClock) -> None:
    (tmp_path / "out.mkv.part").symlink_to("/dev/full")
    with pytest.raises(SinkError, match="No space left"):
        recorder = Recorder(tmp_path / "out.mkv", 64, 48, 30.0, clock)
        record(recorder, clock, [i / 30 for i in range(2000)])
        recorder.close()


def test_a_microphone_must_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = make_clip(tmp_path / "in.mp4", frames=2, audio=0).path
    with pytest.raises(SourceError, match="has no sound"):
        Microphone(find_microphone(str(silent)), Clock())
    monkeypatch.setattr("vidstyle.live.devices._list", lambda *_: [])
    with pytest.raises(SourceError, match=r"no microphone|reads no microphones"):
        find_microphone("Blue Yeti")
