"""Which videos files, folders and patterns mean, and what each becomes."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from vidstyle.batch.inputs import Found, find
from vidstyle.batch.journal import LOCK, NAME, Journal
from vidstyle.errors import SourceError, UsageError


def result_name(source: Path) -> str:
    return f"{source.stem}.tiny{source.suffix if source.suffix != '.avi' else '.mkv'}"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the test runs in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"\x00")


def search(*inputs: str, folder: str = "out", ours: tuple[str, ...] = (), patience: bool = False) -> Found:
    return find(inputs, Path(folder), result_name, map(Path, ours), patience)


def pairs(found: Found) -> list[tuple[str, str]]:
    return [(str(item.source), str(item.target)) for item in found.items]


def test_a_folder_is_mirrored_in_order_without_what_is_hidden_or_unfinished() -> None:
    put("in/b.mp4", "in/a/B.MOV", "in/a/a.mkv", "in/.hidden.mp4", "in/.git/x.mp4", "in/x.mp4.part/00000.mkv")
    put("in/y.mp4.part", "in/notes.txt", "in/pic.jpg")
    found = search("in")
    assert pairs(found) == [
        ("in/b.mp4", "out/b.tiny.mp4"),
        ("in/a/B.MOV", "out/a/B.tiny.MOV"),
        ("in/a/a.mkv", "out/a/a.tiny.mkv"),
    ]
    assert (found.passed_over, found.unreadable) == (2, [])


def test_a_program_is_no_transport_stream() -> None:
    put("in/video.ts")
    Path("in/index.ts").write_text("export const naïve = '☃';\n" * 100)
    Path("in/packets.ts").write_bytes((b"\x47\x40\x00\x10" + b"\xff" * 184) * 8)
    Path("in/empty.ts").touch()
    found = search("in")
    assert [name for name, _ in pairs(found)] == ["in/empty.ts", "in/packets.ts", "in/video.ts"]
    assert found.passed_over == 1


def test_an_explicit_name_may_have_any_extension() -> None:
    put("film.dat", ".secret.mp4", "-x.mp4", "new\nline.mp4", "[a].mp4")
    names = ("film.dat", ".secret.mp4", "-x.mp4", "new\nline.mp4", "[a].mp4")
    assert [name for name, _ in pairs(search(*names))] == list(names)


def test_each_video_once(here: Path) -> None:
    put("in/sub/a.mp4", "in/b.mp4")
    Path("link").symlink_to("in")
    found = search("in", "in/sub/a.mp4", "link", "in/../in/b.mp4", str(here / "in"))
    assert pairs(found) == [("in/b.mp4", "out/b.tiny.mp4"), ("in/sub/a.mp4", "out/sub/a.tiny.mp4")]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("in/**/*.mp4", [("in/a/x.mp4", "out/a/x.tiny.mp4"), ("in/b/y.mp4", "out/b/y.tiny.mp4")]),
        ("in/*/x.*", [("in/a/x.mp4", "out/a/x.tiny.mp4")]),
        ("in/?/*.dat", [("in/b/raw.dat", "out/b/raw.tiny.dat")]),
        ("in/a/*", [("in/a/x.mp4", "out/x.tiny.mp4")]),
    ],
)
def test_patterns_keep_the_structure_below_their_fixed_part(pattern: str, expected: list) -> None:
    put("in/a/x.mp4", "in/b/y.mp4", "in/a/x.txt", "in/b/raw.dat", "in/.h/z.mp4")
    assert pairs(search(pattern)) == expected


def test_the_output_folder_never_feeds_itself() -> None:
    put("in/a.mp4", "in/out/a.tiny.mp4", "in/out/sub/b.tiny.mp4")
    assert pairs(search("in", folder="in/out")) == [("in/a.mp4", "in/out/a.tiny.mp4")]
    assert pairs(search("in/**/*.mp4", folder="in/out")) == [("in/a.mp4", "in/out/a.tiny.mp4")]
    Path("away").symlink_to("in/out")
    assert pairs(search("in", folder="away")) == [("in/a.mp4", "away/a.tiny.mp4")]


def test_results_beside_their_sources_are_no_sources() -> None:
    put("in/a.mp4", "in/a.tiny.mp4", "in/old.tiny.mp4")
    expected = [("in/a.mp4", "in/a.tiny.mp4")]
    assert pairs(search("in", folder="in", ours=("in/old.tiny.mp4",))) == expected
    assert pairs(search("in/*.mp4", folder="in/.", ours=("in/old.tiny.mp4",))) == [("in/a.mp4", "in/a.tiny.mp4")]


def test_a_batchs_own_files_are_not_counted() -> None:
    put("in/a.mp4", "in/notes.txt", f"in/{NAME}", f"in/{LOCK}")
    assert search("in", folder="in").passed_over == 1


def test_results_of_another_batch_are_no_sources_where_theirs_are() -> None:
    put("in/sub/a.mp4", "in/sub/a.tiny.mkv", "in/sub/mine.tiny.mp4")
    marks = {"fingerprint": {}, "stamp": None, "before": None}
    with Journal(Path("in")) as journal:
        for name, file in (("a", "a.tiny.mkv"), ("mine", "mine.tiny.mp4")):
            target, source = Path(f"in/sub/{name}.tiny.mp4"), Path(f"in/sub/{name}.mp4")
            journal.write("started", target, source, file=file, **marks)
            if name == "a":  # the other one is not the batch's
                journal.write("done", target, source, fingerprint={}, size=1)
    names = ["in/sub/a.mp4", "in/sub/mine.tiny.mp4"]
    for inputs in ("in", "in/**/*.m*"):
        assert [source for source, _ in pairs(search(inputs))] == names
    Path("in/sub/a.mp4").rename("elsewhere.mp4")  # the results alone may be styled once more
    assert [source for source, _ in pairs(search("in"))] == ["in/sub/a.tiny.mkv", names[1]]


def test_the_journal_of_another_batch_is_read_again_only_when_it_grew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watched folder is looked at every few seconds, and a journal may have a million lines."""
    put("in/a.mp4", "in/a.tiny.mp4", "in/b.mp4", "in/b.tiny.mp4")
    read, take = list[bytes](), Journal._take
    monkeypatch.setattr(Journal, "_take", lambda self, line: (read.append(line), take(self, line))[1])
    for name, videos in (("a", ["in/a.mp4", "in/b.mp4", "in/b.tiny.mp4"]), ("b", ["in/a.mp4", "in/b.mp4"])):
        with Journal(Path("in")) as journal:
            target, source = Path(f"in/{name}.tiny.mp4"), Path(f"in/{name}.mp4")
            journal.write("started", target, source, file=target.name, fingerprint={}, stamp=None, before=None)
            journal.write("done", target, source, fingerprint={}, size=1)
        lines = Path("in", NAME).read_bytes().splitlines(keepends=True)
        for expected in (lines, [], []):
            read.clear()
            assert [source for source, _ in pairs(search("in"))] == videos
            assert read == expected


