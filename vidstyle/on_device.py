"""Pictures that stay in a GPU's memory from the decoder to the encoder, and what of a run is done where.

Every stage falls back by itself: a codec that the GPU does not decode is decoded on the CPU and its planes are
copied up; what `DeviceConverter` does not know is converted on the CPU, for the whole video; planes come down for an
encoder on the CPU. `Route.line` says what came of it.

On the CPU ("cpu" in place of "cuda:0") the same code runs without streams, pinned memory and decoder of the GPU.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from av.codec.hwaccel import HWAccel
from av.video.frame import CudaContext

from vidstyle import orientation
from vidstyle.convert import Converter
from vidstyle.errors import EngineError
from vidstyle.frame import RANGE_FULL, Colour, Frame, VideoInfo
from vidstyle.siting import siting_of
from vidstyle.tags import carries_alpha, colour_of, is_ycgco

_MEMORY, _PLANES = "engines.device.memory", "engines.device.planes"
SURFACES = ("nv12", "p010le", "p016le")  # what of a decoder's memory on the GPU can be handed over (PyAV 18.1)


@dataclass
class Route:
    """What of a run is done where, for the report."""

    device: str
    decoded: str = "decoded on the CPU"
    converted: str = "RGB on the CPU"
    planes: str = ""
    encoded: str = "on the CPU"

    def line(self, encoder: str) -> str:
        """As "decoded on the GPU (NVDEC), RGB and look on cuda:0, encoded by libx264 on the CPU"."""
        look = f"look on {self.device}"
        made = f"RGB and {look}" if not self.converted else f"{self.converted}, {look}"
        return ", ".join(filter(None, (self.decoded, made, self.planes, f"encoded by {encoder} {self.encoded}")))


class Device:
    """One device for one run.

    Attributes:
        memory: `engines.device.memory.DeviceMemory`: all copies.
        route: what is done where, so far.
        encodes: the encoder reads pictures in this GPU's memory.
    """

    def __init__(self, name: str) -> None:
        """``name``: "cuda:0", or "cpu" for trying it.

        Raises:
            EngineError: there is no such device, or no torch.
        """
        try:
            memory: Any = importlib.import_module(_MEMORY).DeviceMemory
        except ImportError as error:
            raise EngineError(f"pictures cannot stay on {name} ({error}): pip install 'vidstyle[torch]'") from error
        self.memory: Any = memory(settled(name))
        self.name: str = self.memory.name
        self.encodes = False
        self.route = Route(self.name)

    @property
    def is_gpu(self) -> bool:
        return self.name.startswith("cuda")

    @property
    def _index(self) -> str:
        return self.name.partition(":")[2] or "0"

    @contextmanager
    def hardware(self) -> Iterator[Any]:
        """PyAV's way to decode or encode on this GPU, for what is opened in the block: in the context that torch uses.

        That is the device's primary one; asked for it by this name, FFmpeg refuses it where torch was there first.
        """
        context: dict[str, object] = {"primary_ctx": "0", "current_ctx": "1"}
        with self.memory.current():
            yield HWAccel("cuda", device=self._index, is_hw_owned=True, options=context)

    def cuda_context(self) -> Any:
        """The same for pictures made on this GPU; it is found when it is first used, inside of ``memory.current``."""
        return CudaContext(device_id=int(self._index), primary_ctx=False, current_ctx=True)

    def styled(self, stylizer: Any, frames: Iterable[Frame]) -> Iterator[Frame]:
        """`vidstyle.stylizer.Stylizer.frames`, on the thread that iterates."""
        with self.memory.styling():
            yield from stylizer.frames(frames)

    def check(self, engine: Any) -> None:
        """
        Raises:
            EngineError: the engine does not take pictures of this device.
        """
        if not hasattr(engine, "submit_on_device") or settled(engine.spec.device) != self.name:
            raise EngineError(f"pictures are on {self.name}, which {engine.description} does not read")


def planes() -> Any:
    """The module of the conversions, `engines.device.planes`."""
    return importlib.import_module(_PLANES)


def settled(name: str) -> str:
    """A device's full name: "cuda" is the first one."""
    return "cuda:0" if name in ("auto", "cuda") else name


def refusal(info: VideoInfo, colour: Colour, frame: Any, originals: bool, deinterlaced: bool) -> str | None:
    """Why the pictures of a video become RGB on the CPU; None where the device can do it.

    ``frame``: the first one, decoded on the CPU.
    """
    if originals:
        return "the source's pictures are shown too"
    if info.alpha or carries_alpha(frame):
        return "it has transparency"
    if colour.is_hdr:
        return "HDR"
    if deinterlaced:
        return "it is interlaced"
    if not planes().supported(frame.format.name, colour.matrix_used) or is_ycgco(frame, colour):
        return frame.format.name
    return None


