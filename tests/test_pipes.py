"""`vidstyle file` in a chain of programs: videos through standard input and output."""

import io
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media import left_behind, make_clip, packets, save_tiny, video_times

ROOT = Path(__file__).parents[1]


def run(home: Path, *arguments: str, stdin: object = subprocess.DEVNULL) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, "VIDSTYLE_HOME": str(home), "PYTHONPATH": str(ROOT)}
    data = stdin if isinstance(stdin, bytes) else None
    stream = {"input": data} if data is not None else {"stdin": stdin}
    command = [sys.executable, "-m", "vidstyle", "file", *arguments, "-s", str(home / "tiny.safetensors")]
    return subprocess.run(command, capture_output=True, env=env, timeout=60, **stream)  # type: ignore[call-overload]


@pytest.fixture
def styled_home(home: Path) -> Path:
    home.mkdir()
    save_tiny(home, "tiny")
    return home


def test_matroska_in_and_out(styled_home: Path, tmp_path: Path) -> None:
    """Sound and uneven times come through two pipes."""
    clip = make_clip(tmp_path / "in.mkv", pts=[0, 512, 1000, 4000, 6000, 12800], audio=2)
    done = run(styled_home, "-", "-o", "-", stdin=clip.path.read_bytes())
    assert done.returncode == 0, done.stderr
    (tmp_path / "out.mkv").write_bytes(done.stdout)
    assert video_times(tmp_path / "out.mkv") == video_times(clip.path)
    sound = [[data for _, data in track] for track in packets(clip.path, "audio")]
    assert [[data for _, data in track] for track in packets(tmp_path / "out.mkv", "audio")] == sound
    assert b"6 frames in, 6 out" in done.stderr


def test_a_pipe_into_a_file_is_read_back(styled_home: Path, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=20, audio=1)
    done = run(styled_home, "-", "-o", str(tmp_path / "out.mp4"), stdin=clip.path.read_bytes())
    assert done.returncode == 0, done.stderr
    assert b"every time exact; sound bit-exact" in done.stderr
    assert len(video_times(tmp_path / "out.mp4")) == 20
    assert left_behind(tmp_path, "in.mkv", "out.mp4") == []


def y4m(frames: int) -> bytes:
    """A grey ramp that moves, written by hand: 48x32, 4:2:0, 25 pictures a second."""
    out = io.BytesIO(b"")
    out.write(b"YUV4MPEG2 W48 H32 F25:1 Ip A1:1 C420jpeg\n")
    for index in range(frames):
        y = (16 + np.arange(48)[None] * 3 + np.arange(32)[:, None] + index).astype(np.uint8)
        out.write(b"FRAME\n" + y.tobytes() + bytes([128]) * (2 * 24 * 16))
    return out.getvalue()


def test_y4m_in_and_out(styled_home: Path, tmp_path: Path) -> None:
    done = run(styled_home, "-", "-o", "-", "--pipe", "y4m", "--strength", "0", stdin=y4m(12))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"YUV4MPEG2 W48 H32 F25:1")
    (tmp_path / "out.y4m").write_bytes(done.stdout)
    with av.open(str(tmp_path / "out.y4m")) as container:
        found = [frame.to_ndarray()[:32, :48].astype(int) for frame in container.decode(video=0)]
    assert video_times(tmp_path / "out.y4m") == [Fraction(i, 25) for i in range(12)]
    expected = 16 + np.arange(48)[None] * 3 + np.arange(32)[:, None] + 3
    assert np.abs(found[3] - expected).max() <= 2


def test_what_comes_after_may_stop_reading(styled_home: Path, tmp_path: Path) -> None:
    """As `| head -c 100` does: no traceback, nothing left."""
    clip = make_clip(tmp_path / "in.mp4", frames=200, size=(320, 240))
    env = {**os.environ, "VIDSTYLE_HOME": str(styled_home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "vidstyle", "file", str(clip.path), "-o", "-", "-s", "tiny"]
    command[-1] = str(styled_home / "tiny.safetensors")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    assert process.stdout is not None
    process.stdout.read(100)
    process.stdout.close()
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert b"Traceback" not in said
    assert left_behind(tmp_path, "in.mp4") == []


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "says"),
    [
        (("-",), b"", 4, b"standard input is empty"),
        (("-",), b"no video at all " * 500, 4, b"standard input"),
        (("-", "-o", "-", "--pipe", "avi"), b"", 2, b"'avi'"),
    ],
)
def test_bad_pipes(
    styled_home: Path, tmp_path: Path, arguments: tuple[str, ...], stdin: bytes, code: int, says: bytes
) -> None:
    done = run(styled_home, *arguments, stdin=stdin)
    assert (done.returncode, says in done.stderr) == (code, True), done.stderr
    assert done.stderr.count(b"\n") == 1
    assert left_behind(tmp_path) == []


def test_closed_standard_input(styled_home: Path, tmp_path: Path) -> None:
    """A closed stdin is no concern of a run that does not read it, and one line to one that does."""
    clip = make_clip(tmp_path / "in.mp4", frames=3)
    script = 'exec "$0" -m vidstyle file "$1" -s "$2" -o "$3" <&-'
    env = {**os.environ, "VIDSTYLE_HOME": str(styled_home), "PYTHONPATH": str(ROOT)}
    for source, code in ((str(clip.path), 0), ("-", 2)):
        style, output = str(styled_home / "tiny.safetensors"), str(tmp_path / f"out{code}.mp4")
        command = ["sh", "-c", script, sys.executable, source, style, output]
        done = subprocess.run(command, capture_output=True, env=env, timeout=60)
        assert done.returncode == code, done.stderr
        assert b"Traceback" not in done.stderr
