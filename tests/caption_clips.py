"""Clips whose pictures carry closed captions, and what FFmpeg's decoders find of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from media import picture

UNEVEN = [0, 512, 1024, 1280, 2560, 3072, 4096, 4608, 5120, 6400, 6656, 7168]
TIME_BASE = Fraction(1, 12800)
ROOM = b"\xfc\x80\x80\xfd\x80\x80\xf8\0\0"
_T35 = b"\xb5\0\x31"


def told(index: int) -> bytes:
    """Triples of cc_data: two letters that tell the picture, CEA-708's bytes, and room left empty."""
    return b"\xfc" + bytes([0x20 + index % 90, 0x21]) + b"\xfd\x80\x80\xff\x02\x21\xfe\x41\0\xfa\0\0"


def block(triples: bytes) -> bytes:
    """As A/53 has it before and around the triples, from its kind to the last marker bits."""
    return b"GA94\x03" + bytes([0x40 | len(triples) // 3]) + b"\xff" + triples + b"\xff"


def captioned_clip(
    path: Path,
    codec: str = "libx264",
    pts: Sequence[int] = UNEVEN,
    triples: Callable[[int], bytes] = told,
    options: dict[str, str] | None = None,
    change: Callable[[int, bytes], bytes] = lambda _, data: data,
) -> Path:
    """Pictures of 64x48 with B-frames, number ``i`` of them with ``triples(i)``; ``change`` gets each packet."""
    numbers = {time: index for index, time in enumerate(pts)}
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream(codec, rate=25, options={"bf": "2", **_quiet(codec), **(options or {})})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        # MPEG-2 counts pictures; its clips have even times
        stream.codec_context.time_base = TIME_BASE if codec != "mpeg2video" else Fraction(1, 25)
        for time in [*pts, None]:
            for packet in stream.encode(_frame(numbers, time, codec) if time is not None else None):
                index = numbers[packet.pts * (512 if codec == "mpeg2video" else 1)]
                message = triples(index)
                data = with_message(bytes(packet), codec, block(message)) if message else bytes(packet)
                out.mux(_again(packet, change(index, data)))
    return path


def _quiet(codec: str) -> dict[str, str]:
    return {"x265-params": "log-level=none:bframes=2"} if codec == "libx265" else {}


def _frame(numbers: dict[int, int], time: int, codec: str) -> Any:
    frame = av.VideoFrame.from_ndarray(picture(numbers[time], 64, 48), format="rgb24").reformat(format="yuv420p")
    mpeg2 = codec == "mpeg2video"
    frame.pts, frame.time_base = (time // 512, Fraction(1, 25)) if mpeg2 else (time, TIME_BASE)
    return frame


def with_message(packet: bytes, codec: str, data: bytes) -> bytes:
    """An encoder's packet with user data in front, or, of MPEG-2, where a picture has its own."""
    if codec == "mpeg2video":
        slices = packet.index(b"\0\0\1\x01")
        return packet[:slices] + b"\0\0\1\xb2" + data + packet[slices:]
    header = b"\x06" if codec == "libx264" else b"\x4e\x01"
    message = b"\x04" + bytes([len(_T35 + data)]) + _T35 + data + b"\x80"
    escaped, zeros = bytearray(), 0
    for byte in message:
        if zeros == 2 and byte <= 3:
            escaped.append(3)
            zeros = 0
        escaped.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return b"\0\0\0\1" + header + bytes(escaped) + packet


def _again(packet: Any, data: bytes) -> Any:
    copy = av.Packet(data)
    copy.stream, copy.time_base, copy.pts, copy.dts = packet.stream, packet.time_base, packet.pts, packet.dts
    copy.is_keyframe, copy.duration = packet.is_keyframe, packet.duration
    return copy


def decoded_captions(path: Path) -> dict[Fraction, bytes]:
    """The triples of every picture, as FFmpeg's decoder attaches them, by seconds; empty for a picture without."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "NONE"
        frames = [
            (f.pts * Fraction(f.time_base), {d.type.name: bytes(d) for d in f.side_data})
            for f in container.decode(video=0)
        ]
    return {time: data.get("A53_CC", b"") for time, data in frames}
