"""A file styled as most tools do it, to compare with: rgb24 through pipes, pageable copies, a wait for every frame.

Built as REAL-Video-Enhancer's: a decoder process writes rgb24 into a pipe, a thread reads it into a queue of 50; one
thread uploads a frame from pageable memory, converting it to half precision on the way, waits, runs the network,
brings the bytes back, waits; another thread writes them into the pipe of an encoder process. The network and the
encoder's settings are this project's own.

`gpu_loop.py read CLIP FRAMES` and `gpu_loop.py write OUT WIDTH HEIGHT PRESET` are the two processes.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

QUEUE = 50  # frames, each way
READY = b"ready\n"


def read(clip: Path, frames: int) -> None:
    """rgb24 of the first ``frames`` pictures to standard output, once a line has come in."""
    import av  # now, not while the clock runs
    from gpu_clip import decoded

    assert av
    sys.stderr.buffer.write(READY)
    sys.stderr.flush()
    sys.stdin.buffer.readline()
    for index, picture in enumerate(decoded(clip)):
        if index == frames:
            break
        sys.stdout.buffer.write(picture.to_ndarray(format="rgb24").tobytes())
    sys.stdout.buffer.flush()


def write(path: Path, width: int, height: int, preset: str) -> None:
    """rgb24 from standard input into a file."""
    import av
    import numpy as np
    from gpu_clip import EncodedFile

    with EncodedFile(path, width, height, preset) as file:
        sys.stderr.buffer.write(READY)
        sys.stderr.flush()
        while len(data := sys.stdin.buffer.read(width * height * 3)) == width * height * 3:
            array = np.frombuffer(data, np.uint8).reshape(height, width, 3)
            file.add(av.VideoFrame.from_ndarray(array, format="rgb24").reformat(format="yuv420p"))


def process(*words: object) -> Any:
    """One of the two processes, when it is ready."""
    command = [sys.executable, __file__, *map(str, words)]
    started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert started.stderr is not None
    if (said := started.stderr.readline()) != READY:
        rest = said + started.stderr.read()
        started.wait()
        raise RuntimeError(
            f"the loop's process {words[0]} did not start: {rest.decode(errors='replace').strip()[-200:]}"
        )
    return started


def one_frame(submit: Callable[[Any], Callable[[], Any]], device: Any, size: tuple[int, int], dtype: Any) -> Any:
    """bytes of a frame in, bytes of the styled one out."""
    import torch

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.current_stream(device).synchronize()

    def styled(data: bytearray) -> Any:
        frame = torch.frombuffer(data, dtype=torch.uint8).to(device, dtype=dtype)
        wait()
        result = submit(frame.reshape(1, *size, 3).to(torch.uint8))()
        back = result.float().byte().cpu()
        wait()
        return back.numpy().tobytes()

    return styled


def loop(
    clip: Path, out: Path, size: tuple[int, int], preset: str, frames: int, styled: Callable[[bytearray], bytes]
) -> float:
    """Seconds from the first frame's decoding to the end of the file; the processes are up before."""
    reader, writer = process("read", clip, frames), process("write", out, size[1], size[0], preset)
    coming: Queue[bytearray | None] = Queue(QUEUE)
    going: Queue[bytes | None] = Queue(QUEUE)
    fill = Thread(target=_fill, args=(reader.stdout, size, coming))
    drain = Thread(target=_drain, args=(going, writer.stdin))
    started, count = time.perf_counter(), 0
    try:
        reader.stdin.write(b"go\n")
        reader.stdin.close()
        fill.start()
        drain.start()
        while (data := coming.get()) is not None:
            going.put(styled(data))
            count += 1
    finally:
        if fill.is_alive():  # only after an error
            reader.kill()
            while coming.get() is not None:
                pass
        going.put(None)
        drain.join()
        fill.join()
        codes = _ended(reader), _ended(writer)
    if any(codes) or count != frames:
        raise RuntimeError(f"the loop styled {count} of {frames} frames; its processes ended with {codes}")
    return time.perf_counter() - started


def _ended(process: Any) -> int:
    code = process.wait()
    process.stdout.close()
    process.stderr.close()
    return int(code)


def _fill(pipe: Any, size: tuple[int, int], queue: Queue[bytearray | None]) -> None:
    length = size[0] * size[1] * 3
    while len(data := bytearray(pipe.read(length))) == length:
        queue.put(data)
    queue.put(None)


def _drain(queue: Queue[bytes | None], pipe: Any) -> None:
    try:
        while (data := queue.get()) is not None:
            pipe.write(data)
        pipe.close()
    except OSError:  # the process ended: its code says so
        while data is not None:
            data = queue.get()


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    sys.path[:0] = [str(root), str(root / "scripts")]
    if sys.argv[1] == "read":
        read(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        write(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
