"""vidstyle live: the look in a video call, while it happens."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidstyle.cli import options as opt
from vidstyle.errors import Interrupted, UsageError, VidstyleError

if TYPE_CHECKING:
    from vidstyle.live.run import LiveJob, Running

LINE_SECONDS, JSON_SECONDS, PLAIN_SECONDS = 0.25, 1.0, 10.0  # between two status lines
Pair = tuple[int, int]


def live(
    camera: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|N",
            help="A camera, a video file, rtsp:// or http://, test, lavfi:FILTERS, opencv:N; the first if left out.",
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the cameras and microphones there are, and end.")] = False,
    camera_size: Annotated[str | None, typer.Option(metavar="WxH", help="Ask the camera for this size.")] = None,
    fps: Annotated[
        int | None, typer.Option(metavar="N", help="Ask the camera for N pictures a second, from 1 on.")
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Begin a video file again at its end.")] = False,
    any_certificate: Annotated[
        bool,
        typer.Option(
            "--any-certificate",
            help="Take an https camera whose certificate is its own: whoever is in between can show other pictures.",
        ),
    ] = False,
    output_size: Annotated[str, typer.Option(metavar="WxH", help="Size of every picture that is sent.")] = "1280x720",
    fit: Annotated[
        str, typer.Option(metavar="HOW", help="letterbox, or crop: how a camera of another shape fits.")
    ] = "letterbox",
    style: opt.Style = "anime",
    strength: opt.Strength = 1.0,
    size: Annotated[
        str, typer.Option(metavar="auto|N|native", help="Short side the network works at; auto: what keeps up here.")
    ] = "auto",
    steady: opt.Steady = 0.0,
    mirror: Annotated[bool, typer.Option("--mirror", help="Mirror the picture.")] = False,
    virtual_camera: Annotated[
        bool, typer.Option("--virtual-camera/--no-virtual-camera", help="A camera for other programs.")
    ] = True,
    virtual_device: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which virtual camera, as /dev/video10; the first if left out.")
    ] = None,
    window: Annotated[bool, typer.Option("--window", help="A preview on the screen.")] = False,
    page: Annotated[
        bool, typer.Option("--page", help="A page in the browser; also where there is no other output.")
    ] = False,
    host: Annotated[str, typer.Option(metavar="NAME", help="Address the page listens at.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(metavar="N", help="Port of the page; a free one if left out.")] = None,
    record: Annotated[Path | None, typer.Option(metavar="FILE", help="Record to .mp4, .mov or .mkv.")] = None,
    microphone: Annotated[
        str | None, typer.Option(metavar="NAME|N", help="Sound of the recording; default for the system's own.")
    ] = None,
    overwrite: opt.Overwrite = False,
    snapshots: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the key s saves pictures.")] = Path(),
    delay: Annotated[int, typer.Option(metavar="MS", help="Send every picture this long after its capture.")] = 0,
    device: opt.Device = "auto",
    precision: opt.Precision = "auto",
    threads: opt.Threads = 0,
    engine: opt.EngineName = "auto",
    no_build: opt.NoBuild = False,  # noqa: ARG001 - its callback tells it
    json: opt.Json = False,
) -> int:
    """Give the camera's picture a look and pass it on: vidstyle live --camera 0

    Keys while it runs: n p look, + - strength, m mirror, w compare, f freeze, s snapshot, h help, q quit.
    """
    if list_:
        return _list(json)
    from vidstyle.choice import choose
    from vidstyle.engine_options import EngineOptions
    from vidstyle.live.devices import Wish
    from vidstyle.live.pixels import Fit
    from vidstyle.live.run import LiveJob

    engine, device = choose(engine, device, builds=size != "auto")  # which changes as it runs
    asked = None if camera_size is None else _parse_pair(camera_size, "--camera-size")
    job = LiveJob(
        camera=camera,
        wish=Wish(asked, fps, loop, any_certificate),
        fit=Fit(*_parse_pair(output_size, "--output-size"), fit),
        style=style,
        strength=strength,
        mirror=mirror,
        size=size,
        delay=delay,
        virtual_camera=virtual_camera,
        device=virtual_device,
        window=window,
        page=page or not (virtual_camera or window or record),
        host=host,
        port=port,
        record=record,
        microphone=microphone,
        overwrite=overwrite,
        engine=EngineOptions(engine, device, precision, threads),
        steady=steady,
    )
    return _run(job, snapshots, json)


def _parse_pair(text: str, option: str) -> Pair:
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdigit() and 0 < int(part) <= 16384 for part in parts):
        raise UsageError(f"{option} is {text!r}: expected width x height, as 1280x720")
    return int(parts[0]), int(parts[1])


def _list(json: bool) -> int:
    from dataclasses import asdict

    from vidstyle.cli.console import event, human, result
    from vidstyle.live.devices import NO_CAMERA, list_cameras, list_microphones

    cameras, microphones = list_cameras(), list_microphones()
    for kind, devices in (("camera", cameras), ("microphone", microphones)):
        for device in devices:
            if json:
                event({"event": kind, **asdict(device)})
            else:
                result(f"{kind:10} {device}{' (virtual)' if device.is_virtual else ''}")
    if not cameras:
        human(NO_CAMERA)
    return 0


def _run(job: LiveJob, snapshots: Path, json: bool) -> int:
    import av

    from vidstyle.live.clock import leave_threads
    from vidstyle.live.keyboard import Keyboard
    from vidstyle.live.run import open_session

    av.logging.set_level(None)  # see vidstyle file
    view = _View(json, snapshots)
    running = open_session(job, view.say)
    code = 0
    try:
        # The terminal is given back first: a second Ctrl-C ends the program where it is.
        with running.session, Keyboard() as keyboard:
            view.begin(running)
            interval = 1 / 60 if running.window else 0.05
            running.session.run(lambda: view.tick(running, keyboard.keys()), interval)
    except Interrupted as stop:
        code = stop.exit_code
    except Exception as error:
        code = getattr(error, "exit_code", VidstyleError.exit_code)
        raise
    finally:
        leave_threads(code)
        view.end(running, code)
    return code


class _View:
    """What the person sees and does in the terminal. Lines from any thread are shown by the main one."""

    def __init__(self, json: bool, snapshots: Path) -> None:
        from vidstyle.cli.console import is_terminal

        self._json, self._snapshots = json, snapshots
        self._draws = is_terminal() and not json
        self._lines: deque[str] = deque(maxlen=100)
        self._saved = self._helped = 0
        self._next = 0.0

    def say(self, line: str) -> None:
        self._lines.append(line)

    def begin(self, running: Running) -> None:
        from vidstyle.live.controls import HELP

        self.say(str(running.session.capture.info))
        for line in running.lines:
            self.say(line)
        if self._draws:
            self.say(f"keys: {HELP}")
        self._flush()

    def tick(self, running: Running, keys: str) -> None:
        """Take keys, draw the window, save what was asked for, show lines and figures."""
        from vidstyle.live.controls import HELP

        for key in keys:
            running.controls.key(key)
        if running.window is not None:
            running.window.show()
        if running.controls.snapshots > self._saved:
            self._saved = running.controls.snapshots
            self._save(running)
        if running.controls.helps > self._helped:
            self._helped = running.controls.helps
            self.say(HELP)
        if self._lines or time.monotonic() >= self._next:
            self._flush()
            self._status(running)

    def _save(self, running: Running) -> None:
        from vidstyle.errors import SinkError
        from vidstyle.live.snapshot import save_snapshot

        newest = running.session.newest
        try:
            self.say(f"saved {save_snapshot(newest.image, self._snapshots)}" if newest else "no picture yet")
        except SinkError as error:
            self.say(str(error))

    def _flush(self) -> None:
        from vidstyle.cli.console import event, human, redraw

        if self._draws:
            redraw()
        while self._lines:
            line = self._lines.popleft()
            if self._json:
                event({"event": "message", "text": line})
            else:
                human(line)

    def _status(self, running: Running) -> None:
        from vidstyle.cli.console import event, human, redraw

        if time.monotonic() < self._next and not self._draws:
            return
        now = {**running.controls.state(), **running.session.status()}
        if self._json:
            event({"event": "status", **now})
        elif self._draws:
            redraw(status_line(now))
        else:
            human(status_line(now))
        wait = JSON_SECONDS if self._json else LINE_SECONDS if self._draws else PLAIN_SECONDS
        self._next = time.monotonic() + wait

    def end(self, running: Running, code: int) -> None:
        """The figures of the whole session."""
        from vidstyle.cli.console import event

        self._flush()
        final = {**running.session.status(), "latency": running.session.whole_latency()}
        if self._json:
            event({"event": "done", "exit_code": code, **final})
            return
        for line in summary(final):
            self.say(line)
        self._flush()


def status_line(now: dict[str, Any]) -> str:
    """One line of the figures, the most wanted first: a narrow terminal cuts off its end."""
    latency = now["latency"]
    late = f"{latency['p50']:.0f} ms, p95 {latency['p95']:.0f}" if latency else "no picture yet"
    look = f"{now['shown']} {now['strength']:.0%}" + (f", loading {now['loading']}" if now["loading"] else "")
    working = "x".join(map(str, now.get("working", ())))
    parts = [look, f"{now['fps_in']:.1f} fps in, {now['fps_out']:.1f} out", late, f"{now['dropped']} dropped", working]
    return " | ".join(part for part in ([] if now["state"] == "running" else [now["state"]]) + parts if part)


def summary(final: dict[str, Any]) -> list[str]:
    """What was sent, and how late the picture is, for who delays the sound elsewhere."""
    counts = f"{final['captured']} pictures in, {final['sent']} sent, {final['dropped']} dropped"
    counts += f", {final['failed']} without the look" if final["failed"] else ""
    latency, delay = final["latency"], final["delay"]
    if not latency:
        return [counts]
    p50, p95 = latency["p50"], latency["p95"]
    lines = [f"{counts}; from capture to sending {p50:.0f} ms, p95 {p95:.0f}, worst {latency['max']:.0f}"]
    if delay >= p95 - 1:
        return [*lines, f"the picture is {delay} ms late: delay the sound by as much"]
    fixed = (int(p95) // 10 + 1) * 10
    late = f"the picture is about {p50:.0f} ms late"
    return [*lines, f"{late}: delay the sound by as much, or fix it with --delay {fixed}"]
