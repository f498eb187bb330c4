"""vidstyle ui: the page in the browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vidstyle.cli import options as opt
from vidstyle.errors import Interrupted

if TYPE_CHECKING:
    from vidstyle.ui.house import HouseOptions


def ui(
    host: Annotated[
        str, typer.Option(metavar="NAME", help="Address to listen at; any but this machine's own needs a token.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(metavar="N", help="Port; the first free one from 7860 on if left out.")
    ] = None,
    share: Annotated[bool, typer.Option("--share", help="Open it to others through Gradio's tunnel.")] = False,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    max_upload: Annotated[float, typer.Option(metavar="GB", min=0.001, help="Largest file that is taken.")] = 8.0,
    device: opt.Device = "auto",
    precision: opt.Precision = "auto",
    threads: opt.Threads = 0,
    engine: opt.EngineName = "auto",
    no_build: opt.NoBuild = False,  # noqa: ARG001 - its callback tells it
) -> int:
    """Drop a video, pick a look, see it, keep it: a page in the browser.

    Ctrl-C ends it; what was dropped is removed then, the folder's queue is kept.
    """
    from vidstyle.choice import choose
    from vidstyle.engine_options import EngineOptions
    from vidstyle.ui.house import GIB, HouseOptions

    engine, device = choose(engine, device, builds=False)  # previews come in many sizes, and somebody waits
    options = EngineOptions(engine, device, precision, threads)
    return _serve(HouseOptions(host, port, share, int(max_upload * GIB), options), browser)


def _serve(options: HouseOptions, browser: bool) -> int:
    import threading
    import webbrowser

    import av

    from vidstyle.cli.console import human
    from vidstyle.ui.house import House

    av.logging.set_level(None)  # see vidstyle file
    human("starting ...")
    try:
        with House(options) as house:
            for note in house.notes:
                human(f"warning: {note}")
            human(f"vidstyle is at {house.url} (Ctrl-C ends it)")
            if browser:
                webbrowser.open(house.url)
            threading.Event().wait()
    except Interrupted as stop:
        return stop.exit_code
    return 0
