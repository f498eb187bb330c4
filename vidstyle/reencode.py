"""Sound that a container cannot hold, decoded and encoded again."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

#: bits a second for each channel: more than listeners can tell from the source
BITRATES = {"aac": 128_000, "libopus": 96_000}
#: layouts that encoders refuse or that few players know, as the usual ones with the same speakers
_USUAL = {"5.1(side)": "5.1", "5.0(side)": "5.0", "quad(side)": "quad", "7.1(wide-side)": "7.1(wide)"}
#: what libopus takes
_OPUS = ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")
#: what a stream that names no speakers is taken for, by its number of channels
_BY_COUNT = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
#: gaps of 30 ms and more are filled with silence, and what overlaps is cut: sound stays with the pictures
_STEADY = {"async": "1", "min_hard_comp": "0.03"}


def named_layout(layout: Any) -> str:
    """Its name, or that of the usual one with as many channels where it names no speakers."""
    if layout.name.endswith("channels"):
        return _BY_COUNT.get(layout.nb_channels, layout.name)
    return str(layout.name)


class SoundConversion:
    """A sound stream written in another codec, from the same moment to the same end.

    Args:
        source: the stream; its packets are given to `take`.
        encoder: FFmpeg's name.
        zero: seconds of the source's time that are 0 in the output.

    Attributes:
        stream: of the output.
        same: every sample is kept, only packed in another way.
        packets: of the source, taken.
        bad: of them, those that could not be decoded.

    Raises:
        ValueError, av.error.FFmpegError: the encoder cannot do it.
    """

    def __init__(self, source: Any, output: Any, encoder: str, zero: Fraction) -> None:
        context = source.codec_context
        if context.format is None:
            raise ValueError("nothing of it tells how its samples are stored")
        self._decoder, self._zero, self._encoder = context, zero, encoder
        self.packets = self.bad = 0
        codec = av.Codec(encoder, "w")
        rate = _rate(codec, context.sample_rate)
        self._layout = _layout(encoder, context.layout)
        self._moved = "" if _speakers(self._layout) == _speakers(named_layout(context.layout)) else context.layout.name
        self._format = _sample_format(codec, context.format)
        self.same = (
            codec.lossless and not codec.lossy and self._format_holds(context.format) and rate == context.sample_rate
        )
        options = {"b": str(BITRATES[encoder] * context.layout.nb_channels)} if encoder in BITRATES else {}
        self.stream = output.add_stream(encoder, rate=rate, layout=self._layout, format=self._format, options=options)
        self._resampler: Any = None
        self._shape: tuple[str, str, int] | None = None  # format, layout and rate that the resampler takes
        self._next = Fraction(0)  # seconds of the output's time: where the last frame ended

    def _format_holds(self, source: Any) -> bool:
        wanted = av.AudioFormat(self._format)
        return wanted.bytes >= source.bytes and ("f" in source.name or "d" in source.name) == ("f" in wanted.name)

    def take(self, packet: Any) -> Iterator[Any]:
        """Packets to write once ``packet`` of the source is in; one that cannot be decoded leaves silence."""
        self.packets += 1
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            self.bad += 1
            return
        for frame in frames:
            yield from self._frame(frame)

    def due(self, seconds: Fraction | None) -> Iterator[Any]:
        """Nothing before the end; there, what decoder and encoder still hold."""
        if seconds is not None or self._shape is None:
            return
        for frame in self._decoder.decode(None):
            yield from self._frame(frame)
        yield from self._resampled(None)
        yield from self.stream.encode(None)

    def outcome(self) -> tuple[str, bool]:
        """What it is now, in words, and whether that is no loss."""
        bitrate = BITRATES.get(self._encoder, 0) * self.stream.codec_context.layout.nb_channels
        how = f" {bitrate // 1000}k" if bitrate else ", the same samples" if self.same else ""
        moved = f", {self._moved} as {self._layout}" if self._moved else ""
        bad = f"; {self.bad} packets could not be decoded" if self.bad else ""
        return f"{self.stream.codec_context.codec.canonical_name}{how}{moved}{bad}", self.same and not self.bad

    def _frame(self, frame: Any) -> Iterator[Any]:
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self._shape:  # broadcasts change between stereo and 5.1
            yield from self._resampled(None)
            self._shape = shape
            self._resampler = av.AudioResampler(
                self._format, self._layout, self.stream.rate, frame_size=1024, options=_STEADY
            )
        time = self._next if frame.pts is None else frame.pts * Fraction(frame.time_base) - self._zero
        self._next = time + Fraction(frame.samples, frame.sample_rate)
        frame.pts, frame.time_base = round(time * frame.sample_rate), Fraction(1, frame.sample_rate)
        yield from self._resampled(frame)

    def _resampled(self, frame: Any) -> Iterator[Any]:
        if self._resampler is not None:
            for ready in self._resampler.resample(frame):
                yield from self.stream.encode(ready)


def _layout(encoder: str, source: Any) -> str:
    name = _USUAL.get(named_layout(source), named_layout(source))
    if encoder == "libopus" and name not in _OPUS:
        return _BY_COUNT.get(source.nb_channels, "stereo")
    return name


def _speakers(layout: str) -> str:
    return layout.replace("(side)", "")


def _rate(codec: Any, rate: int) -> int:
    """The rate itself, or the encoder's next higher, or else its highest."""
    rates = sorted(codec.audio_rates or [rate])
    return next((known for known in rates if known >= rate), rates[-1])


def _sample_format(codec: Any, source: Any) -> str:
    """The encoder's sample format that holds the source's best: the smallest that is not smaller."""
    formats = sorted(codec.audio_formats, key=lambda known: known.bytes)
    return next((known.name for known in formats if known.bytes >= source.bytes), formats[-1].name)
