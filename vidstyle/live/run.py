"""Put a session together from what the person asked for, in the order in which errors are cheapest."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vidstyle.catalog import list_styles, parse_recipe
from vidstyle.engine_options import EngineOptions
from vidstyle.errors import UsageError
from vidstyle.live.adaptive import Cost
from vidstyle.live.av_camera import AVCamera
from vidstyle.live.camera import Camera, Capture
from vidstyle.live.clock import Clock
from vidstyle.live.controls import Controls
from vidstyle.live.devices import Opening, Wish, file_named, find_camera, find_microphone
from vidstyle.live.keepup import KeepUp
from vidstyle.live.looks import Looks
from vidstyle.live.opencv_camera import OpenCVCamera
from vidstyle.live.outlet import Output
from vidstyle.live.outputs import VirtualCamera, Window
from vidstyle.live.page import PageOutput
from vidstyle.live.pixels import Fit
from vidstyle.live.session import Session
from vidstyle.network import Architecture
from vidstyle.steady import check_amount

LONGEST_DELAY = 5000  # milliseconds: every one of them is pictures in memory, 80 kB a millisecond at 720p
AUTO = "auto"


@dataclass(frozen=True)
class LiveJob:
    """Everything a session needs, settled before it starts.

    Attributes:
        camera: see `vidstyle.live.devices.find_camera`; None for the first there is.
        size: short side the network works at: a number, "native", or "auto".
        steady: see `vidstyle.steady.Steady`.
        delay: milliseconds.
        virtual_camera, window, page: which outputs; ``device`` is the virtual camera's name, ``port`` the page's.
        record: file to record to; ``microphone`` as `find_microphone` takes it.
    """

    camera: str | None = None
    wish: Wish = field(default_factory=Wish)
    fit: Fit = field(default_factory=Fit)
    style: str = "anime"
    strength: float = 1.0
    mirror: bool = False
    size: str = AUTO
    delay: int = 0
    virtual_camera: bool = True
    device: str | None = None
    window: bool = False
    page: bool = False
    host: str = "127.0.0.1"
    port: int | None = None
    record: Path | None = None
    microphone: str | None = None
    overwrite: bool = False
    engine: EngineOptions = field(default_factory=EngineOptions)
    steady: float = 0.0

    def __post_init__(self) -> None:
        check_amount(self.steady)
        if not 0 <= self.delay <= LONGEST_DELAY:
            raise UsageError(f"--delay is {self.delay}: expected milliseconds from 0 to {LONGEST_DELAY}")
        if not (self.virtual_camera or self.window or self.page or self.record):
            raise UsageError("nowhere to show it: give --page, --window or --record, or leave --no-virtual-camera out")
        if self.microphone and not self.record:
            raise UsageError("--microphone is for a recording: give --record FILE too")


@dataclass
class Running:
    """A session and the parts of it that the caller talks to."""

    session: Session
    controls: Controls
    window: Window | None = None
    page: PageOutput | None = None
    lines: tuple[str, ...] = ()


def open_session(job: LiveJob, say: Callable[[str], None], clock: Clock | None = None) -> Running:
    """Open camera, outputs and look; nothing is left open at an error.

    Raises:
        StyleError, SourceError, SinkError, EngineError, UsageError: see the parts.
    """
    clock = clock or Clock()
    parse_recipe(job.style)
    names = [found.name for found in list_styles() if not (found.error or found.shadowed)]
    controls = Controls(names, job.style, job.strength, job.mirror)
    with ExitStack() as undo:
        capture = Capture(lambda: open_camera(find_camera(job.camera, job.wish), job, clock), clock, say)
        undo.callback(capture.stop, 1.0)
        rate = capture.info.rate or 30
        running, outputs = _open_outputs(job, controls, rate, clock, say, undo)
        area = job.fit.area(*job.fit.inner(capture.info.width, capture.info.height)[::-1])
        height, width = (area.bottom - area.top, area.right - area.left) if area else (job.fit.height, job.fit.width)
        blank = np.full((height, width, 3), 127, np.uint8)
        loader = LookLoader(job, rate, not capture.info.is_device)
        looks = Looks(loader, job.style, blank, clock, say)
        undo.callback(looks.stop, 1.0)
        running.session = Session(capture, looks, outputs, controls, clock, say, job.delay / 1000)
        undo.pop_all()
        return running


def open_camera(opening: Opening, job: LiveJob, clock: Clock) -> Camera:
    kind = OpenCVCamera if opening.format == "opencv" else AVCamera
    return kind(opening, job.wish, job.fit, clock)


class LookLoader:
    """Makes looks by their names, for `Looks`; the machine is measured with the first one of each kind of network.

    Args:
        rate: pictures a second to keep up with.
        clean: an unchanged place of the camera's pictures is the same to the bit: it is a file, not a camera.
    """

    def __init__(self, job: LiveJob, rate: float, clean: bool) -> None:
        self._size = parse_working(job.size, min(job.fit.width, job.fit.height))
        self._options, self._rate, self._noise = job.engine, rate, 0.0 if clean else None
        self._steady = job.steady
        self._costs: dict[tuple[Architecture, ...], Cost | None] = {}
        self._last: tuple[tuple[Architecture, ...], KeepUp] | None = None

    def __call__(self, name: str) -> KeepUp:
        """Raises StyleError or EngineError."""
        if self._last is not None:
            self._costs[self._last[0]] = self._last[1].cost
        recipe = parse_recipe(name)
        kind = tuple(style.card.architecture for style, _ in recipe.parts)
        wishes: dict[str, Any] = {"rate": self._rate, "noise": self._noise, "steady": self._steady}
        look = KeepUp(recipe, self._size, self._options, cost=self._costs.get(kind), **wishes)
        self._last = kind, look
        return look


def parse_working(text: str, native: int) -> int | None:
    """Short side that the network works at; None for the one that keeps up.

    Raises:
        UsageError: it is none of a number from 16 on, "native" and "auto".
    """
    if text == "native":
        return native
    if text == AUTO:
        return None
    if not text.isdigit() or int(text) < 16:
        raise UsageError(f"--size is {text!r}: expected auto, native, or a number of pixels from 16 on, as 360")
    return int(text)


def _open_outputs(
    job: LiveJob, controls: Controls, rate: float, clock: Clock, say: Callable[[str], None], undo: ExitStack
) -> tuple[Running, list[tuple[str, Output]]]:
    running = Running(None, controls)  # type: ignore[arg-type]  # the caller adds the session
    outputs: list[tuple[str, Output]] = []
    lines: list[str] = []

    def add(name: str, output: Any) -> Any:
        undo.callback(output.close)
        outputs.append((name, output))
        return output

    width, height = job.fit.width, job.fit.height
    if job.virtual_camera:
        camera = add("virtual camera", VirtualCamera(width, height, rate, job.device))
        lines.append(f"choose this camera in your call: {camera.device}")
    if job.page:
        running.page = add("page", PageOutput(controls, job.host, job.port))
        lines += [*running.page.notes, f"page: {running.page.url} (OBS browser source: {running.page.obs_url})"]
    if job.window:
        running.window = add("window", Window(controls, width, height))
    if job.record:
        add("recording", _recorder(job, rate, clock, say))
    running.lines = tuple(lines)
    return running, outputs


def _recorder(job: LiveJob, rate: float, clock: Clock, say: Callable[[str], None]) -> Output:
    from vidstyle.live.microphone import Microphone
    from vidstyle.live.recording import Recorder

    assert job.record is not None
    microphone = Microphone(find_microphone(job.microphone), clock) if job.microphone else None
    try:
        size = job.fit.width, job.fit.height
        sources = [file for text in (job.camera, job.microphone) if (file := file_named(text)) is not None]
        return Recorder(job.record, *size, rate, clock, microphone, job.overwrite, say, sources)
    except BaseException:
        if microphone is not None:
            microphone.close()
        raise
