"""Cameras, streams, files and test pictures through FFmpeg, which gives a camera's own YUV without a detour."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import av
import numpy as np

from vidstyle import orientation
from vidstyle.containers import best_video
from vidstyle.convert import Converter
from vidstyle.describe import aspect_of, rate_of
from vidstyle.errors import SourceError
from vidstyle.frame import VideoInfo
from vidstyle.live.camera import CameraInfo
from vidstyle.live.change import Rect
from vidstyle.live.clock import Clock, Flag
from vidstyle.live.devices import PATIENCE, Opening, Wish
from vidstyle.live.pixels import Fit
from vidstyle.remote import NOT_VALID, heeding_signals, reason
from vidstyle.tags import colour_of

FAULTS = 30  # undecodable packets in a row after which a camera counts as gone
LATE = 1.0  # seconds that a file may be behind its own times before they are moved
AT_ONCE = 0.001  # seconds: quicker than this only what was there already is read
STALE = 1.0  # seconds: a driver's time stamp older than this is of another clock


class AVCamera:
    """A `vidstyle.live.camera.Camera` through PyAV. What has no pace of its own is read at that of its times.

    Raises:
        SourceError: it cannot be opened, or gives another size than ``wish`` names.
    """

    def __init__(self, opening: Opening, wish: Wish, fit: Fit, clock: Clock) -> None:
        self._wish, self._fit, self._clock = wish, fit, clock
        self.area: Rect | None = None
        self._container = open_device(opening)
        if opening.is_address and self._container.duration:
            self._container.close()
            opening = opening.of_film(wish)
            self._container = open_device(opening)
        self._opening = opening
        try:
            if not self._container.streams.video:
                raise SourceError(f"{opening.label} has no pictures: name a camera or a video")
            self._stream = best_video(self._container, opening.label)
            self._stream.thread_type = "SLICE"  # threads by frames would each hold one back
            self._size: tuple[int, int] | None = None
            self.info = self._describe()
            self._check_size()
        except BaseException:
            self._container.close()
            raise

    def _describe(self) -> CameraInfo:
        stream, opening = self._stream, self._opening
        rate = float(rate_of(stream) or 0) or None
        coding = "test source" if opening.format == "lavfi" else f"{stream.codec_context.name}"
        through = f" through {opening.format}" if opening.is_device and opening.format else ""
        endless = opening.is_endless
        return CameraInfo(
            opening.label, stream.width, stream.height, rate, coding + through, endless, opening.is_device
        )

    def _check_size(self) -> None:
        given = self.info.width, self.info.height
        if self._wish.size not in (None, given):
            asked, gives = self._wish.shape, f"{given[0]}x{given[1]}"
            raise SourceError(
                f"{self.info.label} cannot give {asked}, it gives {gives}: leave --camera-size out or name {gives}"
            )

    def pictures(self, stop: Flag) -> Iterator[tuple[float, np.ndarray]]:
        faults, turn, asked = 0, None, self._clock.now()
        pace = pace_of(self._opening, self._clock, stop)
        # A picture coded by itself is due before it is decoded, as a camera's is; others are stored out of order.
        by_packet = self._stream.codec_context.codec.intra_only or self._opening.format == "lavfi"
        for time, packet in timed_packets(self._container, self._stream, self._clock, stop, pace, by_packet):
            if by_packet and self._is_old(time, asked) and packet.pts is not None:
                asked = self._clock.now()
                continue
            try:
                frames = packet.decode()
                faults = 0
            except (av.error.FFmpegError, OSError) as error:  # cameras begin with half a picture now and then
                faults += 1
                if faults == FAULTS:
                    raise SourceError(f"its pictures cannot be decoded ({error.strerror or error})") from error
                continue
            for frame in frames:
                turn = orientation.of_frame(frame, self._stream.codec_context.name) if turn is None else turn
                if pace is not None and not by_packet and frame.time is not None:
                    time = pace.due(frame.time)
                    if stop.is_set:
                        return
                yield time, self._convert(frame, turn)
            asked = self._clock.now()

    def _is_old(self, time: float, asked: float) -> bool:
        """Whether a newer picture waits behind one of this time: it came at once, and should have come before.

        Drivers queue what is not fetched in time, dozens of pictures long; to be late once is to be late for good.
        """
        now = self._clock.now()
        return now - asked < AT_ONCE and now - time > 2 / (self.info.rate or 30)

    def _convert(self, frame: Any, turn: int) -> np.ndarray:
        """The decoded frame in the session's size."""
        if (size := (frame.width, frame.height)) != self._size:
            self._size, self._converter = size, self._make_converter(frame, turn)
        picture = self._converter(frame).image
        self.area = self._fit.area(*picture.shape[:2])
        return self._fit.place(picture)

    def _make_converter(self, frame: Any, turn: int) -> Converter:
        """As ``vidstyle file`` has it, for pictures of this one's size: square pixels, and HDR as a screen shows it."""
        stored = frame.width, frame.height
        square = round(frame.width * aspect_of(self._stream)), frame.height
        if orientation.swaps_sides(turn):
            stored, square = stored[::-1], square[::-1]
        info = VideoInfo(*stored, self._fit.inner(*square)[::-1], self._stream.time_base, None, orientation=turn)
        colour = colour_of(frame)
        if self._opening.is_device:  # a camera that does not say means BT.601, whatever its size
            colour = replace(colour, height=0)
        return Converter(info, colour, originals=False, note=lambda _: None)

    def close(self) -> None:
        self._container.close()


