"""One still: read it upright with its alpha, and code it again."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from vidstyle import orientation
from vidstyle.containers import ATTACHED_PIC
from vidstyle.convert import INTERPOLATION, alpha_of, tone_mapped
from vidstyle.decoding import STRICT
from vidstyle.errors import SinkError, SourceError
from vidstyle.frame import RANGE_FULL, RANGE_LIMITED
from vidstyle.picture_damage import damage
from vidstyle.picture_tags import (
    claimed_size,
    has_more_pages,
    is_animated_webp,
    read_exif,
    read_orientation,
    read_profile,
    still_format,
    unread_compression,
    with_exif,
    with_profile,
)
from vidstyle.tags import bits_of, colour_of
from vidstyle.tiff_damage import complaints, fails_its_checksums

MAX_PIXELS = 200_000_000  # 600 MB in RGB; a larger claim is a mistake or an attack
QUALITY = 92  # of 1..100
DEPENDENT = 0x80000  # AV_DISPOSITION_DEPENDENT: a tile of a larger picture
#: extension -> FFmpeg's encoder, the pixel format it is given, the one with alpha
ENCODERS: dict[str, tuple[str, str, str | None]] = {
    ".png": ("png", "rgb24", "rgba"),
    ".jpg": ("mjpeg", "yuv444p", None),  # full chroma: drawn lines are saturated edges
    ".jpeg": ("mjpeg", "yuv444p", None),
    ".webp": ("libwebp", "bgra", "bgra"),
    ".bmp": ("bmp", "bgr24", None),
    ".tif": ("tiff", "rgb24", None),
    ".tiff": ("tiff", "rgb24", None),
}


class NotAPictureError(SourceError):
    """A video or an animation, where one picture was expected."""


@dataclass(frozen=True)
class Picture:
    """A still.

    Attributes:
        rgb: uint8 [H, W, 3], upright.
        alpha: uint8 [H, W], 255 is opaque; None where all of it is.
        profile: ICC profile that says what ``rgb`` means; None for sRGB.
        exif: how it was taken, see `vidstyle.picture_tags.read_exif`.
        more: its file has further pages, which were not read.
        bits: of a channel in the file; ``rgb`` has 8.
        hdr: the file's colours are HDR; ``rgb`` is tone-mapped (`vidstyle.hdr`).
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    profile: bytes | None = None
    exif: bytes | None = None
    more: bool = False
    bits: int = 8
    hdr: bool = False

    def __post_init__(self) -> None:
        if self.rgb.dtype != np.uint8 or self.rgb.ndim != 3 or self.rgb.shape[2] != 3:
            raise ValueError(f"a picture is uint8 [H, W, 3], got {self.rgb.dtype} {self.rgb.shape}")
        if self.alpha is not None and self.alpha.shape != self.rgb.shape[:2]:
            raise ValueError(f"alpha is {self.alpha.shape}, expected {self.rgb.shape[:2]}")


