"""Sound with the time of its capture, for a recording."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import numpy as np

from vidstyle.decoding import HOPELESS
from vidstyle.errors import SourceError
from vidstyle.live.av_camera import open_device, pace_of, timed_packets
from vidstyle.live.clock import Clock, Flag
from vidstyle.live.devices import Opening

RATE = 48000  # samples a second of every recording


class Microphone:
    """Raises SourceError where it cannot be opened. ``channels``: 1 or 2."""

    def __init__(self, opening: Opening, clock: Clock) -> None:
        self.label = opening.label
        self._opening, self._clock = opening, clock
        self._container = open_device(opening)
        if not self._container.streams.audio:
            self._container.close()
            raise SourceError(f"{opening.label} has no sound: name a microphone, or a file with sound")
        self._stream = self._container.streams.audio[0]
        self.channels = min(2, self._stream.codec_context.channels)

    def chunks(self, stop: Flag) -> Iterator[tuple[float, np.ndarray]]:
        """(seconds of the clock of the first sample, float32 [channels, n] at `RATE`) until its end or ``stop``.

        What cannot be decoded is left out.

        Raises:
            SourceError: it went away, or none of it can be decoded any more.
        """
        resampler, faults = self._resampler(), 0
        pace = pace_of(self._opening, self._clock, stop)
        for time, packet in timed_packets(self._container, self._stream, self._clock, stop, pace):
            try:
                parts = [part for frame in packet.decode() for part in _resampled(resampler, frame)]
                faults = 0
            except (av.error.FFmpegError, OSError, ValueError) as error:
                faults += 1
                if faults == HOPELESS:
                    raise SourceError(f"its sound cannot be decoded ({error})") from error
                resampler = self._resampler()  # a frame may have had another format, by damage or from there on
                continue
            for part in parts:
                # A device hands a chunk over when its last sample is in.
                length = part.samples / RATE if self._opening.is_device else 0.0
                yield time - length, part.to_ndarray()

    def _resampler(self) -> Any:
        return av.AudioResampler("fltp", "mono" if self.channels == 1 else "stereo", RATE)

    def close(self) -> None:
        self._container.close()


def _resampled(resampler: Any, frame: Any) -> list[Any]:
    frame.pts = None  # the resampler would fill gaps of its own accord
    return list(resampler.resample(frame))
