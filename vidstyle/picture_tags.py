"""What a picture's file says beside its pixels: which way is up, how it was taken (EXIF), what its numbers mean (ICC).

PyAV 18.1 cannot list the side data of a frame that carries EXIF, and its angle cannot say "mirrored", so
the tag is read here. Anybody's file may come: every position is checked, and damage means "not said".
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
TIFF = (b"II*\0", b"MM\0*")
WIDTH, HEIGHT, COMPRESSION, ORIENTATION = 0x100, 0x101, 0x103, 0x112
SUBFILE, TIFF_PROFILE, DNG = 0xFE, 0x8773, 0xC612
#: ways to compress a TIFF that FFmpeg reads: of any other it gives black pictures, and no error
_READ = (1, 2, 3, 4, 5, 8, 32773, 32946, 34925)
SHORT, LONG = 3, 4  # TIFF's numbers of 16 and 32 bits
_NO_FRAME = (b"\xc4", b"\xc8", b"\xcc")  # JPEG's tables and extensions among the frame headers
#: EXIF's 1..8 -> the orientation of `vidstyle.orientation`
_EXIF = {1: 0, 2: 1, 3: 4, 4: 5, 5: 3, 6: 6, 7: 7, 8: 2}
MAX_PROFILE = 1 << 20  # bytes; the usual ones have 0.5 to 4 kB
MAX_EXIF = 65_527  # bytes, of a JPEG's segment
_WEBP_ALPHA = {b"VP8X": 0, b"VP8L": 4}  # chunk -> which byte says it, by the bit 0x10
_ICC_MARK, _EXIF_MARK = b"ICC_PROFILE\0", b"Exif\0\0"


def still_format(data: bytes) -> str | None:
    """FFmpeg's demuxer for the still whose first bytes are ``data``; None where they say nothing."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp_pipe"
    starts = {PNG: "png_pipe", JPEG: "jpeg_pipe", b"BM": "bmp_pipe"} | dict.fromkeys(TIFF, "tiff_pipe")
    return next((name for start, name in starts.items() if data.startswith(start)), None)


