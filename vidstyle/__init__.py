"""Put the people in a video into a drawn look, on a plain CPU.

``stylize`` for arrays, ``stylize_file`` for videos, ``open_stylizer`` for many pictures one after the other.
Importing this imports no runtime, no FFmpeg and no NumPy: each comes with the first call that needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import TYPE_CHECKING, Any

from vidstyle.errors import EngineError, SinkError, SourceError, StyleError, UsageError, VidstyleError

if TYPE_CHECKING:
    import numpy as np

    from vidstyle.job import Progress
    from vidstyle.report import Report
    from vidstyle.stylizer import Stylizer

    __version__: str

__all__ = [
    "EngineError",
    "Report",
    "SinkError",
    "SourceError",
    "StyleError",
    "Stylizer",
    "UsageError",
    "VidstyleError",
    "__version__",
    "open_stylizer",
    "stylize",
    "stylize_file",
]


def stylize(
    image: np.ndarray,
    style: str | PathLike[str] = "anime",
    *,
    strength: float = 1.0,
    size: int | str | None = None,
    device: str = "auto",
    precision: str = "auto",
) -> np.ndarray:
    """Give one picture, or a batch of one size, a look.

    >>> import numpy as np, vidstyle
    >>> vidstyle.stylize(np.zeros((48, 64, 3), np.uint8)).shape
    (48, 64, 3)

    Every call loads the network again; `open_stylizer` keeps it.

    Args:
        image: uint8 [H, W, 3] or [N, H, W, 3], RGB (OpenCV reads BGR: ``image[..., ::-1]``).
        style: a name, the path of a style file, or a mix as ``anime:0.6+3d:0.4``.
        strength: 0 is the source, 1 the whole look.
        size: short side in pixels the network works at, not enlarged; "auto" is 720, or what large faces need, or
            small ones up to 1440; None for the picture's own.
        device: "auto", "cpu", "gpu" ...; a named one is never replaced by another.
        precision: "auto", "f32", "bf16" or "int8".

    Returns:
        A new array of the same shape and type.

    Raises:
        UsageError: the array is of another type or shape, or an option is wrong.
        StyleError: there is no such style, or its file is bad.
        EngineError: the device or the precision is not to be had.
    """
    from vidstyle.frame import check_array
    from vidstyle.images import style_image

    pictures = check_array(image, size)
    with open_stylizer(style, strength=strength, device=device, precision=precision) as stylizer:
        result = pictures.copy()
        for i, picture in enumerate(pictures):
            result[i] = style_image(picture, stylizer, size)
    return result.reshape(image.shape)


def open_stylizer(
    style: str | PathLike[str] = "anime",
    *,
    strength: float = 1.0,
    engine: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    threads: int = 0,
) -> Stylizer:
    """A `Stylizer` for a look by its name: call it with uint8 [H, W, 3] RGB pictures, close it at the end.

    >>> import numpy as np, vidstyle
    >>> with vidstyle.open_stylizer("anime", strength=0.5) as stylizer:
    ...     stylizer(np.zeros((48, 64, 3), np.uint8)).shape
    (48, 64, 3)

    The network is loaded at the first picture, and again where the size of the pictures changes.

    Raises:
        StyleError, UsageError: as `stylize` does, of pictures at the call; EngineError comes with the first one.
    """
    import os

    from vidstyle.catalog import parse_recipe
    from vidstyle.stylizer import Stylizer

    return Stylizer(parse_recipe(os.fspath(style), strength), engine, device, precision, threads)


def stylize_file(
    source: str | PathLike[str],
    output: str | PathLike[str] | None = None,
    style: str | PathLike[str] = "anime",
    *,
    strength: float = 1.0,
    size: int | str | None = "auto",
    overwrite: bool = False,
    device: str = "auto",
    precision: str = "auto",
    on_progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Style a video file; sound, subtitles and every picture's time are kept.

    >>> import vidstyle
    >>> vidstyle.stylize_file("in.mp4", "out.mp4").frames_out
    12

    Args:
        source: a path, or as a text also a URL (http, https, rtsp, rtmp), or "-" for standard input.
        output: ``{stem}.{style}{ext}`` beside the source where left out; in a folder where it is one; numbered
            pictures by their pattern, as ``drawn/shot.%04d.png``.
        size: short side in pixels the network works at, not enlarged; "auto" is 720, or what large faces need, or
            small ones in a smaller video; "best" up to 1440; None for the video's own.
        on_progress: called after every written frame; and before the first while a film's shots are looked at.

    Returns:
        What was kept, what was not and why: its ``losses`` is empty where nothing was lost.

    Raises:
        SourceError, SinkError, EngineError, StyleError, UsageError: nothing is left behind then.
    """
    import os
    from pathlib import Path

    from vidstyle import job
    from vidstyle.catalog import parse_recipe
    from vidstyle.engine_options import EngineOptions
    from vidstyle.frame import check_size
    from vidstyle.inputs import parse_input
    from vidstyle.outputs import PIPE, parse_output
    from vidstyle.sink import SinkOptions
    from vidstyle.source import SourceOptions

    check_size(size)
    target, folder = parse_output(None if output is None else os.fspath(output))
    if target == PIPE:
        raise UsageError("the output is '-': give a file or a folder; vidstyle file writes to standard output")
    settled = job.FileJob(
        parse_input(source if isinstance(source, str) else Path(source)),
        parse_recipe(os.fspath(style), strength),
        target,
        SourceOptions.of_size(size),
        SinkOptions(overwrite=overwrite),
        EngineOptions(device=device, precision=precision),
        folder=folder,
    )
    return job.stylize_file(settled, on_progress or (lambda _: None))


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("vidstyle")
    if name == "Stylizer":
        from vidstyle.stylizer import Stylizer

        return Stylizer
    if name == "Report":
        from vidstyle.report import Report

        return Report
    raise AttributeError(f"module 'vidstyle' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