class Surface:
    """A decoded picture in the GPU's memory: what `av.VideoFrame` says of it, but for what would copy it unasked.

    FFmpeg has copied it out of the decoder's own surfaces, of which there are few; its memory goes with this object.
    """

    _SHOWN = frozenset(
        {"duration", "width", "height", "planes", "dts", "interlaced_frame", "side_data", "opaque"}
        | {"colorspace", "color_primaries", "color_trc", "color_range"}
    )

    def __init__(self, frame: Any) -> None:
        self._frame, self.format, self.pts = frame, frame.sw_format, frame.pts

    def __getattr__(self, name: str) -> Any:
        if name not in self._SHOWN:
            raise AttributeError(f"a picture in the GPU's memory has no {name!r}")
        return getattr(self._frame, name)

    def downloaded(self) -> Any:
        """The same in the machine's memory, as `av.VideoFrame`."""
        frame = self._frame.reformat(format=self.format.name)
        frame.pts = self.pts
        return frame


def unlike(frame: Any, first: Any) -> str | None:
    """Why a picture that was to come from the GPU's decoder cannot be used; None where it can.

    Args:
        frame: what came; None for nothing.
        first: the same picture, decoded on the CPU.
    """
    if frame is None:
        return "the GPU's decoder gives no picture"
    if not isinstance(frame, Surface) or frame.format.name not in SURFACES:
        return f"the GPU does not decode {first.format.name} of this kind"
    if frame.width % 2 or frame.height % 2:
        return "the GPU's decoder hands over even sizes alone"
    if (frame.width, frame.height, frame.pts) != (first.width, first.height, first.pts):
        return "the GPU's decoder gives another picture"
    return None


def surface(frame: Any) -> Any:
    """``frame``, or a `Surface` of it where it is in the GPU's memory."""
    return Surface(frame) if frame.format.name == "cuda" else frame


class DeviceConverter:
    """As `vidstyle.convert.Converter`, with pictures in the device's memory.

    Args:
        host: converts what is unlike the first picture: another size, HDR, a format that is not known.
        first: decoded on the CPU.
    """

    def __init__(self, info: VideoInfo, colour: Colour, host: Converter, first: Any, device: Device) -> None:
        self._info, self._colour, self._host, self._memory = info, colour, host, device.memory
        self._own = (first.height, first.width)
        self.work_at(info.working)
        self._siting = siting_of(first)
        self._ways: dict[tuple[Any, ...], Any] = {}

    def work_at(self, working: tuple[int, int]) -> None:
        """As `vidstyle.convert.Converter.work_at`."""
        self._host.work_at(working)
        self._working = working[::-1] if orientation.swaps_sides(self._info.orientation) else working

    def __call__(self, frame: Any) -> Frame:
        colours = self._colours_of(frame)
        if colours is None:
            made = self._host(frame.downloaded() if isinstance(frame, Surface) else frame)
            return Frame(self._memory.upload(made.image), frame.pts, made.time_base, made.duration)
        tags = frame.format.name, colours, (self._own, self._working), self._info.orientation, self._siting
        image = self._memory.rgb(frame.planes, *tags, isinstance(frame, Surface))
        return Frame(image, frame.pts, self._info.time_base, frame.duration or 0)

    def _colours_of(self, frame: Any) -> Any:
        """`engines.device.planes.Colours`; None for what the host converts."""
        form = frame.format.name
        tags = (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range)
        key = (form, frame.width, frame.height, *tags)
        if key not in self._ways:
            colour = colour_of(frame, self._colour)
            known = planes().supported(form, colour.matrix_used) and (frame.height, frame.width) == self._own
            known = known and (isinstance(frame, Surface) or _plain(frame))
            usable = known and not (colour.is_hdr or is_ycgco(frame, colour))
            full = colour.range_used == RANGE_FULL
            self._ways[key] = planes().Colours(colour.matrix_used, full) if usable else None
        return self._ways[key]


def _plain(frame: Any) -> bool:
    """Whether a picture's planes can be handed over (PyAV 18.1): stored from top to bottom, no odd size in pairs."""
    odd = frame.format.name in SURFACES and (frame.width % 2 or frame.height % 2)
    return not odd and all(plane.line_size > 0 for plane in frame.planes)
