"""A video of any length, and what is done with one: decode, encode, and this project's own run of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gpu_figures import NotMeasuredError

if TYPE_CHECKING:  # torch would come with them, into processes that need none
    from gpu_setup import Setup, Size

    from vidstyle.engine import Recipe

RATE, HELD = 30, 60  # frames a second of what is drawn; styled pictures kept for encoding


def _av() -> Any:
    """
    Raises:
        NotMeasuredError: PyAV is not here.
    """
    try:
        import av
    except ImportError as error:
        raise NotMeasuredError(f"PyAV is not here ({error}): bring it with scripts/gpu_pack") from error
    return av


def repeated_clip(setup: Setup, frames: int) -> Path:
    """The clip again and again, copied packet by packet, to at least ``frames`` pictures; made once.

    Raises:
        NotMeasuredError: PyAV is not here.
    """
    av = _av()
    target = setup.folder / f"clip{frames}.mp4"
    if target.exists():
        return target
    source = (
        setup.clip
        if setup.clip is not None
        else _drawn(setup.folder / f"drawn{frames}.mp4", setup.sizes["1080p"], frames)
    )
    written = offset = 0
    with av.open(str(target), "w") as out:
        stream: Any = None
        while written < frames:
            with av.open(str(source)) as container:
                video = container.streams.video[0]
                stream = stream or out.add_stream_from_template(video)
                for packet in container.demux(video):
                    if packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                        packet.stream = stream
                        out.mux(packet)
                        written += 1
                offset += video.duration
    return target


def _drawn(path: Path, size: Size, frames: int) -> Path:
    """Smooth noise that moves, where no clip was given."""
    av = _av()
    height, width = size
    noise = np.random.default_rng(0).integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), np.uint8)
    small = av.VideoFrame.from_ndarray(noise, format="rgb24")
    large = small.reformat(width=width + 128, height=height, interpolation="BICUBIC").to_ndarray()
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=RATE, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(min(frames, 2 * RATE)):
            picture = np.ascontiguousarray(large[:, 2 * index % 128 :][:, :width])
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return path


def decoded(clip: Path) -> Iterator[Any]:
    """Pictures as the decoder gives them, on as many threads as it likes."""
    av = _av()
    with av.open(str(clip)) as container:
        container.streams.video[0].thread_type = "AUTO"
        yield from container.decode(video=0)


def count_decoded(clip: Path) -> int:
    return sum(1 for _ in decoded(clip))


def styled_pictures(path: Path) -> list[Any]:
    """The first pictures of a styled video: what an encoder has to encode."""
    found = []
    for picture in decoded(path):
        found.append(picture)
        if len(found) == HELD:
            break
    return found


def encode(pictures: list[Any], frames: int, path: Path, preset: str) -> None:
    """``frames`` pictures, going round, with the settings that a run here has."""
    with EncodedFile(path, pictures[0].width, pictures[0].height, preset) as file:
        for index in range(frames):
            file.add(pictures[index % len(pictures)])


class EncodedFile:
    """A video of pictures in yuv420p with this project's own settings of the encoder."""

    def __init__(self, path: Path, width: int, height: int, preset: str) -> None:
        from vidstyle.codecs import EncoderOptions, choose_encoder
        from vidstyle.encoder import _repeatable as repeatable
        from vidstyle.frame import VideoInfo

        info = VideoInfo(width, height, (height, width), Fraction(1, RATE), Fraction(RATE))
        choice = choose_encoder(path, info, EncoderOptions(preset=preset))
        self._out = _av().open(str(path), "w")
        self._stream: Any = self._out.add_stream(choice.encoder, rate=RATE, options=repeatable(choice))
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, choice.pix_fmt
        self._stream.codec_context.thread_type = "AUTO"
        self._count = 0

    def add(self, picture: Any) -> None:
        picture.pts, picture.time_base = self._count, Fraction(1, RATE)
        self._count += 1
        self._out.mux(self._stream.encode(picture))

    def __enter__(self) -> EncodedFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self._out.mux(self._stream.encode(None))
        self._out.close()


@dataclass(frozen=True)
class Whole:
    """Call it: the whole way from file to file, as ``vidstyle file`` does it, with an engine that stays loaded."""

    job: Any  # vidstyle.job.FileJob
    stylizer: Any

    def through_host(self, clip: Path) -> Any:
        """The same of another clip, with pictures in the machine's memory between the stages."""
        engine, target = replace(self.job.engine, pictures="host"), self.job.target.with_name("host.mp4")
        return replace(self, job=replace(self.job, source=clip, output=target, engine=engine))()

    def source(self) -> int:
        """Its first stage alone: pictures decoded, and converted where the engine wants them."""
        from vidstyle.job import open_source

        with open_source(self.job) as source:
            return sum(1 for _ in source)

    def __call__(self) -> Any:
        from vidstyle.job import stylize_file

        report = stylize_file(self.job, stylizer=self.stylizer)
        if report.frames_in != report.frames_out or report.losses:
            raise RuntimeError(f"{report.frames_in} frames in, {report.frames_out} out, lost: {report.losses}")
        return report


@contextmanager
def whole_job(setup: Setup, clip: Path, recipe: Recipe, preset: str = "veryfast") -> Iterator[Whole]:
    """A run of ``clip`` at its own size.

    Raises:
        NotMeasuredError: a package that it needs is not here.
    """
    _av()
    from vidstyle.codecs import EncoderOptions
    from vidstyle.engine_options import EngineOptions
    from vidstyle.job import FileJob
    from vidstyle.sink import SinkOptions
    from vidstyle.source import SourceOptions
    from vidstyle.stylizer import Stylizer

    on_device = "auto" if setup.on_gpu else "device"  # tried on the CPU too
    options = EngineOptions(setup.engine, str(setup.device), setup.precision, pictures=on_device)
    target = setup.folder / f"styled.{recipe.name}.{preset}.mp4"
    writing = SinkOptions(EncoderOptions(preset=preset), overwrite=True)
    job = FileJob(clip, recipe, target, SourceOptions(size=None), writing, options)
    with Stylizer(recipe, options.engine, options.device, options.precision, in_flight=0) as stylizer:
        yield Whole(job, stylizer)
