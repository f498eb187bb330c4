"""The user's config.toml: defaults for every command, below the command line, or a line that says what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from media import save_tiny

from vidstyle.built import NO_BUILD
from vidstyle.cli import app
from vidstyle.cli.config import check_config, load_defaults
from vidstyle.config import read_config
from vidstyle.errors import UsageError


def write(home: Path, text: str) -> None:
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(text, "utf-8")


def vidstyle(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vidstyle", *args]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def small_app() -> tuple[typer.Typer, list[dict[str, Any]]]:
    """An app with every kind of option, below a group too, that notes what its commands were given."""
    small, group, calls = typer.Typer(), typer.Typer(), []

    @small.command()
    def one(
        text: str = "a",
        number: Annotated[float, typer.Option(min=0)] = 1.0,
        count: int = 2,
        flag: Annotated[bool, typer.Option("--flag")] = False,
        several: list[str] | None = None,
    ) -> None:
        calls.append({"text": text, "number": number, "count": count, "flag": flag, "several": several})

    @group.command("two")
    def two(as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
        calls.append({"json": as_json})

    small.add_typer(group, name="group")
    return small, calls


def run(small: typer.Typer, *args: str) -> None:
    small(args=list(args), standalone_mode=False, default_map=load_defaults(small, args))


@pytest.mark.usefixtures("home")
def test_without_a_file_nothing_changes() -> None:
    assert read_config() == {} and check_config(app) == {}


def test_every_kind_of_value_reaches_its_command(home: Path) -> None:
    write(
        home,
        '[one]\ntext = 720\nnumber = 0.5\ncount = 7\nflag = true\nseveral = ["a=b", "c"]\n[group.two]\njson = true',
    )
    small, calls = small_app()
    run(small, "one")
    run(small, "group", "two")
    want = {"text": "720", "number": 0.5, "count": 7, "flag": True, "several": ["a=b", "c"]}
    assert calls == [want, {"json": True}]


def test_the_command_line_wins(home: Path) -> None:
    write(home, '[one]\ntext = "config"\nnumber = 0.5\nseveral = "one alone"')
    small, calls = small_app()
    run(small, "one", "--text", "line", "--several", "x")
    run(small, "one", "--number", "1.0")
    assert calls[0] | {"text": "line", "number": 0.5, "several": ["x"]} == calls[0]
    assert calls[1] | {"text": "config", "number": 1.0, "several": ["one alone"]} == calls[1]


def test_a_byte_order_mark_is_no_error(home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_bytes(b"\xef\xbb\xbf[file]\nstyle = '3d'\nencoder_option = ['a=b']\n")
    assert check_config(app) == {"file": {"style": "3d", "encoder_option": ["a=b"]}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[fil]\nstyle = '3d'", "did you mean file?"),
        ("[file]\nstile = '3d'", "did you mean style?"),
        ("[file]\nencoder-opt = ['a=b']", "did you mean encoder-option?"),
        ("[file]\nsource = 'in.mp4'", "is no option"),
        ("[file]\nhelp = true", "is no option"),
        ("[styles.lst]\njson = true", "did you mean list?"),
        ("[styles]\nlist = true", r"write \[styles\.list\]"),
        ("[file]\nstrength = 'much'", "strength is 'much'"),
        ("[file]\nstrength = [1]", "is a list"),
        ("[file]\noverwrite = 'yes'", "true or false"),
        ("[file]\nstyle = true", "a text or a number"),
        ("[file]\nstyle = 2020-01-01", "a text or a number"),
        ("[image]\nquality = 0", "quality is 0"),
        ("style = '3d'", "outside of a table"),
        ("[file", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(home: Path, text: str, words: str) -> None:
    write(home, text)
    with pytest.raises(UsageError, match=words) as wrong:
        check_config(app)
    assert str(home / "config.toml") in str(wrong.value)


def test_a_file_that_is_no_text_is_named(home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not valid TOML"):
        read_config()
    (home / "config.toml").unlink()
    (home / "config.toml").mkdir()
    with pytest.raises(UsageError, match="cannot read"):
        read_config()


def test_help_and_doctor_work_beside_a_broken_file(home: Path) -> None:
    write(home, "[file]\nstile = '3d'")
    for args in (["--help"], ["file", "--help"], ["styles", "-h"], ["--version"], ["doctor", "--json"], []):
        assert load_defaults(app, args) == {}
    for args in (["file", "in.mp4"], ["styles", "list"]):
        with pytest.raises(UsageError):
            load_defaults(app, args)


def test_the_real_command_line_reads_it(home: Path, tmp_path: Path) -> None:
    save_tiny(home / "styles", "mine")
    write(home, "[styles.list]\njson = true")
    assert json.loads(vidstyle("styles", "list").stdout.splitlines()[0])
    write(home, "[file]\nstyle = 'nosuchstyle'\n")
    done = vidstyle("file", str(tmp_path / "in.mp4"))
    assert done.returncode == 7 and "nosuchstyle" in done.stderr
    done = vidstyle("file", str(tmp_path / "in.mp4"), "--style", "mine")
    assert done.returncode == 4 and "in.mp4" in done.stderr


def test_the_real_command_line_names_a_mistake_once(home: Path) -> None:
    write(home, "[file]\nstile = '3d'")
    done = vidstyle("styles", "list")
    assert done.returncode == 2 and "did you mean style?" in done.stderr and done.stderr.count("\n") == 1
    for args in (["--help"], ["file", "--help"]):
        done = vidstyle(*args)
        assert done.returncode == 0 and done.stderr == "", done.stderr


@pytest.mark.parametrize("command", ["file", "batch", "image", "preview", "live", "ui"])
def test_threads_are_no_fewer_than_none(command: str) -> None:
    found = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    option = next(one for one in found.params if one.name == "threads")
    with pytest.raises(typer.BadParameter):
        option.process_value(typer.Context(found), "-1")


def test_a_home_is_one_in_the_file_too(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No shell reads it: a folder of the name ~ was made."""
    monkeypatch.setenv("HOME", str(tmp_path))
    write(home, "[image]\noutput = '~/drawn/'\nstyle = 'a~/b'\n")
    assert check_config(app)["image"] == {"output": f"{tmp_path}/drawn/", "style": "a~/b"}


def test_an_option_of_one_command_does_nothing_for_another(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NO_BUILD, raising=False)
    write(home, "[file]\nno-build = true")
    assert check_config(app) == {"file": {"no_build": True}}
    assert NO_BUILD not in os.environ