def is_animated_webp(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP" and b"ANIM" in head[:64]


def unread_compression(data: bytes) -> int | None:
    """TIFF's number of a compression that FFmpeg cannot read; None for all that it can."""
    if data[:4] not in TIFF or _tag(memoryview(data), DNG) is not None:
        return None
    found = _tag(memoryview(data), COMPRESSION) or 1
    return None if found in _READ else found


def has_more_pages(data: bytes) -> bool:
    """Whether a TIFF has further pictures that are not the first one made smaller."""
    if data[:4] not in TIFF:
        return False
    tiff = memoryview(data)
    with suppress(struct.error):
        at, count, order = _directory(tiff)
        (following,) = struct.unpack_from(f"{order}I", tiff, at + 12 * count)
        return following > 0 and not (_tag(tiff, SUBFILE, following) or 0) & 1
    return False


def read_orientation(data: bytes) -> int:
    """Orientation (see `vidstyle.orientation`) by the EXIF tag of a JPEG, PNG, WebP or TIFF file; 0 without."""
    tiff = memoryview(data) if data[:4] in TIFF else _exif(data)
    return 0 if tiff is None else _EXIF.get(_tag(tiff, ORIENTATION) or 1, 0)


def read_exif(data: bytes) -> bytes | None:
    """The EXIF of a JPEG, PNG or WebP file, as of a picture that is upright and has no small copy of itself in it.

    None without, or where it is damaged.
    """
    tiff = _exif(data)
    if tiff is None or len(tiff) > MAX_EXIF:
        return None
    with suppress(struct.error):
        return _upright(bytearray(tiff))
    return None


def _exif(data: bytes) -> memoryview | None:
    """A TIFF structure."""
    for kind, payload in _parts(data):
        if kind in (b"\xe1", b"eXIf", b"EXIF"):
            marked = bytes(payload[:6]) == _EXIF_MARK
            if marked or kind != b"\xe1":  # APP1 holds XMP too
                return payload[6 * marked :]
    return None


def _upright(tiff: bytearray) -> bytes | None:
    order = {b"II": "<", b"MM": ">"}.get(bytes(tiff[:2]))
    if order is None:
        return None
    (at,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        if struct.unpack_from(f"{order}H", tiff, entry)[0] == ORIENTATION:
            struct.pack_into(f"{order}HIHH", tiff, entry + 2, SHORT, 1, 1, 0)
    struct.pack_into(f"{order}I", tiff, at + 2 + 12 * count, 0)  # the second directory is of the small copy
    return bytes(tiff)


def claimed_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) that a JPEG, PNG, TIFF or DPX file says it has; None where it does not, or is another kind."""
    if (order := {b"SDPX": ">", b"XPDS": "<"}.get(data[:4])) and len(data) >= 780:
        width, height = struct.unpack_from(f"{order}II", data, 772)
        return width, height
    if data[:4] in TIFF:
        width, height = _tag(memoryview(data), WIDTH), _tag(memoryview(data), HEIGHT)
        return (width, height) if width and height else None
    for kind, payload in _parts(data):
        with suppress(struct.error):
            if kind == b"IHDR":
                width, height = struct.unpack_from(">II", payload)
                return width, height
            if b"\xc0" <= kind <= b"\xcf" and kind not in _NO_FRAME and len(kind) == 1:
                height, width = struct.unpack_from(">HH", payload, 1)
                return width, height
    return None


def claims_alpha(data: bytes) -> bool:
    """Whether the first bytes of a PNG or WebP file say that it has alpha; False for other kinds."""
    for kind, payload in _parts(data):
        if kind == b"IDAT":
            break
        if kind == b"tRNS" or (kind == b"IHDR" and payload[9:10] in (b"\4", b"\6")):
            return True
        if kind in _WEBP_ALPHA:
            return len(payload) > 4 and bool(payload[_WEBP_ALPHA[kind]] & 0x10)
    return False


def read_profile(data: bytes) -> bytes | None:
    """The ICC profile of a JPEG, PNG, WebP or TIFF file if it is for RGB; None without, or where it is damaged."""
    profile = _tiff_profile(memoryview(data)) if data[:4] in TIFF else b""
    for kind, payload in _parts(data):
        if kind == b"\xe2" and bytes(payload[:12]) == _ICC_MARK:
            profile += bytes(payload[14:])  # after its number and their count; writers keep them in order
        elif kind == b"ICCP":
            profile = bytes(payload)
        elif kind == b"iCCP":
            with suppress(zlib.error):
                profile = zlib.decompressobj().decompress(bytes(payload).partition(b"\0")[2][1:], MAX_PROFILE)
    return profile if profile[16:20] == b"RGB " and len(profile) <= MAX_PROFILE else None


def with_exif(data: bytes, exif: bytes) -> bytes | None:
    """A PNG or JPEG as the encoder made it, with EXIF; None for other kinds of files."""
    if data.startswith(PNG):
        return _with_chunk(data, b"eXIf" + exif)
    if data.startswith(JPEG):
        segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 8) + _EXIF_MARK + exif
        return data[: _head(data)] + segment + data[_head(data) :]
    return None


def _with_chunk(png: bytes, body: bytes) -> bytes:
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:33] + chunk + png[33:]  # right after the header


def _head(jpeg: bytes) -> int:
    """Where segments may be put in: JFIF's own stays the first."""
    return 20 if jpeg[2:4] == b"\xff\xe0" else 2


def with_profile(data: bytes, profile: bytes) -> bytes | None:
    """A PNG or JPEG as the encoder made it, with an ICC profile; None for other kinds of files."""
    if data.startswith(PNG):
        return _with_chunk(data, b"iCCPicc\0\0" + zlib.compress(profile))
    if data.startswith(JPEG):
        at = _head(data)
        size = 65519
        pieces = [profile[i : i + size] for i in range(0, len(profile), size)]
        segments = [
            b"\xff\xe2" + struct.pack(">H", len(piece) + 16) + _ICC_MARK + bytes([i, len(pieces)]) + piece
            for i, piece in enumerate(pieces, start=1)
        ]
        return data[:at] + b"".join(segments) + data[at:]
    return None


def _parts(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """(kind, payload) of every segment or chunk up to the first damaged one."""
    view = memoryview(data)
    with suppress(struct.error):
        if data.startswith(JPEG):
            yield from _jpeg(view)
        elif data.startswith(PNG):
            yield from _chunks(view, 8, ">I4s", 4, 1)
        elif data[8:12] == b"WEBP":
            yield from _chunks(view, 12, "<4sI", 0, 2)


def _jpeg(view: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    at = 2
    while at < len(view) and view[at] == 0xFF:
        marker, length = struct.unpack_from(">BH", view, at + 1)
        if marker == 0xFF:  # any number may stand before a marker
            at += 1
            continue
        if marker in (0xD9, 0xDA) or length < 2:  # the coded picture begins
            return
        yield bytes([marker]), view[at + 4 : at + 2 + length]
        at += 2 + length


def _chunks(view: memoryview, at: int, header: str, trailer: int, even: int) -> Iterator[tuple[bytes, memoryview]]:
    """PNG (length, kind, payload, checksum) and RIFF (kind, length, payload, to an even length)."""
    while at < len(view):
        first, second = struct.unpack_from(header, view, at)
        kind, length = (second, first) if isinstance(first, int) else (first, second)
        yield kind, view[at + 8 : at + 8 + length]
        at += 8 + length + length % even + trailer


def _directory(tiff: memoryview, start: int | None = None) -> tuple[int, int, str]:
    """(where its entries begin, how many, byte order) of the directory at ``start``, else the first; struct.error."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(tiff[:2]), "")
    at = struct.unpack_from(f"{order}I", tiff, 4)[0] if start is None else start
    (count,) = struct.unpack_from(f"{order}H", tiff, at)
    return at + 2, count, order


def _entry(tiff: memoryview, wanted: int, start: int | None = None) -> tuple[int, int, str] | None:
    """(position, kind of number, byte order) of an entry in a directory of a TIFF structure; struct.error."""
    at, count, order = _directory(tiff, start)
    for entry in range(at, at + 12 * count, 12):
        tag, kind = struct.unpack_from(f"{order}HH", tiff, entry)
        if tag == wanted:
            return entry, kind, order
    return None


def _tag(tiff: memoryview, wanted: int, start: int | None = None) -> int | None:
    """A number in a directory of a TIFF structure; None where it is not there."""
    with suppress(struct.error):
        if (found := _entry(tiff, wanted, start)) is not None:
            entry, kind, order = found
            return struct.unpack_from(f"{order}{'I' if kind == LONG else 'H'}", tiff, entry + 8)[0]
    return None


def tiff_numbers(data: bytes, wanted: int) -> tuple[int, ...]:
    """All numbers of an entry in the first directory of a TIFF file; none where it is not there, or damaged."""
    tiff = memoryview(data)
    with suppress(struct.error):
        if (found := _entry(tiff, wanted)) is not None:
            entry, kind, order = found
            letter, size = ("I", 4) if kind == LONG else ("H", 2)
            (count,) = struct.unpack_from(f"{order}I", tiff, entry + 4)
            at = entry + 8 if count * size <= 4 else struct.unpack_from(f"{order}I", tiff, entry + 8)[0]
            if count * size <= len(tiff):
                return struct.unpack_from(f"{order}{count}{letter}", tiff, at)
    return ()


def _tiff_profile(tiff: memoryview) -> bytes:
    with suppress(struct.error):
        if (found := _entry(tiff, TIFF_PROFILE)) is not None:
            entry, _, order = found
            count, at = struct.unpack_from(f"{order}II", tiff, entry + 4)
            return bytes(tiff[at : at + count])
    return b""
