"""Event loops that Gradio makes and forgets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unused_loops_closed() -> Iterator[None]:
    """Close the event loops that the block makes on this thread and does not run.

    Gradio makes one for every lock of a server that is built outside of a running loop, which no Python since 3.10
    needs; each keeps two sockets open.
    """
    made: list[asyncio.AbstractEventLoop] = []
    thread, make = threading.current_thread(), asyncio.new_event_loop

    def noted() -> asyncio.AbstractEventLoop:
        loop = make()
        if threading.current_thread() is thread:
            made.append(loop)
        return loop

    asyncio.new_event_loop = noted
    try:
        yield
    finally:
        asyncio.new_event_loop = make
        for loop in made:
            if not loop.is_running():
                loop.close()
        if made:
            asyncio.set_event_loop(None)