@pytest.mark.parametrize("pattern", ["in/**/*.mp4", "**/*.mp4", "in/**", "./in/**/b/../**/*.mp4", "in/**/**/[ab].mp4"])
def test_a_pattern_does_not_go_round_in_a_circle_of_links(pattern: str) -> None:
    put("in/a.mp4", "in/b/b.mp4", "in/.hidden/c.mp4")
    for number in range(2):
        Path("in", f"circle{number}").symlink_to(".", target_is_directory=True)
        Path("in/b", f"circle{number}").symlink_to("..", target_is_directory=True)
    expected = ["in/a.mp4", "in/b/b.mp4"]
    assert [os.path.normpath(source) for source, _ in pairs(search(pattern))] == expected


@pytest.mark.parametrize("inputs", ["in", "in/*", "in/*.mp4"])
def test_a_link_that_leads_nowhere_is_a_video_that_fails(inputs: str) -> None:
    """As of a file that git-annex or DVC has not fetched: one passed over in silence would be missed later."""
    put("in/a.mp4")
    Path("in/folder.mp4").mkdir()
    for name, to in (("gone.mp4", "nowhere"), ("itself.mp4", "itself.mp4"), ("there.mp4", "a.mp4")):
        Path("in", name).symlink_to(to)
    found = [f"in/{name}.mp4" for name in ("a", "gone", "itself", "there")]
    assert [source for source, _ in pairs(search(inputs))] == found


def test_what_may_not_be_looked_at_fails_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    put("in/a.mp4", "in/locked/b.mp4", "in/locked/c.txt")
    stat = os.stat

    def refusing(path: str | Path, *args: object, **options: object) -> os.stat_result:
        if Path(path).parent.name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", refusing)
    names = ["in/a.mp4", "in/locked/b.mp4"]
    assert [source for source, _ in pairs(search("in"))] == names
    assert [source for source, _ in pairs(search("in/**/*.mp4"))] == names
    for name in ("in/locked/b.mp4", "in/locked/*.mp4"):
        with pytest.raises(SourceError, match=rf"cannot read {re.escape(name)}: Permission denied"):
            search(name)
    with pytest.raises(SourceError, match="File name too long"):
        search("x" * 300)


def test_what_is_not_there() -> None:
    put("in/a.mp4")
    with pytest.raises(SourceError, match="no such file or folder: missing"):
        search("in", "missing")
    with pytest.raises(UsageError, match=r"nothing matches 'in/\*.avi'"):
        search("in/*.avi")
    with pytest.raises(SourceError, match=r"img_%04d.png; numbered pictures .* \(vidstyle image img_\*.png\)"):
        search("img_%04d.png")
    found = search("in", "missing", "later/*.mp4", patience=True)
    assert pairs(found) == [("in/a.mp4", "out/a.tiny.mp4")] and found.missing == ["missing", "later/*.mp4"]


def test_a_named_pipe_is_refused() -> None:
    os.mkfifo("pipe.mp4")
    with pytest.raises(SourceError, match="neither a file nor a folder"):
        search("pipe.mp4")