def open_device(opening: Opening) -> Any:
    """Open with the first of its options that the device takes.

    Raises:
        SourceError: with none of them; what is in the way, and what to do.
    """
    for number, options in enumerate(opening.tries, start=1):
        try:
            return heeding_signals(_open, opening, options) if opening.is_address else _open(opening, options)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            code = getattr(error, "errno", None)
            if number == len(opening.tries) or code in _REASONS:
                raise SourceError(_refusal(opening, error, code)) from error
    raise AssertionError("an opening without options to try")


def _open(opening: Opening, options: dict[str, str]) -> Any:
    more: dict[str, Any] = {} if opening.format else {"timeout": PATIENCE}
    return av.open(opening.address, format=opening.format, options=dict(options), metadata_errors="replace", **more)


_REASONS = {
    errno.ENOENT: "it is not connected, or there is no such file; see vidstyle live --list",
    errno.ENODEV: "it is not connected; see vidstyle live --list",
    errno.ENXIO: "it is not connected; see vidstyle live --list",
    errno.EBUSY: "another program uses it: close that one first",
    errno.EACCES: "not allowed: on Linux join the group video (sudo usermod -aG video $USER, then log in again), "
    "on macOS and Windows allow the camera in the privacy settings",
    errno.ENOTTY: "it is no camera; see vidstyle live --list",
    errno.ECONNREFUSED: "nobody answers at that address",
}
_REASONS[errno.EPERM] = _REASONS[errno.EACCES]


def _refusal(opening: Opening, error: Exception, code: int | None) -> str:
    why = _REASONS.get(code or 0)
    if why is None and opening.is_address:
        why = reason(error, PATIENCE[0], opening.address)
        if why.startswith(NOT_VALID):
            why += "; if it is the camera's own, and you trust the network: --any-certificate"
    why = why or f"{getattr(error, 'strerror', None) or error}; see vidstyle live --list"
    return f"cannot open {opening.label}: {why}"


class Pace:
    """Reads a file as it would be shown: waits until each of its moments is due. ``loop``: it begins again."""

    def __init__(self, clock: Clock, stop: Flag, loop: bool) -> None:
        self.loop = loop
        self._clock, self._stop = clock, stop
        self._start, self._last = clock.now(), 0.0
        self._first: float | None = None

    def due(self, moment: float) -> float:
        """Wait for ``moment``, in seconds of the file; the seconds of the clock at which it was due."""
        self._first = moment if self._first is None else self._first
        self._last = moment - self._first
        # What cannot be read quickly enough goes on with the present.
        self._start = max(self._start, self._clock.now() - self._last - LATE)
        self._stop.wait(max(0.0, self._start + self._last - self._clock.now()))
        return self._start + self._last

    @property
    def has_begun(self) -> bool:
        """Whether anything was due since it began, or began again."""
        return self._first is not None

    def begin_again(self, gap: float) -> None:
        """The file's first moment is due ``gap`` seconds after its last."""
        self._start += self._last + gap
        self._last, self._first = 0.0, None


def pace_of(opening: Opening, clock: Clock, stop: Flag) -> Pace | None:
    """None for what has a pace of its own: a device, or a stream without a length."""
    if opening.is_device:
        return None
    return Pace(clock, stop, opening.is_endless and opening.format is None)


def timed_packets(
    container: Any, stream: Any, clock: Clock, stop: Flag, pace: Pace | None, by_packet: bool = True
) -> Iterator[tuple[float, Any]]:
    """(seconds of the clock, packet), each when it comes, or where ``pace`` counts ``by_packet`` when it is due.

    Raises:
        SourceError: the device went away.
    """
    try:
        while True:
            gap = 0.0
            for packet in container.demux(stream):
                time = clock.now()
                if packet.pts is not None:
                    gap = float((packet.duration or 0) * packet.time_base) or 1 / 30
                    moment = float(packet.pts * packet.time_base)
                    if pace is None:
                        time = _capture_time(moment, time)
                    elif by_packet:
                        time = pace.due(moment)
                if stop.is_set:
                    return
                yield time, packet
            if pace is None or not (pace.loop and pace.has_begun and gap):  # without a picture it would spin
                return
            pace.begin_again(gap)
            container.seek(container.start_time or 0)
    except av.error.ExitError as error:  # FFmpeg's word for a wait that was too long
        raise SourceError(f"no data for {PATIENCE[1]:g} s") from error
    except (av.error.FFmpegError, OSError) as error:
        raise SourceError(error.strerror or str(error)) from error


def _capture_time(stamp: float, now: float) -> float:
    """The driver's own stamp where it is of the monotonic clock: it counts the wait in the driver too."""
    return stamp if now - STALE < stamp <= now else now
