"""What the command line says of itself: its help at every width, and what is said when it cannot be understood."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from vidstyle import cli
from vidstyle.cli import app
from vidstyle.paths import bundled_dir

ROOT = Path(__file__).parents[1]


def commands(command: Any, context: Any = None, name: str = "vidstyle") -> Iterator[tuple[Any, Any]]:
    """Every command with its context, the whole app first."""
    context = typer.Context(command, info_name=name, parent=context)
    yield command, context
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, context, name)


ALL = list(commands(typer.main.get_command(app)))
NAMES = [context.command_path for _, context in ALL]


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize(("command", "context"), ALL, ids=NAMES)
def test_help_is_whole_at_every_width(command: Any, context: Any, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In Typer's boxes names of options and ends of examples were cut off, at 80 letters too."""
    monkeypatch.setenv("COLUMNS", str(width))
    shown = command.get_help(context)
    assert "…" not in shown and "..." not in shown.replace("]...", "").replace("IN...", "").replace(" ...", "")
    assert not re.search(r"<\w", shown)  # no Python types
    assert max(map(len, shown.splitlines())) <= max(width, 42), shown  # --virtual-camera / --no-virtual-camera
    for param in command.params:
        if param.param_type_name == "option" and not param.hidden:
            assert all(name in shown for name in param.opts + param.secondary_opts), shown
    for name in getattr(command, "commands", {}):
        assert name in shown


@pytest.mark.parametrize(("command", "context"), ALL, ids=NAMES)
def test_usage_names_each_argument_once_and_in_capitals(command: Any, context: Any) -> None:
    usage = command.get_usage(context)
    assert "......" not in usage and "[[" not in usage and "{" not in usage
    assert usage.removeprefix(f"Usage: {context.command_path}").isupper()


def ran(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    command = [sys.executable, "-m", "vidstyle", *words]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def said(folder: Path, *words: str) -> str:
    done = ran(folder, *words)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def test_words_that_are_off_get_the_help_of_their_command_and_what_was_meant(tmp_path: Path) -> None:
    for name in ("in put.mp4", "-dash.mp4"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "clips").mkdir()
    for words, expected in [
        (["in put.mp4"], "no command is given for 'in put.mp4': vidstyle file 'in put.mp4' (see vidstyle --help)"),
        (["clips"], "no command is given for clips: vidstyle batch clips -o OUTDIR (see vidstyle --help)"),
        (["fiel", "in.mp4"], "No such command 'fiel'. Did you mean 'file'? (see vidstyle --help)"),
        (["styles", "lst"], "No such command 'lst'. Did you mean 'list'? (see vidstyle styles --help)"),
        (["file"], "Missing argument 'IN' (see vidstyle file --help)"),
    ]:
        assert said(tmp_path, *words) == f"vidstyle: {expected}\n"
    assert "is given as ./-dash.mp4 (see vidstyle file --help)" in said(tmp_path, "file", "-dash.mp4")
    assert "vidstyle batch takes several videos; a name with spaces" in said(tmp_path, "file", "a.mp4", "b.mp4")


@pytest.mark.parametrize("words", [[], ["styles"]])
def test_nothing_given_shows_the_help_on_its_lines(tmp_path: Path, words: list[str]) -> None:
    first, _, *more = said(tmp_path, *words).splitlines()
    assert first.startswith("Usage: vidstyle") and "Commands:" in more


@pytest.mark.parametrize(
    ("written", "looks"),
    [("ani", ["anime", "anime-fast"]), ("anime:0.5+ske", ["anime:0.5+sketch", "anime:0.5+sketch-fast"]), ("zzz", [])],
)
def test_the_shell_completes_looks(written: str, looks: list[str], tmp_path: Path) -> None:
    words = f"vidstyle file in.mp4 --style {written}"
    done = ran(tmp_path, _VIDSTYLE_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD="4")
    assert done.stdout.split() == looks


@pytest.mark.parametrize(
    ("command", "looks"),
    [("info", ["anime", "anime-fast"]), ("verify", ["anime", "anime-fast"]), ("remove", ["animal"])],
)
def test_the_shell_completes_the_looks_of_styles(command: str, looks: list[str], tmp_path: Path) -> None:
    """Of those to remove, one's own."""
    if command == "remove":
        (tmp_path / "styles").mkdir()
        shutil.copy(bundled_dir() / "anime-fast.safetensors", tmp_path / "styles" / "animal.safetensors")
    words = f"vidstyle styles {command} anim"
    home = str(tmp_path)
    done = ran(tmp_path, VIDSTYLE_HOME=home, _VIDSTYLE_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD="3")
    assert done.stdout.split() == looks


@pytest.mark.parametrize(
    ("error", "says"),
    [(MemoryError(), "the memory is full: close other programs"), (KeyError("x"), "unexpected KeyError: 'x'")],
)
def test_what_no_command_expects_is_one_line_too(
    error: Exception, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(_: list[str]) -> int:
        raise error

    monkeypatch.setattr(cli, "_run", failing)
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as end:
        cli.main(["doctor"])
    assert end.value.code == 1
    assert capsys.readouterr().err.startswith(f"vidstyle: {says}")
    with pytest.raises(type(error)):
        cli.main(["doctor", "--debug"])
