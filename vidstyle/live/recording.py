"""The session in a file: every picture at the time it was captured, with sound where there is a microphone."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from filelock import FileLock

from vidstyle.codecs import EncoderOptions, choose_encoder
from vidstyle.errors import SinkError, UsageError
from vidstyle.frame import MATRIX_601, RANGE_LIMITED, VideoInfo
from vidstyle.live.clock import Clock, Flag
from vidstyle.live.microphone import RATE, Microphone
from vidstyle.live.pixels import to_i420
from vidstyle.locking import hold, let_go
from vidstyle.whole import led_to
from vidstyle.workfolder import work_path

TIME_BASE = Fraction(1, 90_000)
TOLERANCE = RATE // 20  # samples: 50 ms of drift before silence is put in or sound left out
PATIENCE = 0.5  # seconds that the microphone gets to end
#: of a killed recording all but the last two seconds can be played, at any rate; a finished one is an ordinary MP4
SAFE = {"movflags": "hybrid_fragmented+frag_keyframe", "frag_duration": "2000000", "flush_packets": "1"}
#: extension -> (FFmpeg's muxer, its options)
MUXERS = {
    ".mp4": ("mp4", SAFE),
    ".mov": ("mov", SAFE),
    ".mkv": ("matroska", {"cluster_time_limit": "2000", "flush_packets": "1"}),
}
# Quick, and nothing held back: the cores belong to the look.
ENCODING = EncoderOptions(crf=20, preset="ultrafast", extra=(("tune", "zerolatency"),))


class Recorder:
    """Writes ``NAME.part`` and puts it in place at `close`. The first picture is at 0.

    Args:
        microphone: read from the first picture on, on a thread of its own; closed with this.
        say: shows a line to the person.
        sources: files that are read meanwhile.

    Raises:
        UsageError: an extension that is none of `MUXERS`, or the file is one of ``sources``, also through links.
        SinkError: the file exists, or that of an interrupted session; another session writes it; or it cannot be
            written.
    """

    patience = 10.0  # a disk may be slow to take what it was given
    problem = ""  # see `vidstyle.live.outlet.Output`

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        rate: float,
        clock: Clock,
        microphone: Microphone | None = None,
        overwrite: bool = False,
        say: Callable[[str], None] = lambda _: None,
        sources: Sequence[Path] = (),
    ) -> None:
        self.path, self.frames = path, 0
        _check(path, sources)
        self._part = work_path(path)
        self._clock, self._microphone, self._say = clock, microphone, say
        self._start: float | None = None  # seconds of the clock at the first picture
        self._last = -1
        self._samples = 0
        self._stop = Flag(clock)
        self._lock = threading.Lock()
        self._thread = clock.thread(self._listen, "microphone")
        self._own = _alone(path, self._part)
        try:
            _check_free(path, self._part, overwrite)
            self._open(width, height, rate)
        except BaseException:
            let_go(self._own)
            raise

    def _open(self, width: int, height: int, rate: float) -> None:
        muxer, options = MUXERS[self.path.suffix.lower()]
        try:
            self._part.touch()  # the header is written with the first picture: closing MP4 without any would crash
            self._container: Any = av.open(f"file:{self._part}", "w", format=muxer, options=dict(options))
            self._video = self._add_video(width, height, Fraction(rate).limit_denominator(1001))
            self._sound = self._add_sound() if self._microphone else None
        except (OSError, ValueError, av.error.FFmpegError) as error:
            raise _refusal(self.path, error) from error

    def _add_video(self, width: int, height: int, rate: Fraction) -> Any:
        info = VideoInfo(width, height, (height, width), TIME_BASE, rate)
        choice = choose_encoder(self.path, info, ENCODING)
        stream: Any = self._container.add_stream(choice.encoder, rate=rate, options=dict(choice.options))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.time_base, context.gop_size = TIME_BASE, max(1, round(2 * rate))
        context.colorspace, context.color_range = MATRIX_601, RANGE_LIMITED
        context.color_primaries = context.color_trc = 1  # BT.709, as screens have
        return stream

    def _add_sound(self) -> Any:
        assert self._microphone is not None
        layout = "mono" if self._microphone.channels == 1 else "stereo"
        return self._container.add_stream("aac", rate=RATE, layout=layout)

    def send(self, picture: np.ndarray, status: dict[str, Any]) -> None:
        """Encode a picture captured at ``status["time"]``; a repeated one needs no second place in the file.

        Raises:
            SinkError: the disk is full, or the encoder refuses.
        """
        if status["repeat"]:
            return
        if self._start is None:
            self._start = status["time"]
            if self._microphone is not None:
                self._thread.start()
        frame = av.VideoFrame.from_ndarray(to_i420(picture), format="yuv420p")
        frame.pts = self._last = max(self._last + 1, round((status["time"] - self._start) / TIME_BASE))
        frame.time_base = TIME_BASE
        self._write(self._video, frame)
        self.frames += 1

    def _write(self, stream: Any, frame: Any) -> None:
        try:
            with self._lock:
                self._container.mux(stream.encode(frame))
        except (OSError, ValueError, av.error.FFmpegError) as error:
            raise _refusal(self.path, error) from error

    def _listen(self) -> None:
        assert self._microphone is not None
        try:
            for time, samples in self._microphone.chunks(self._stop):
                if self._stop.is_set:
                    return
                self._hear(time, samples)
        except Exception as error:  # of a driver or a library, whatever it raises: the pictures go on
            self.problem = f"the recording goes on without {self._microphone.label}: {' '.join(str(error).split())}"
            self._say(self.problem)

    def _hear(self, time: float, samples: np.ndarray) -> None:
        """Encode sound whose first sample was captured at ``time``, at its place beside the pictures."""
        assert self._start is not None
        ahead = round((time - self._start) * RATE) - self._samples  # how far it lies behind what is written
        if not self._samples and ahead < 0:  # from before the first picture
            samples = samples[:, -ahead:]
        elif ahead > (TOLERANCE if self._samples else 0):
            samples = np.concatenate([np.zeros((len(samples), ahead), np.float32), samples], axis=1)
        elif ahead < -TOLERANCE:
            return
        if samples.shape[1]:
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples), format="fltp", layout="mono" if len(samples) == 1 else "stereo"
            )
            frame.sample_rate, frame.pts, frame.time_base = RATE, self._samples, Fraction(1, RATE)
            self._samples += samples.shape[1]
            self._write(self._sound, frame)

    def close(self) -> None:
        """Write what is left and put the file in place; nothing is left of a recording without pictures.

        Raises:
            SinkError: it could not be finished; the part that is there is named.
        """
        self._stop.set()
        if self._microphone is not None and (self._thread.ident is None or self._clock.join(self._thread, PATIENCE)):
            self._microphone.close()
        try:
            for stream in (self._video, self._sound) if self.frames else ():
                if stream is not None:
                    self._write(stream, None)
            with self._lock:
                self._container.close()
            self._put_in_place()
        except (OSError, av.error.FFmpegError, SinkError) as error:
            with contextlib.suppress(Exception):
                self._container.close()
            reason = getattr(error, "strerror", None) or error
            raise SinkError(
                f"the recording could not be finished ({reason}): what there is of it is {self._part}"
            ) from error
        finally:
            let_go(self._own)

    def _put_in_place(self) -> None:
        if not self.frames:
            self._part.unlink(missing_ok=True)
            return
        with open(self._part, "rb+") as file:
            os.fsync(file.fileno())
        self._part.replace(led_to(self.path))


def _refusal(path: Path, error: Exception) -> SinkError:
    return SinkError(f"cannot record to {path}: {getattr(error, 'strerror', None) or error}")


def _check(path: Path, sources: Sequence[Path]) -> None:
    if path.suffix.lower() not in MUXERS:
        raise UsageError(f"cannot record to {path.name!r}: use one of the extensions {' '.join(MUXERS)}")
    if not (folder := led_to(path).parent).is_dir():
        raise SinkError(f"no folder {folder} to record {path.name} to: make it first")
    for written in (path, work_path(path)):
        if written.exists() and any(written.samefile(source) for source in sources):
            raise UsageError(f"{written} is read in this session: give --record another name")


def _alone(path: Path, part: Path) -> FileLock:
    """Held as long as ``part`` is written: of two sessions in one file nothing could be played."""
    try:
        return hold(part.with_name(f"{part.name}.lock"), f"another session records to {path}: give another name")
    except OSError as error:
        raise _refusal(path, error) from error


def _check_free(path: Path, part: Path, overwrite: bool) -> None:
    """Refuse to go over a file that is there, or what a killed session has left."""
    for written in (path, part):
        if written.is_dir():  # as the work of a run of vidstyle file is
            raise SinkError(f"{written} is a folder: give --record another name")
    if path.exists() and not overwrite:
        raise SinkError(f"{path} exists: give another name, or --overwrite")
    if part.exists() and part.stat().st_size and not overwrite:
        what = f"{part} is what an interrupted session recorded, and can be played"
        raise SinkError(f"{what}: rename or delete it, or --overwrite")