class _Nameless:
    """A file without its name: FFmpeg reads the pattern of a series into one with %d."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def read_picture(path: Path) -> Picture:
    """Read a still of any kind FFmpeg knows, turned upright.

    Raises:
        NotAPictureError: it is a video or an animation.
        SourceError: it cannot be read, is no picture, is damaged, or has more than `MAX_PIXELS`.
    """
    try:
        if path.is_dir():
            raise SourceError(f"{path} is a folder: name the pictures in it")
        with open(path, "rb") as file:
            if not (head := file.read(64)):
                raise SourceError(f"{path} is empty (0 bytes): copy or download it again")
            file.seek(0)
            if what := _moves(head):
                raise NotAPictureError(f"{path} is {what}: use vidstyle file, or vidstyle preview")
            if (kind := still_format(head)) is None:
                by_name = path.suffix.lower() == ".tga"  # its bytes say nothing
                opened = (f"file:{path}", "image2") if by_name else (_Nameless(file), None)
                frame, alpha = _first_frame(path, *opened)
                return _picture(frame, orientation.of_frame(frame), alpha)
            data = file.read()
        if kind == "png_pipe" and _is_animated(data):
            raise NotAPictureError(f"{path} is an animated PNG: use vidstyle file, or vidstyle preview")
        if (size := claimed_size(data)) and size[0] * size[1] > MAX_PIXELS:
            raise _too_large(path, *size)
        if (compression := unread_compression(data)) is not None:
            what = "by JPEG" if compression in (6, 7) else f"in a way that cannot be read (number {compression})"
            raise SourceError(f"{path} is a TIFF compressed {what}: save it with LZW, or as .png")
        with complaints() as said:
            frame, _ = _first_frame(path, io.BytesIO(data), kind)
        if said or fails_its_checksums(data):
            raise SourceError(f"{path} is damaged{f' ({said[0]})' if said else ''}: copy or download it again")
        picture = _picture(frame, read_orientation(data))
        profile = None if picture.hdr else read_profile(data)  # which says what the numbers meant before
        return replace(picture, profile=profile, exif=read_exif(data), more=has_more_pages(data))
    except av.error.FFmpegError as error:
        raise _refusal(error, path, head) from error
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from error


def _moves(head: bytes) -> str | None:
    """What a file with these first bytes is, where that is no picture."""
    if head.startswith(b"#EXTM3U"):
        return "a playlist of a video"
    return "an animated AVIF" if head[4:12] == b"ftypavis" else None


def _is_animated(png: bytes) -> bool:
    """Whether it has more than one picture; players that do not know of that show the first."""
    chunk = png.find(b"acTL", 0, max(0, png.find(b"IDAT")))
    return chunk >= 0 and int.from_bytes(png[chunk + 4 : chunk + 8], "big") > 1


def _refusal(error: av.error.FFmpegError, path: Path, head: bytes) -> SourceError:
    if isinstance(error, av.error.ArgumentError):  # what decoders say to a size beyond max_pixels
        return SourceError(
            f"{path} is damaged, or has more than {MAX_PIXELS // 10**6} megapixels: make it smaller first"
        )
    if is_animated_webp(head):
        return NotAPictureError(f"{path} is an animated WebP, which FFmpeg cannot read: convert it to a video first")
    return SourceError(
        f"{path} is not a picture that can be read (damaged, cut short, or another kind of file: {_reason(error)})"
    )


def _reason(error: Any) -> str:
    """What the codec itself said, else FFmpeg's words for its error code."""
    return " ".join((error.log[2] if error.log else error.strerror or str(error)).split())


def _too_large(path: Path, width: int, height: int) -> SourceError:
    pixels = f"{width}x{height} is {width * height / 1e6:.0f} megapixels"
    return SourceError(f"{path}: {pixels}, at most {MAX_PIXELS // 10**6} can be read: make it smaller first")


def _first_frame(path: Path, file: Any, kind: str | None) -> tuple[Any, Any]:
    """Decode the one picture of a file, and its alpha where that is a picture of its own (AVIF), else None.

    ``kind`` is its demuxer, None where FFmpeg is to find out.
    """
    limit = {"max_pixels": str(MAX_PIXELS)}  # decoders check it before they allocate
    known: Any = {"format": kind, "stream_options": [limit]} if kind else {}
    if kind == "image2":
        known["container_options"] = {"pattern_type": "none"}  # a name with %d is a name
    with av.open(file, metadata_errors="replace", **known) as container:
        stream = _still_stream(container, path)
        if stream.width * stream.height > MAX_PIXELS:
            raise _too_large(path, stream.width, stream.height)
        stream.codec_context.options = limit | STRICT.get(stream.codec_context.codec.canonical_name, {})
        packets = list(islice(container.demux(stream), 2))
        if len([p for p in packets if p.size]) > 1 and kind is None:  # cameras put a small picture behind a JPEG
            raise NotAPictureError(f"{path} is a video: use vidstyle file, or vidstyle preview")
        if kind is None and packets and (wrong := damage(bytes(packets[0]))):
            raise SourceError(f"{path} is {wrong}: copy or download it again")
        for frame in (frame for packet in packets for frame in packet.decode()):
            return frame, _alpha_frame(container, stream)
    raise SourceError(f"{path}: no picture in it can be decoded (damaged or cut short)")


def _alpha_frame(container: Any, stream: Any) -> Any:
    """AVIF's alpha: a grey picture of the same size beside it."""
    for other in container.streams.video if "avif" in container.metadata.get("major_brand", "") else ():
        known = other.codec_context
        if other is not stream and known and known.pix_fmt.startswith("gray") and other.width == stream.width:
            container.seek(0)
            return next(iter(container.decode(other)), None)
    return None


