"""The page's parts one by one: words, pictures, its neighbour, its command."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from media import make_clip
from PIL import Image

from vidstyle.errors import EngineError, SinkError, UsageError
from vidstyle.report import Report, StreamNote
from vidstyle.ui import house, texts
from vidstyle.ui.media import key_time, look_into, plays_in_browsers
from vidstyle.ui.neighbour import live_page
from vidstyle.ui.sessions import LOCK, PREFIX, plain_text, safe_name, sweep
from vidstyle.ui.studio import Choice
from vidstyle.ui.words import in_words
from vidstyle.ui.work import Work

FILES = Path(texts.__file__).parent / "page_files"


def told(report: Report) -> dict[str, str]:
    return {line.text: line.tone for line in in_words(report.as_dict())}


def test_a_whole_result_in_words() -> None:
    report = Report("a", "b", 20, 20, pts_equal=True, audio_equal=True, seconds=2.4, fps=8.3)
    report.streams = [StreamNote(1, "audio", "aac", "copied"), StreamNote(2, "subtitle", "subrip", "copied")]
    assert told(report) == {
        "All 20 pictures are there, each at its exact time.": "good",
        "The sound is the same, to the bit.": "good",
        "Kept: subtitles.": "good",
        "Made in 2 s, 8.3 pictures a second.": "good",
    }


def test_what_is_lost_is_said() -> None:
    report = Report("a", "b", 20, 18, pts_equal=True, losses=["the source ends early"], notes=["it was \x1b[31m odd"])
    report.streams = [
        StreamNote(1, "audio", "pcm", "dropped", "cannot be held"),
        StreamNote(2, "data", "klv", "dropped", "of a kind that cannot be written"),
        StreamNote(3, "data", "bin", "dropped", "empty", harmless=True),
    ]
    words = told(report)
    assert words["18 of 20 pictures are there."] == "bad"
    assert words["The sound could not be kept."] == "bad"
    assert words["Data not kept: of a kind that cannot be written."] == "note"
    assert words["The source ends early."] == "bad"
    assert not any("\x1b" in text or "empty" in text for text in words)


def test_of_a_damaged_source_it_is_not_said_that_all_is_there() -> None:
    loss = "cannot be decoded after 17 pictures (damaged); pictures are missing there"
    words = told(Report("a", "b", 20, 20, pts_equal=True, losses=[loss]))
    assert words["All 20 pictures that could be read are there, each at its exact time."] == "note"
    assert not any(text.startswith("All 20 pictures are there") for text in words)


def test_every_text_on_the_page_is_there_and_used() -> None:
    html = (FILES / "index.html").read_text()
    scripts = "".join(path.read_text() for path in FILES.glob("*.js"))
    python = "".join(path.read_text() for path in FILES.parent.glob("*.py") if path.name != "texts.py")
    asked = set(re.findall(r"\{\{(\w+)\}\}", html)) - {"data", "language"}
    assert asked <= set(texts.TEXTS)
    assert "{{" not in texts.page({})
    said = set(re.findall(r'say\("(\w+)"', scripts))
    assert said <= set(texts.TEXTS)
    whole = html + scripts + python
    dynamic = re.compile(r"^(status_|sound_|kind_)")
    unused = [key for key in texts.TEXTS if key not in whole and not dynamic.match(key)]
    assert unused == []


def test_the_page_asks_for_nothing_from_elsewhere() -> None:
    for path in FILES.iterdir():
        found = re.findall(r"""https?://[^\s"')]+""", path.read_text())
        assert [one for one in found if one != "http://www.w3.org/2000/svg"] == [], path.name


def test_texts_cannot_end_the_script_they_stand_in() -> None:
    assert "</script><b>" not in texts.page({"x": "</script><b>"})


def test_a_good_picture_is_no_black_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import media

    real = media.picture
    monkeypatch.setattr(media, "picture", lambda i, w, h: real(i, w, h) if i > 15 else np.zeros((h, w, 3), np.uint8))
    clip = make_clip(tmp_path / "dark.mp4", frames=40)
    known, sample = look_into(clip.path)
    assert sample.std() > 14
    assert known.duration == pytest.approx(1.6, abs=0.05)


def test_key_pictures_are_found(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=20)
    assert key_time(clip.path, 0.5, clip.times[0]) == 0


@pytest.mark.parametrize(
    ("name", "codec", "plays"), [("a.mp4", "libx264", True), ("a.mkv", "libx264", False), ("a.mp4", "mpeg4", False)]
)
def test_what_browsers_play(tmp_path: Path, name: str, codec: str, plays: bool) -> None:
    assert plays_in_browsers(make_clip(tmp_path / name, frames=3, codec=codec).path) is plays


def test_what_begins_late_is_not_played_with_other_times(tmp_path: Path) -> None:
    late = make_clip(tmp_path / "late.mp4", pts=[12800 * 10 + i * 512 for i in range(12)], audio=0)
    assert plays_in_browsers(late.path) is False
    known, _ = look_into(late.path)
    assert not known.plays and known.duration == pytest.approx(0.48, abs=0.05)


