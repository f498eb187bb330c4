"""Pack what a machine with a GPU and no network lacks into gpu_wheels/: wheels, a clip, the published networks.

The wheels are for Python 3.12 on 64-bit Linux, where torch, Triton, NumPy and safetensors are.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from av.video.reformatter import Interpolation
from gpu_site import NEEDED, PACK, ROOT, Parser

from training.pack import write_teachers

PYTHON = "3.12"
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 17)] + ["manylinux2014_x86_64", "manylinux1_x86_64"]
TEACHERS = ("anime", "3d")  # more would be too large together
MOST_BYTES, MOST_CLIP = 46 << 20, 8_000_000  # the files of the project travel beside it: 64 MiB in all
WIDTH, HEIGHT, RATE, SECONDS, PIECES = 1920, 1080, 30, 2, 3


CODING = {"crf": "19", "preset": "medium", "maxrate": "9M", "bufsize": "9M"}


class PackError(Exception):
    """What is missing, for people."""


def requirements(project: Path, names: tuple[str, ...] = NEEDED) -> list[str]:
    """As pip takes them, from a pyproject.toml."""
    listed = tomllib.loads(project.read_text())["project"]["dependencies"]
    by_name = {re.split(r"[<>=!~ \[;]", text, maxsplit=1)[0]: text for text in listed}
    return [by_name[name] for name in names]


def fetch(folder: Path, wanted: list[str]) -> None:
    """Wheels into ``folder``, which is emptied: two of one package would stop the installation."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp", "-d", str(folder)]
    for platform in PLATFORMS:
        command += ["--platform", platform]
    if subprocess.run([*command, *wanted]).returncode:
        raise PackError("pip could not download the wheels (its reason is above): check the network")


def clips_of(folder: Path) -> list[Path]:
    """The largest pictures first.

    Raises:
        PackError: there is no video.
    """
    sizes: dict[Path, int] = {}
    for path in sorted(folder.glob("*.mp4")) if folder.is_dir() else ():
        with av.open(str(path)) as container:
            sizes[path] = container.streams.video[0].width * container.streams.video[0].height
    if not sizes:
        raise PackError(f"no .mp4 in {folder}: give a folder of clips with people")
    return sorted(sizes, key=lambda path: -sizes[path])[:PIECES]


def pictures(clips: list[Path]) -> Iterator[Any]:
    """The first seconds of each, as wide as 16:9, enlarged."""
    for path in clips:
        with av.open(str(path)) as container:
            for index, frame in enumerate(container.decode(video=0)):
                if index == SECONDS * RATE:
                    break
                yield _wide(frame)


def _wide(frame: Any) -> Any:
    """The middle of a picture at 16:9, in 1080p."""
    height = min(frame.height, frame.width * HEIGHT // WIDTH)
    width = min(frame.width, frame.height * WIDTH // HEIGHT)
    top, left = (frame.height - height) // 2, (frame.width - width) // 2
    image = frame.to_ndarray(format="rgb24")[top : top + height, left : left + width]
    cut = av.VideoFrame.from_ndarray(image.copy(), format="rgb24")
    return cut.reformat(WIDTH, HEIGHT, "yuv420p", dst_colorspace=1, interpolation=Interpolation.BICUBIC)


def write_clip(path: Path, clips: list[Path]) -> None:
    """H.264 at 1080p, as a camera's file is coded: with B-frames, in BT.709.

    Raises:
        PackError: it came out too large.
    """
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=RATE, options=CODING)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.colorspace = stream.codec_context.color_primaries = stream.codec_context.color_trc = 1
        for index, picture in enumerate(pictures(clips)):
            picture.pts, picture.time_base = index, 1 / stream.average_rate
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    if path.stat().st_size > MOST_CLIP:
        raise PackError(
            f"the clip has {path.stat().st_size / 1e6:.1f} MB, {MOST_CLIP / 1e6:.0f} are allowed: use others"
        )


def teachers_of(folder: Path, names: list[str]) -> list[Path]:
    """
    Raises:
        PackError: one is not there.
    """
    found = {path.stem: path for path in sorted(folder.glob("*.tflite"))} if folder.is_dir() else {}
    if missing := [name for name in names if name not in found]:
        there = ", ".join(found) or "none"
        raise PackError(f"no published network {missing[0]}.tflite in {folder}; there are: {there}")
    return [found[name] for name in names]


def pack(clips: Path, teachers: Path, names: list[str], folder: Path = PACK) -> int:
    """Bytes of the folder, which is complete when this returns."""
    sources, networks = clips_of(clips), teachers_of(teachers, names)
    (folder / "teachers").mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")  # it is large, and no part of the project
    for old in (folder / "teachers").glob("*.safetensors"):
        old.unlink()
    write_teachers(folder / "teachers", networks)
    write_clip(folder / "clip.mp4", sources)
    fetch(folder / "wheels", requirements(ROOT / "pyproject.toml"))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > MOST_BYTES:
        raise PackError(f"{folder} has {size / 2**20:.0f} MiB, {MOST_BYTES >> 20} are allowed: give fewer networks")
    return size


def main(words: list[str] | None = None) -> int:
    parser = Parser(prog="gpu_pack", description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, metavar="CLIPS", help="folder of videos with people (.mp4)")
    parser.add_argument("teachers", type=Path, metavar="TEACHERS", help="folder of published networks (.tflite)")
    parser.add_argument("names", nargs="*", default=list(TEACHERS), metavar="NAME", help="which (default: anime 3d)")
    args = parser.parse_args(words)
    try:
        size = pack(args.clips, args.teachers, args.names)
    except PackError as error:
        print(f"gpu_pack: {error}", file=sys.stderr)
        return 2
    print(f"{PACK}: {size / 2**20:.1f} MiB; there: scripts/gpu_all OUT")
    return 0


if __name__ == "__main__":
    sys.exit(main())