def _still_stream(container: Any, path: Path) -> Any:
    streams = [s for s in container.streams.video if not s.disposition & ATTACHED_PIC and s.codec_context is not None]
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise SourceError(f"{path} has no picture in it (found: {kinds})")
    if any(stream.disposition & DEPENDENT for stream in streams):
        raise SourceError(f"{path} is stored as tiles, as phones write HEIC: convert it to .jpg or .png first")
    return max(streams, key=lambda stream: stream.width * stream.height)  # an icon has one of every size


def _picture(frame: Any, turn: int, alpha_frame: Any = None) -> Picture:
    form, colour = frame.format, colour_of(frame)
    has_alpha = form.has_palette or any(component.is_alpha for component in form.components)
    if colour.is_hdr:
        image = tone_mapped(frame)
        if has_alpha:
            image = np.dstack([image, alpha_of(frame, frame.width, frame.height)])
    else:
        image = frame.reformat(
            format="rgba" if has_alpha else "rgb24",
            interpolation=INTERPOLATION,
            src_colorspace=replace(colour, height=0).matrix_used,  # BT.601 unless it says so, however large it is
            src_color_range=ColorRange.MPEG if colour.range_used == RANGE_LIMITED else ColorRange.JPEG,
            dst_color_range=ColorRange.JPEG,
            threads=1,
        ).to_ndarray()
    image = orientation.apply(image, turn)
    if alpha_frame is not None:
        alpha = alpha_frame.reformat(format="gray", threads=1).to_ndarray()
        image, has_alpha = np.dstack([image[..., :3], orientation.apply(alpha, turn)]), True
    picture = Picture(np.ascontiguousarray(image[..., :3]), bits=bits_of(form), hdr=colour.is_hdr)
    if not has_alpha or image[..., 3].min() == 255:
        return picture
    return replace(picture, alpha=image[..., 3].copy())


def on_white(picture: Picture) -> Picture:
    """The picture as a page shows it: opaque."""
    if picture.alpha is None:
        return picture
    alpha = picture.alpha[..., None].astype(np.uint16)
    rgb = (picture.rgb * alpha + 255 * (255 - alpha) + 127) // 255
    return replace(picture, rgb=rgb.astype(np.uint8), alpha=None)


def keeps_alpha(extension: str) -> bool:
    return ENCODERS[extension.lower()][2] is not None


def encode_picture(picture: Picture, extension: str, quality: int = QUALITY) -> bytes:
    """A file's bytes; ``quality`` 1..100 counts for JPEG and WebP (100: exact). The alpha must be one the format keeps.

    Raises:
        SinkError: the encoder refuses, as WebP does above 16383 pixels a side.
    """
    encoder, opaque, transparent = ENCODERS[extension.lower()]
    image = picture.rgb if picture.alpha is None else np.dstack([picture.rgb, picture.alpha])
    frame = av.VideoFrame.from_ndarray(image, format="rgb24" if picture.alpha is None else "rgba").reformat(
        format=opaque if picture.alpha is None else transparent,
        interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND,
        dst_colorspace=Colorspace.ITU601,
        dst_color_range=ColorRange.JPEG,
        threads=1,
    )
    try:
        data = _encode(encoder, frame, _options(encoder, quality))
    except av.error.FFmpegError as error:
        size = f"{frame.width}x{frame.height}"
        raise SinkError(f"cannot make a {extension} of {size} ({_reason(error)}): use .png") from error
    if picture.profile is not None:
        data = with_profile(data, picture.profile) or data
    return data if picture.exif is None else with_exif(data, picture.exif) or data


def _options(encoder: str, quality: int) -> dict[str, str]:
    if encoder == "mjpeg":  # the scale that libjpeg applies to its tables; FFmpeg counts in eighths
        scale = 50 / quality if quality < 50 else 2 - quality / 50
        return dict.fromkeys(("qmin", "qmax"), str(min(31, max(1, round(8 * scale)))))
    if encoder == "libwebp":
        return {"lossless": "1"} if quality == 100 else {"quality": str(quality)}
    return {}


def _encode(encoder: str, frame: Any, options: dict[str, str]) -> bytes:
    """By the codec alone: FFmpeg's image muxer would write to names with %d elsewhere."""
    context: Any = av.CodecContext.create(encoder, "w")
    context.width, context.height, context.pix_fmt = frame.width, frame.height, frame.format.name
    context.time_base, context.sample_aspect_ratio = Fraction(1, 25), Fraction(1)
    context.color_range, context.thread_count, context.options = RANGE_FULL, 1, options
    return b"".join(bytes(packet) for packet in (*context.encode(frame), *context.encode(None)))
