"""Pictures of a person's folders and zips, decoded one by one; what cannot be used comes with the reason.

Every kind that `vidstyle.picture` reads is taken (JPEG also in CMYK, PNG and TIFF also with 16 bits, turned as the
camera says, transparency put on white). Nothing in a zip is trusted: members are read by their bytes into one
temporary file of our own naming, never unpacked by their names, and of a bounded size and number.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np

from vidstyle.errors import SourceError, VidstyleError

#: also of kinds that are read now and then, as an AVIF that does not move: one that is not read is refused by its name
EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".heic", ".heif", ".jxl"}
)
MEMBER_BYTES = 200 << 20  # of one picture in a zip
MEMBERS = 200_000  # of one zip: more than any set of portraits


@dataclass(frozen=True)
class Read:
    """One file: its name within the source, and either its pixels (uint8 [H, W, 3] RGB) or why there are none."""

    name: str
    image: np.ndarray | None
    reason: str = ""


def is_picture(name: str) -> bool:
    """Whether the name is a picture's; hidden files and the copies that macOS puts into zips are none."""
    path = PurePosixPath(name.replace("\\", "/"))
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return path.suffix.lower() in EXTENSIONS and not hidden


def read_all(source: Path, skip: int = 0) -> Iterator[Read]:
    """Every picture under a folder, or in a zip, in the order of names, after the first ``skip``.

    Raises:
        SourceError: as `check`; or the zip is damaged as a whole.
    """
    check(source)
    yield from _folder(source, skip) if source.is_dir() else _zip(source, skip)


def check(source: Path) -> None:
    """Refuse a source before any work is done.

    Raises:
        SourceError: it is neither a folder nor a zip, or has no picture by its names.
    """
    if not source.is_dir() and not zipfile.is_zipfile(source):
        kind = "is neither a folder nor a zip" if source.exists() else "does not exist"
        raise SourceError(f"{source} {kind}: give a folder of pictures or a zip of them")
    if not count(source):
        raise SourceError(f"no pictures in {source}: expected files that end in {' '.join(sorted(EXTENSIONS))}")


def count(source: Path) -> int:
    """How many pictures `read_all` would give; 0 where it would fail."""
    try:
        if source.is_dir():
            return sum(is_picture(path.relative_to(source).as_posix()) for path in source.rglob("*"))
        with zipfile.ZipFile(source) as archive:
            return len(_members(archive))
    except (OSError, zipfile.BadZipFile):
        return 0


def fingerprint(source: Path) -> str:
    """A digest of the names, sizes and times of a folder's pictures, or of a file: whether they are the same.

    What else lies in the folder, as .DS_Store, changes while one looks into it, and nothing of a training.
    """
    paths = [source]
    if source.is_dir():
        found = (path for path in source.rglob("*") if is_picture(path.relative_to(source).as_posix()))
        paths = sorted(found)
    digest = hashlib.sha256()
    for path in paths:
        try:
            if path != source and not path.is_file():
                continue
            stat = path.stat()
        except OSError as error:
            raise VidstyleError(f"cannot read {path}: {error.strerror or error}") from error
        digest.update(os.fsencode(f"{path.name}:{stat.st_size}:{stat.st_mtime_ns};"))
    return digest.hexdigest()


def _folder(folder: Path, skip: int) -> Iterator[Read]:
    named = ((path, path.relative_to(folder).as_posix()) for path in sorted(folder.rglob("*")))
    found = ((path, name) for path, name in named if is_picture(name) and path.is_file())
    for path, name in islice(found, skip, None):
        yield _decode(path, name)


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    members = [member for member in archive.infolist() if not member.is_dir() and is_picture(member.filename)]
    return sorted(members, key=lambda member: member.filename)


def _zip(path: Path, skip: int) -> Iterator[Read]:
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as scratch:
            members = _members(archive)
            if len(members) > MEMBERS:
                raise SourceError(f"{path} has {len(members)} pictures, at most {MEMBERS} are taken: split it")
            for number, member in enumerate(members[skip:]):
                yield _member(archive, member, Path(scratch) / f"{number}.picture")
    except zipfile.BadZipFile as error:
        raise SourceError(f"{path} is a damaged zip ({error}): make it again") from error


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, scratch: Path) -> Read:
    name = member.filename
    if member.flag_bits & 1:
        return Read(name, None, "locked by a password")
    try:
        with archive.open(member) as file:
            data = file.read(MEMBER_BYTES + 1)  # what the zip says about sizes may be a lie
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        return Read(name, None, f"damaged in the zip ({error})")
    if len(data) > MEMBER_BYTES:
        return Read(name, None, f"more than {MEMBER_BYTES >> 20} MB")
    scratch.write_bytes(data)
    try:
        return _decode(scratch, name)
    finally:
        scratch.unlink()


def _decode(path: Path, name: str) -> Read:
    from vidstyle.picture import on_white, read_picture  # where only packed portraits are, PyAV may be missing

    try:
        return Read(name, on_white(read_picture(path)).rgb)
    except SourceError as error:
        return Read(name, None, str(error).replace(str(path), "").lstrip(" :") or "cannot be read")
