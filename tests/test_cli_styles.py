"""``vidstyle styles`` as a person or a script runs it: a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hub import closed_port, serving
from style_files import published_pb, random_weights, write_style
from test_catalog import install

from vidstyle.network import Architecture
from vidstyle.paths import bundled_dir
from vidstyle.style import load_style

Run = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def run(home: Path, tmp_path: Path) -> Run:
    """Run ``vidstyle styles ...`` in the folder of this test; keyword arguments are variables."""

    def call(*args: str | Path, code: int = 0, **env: str) -> subprocess.CompletedProcess:
        variables = {k: v for k, v in os.environ.items() if k != "VIDSTYLE_OFFLINE"}
        variables |= {"VIDSTYLE_HOME": str(home), "no_proxy": "127.0.0.1", **env}
        command = [sys.executable, "-m", "vidstyle", "styles", *map(str, args)]
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=60)
        assert done.returncode == code, done.stderr + done.stdout
        assert "Traceback" not in done.stderr
        return done

    return call


def events(done: subprocess.CompletedProcess) -> list[dict]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_a_card_says_stands_in_columns(run: Run) -> None:
    lines = run("info", "anime").stdout.splitlines()
    training = lines[lines.index(next(line for line in lines if line.startswith("network"))) + 1 :]
    training = training[: next(i for i, line in enumerate(training) if line.startswith("sha256"))]
    width = max(len(line.split()[0]) for line in training)
    assert all(line[width] == " " and line[width + 1] != " " for line in training)


def one_line(done: subprocess.CompletedProcess) -> str:
    """The error a person sees: exactly one line on stderr, nothing on stdout."""
    assert done.stdout == "" and done.stderr.count("\n") == 1 and done.stderr.startswith("vidstyle: ")
    return done.stderr


def test_list(run: Run, home: Path) -> None:
    write_style(home / "styles/mine.safetensors", look="Ink [bold]and[/bold] \x1b[31mwash\x07 für alle " + "x" * 200)
    (home / "styles/bad.safetensors").write_text("no style")
    table = run("list").stdout.splitlines()
    assert table[0].split() == ["style", "from", "look", "kflop/px", "licence"]
    mine = next(line for line in table if line.startswith("mine "))
    assert "Ink [bold]and[/bold]" in mine and "\x1b" not in mine and "x" * 200 in mine and "Apache-2.0" in mine
    assert "BAD:" in next(line for line in table if line.startswith("bad "))
    found = {(e["name"], e["origin"]): e for e in events(run("list", "--json"))}
    assert found["mine", "user"]["card"]["licence"] == "Apache-2.0" and found["mine", "user"]["error"] is None
    assert "not a style file" in found["bad", "user"]["error"] and found["bad", "user"]["card"] is None
    assert "f\\xfcr alle" in run("list", PYTHONIOENCODING="ascii").stdout


def test_info(run: Run, home: Path, tmp_path: Path) -> None:
    path = write_style(home / "styles/mine.safetensors", training={"steps": 9})
    text = run("info", "mine").stdout
    for words in (
        "mine",
        "Apache-2.0",
        "made by a test",
        "student 4-4",
        "steps",
        load_style(path).card.sha256,
        str(path),
    ):
        assert words in text
    [event] = events(run("info", "mine", "--json"))
    assert (event["event"], event["path"], event["card"]["training"]) == ("style", str(path), {"steps": 9})
    other = write_style(tmp_path / "sub/other.safetensors")
    assert "other" in run("info", "sub/other.safetensors").stdout and other.exists()
    assert "did you mean mine" in one_line(run("info", "mime", code=7))


def test_import_verify_remove(run: Run, home: Path, tmp_path: Path) -> None:
    (tmp_path / "cartoon_bg.pb").write_bytes(published_pb(random_weights(Architecture("ttn"))))
    done = run("import", "cartoon_bg.pb")
    target = home / "styles/cartoon_bg.safetensors"
    assert "Apache-2.0" in done.stdout and "DCT-Net" in done.stdout and "--style cartoon_bg" in done.stderr
    assert "already" in one_line(run("import", "cartoon_bg.pb", code=7))
    [event] = events(run("import", "cartoon_bg.pb", "--overwrite", "--json"))
    assert (event["event"], event["name"], event["path"]) == ("imported", "cartoon_bg", str(target))
    write_style(tmp_path / "small.safetensors")
    run("import", "small.safetensors", "--name", "tiny")
    checks = events(run("verify", "cartoon_bg", "tiny", "--json"))
    assert [(c["name"], c["ok"]) for c in checks] == [("cartoon_bg", True), ("tiny", True)]

    altered = bytearray(target.read_bytes())
    altered[-5] ^= 4
    target.write_bytes(altered)
    done = run("verify", code=7)
    assert "ok   tiny" in done.stdout and "BAD  cartoon_bg" in done.stdout and "was altered" in done.stdout
    assert done.stderr.count("\n") == 1 and "styles bad: cartoon_bg" in done.stderr
    by_name = {c["name"]: c for c in events(run("verify", "--json", code=7))}
    assert by_name["tiny"]["ok"] and not by_name["cartoon_bg"]["ok"] and "altered" in by_name["cartoon_bg"]["error"]

    assert str(target) in run("remove", "cartoon_bg").stdout and not target.exists()
    [event] = events(run("remove", "tiny", "--json"))
    assert event["event"] == "removed" and not (home / "styles/tiny.safetensors").exists()
    assert "no style 'tiny'" in one_line(run("remove", "tiny", code=7))
    run("verify")


def test_files_that_are_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(b"PK\x03\x04" + bytes(50))
    assert "torch archive" in one_line(run("import", "x.pt", code=7))
    assert "cannot read" in one_line(run("import", "nothing.pb", code=7))
    assert "cannot be named" in one_line(run("import", "x.pt", "--name", "../x", code=7))
    for folder in (".", str(tmp_path)):
        assert f"cannot read {folder}: it is a folder" in one_line(run("import", folder, code=7))
    assert "File name too long" in one_line(run("import", "x" * 300, code=7))


@pytest.mark.skipif(not list(bundled_dir().glob("*.safetensors")), reason="this checkout holds no bundled style")
def test_bundled_styles(run: Run) -> None:
    names = sorted(path.stem for path in bundled_dir().glob("*.safetensors"))
    assert names.index("anime") < names.index("anime-fast")
    listed = [e for e in events(run("list", "--json")) if e["origin"] == "package"]
    assert [e["name"] for e in listed] == names and not any(e["error"] or e["shadowed"] for e in listed)
    assert "belongs to vidstyle itself" in one_line(run("remove", names[0], code=7))
    run("verify")


def test_styles_of_another_package(run: Run, tmp_path: Path) -> None:
    site, loud = tmp_path / "site", write_style(tmp_path / "loud.safetensors")
    install(site, "loud_looks", {"loud": "loud_looks:path", "sad": "loud_looks:gone"}, f"path = {str(loud)!r}\n")
    found = {e["name"]: e for e in events(run("list", "--json", PYTHONPATH=str(site)))}
    assert found["loud"]["origin"] == "plugin:loud_looks" and found["loud"]["path"] == str(loud)
    assert "loud_looks" in found["sad"]["error"]
    assert "package loud_looks" in one_line(run("remove", "loud", code=7, PYTHONPATH=str(site)))
    assert "package loud_looks" in one_line(run("info", "sad", code=7, PYTHONPATH=str(site)))
    assert "BAD  sad" in run("verify", code=7, PYTHONPATH=str(site)).stdout


def test_pull(run: Run, home: Path) -> None:
    network = published_pb(random_weights(Architecture("ttn")))
    with serving() as hub:
        hub.files["cartoon_bg.pb"] = network
        done = run("pull", "dctnet/anime", "--base-url", hub.url)
        assert "Apache-2.0" in done.stdout and "agrees with the hub's listing" in done.stdout
        assert "dctnet/anime: 5.9 MB of 5.9" in done.stderr and "--style dctnet-anime" in done.stderr
        assert "already" in one_line(run("pull", "dctnet/anime", "--base-url", hub.url, code=7))
        *progress, last = events(run("pull", "dctnet/anime", "--overwrite", "--json", "--base-url", hub.url))
    assert {e["event"] for e in progress} == {"progress"} and progress[-1]["done_bytes"] == len(network)
    assert last["event"] == "pulled" and last["sha256"] == hashlib.sha256(network).hexdigest()
    assert last["path"] == str(home / "styles/dctnet-anime.safetensors")


def test_pull_without_a_network(run: Run) -> None:
    nowhere = f"http://127.0.0.1:{closed_port()}"
    for args, env, says in [
        (["dctnet/anime", "--base-url", nowhere], {}, "cannot reach 127.0.0.1"),
        (["dctnet/anime", "--base-url", nowhere, "--offline"], {}, "VIDSTYLE_OFFLINE). By hand:"),
        (["dctnet/anime", "--base-url", nowhere], {"VIDSTYLE_OFFLINE": "1"}, "network is off"),
    ]:
        line = one_line(run("pull", *args, code=7, **env))
        assert says in line and "styles import FILE --name dctnet-anime" in line
    assert "expected one of dctnet/anime" in one_line(run("pull", "anime", code=2))


def test_an_empty_home_and_usage(run: Run) -> None:
    assert run("list", "--json").stderr == ""
    one_line(run("import", code=2))
    assert "Commands" in run("--help").stdout


def test_help_is_light() -> None:
    code = (
        "import sys, vidstyle.cli; print([m for m in ('numpy', 'safetensors', 'openvino', 'av') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
