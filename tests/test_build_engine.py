"""`vidstyle build-engine`: what it builds, prints, lists and removes, and how it ends."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_tensorrt import Behaviour
from style_files import write_style

from vidstyle import built, choice
from vidstyle.choice import Machine
from vidstyle.cli import main
from vidstyle.errors import INTERRUPTED, Interrupted
from vidstyle.signals import CODES

pytest_plugins = "tensorrt_fixtures"

SIZE = ("--size", "20x26")


@pytest.fixture
def styled(home: Path, behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch) -> Behaviour:
    """Two styles of the user's, to be built in a fake TensorRT."""
    monkeypatch.setattr("vidstyle.building._CALLS", 2)
    for seed, name in enumerate(("tiny", "other")):
        (home / "styles").mkdir(parents=True, exist_ok=True)
        write_style(home / "styles" / f"{name}.safetensors", seed=seed)
    return behaviour


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in CODES}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["build-engine", *args])
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


def events(out: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines()]


def test_it_builds_checks_times_and_tells(styled: Behaviour, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--style", "tiny", *SIZE, "--precision", "fp16", "--batch", "2")
    assert code == 0, err
    head, row = out.splitlines()
    assert head.split() == ["key", "style", "pictures", "MB", "dB", "ms", "fps", "on"]
    cells = row.split()
    assert cells[1:6] == ["tiny", "2", "of", "26x20", "f16"] and "Fake H200, TensorRT 10.15.1" in row
    assert "building a TensorRT engine of tiny at 26x20, batch 2, f16, on Fake H200" in err and "dB" in err
    (entry,) = built.entries()
    assert entry.digest.startswith(cells[0]) and entry.record.ms > 0 and entry.record.fps > 0

    code, _, err = run(capsys, "--style", "tiny", *SIZE, "--precision", "fp16", "--batch", "2")
    assert code == 0 and "building" not in err and len(styled.builds) == 1
    code, _, err = run(capsys, "--style", "tiny", *SIZE, "--precision", "fp16", "--batch", "2", "--force")
    assert code == 0 and "building" in err and len(styled.builds) == 2


def test_a_mix_builds_each_style_at_each_size(styled: Behaviour, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--style", "tiny:1+other:1", *SIZE, "--size", "24x24", "--json")
    assert code == 0 and err == ""
    found = [(e["style"], e["height"], e["width"]) for e in events(out) if e["event"] == "built"]
    assert found == [("tiny", 20, 26), ("tiny", 24, 24), ("other", 20, 26), ("other", 24, 24)]
    assert events(out)[-1] == {"event": "done", "ok": True, "built": 4, "failed": 0}
    assert any(e["event"] == "step" and "building" in str(e["text"]) for e in events(out))
    assert all(e["psnr"] > 45 and e["ms"] > 0 for e in events(out) if e["event"] == "built")
    assert len(styled.builds) == 4


def test_all_are_those_that_come_with_the_package(
    styled: Behaviour, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package"
    package.mkdir()
    for seed, name in enumerate(("drawn", "tiny", "painted")):  # the user's tiny comes before the package's
        write_style(package / f"{name}.safetensors", seed=seed)
    monkeypatch.setattr("vidstyle.catalog.bundled_dir", lambda: package)
    code, out, _ = run(capsys, "--all", *SIZE, "--json")
    assert code == 0 and len(styled.builds) == 2
    assert [e["style"] for e in events(out) if e["event"] == "built"] == ["drawn", "painted"]


@pytest.mark.usefixtures("styled")
def test_the_levels_are_the_key_s(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "--style", "tiny", *SIZE)
    code, out, _ = run(capsys, "--style", "tiny", *SIZE, "--optimization-level", "0", "--tiling", "fast", "--json")
    assert code == 0
    (told,) = [e for e in events(out) if e["event"] == "built"]
    assert (told["optimization_level"], told["tiling"]) == (0, "fast") and str(told["key"]).endswith("-0-fast")
    assert len(built.entries()) == 2


@pytest.mark.usefixtures("styled")
def test_what_is_built_is_listed_and_removed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = run(capsys, "--list")
    assert (code, out) == (0, "") and "nothing is built" in err
    run(capsys, "--style", "tiny:1+other:1", *SIZE)
    monkeypatch.setattr(choice, "this_machine", Machine)  # neither needs a GPU
    code, out, _ = run(capsys, "--list")
    assert code == 0 and [line.split()[1] for line in out.splitlines()[1:]] in (["other", "tiny"], ["tiny", "other"])
    path = next(entry.path for entry in built.entries() if entry.record.style == "tiny")
    path.write_bytes(path.read_bytes()[:-1])
    code, out, err = run(capsys, "--list")
    assert code == 0 and "damaged or not built by you" in err and f"--remove {path.stem}" in err
    listed = events(run(capsys, "--list", "--json")[1])
    assert [e["ok"] for e in listed] == [True, False] and listed[1]["key"] == path.stem

    code, out, _ = run(capsys, "--remove", path.stem)
    assert code == 0 and out == f"removed {path.stem}\n"
    code, out, _ = run(capsys, "--remove", "other", "--json")
    assert code == 0 and events(out)[0]["event"] == "removed"
    code, out, err = run(capsys, "--remove", "other")
    assert code == 2 and "nothing that is built is called 'other'" in err and "8 characters or more of a key" in err
    assert run(capsys, "--remove", "all")[0] == 0


def test_one_that_fails_does_not_stop_the_others(
    styled: Behaviour, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from engines import tensorrt

    build = tensorrt.build

    def fails_for_tiny(style: object, *rest: object) -> tuple[bytes, float]:
        styled.fails = RuntimeError("no") if style.card.name == "tiny" else None  # type: ignore[attr-defined]
        styled.says = "Error Code 10: could not find any implementation"
        return build(style, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(tensorrt, "build", fails_for_tiny)
    code, out, err = run(capsys, "--style", "tiny:1+other:1", *SIZE)
    assert code == 3 and "failed: tiny at 26x20: TensorRT cannot build" in err
    assert len(out.splitlines()) == 2 and "other" in out
    code, out, _ = run(capsys, "--style", "tiny", *SIZE, "--json")
    assert code == 6 and events(out)[-1] == {"event": "done", "ok": False, "built": 0, "failed": 1}


def test_stopped_in_the_middle_it_tells_what_is_kept(
    styled: Behaviour, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from engines import tensorrt

    build = tensorrt.build

    def stopped_at_other(style: object, *rest: object) -> tuple[bytes, float]:
        if style.card.name == "other":  # type: ignore[attr-defined]
            raise Interrupted(INTERRUPTED)
        return build(style, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(tensorrt, "build", stopped_at_other)
    code, _, err = run(capsys, "--style", "tiny:1+other:1", *SIZE)
    assert code == INTERRUPTED and err.endswith("vidstyle: stopped; 1 of 2 are built, and kept\n")
    assert len(styled.builds) == 1


def test_no_build_does_not_hold_for_the_command_that_builds(
    styled: Behaviour, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(built.NO_BUILD, "1")
    assert run(capsys, "--style", "tiny", *SIZE)[0] == 0 and len(styled.builds) == 1


@pytest.mark.usefixtures("styled")
def test_an_engine_that_needs_no_build_is_checked_timed_and_recorded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference plays the cuda engine."""
    from vidstyle import engine

    monkeypatch.setitem(engine.ENGINES, "cuda", "engines.torch")
    monkeypatch.setattr(choice, "choose", lambda *_: ("cuda", "cpu"))
    code, out, err = run(capsys, "--style", "tiny", *SIZE, "--engine", "cuda", "--json")
    assert code == 0, err
    (told,) = [e for e in events(out) if e["event"] == "built"]
    assert told["engine"] == "cuda" and told["bytes"] == 0 and told["psnr"] == 999 and told["ms"] > 0
    assert built.entries()[0].record.key.digest == told["key"]


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("--size", "1080p"), 2, "expected height x width"),
        (("--tiling", "most"), 2, "none, fast, moderate, full"),
        (("--engine", "openvino"), 2, "others need no build"),
        (("--precision", "int4"), 2, "unknown precision"),
        (("--precision", "int8"), 2, "expected f16, bf16 or f32"),
        (("--style", "nonesuch"), 7, "nonesuch"),
        (("--optimization-level", "6"), 2, "optimization-level"),
        (("--device", "cpu"), 6, "only tensorrt and cuda"),
        (("--device", "cuda:3"), 6, "no cuda:3"),
        (("--remove", ""), 2, "--remove"),
    ],
)
@pytest.mark.usefixtures("styled")
def test_mistakes_are_one_line_and_a_code(
    capsys: pytest.CaptureFixture[str], args: tuple[str, ...], code: int, says: str
) -> None:
    found, out, err = run(capsys, *args)
    assert found == code and says in err, err
    assert len(err.strip().splitlines()) == 1 and out == ""


@pytest.mark.parametrize("engine", ["tensorrt", "cuda", "auto"])
def test_without_a_gpu_it_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.setattr(choice, "this_machine", Machine)
    code, out, err = run(capsys, "--engine", engine)
    assert code == 6 and out == "" and "no NVIDIA GPU" in err and "driver" in err


def test_no_build_of_other_commands_reaches_the_engines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(built.NO_BUILD, "")
    with pytest.raises(SystemExit):
        main(["file", "missing.mp4", "--no-build"])
    assert "no such file" in capsys.readouterr().err and not built.may_build()
    assert "torch_tensorrt" not in sys.modules
