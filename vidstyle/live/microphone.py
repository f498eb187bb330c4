"""Sound with the time of its capture, for a recording."""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np

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

        Raises:
            SourceError: it went away.
        """
        layout = "mono" if self.channels == 1 else "stereo"
        resampler = av.AudioResampler("fltp", layout, RATE)
        pace = pace_of(self._opening, self._clock, stop)
        for time, packet in timed_packets(self._container, self._stream, self._clock, stop, pace):
            for frame in packet.decode():
                frame.pts = None  # the resampler would fill gaps of its own accord
                for part in resampler.resample(frame):
                    # A device hands a chunk over when its last sample is in.
                    length = part.samples / RATE if self._opening.is_device else 0.0
                    yield time - length, part.to_ndarray()

    def close(self) -> None:
        self._container.close()
