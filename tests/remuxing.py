"""Sources with streams of all kinds, and a run of the remuxer alone, for the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from media import picture

from vidstyle.containers import CONTAINERS
from vidstyle.metadata import muxer_options
from vidstyle.others import SecondReading, Span
from vidstyle.remux import Remuxer

RATE = 25
LEVELS = {"uint8": (128, 128), "int16": (0, 1 << 15), "int32": (0, 1 << 31)}  # of samples: silence, and the loudest
ASS_HEADER = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,20,&H00FFFFFF,&H000000FF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1
Style: Sign,Impact,30,&H0000FFFF,&H000000FF,&H00000000,&H00000000,-1,0,0,0,100,100,0,0,1,1,0,8,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""  # noqa: E501


def add_video(out: Any, codec: str, frames: int) -> tuple[Any, Callable[[], Iterator[Any]]]:
    """A small stream of 25 pictures a second, and what encodes it."""
    stream = out.add_stream(codec, rate=RATE)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    stream.codec_context.time_base = Fraction(1, RATE * 512)

    def packets() -> Iterator[Any]:
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(index, 64, 48), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index * 512, Fraction(1, RATE * 512)
            yield from stream.encode(frame)
        yield from stream.encode(None)

    return stream, packets


class Source:
    """A container being made: streams are added first, and their packets written when all are there."""

    def __init__(self, out: Any) -> None:
        self.out = out
        self._packets: list[Iterator[Any]] = []

    def add(self, packets: Iterator[Any]) -> None:
        self._packets.append(packets)

    def sound(self, codec: str, rate: int = 48000, layout: str = "stereo", seconds: float = 1.0) -> Any:
        """A track of `tone`."""
        stream = self.out.add_stream(codec, rate=rate, layout=layout, options={"strict": "-2"})
        if codec == "libopencore_amrnb":
            stream.bit_rate = 12200
        self.add(encoded(stream, tone(rate, stream.layout.nb_channels, seconds)))
        return stream

    def subtitles(self, codec: str, cues: list[tuple[int, int, str]]) -> Any:
        """A track of (start, end, payload) in milliseconds."""
        stream = self.out.add_stream(codec)
        stream.codec_context.subtitle_header = ASS_HEADER
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        self.add(_subtitle_packets(stream, codec, cues))
        return stream

    def write(self) -> None:
        self.out.start_encoding()
        for packets in self._packets:
            for packet in packets:
                self.out.mux(packet)


@contextmanager
def source(path: Path, frames: int = 25, codec: str = "libx264") -> Iterator[Source]:
    """A file with a video; the block adds what comes beside it."""
    with av.open(str(path), "w") as out:
        made = Source(out)
        _, packets = add_video(out, codec, frames)
        made.add(packets())
        yield made
        made.write()


def tone(rate: int, channels: int, seconds: float = 1.0, click: float | None = None) -> np.ndarray:
    """float32 [channels, samples]: a low, quiet tone in each, and a click of 4 ms at ``click`` seconds, or halfway."""
    click = seconds / 2 if click is None else click
    n = np.arange(int(rate * seconds))
    sound = np.stack([np.sin(2 * np.pi * (40 + 20 * k) * n / rate) for k in range(channels)]) * 0.05
    sound[:, int(rate * click) : int(rate * (click + 0.004))] = 0.9
    return sound.astype(np.float32)


def encoded(stream: Any, sound: np.ndarray, skip: Callable[[int], bool] = lambda _: False, late: int = 0) -> Iterator:
    """Packets of ``sound``; ``skip``: which blocks of 1024 samples, by their first, are left out; ``late``: samples."""
    rate, layout = stream.rate, stream.layout.name
    for at in range(0, sound.shape[1], 1024):
        if skip(at):
            continue
        block = np.ascontiguousarray(sound[:, at : at + 1024].T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(block, format="flt", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, at + late, Fraction(1, rate)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _subtitle_packets(stream: Any, codec: str, cues: list[tuple[int, int, str]]) -> Iterator[Any]:
    for start, end, text in cues:
        data = text.encode()
        packet = av.Packet(len(data).to_bytes(2, "big") + data if codec == "mov_text" else data)
        packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 1000), True
        packet.pts = packet.dts = start
        packet.duration = end - start
        yield packet


def notes(remuxer: Remuxer, kind: str) -> list[tuple[str, str]]:
    """(action, reason) of everything of a kind."""
    return [(note.action, note.reason) for note in remuxer.notes if note.kind == kind]


def remuxed(
    path: Path, output: Path, span: Span = (None, None), frames: int = 25, options: dict[str, str] | None = None
) -> Remuxer:
    """Everything of ``path`` but its best video into ``output``, beside a video of ``frames`` pictures."""
    muxer, codec = CONTAINERS[output.suffix]
    with av.open(str(path), metadata_errors="replace") as container:
        best = container.streams.best("video")
        styled = best.index if best is not None else -1
    with SecondReading(path, styled, span) as others:
        has_cover = any(s.type == "video" and s.disposition & 0x400 for s in others.streams)
        if options is None:
            options = muxer_options(muxer, Fraction(1, RATE * 512), others.metadata, has_cover)
        with av.open(f"file:{output}", "w", format=muxer, options=options) as out:
            _, packets = add_video(out, {"vp9": "libvpx-vp9"}.get(codec, "libx264"), frames)
            remuxer = Remuxer(others, out, muxer, span[0] or Fraction(0))
            out.metadata.update(others.metadata)
            for packet in packets():
                remuxer.copy_until(packet.pts * Fraction(1, RATE * 512) + (span[0] or 0))
                out.mux(packet)
            remuxer.finish()
    return remuxer


class Sound:
    """A decoded track: ``start`` in seconds, ``samples`` float [channels, n]."""

    def __init__(self, path: Path, number: int = 0) -> None:
        with av.open(str(path)) as container:
            stream = container.streams.audio[number]
            self.codec, self.rate = stream.codec_context.codec.canonical_name, stream.rate
            self.layout, self.channels = stream.layout.name, stream.layout.nb_channels
            frames = list(container.decode(stream))
            self.start = float(frames[0].pts * Fraction(frames[0].time_base))
            self.raw = [_planes(frame) for frame in frames]
        joined = np.concatenate(self.raw, axis=1)
        middle, scale = LEVELS.get(joined.dtype.name, (0, 1))
        self.samples = (joined.astype(np.float64) - middle) / scale

    @property
    def seconds(self) -> float:
        return float(self.samples.shape[1] / self.rate)

    def click(self) -> float:
        """Seconds of the file's time at which the loudest 4 ms begin, in the first channel."""
        loud = np.convolve(np.abs(self.samples[0]), np.ones(int(self.rate * 0.004)), "valid")
        return self.start + float(loud.argmax()) / self.rate


def _planes(frame: Any) -> np.ndarray:
    """Packed first: PyAV 18.1 reads beyond the planes of a frame with 8 of them."""
    (packed,) = av.AudioResampler(format=frame.format.packed).resample(frame)
    return packed.to_ndarray().reshape(-1, frame.layout.nb_channels).T


def cues(path: Path, number: int = 0) -> list[tuple[float, float, str]]:
    """(start, end, the text as FFmpeg's decoder gives it) of everything that a track shows, in seconds."""
    found = []
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[number]
        for packet in container.demux(stream):
            shown = stream.codec_context.decode2(packet) if packet.size else None
            if shown is None or not len(shown):
                continue
            start = packet.pts * Fraction(packet.time_base)
            end = start + (packet.duration or 0) * Fraction(packet.time_base)
            text = "\n".join(rect.ass.decode().split(",", 8)[-1] for rect in shown)
            found.append((round(float(start), 3), round(float(end), 3), text))
    return found
