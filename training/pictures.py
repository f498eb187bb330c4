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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from vidstyle.errors import SourceError, VidstyleError
from vidstyle.training_pictures import ENDINGS, is_named_so

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
    return is_named_so(path.name) and not hidden


def place(name: str) -> PurePosixPath:
    """Where below a folder a picture of this name stands: a zip's may be absolute, lead upwards, or be of Windows."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return PurePosixPath(*(part for part in parts if part not in ("/", "..") and not part.endswith(":")))


def read_all(source: Path, skip: int = 0) -> Iterator[Read]:
    """Every picture under a folder, or in a zip, in the order of `names`, after the first ``skip``.

    Raises:
        SourceError: as `check`; or the zip is damaged as a whole.
    """
    check(source)
    with reader(source) as read:
        for name in names(source)[skip:]:
            yield read(name)


def names(source: Path) -> list[str]:
    """Of all pictures under a folder, or in a zip, sorted; none where it cannot be read."""
    try:
        if source.is_dir():
            return _named(source)
        with zipfile.ZipFile(source) as archive:
            return sorted(_members(archive))
    except (OSError, zipfile.BadZipFile):
        return []


@contextmanager
def reader(source: Path) -> Iterator[Callable[[str], Read]]:
    """What reads a picture of ``source`` by its name.

    Raises:
        SourceError: the zip is damaged as a whole, or has more than `MEMBERS` pictures.
    """
    if source.is_dir():
        yield lambda name: _decode(source / name, name)
        return
    try:
        with zipfile.ZipFile(source) as archive, tempfile.TemporaryDirectory() as scratch:
            members = _members(archive)
            if len(members) > MEMBERS:
                raise SourceError(f"{source} has {len(members)} pictures, at most {MEMBERS} are taken: split it")
            yield lambda name: _member(archive, members[name], Path(scratch) / "picture")
    except zipfile.BadZipFile as error:
        raise SourceError(f"{source} is a damaged zip ({error}): make it again") from error


def check(source: Path) -> None:
    """Refuse a source before any work is done.

    Raises:
        SourceError: it is neither a folder nor a zip, or has no picture by its names.
    """
    if not source.is_dir() and not zipfile.is_zipfile(source):
        kind = "is neither a folder nor a zip" if source.exists() else "does not exist"
        raise SourceError(f"{source} {kind}: give a folder of pictures or a zip of them")
    if not count(source):
        raise SourceError(f"no pictures in {source}: expected files that end in {' '.join(ENDINGS)}")


def count(source: Path) -> int:
    """How many pictures `read_all` would give; 0 where it would fail."""
    return len(names(source))


def fingerprint(source: Path) -> str:
    """A digest of the names, sizes and times of a folder's pictures, or of a file: whether they are the same.

    What else lies in the folder, as .DS_Store, changes while one looks into it, and nothing of a training.
    """
    digest = hashlib.sha256()
    path = source
    try:
        for path in sorted(source.rglob("*")) if source.is_dir() else [source]:
            if path == source or (is_picture(path.relative_to(source).as_posix()) and path.is_file()):
                stat = path.stat()
                digest.update(os.fsencode(f"{path.name}:{stat.st_size}:{stat.st_mtime_ns};"))
    except OSError as error:
        raise VidstyleError(f"cannot read {path}: {error.strerror or error}") from error
    return digest.hexdigest()


def _named(folder: Path) -> list[str]:
    paths = sorted(folder.rglob("*"))
    named = ((path, path.relative_to(folder).as_posix()) for path in paths)
    return [name for path, name in named if is_picture(name) and path.is_file()]


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """By name; of two of one name the last, as when it is unpacked."""
    members = (member for member in archive.infolist() if not member.is_dir())
    return {member.filename: member for member in members if is_picture(member.filename)}


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
