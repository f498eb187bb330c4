"""`vidstyle batch --dry-run`: what a run would do, and nothing of it done."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from batch_shop import Shop

pytest_plugins = "batch_fixtures"


def test_a_dry_run_writes_nothing(shop: Shop) -> None:
    shop.clip("a.mp4", 12)
    shop.clip("b.mp4", 25)
    (shop.folder / "in" / "empty.mp4").touch()
    done = shop.run("in", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "do      12 frames  in/a.mp4 -> out/a.tiny.mp4" in done.stdout
    assert "fail               in/empty.mp4 is empty" in done.stdout
    assert "2 to do (about 37 frames), 0 to skip, 1 would fail" in done.stdout
    assert not shop.out.exists()
    done = shop.run("in", "--dry-run", "--codec", "rawvideo", "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["action"] for event in events[:-1]] == ["fail"] * 3
    assert ".mp4 cannot hold rawvideo video" in events[0]["why"] and not shop.out.exists()
    assert shop.run("in/a.mp4").returncode == 0
    before = {path: path.stat().st_mtime_ns for path in shop.out.iterdir()}
    done = shop.run("in", "--dry-run", "--json")
    plan = {event["source"]: event["action"] for event in map(json.loads, done.stdout.splitlines()[:-1])}
    assert plan == {"in/a.mp4": "skip", "in/b.mp4": "do", "in/empty.mp4": "fail"}
    assert {path: path.stat().st_mtime_ns for path in shop.out.iterdir()} == before


def test_a_dry_run_tells_of_two_that_become_one(shop: Shop, shared: Callable[[str], Path]) -> None:
    for name in ("a.webm", "a.mkv"):
        shop.copy(shared("media/sample_with_ass_subtitles.mkv"), name)
    told = "in/a.mkv becomes out/a.tiny.mkv too: rename one"
    planned = shop.run("in", "--dry-run").stdout
    assert told in planned and "1 to do" in planned and "1 would fail" in planned
    done = shop.run("in")
    assert done.returncode == 3 and told in done.stderr and shop.results() == ["a.tiny.mkv"]


def test_a_codec_finds_its_container(shop: Shop) -> None:
    """Without -o, where names are given, the source's extension alone would refuse every .mp4."""
    shop.clip("a.mp4", 6)
    shop.clip("b.mkv", 6)
    given = ("in", "--codec", "prores_ks")
    planned = shop.run(*given, "--dry-run")
    assert "in/a.mp4 -> out/a.tiny.mov" in planned.stdout and "in/b.mkv -> out/b.tiny.mkv" in planned.stdout
    done = shop.run(*given)
    assert done.returncode == 0, done.stderr
    assert shop.results() == ["a.tiny.mov", "b.tiny.mkv"]
    before = {path: path.stat().st_mtime_ns for path in shop.out.iterdir() if path.suffix != ".jsonl"}
    again = shop.run(*given, "--json")
    skipped = [event for event in map(json.loads, again.stdout.splitlines()) if event["event"] == "skipped"]
    assert again.returncode == 0 and len(skipped) == 2
    assert before == {path: path.stat().st_mtime_ns for path in before}
