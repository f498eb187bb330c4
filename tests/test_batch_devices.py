"""A batch on several GPUs, and one that stops answering."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import lost_device
import pytest
from media import make_clip, save_tiny

from vidstyle.batch.decide import Fingerprints
from vidstyle.batch.devices import devices, templates
from vidstyle.batch.inputs import Item
from vidstyle.batch.journal import Journal
from vidstyle.batch.run import Batch, Event, Wishes
from vidstyle.batch.stop import Stop
from vidstyle.catalog import parse_recipe
from vidstyle.engine_options import EngineOptions
from vidstyle.errors import UsageError
from vidstyle.job import FileJob
from vidstyle.sink import SinkOptions
from vidstyle.source import SourceOptions


@pytest.fixture
def template(tmp_path: Path) -> FileJob:
    recipe = parse_recipe(str(save_tiny(tmp_path, "tiny")))
    return FileJob(Path(), recipe, reading=SourceOptions(32), writing=SinkOptions())


def on(template: FileJob, device: str) -> FileJob:
    return replace(template, engine=EngineOptions("cuda", device))


def test_a_device_is_one_several_or_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidstyle.batch.devices.visible_gpus", lambda: (3, 580))
    assert devices("cuda") == ["cuda:0", "cuda:1", "cuda:2"]
    assert devices("cuda:2,cuda:0") == ["cuda:2", "cuda:0"]
    assert devices("auto") == ["auto"] and devices("cpu") == ["cpu"]
    monkeypatch.setattr("vidstyle.batch.devices.visible_gpus", lambda: (0, 0))
    assert devices("cuda") == ["cuda"]  # loading the engine says what is wrong


@pytest.mark.parametrize("text", ["cuda:0,cpu", "cuda:0,", "cuda:0,cuda", "cuda:1,cuda:1", "cpu,cpu"])
def test_other_lists_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--device is"):
        devices(text)


def test_workers_are_spread_over_the_devices(template: FileJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidstyle.batch.devices.usable_cores", lambda: 8)
    found = templates(on(template, "cuda:0,cuda:1"), 2)
    assert [job.engine.device for job in found] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert {job.engine.threads for job in found} == {2}
    assert [job.engine.device for job in templates(template, 2)] == ["auto", "auto"]


def test_which_gpu_made_it_changes_nothing(template: FileJob, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", 1).path
    marks = [Fingerprints(on(template, text)).of(source) for text in ("cuda", "cuda:1", "cuda:0,cuda:1")]
    assert marks[0] == marks[1] == marks[2] != Fingerprints(template).of(source)
    worker = templates(on(template, "cuda:0,cuda:1"), 1)[1]
    assert Fingerprints(worker).of(source) == marks[0]


class View:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def show(self, event: Event) -> None:
        self.events.append(event)

    def tick(self, totals: object) -> None:
        pass

    def of(self, name: str, key: str) -> dict[str, Any]:
        return {
            event.item.source.name: event.data.get(key) for event in self.events if event.name == name and event.item
        }


def test_a_cluster_takes_no_list(template: FileJob, tmp_path: Path) -> None:
    with Journal(tmp_path) as journal, pytest.raises(UsageError, match=r"--cluster .* --device cuda:0"):
        Batch(on(template, "cuda:0,cuda:1"), [], journal, Wishes(), View(), Stop(), crew=object())  # type: ignore[arg-type]


def test_a_lost_device_costs_one_video_and_its_worker(
    template: FileJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidstyle.batch.crew.work", lost_device.work)
    out, items = tmp_path / "out", []
    for name in ("a.mp4", "lost.mp4", "z.mp4"):
        clip = make_clip(tmp_path / name, 2, audio=0)
        items.append(Item(clip.path, out / name))
    view = View()
    with Journal(out) as journal, Stop() as stop:
        totals = Batch(template, items, journal, Wishes(1), view, stop).run()
    assert sorted(view.of("done", "code")) == ["a.mp4", "z.mp4"]
    assert view.of("failed", "reason") == {
        "lost.mp4": "cuda:1 stopped answering (unspecified launch failure): start again"
    }
    assert view.of("failed", "code") == {"lost.mp4": 6}
    pids = view.of("start", "pid")
    assert pids["a.mp4"] == pids["lost.mp4"] != pids["z.mp4"]
    assert totals.failures