def test_a_video_of_one_picture_is_a_video(tmp_path: Path) -> None:
    """It has a sound, and its name says so."""
    assert look_into(make_clip(tmp_path / "one.mp4", frames=1).path)[0].kind == "video"
    Image.new("RGB", (32, 32)).save(tmp_path / "named.mp4", "PNG")
    assert look_into(tmp_path / "named.mp4")[0].kind == "picture"


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a.mp4", "a.mp4"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("", "video"),
        ("C:\\x\\b.mov", "C__x_b.mov"),
        ("...", "video"),
    ],
)
def test_names_are_safe(name: str, safe: str) -> None:
    assert safe_name(name) == safe
    assert len(safe_name("ä" * 500 + ".mp4").encode()) < 255


@pytest.mark.parametrize(
    ("name", "ending"), [("漢" * 100 + ".mp4", ".mp4"), ("a." + "漢" * 99, "漢"), ("漢" * 100, "漢")]
)
def test_long_names_are_cut_by_bytes_between_characters(name: str, ending: str) -> None:
    safe = safe_name(name)
    assert 10 < len(safe.encode()) <= 200 and safe.endswith(ending)
    assert set(safe) <= set(name)


def test_options_have_the_names_of_the_pages_fields() -> None:
    said = plain_text("a.mp4: no pictures between --start and --end: it ends at 0.80 s")
    assert said == "a.mp4: no pictures between “Begin here” and “End here”: it ends at 0.80 s"


def test_temporary_places_are_not_shown() -> None:
    full = "the disk is full; a.mp4 was not written: free some space or choose another folder with -o"
    assert plain_text(full) == "The disk is full; a.mp4 was not written: free some space"
    assert plain_text("cannot read /tmp/vidstyle-ui-x1_/a-b/file-1/my clip.mp4: no") == "Cannot read my clip.mp4: no"


def test_what_a_killed_page_left_is_swept_and_a_living_ones_is_not(tmp_path: Path) -> None:
    for name in ("dead", "living"):
        (tmp_path / f"{PREFIX}{name}").mkdir()
        (tmp_path / f"{PREFIX}{name}" / LOCK).touch()
    with FileLock(tmp_path / f"{PREFIX}living" / LOCK):
        sweep(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [f"{PREFIX}living"]


def test_a_pause_in_the_moment_of_the_end_comes_too_late() -> None:
    class Ends:
        def __enter__(self) -> None:
            run.status = "done"

        def __exit__(self, *_: object) -> None:
            pass

    run = Work.__new__(Work)
    run.status, run._lock, run._connection = "running", Ends(), None  # type: ignore[assignment]
    run.pause()
    assert run.status == "done"


def test_a_choice_is_checked() -> None:
    assert Choice("a", "b", 0.25).parts == [("a", 0.75), ("b", 0.25)]
    assert Choice("a", "b", 1.0).parts == [("b", 1.0)]
    assert Choice("a", "a", 0.5).parts == [("a", 1.0)]
    with pytest.raises(UsageError):
        Choice("a", strength=1.1)


# --- the house


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_ipv6_address_is_taken_with_and_without_brackets(host: str) -> None:
    one = house.House(house.HouseOptions(host))
    assert (one.options.host, one.is_open) == ("[::1]", False)
    assert house._reached("http://[::]:7860/", "[::]") == f"http://{socket.gethostname()}:7860/"


def test_why_it_cannot_listen_is_said_alone() -> None:
    """A port that is taken is no matter of the address, and the other way round."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SinkError, match=f"^port {port} is taken: choose another --port, or leave it out$"):
            house._check_address("127.0.0.1", port)
        with pytest.raises(SinkError, match=r"^cannot listen at 192\.0\.2\.1 \(.+\): --host is to be an address"):
            house._check_address("192.0.2.1", port)  # of documents, and of no machine


# --- the neighbour


@contextmanager
def serving(server: str, body: object) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = server, ""

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            del format, args

    with HTTPServer(("127.0.0.1", 0), Handler) as one:
        thread = threading.Thread(target=one.serve_forever)
        thread.start()
        yield one.server_address[1]
        one.shutdown()
        thread.join()


def test_vidstyle_live_is_found_and_nothing_else() -> None:
    with serving("vidstyle", {"page": "x"}) as port:
        assert live_page(range(port, port + 1)) == f"http://127.0.0.1:{port}/"
    with serving("other", {"page": "x"}) as port:
        assert live_page(range(port, port + 1)) is None
    assert live_page(range(port, port + 1)) is None


# --- the command


def test_a_missing_gradio_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(EngineError, match=r"pip install 'vidstyle\[ui\]'"):
        house.gradio()


def test_the_command_says_it_and_ends_with_the_engines_code(tmp_path: Path) -> None:
    code = "import sys; sys.modules['gradio'] = None; from vidstyle.cli import main; main(['ui', '--no-browser'])"
    env = {"VIDSTYLE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert run.returncode == 6
    assert run.stderr.splitlines()[-1].startswith("vidstyle: vidstyle ui needs Gradio")
    assert "Traceback" not in run.stderr
