"""`vidstyle batch --cluster` on a real Ray cluster of several nodes: equal results, whatever dies on the way."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_tools import Nodes, Studio, events_of, kill, nodes, wait_for
from processes import gone

from vidstyle.workfolder import work_path

pytest.importorskip("ray", reason="the extra cluster is not installed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    folder = Path(tempfile.mkdtemp(prefix="vs-", dir="/tmp"))  # sockets' names are short
    try:
        with nodes(folder, 2) as found:
            yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def studio(cluster: Nodes, home: Path, tmp_path: Path) -> Iterator[Studio]:
    studio = Studio(tmp_path, home, cluster.address)
    yield studio
    studio.close()


def test_a_film_and_clips_come_out_as_from_one_machine(studio: Studio) -> None:
    studio.clip("film.mp4", 65)
    studio.clip("clip.mp4", 3)
    (studio.folder / "in/broken.mp4").write_bytes(b"no video")
    done = studio.run()
    assert done.returncode == 3, done.stderr
    events = events_of(done)
    reports = {Path(e["source"]).name: e["report"] for e in events if e["event"] == "done"}
    assert sorted(reports) == ["clip.mp4", "film.mp4"]
    for name, report in reports.items():
        assert report["pts_equal"] and report["audio_equal"] and not report["losses"]
        assert studio.result(name) == studio.straight(name)
    segments = reports["film.mp4"]["segments"]
    assert sorted(each["segment"] for each in segments) == list(range(7))
    assert sum(each["frames"] for each in segments) == 65
    assert len({each["machine"] for each in segments}) == 2, "both workers had a share"
    assert [(each["segment"], each["frames"]) for each in reports["clip.mp4"]["segments"]] == [(0, 3)]
    assert sum(did["frames"] for did in events[-1]["machines"].values()) == 68
    failed = [e for e in events if e["event"] == "failed"]
    assert [Path(e["source"]).name for e in failed] == ["broken.mp4"] and failed[0]["code"] == 4
    assert studio.left_behind() == []
    again = events_of(studio.run())
    assert (again[-1]["skipped"], again[-1]["done"]) == (2, 0)


def test_a_killed_worker_and_a_corrupt_segment_cost_nothing(studio: Studio) -> None:
    studio.clip("film.mp4", 60, rate=5, size=(320, 240))
    process = studio.start()
    workers = wait_for(process, "worker", 2)
    made = wait_for(process, "segment")[0]["segment"]
    path = work_path(studio.out / "film.tiny.mp4").absolute() / f"{made:05d}.mkv"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    kill(workers[0]["pid"])
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    events = events_of(out)
    assert any(event["event"] == "worker-lost" for event in events)
    damaged = [e["segment"] for e in events if e["event"] == "retry" and "damaged" in e["reason"]]
    assert damaged == [made]
    segments = next(e["report"]["segments"] for e in events if e["event"] == "done")
    assert sorted(each["segment"] for each in segments) == sorted([*range(6), made])
    assert studio.result("film.mp4") == studio.straight("film.mp4")
    assert studio.left_behind() == []


def test_a_killed_driver_goes_on_from_its_segments(studio: Studio) -> None:
    studio.clip("film.mp4", 60, rate=5, size=(320, 240))
    process = studio.start()
    workers = [event["pid"] for event in wait_for(process, "worker", 2)]
    wait_for(process, "segment", 2)
    process.kill()
    process.communicate()
    assert gone(workers), "the workers end with their driver"
    kept = len(list(work_path(studio.out / "film.tiny.mp4").glob("[0-9]*.json")))
    done = studio.run()
    assert done.returncode == 0, done.stderr
    made = [event for event in events_of(done) if event["event"] == "segment"]
    assert kept >= 2 and len(made) == 6 - kept
    assert studio.result("film.mp4") == studio.straight("film.mp4")
    assert studio.left_behind() == []


@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_stop_is_clean_and_can_be_gone_on_from(studio: Studio, how: signal.Signals, code: int) -> None:
    studio.clip("film.mp4", 60, rate=5, size=(320, 240))
    process = studio.start()
    workers = [event["pid"] for event in wait_for(process, "worker", 2)]
    wait_for(process, "segment")
    process.send_signal(how)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert events_of(out)[-1]["stopped"] and "Traceback" not in err
    assert gone(workers)
    done = studio.run()
    assert done.returncode == 0, done.stderr
    assert studio.result("film.mp4") == studio.straight("film.mp4")


@pytest.mark.slow
def test_a_lost_node_costs_nothing(studio: Studio, cluster: Nodes) -> None:
    studio.clip("film.mp4", 60, rate=5, size=(320, 240))
    process = studio.start()
    wait_for(process, "worker", 2)
    wait_for(process, "segment")
    cluster.tell("remove")
    try:
        out, err = process.communicate(timeout=100)
    finally:
        cluster.tell("add")
    assert process.returncode == 0, err
    assert "worker-lost" in [event["event"] for event in events_of(out)]
    assert studio.result("film.mp4") == studio.straight("film.mp4")
    assert studio.left_behind() == []


def test_videos_behind_urls_and_a_killed_driver(studio: Studio) -> None:
    """What the workers fetch and send, and what a driver on the same machine finds again."""
    studio.clip("film.mp4", 60, rate=5, size=(320, 240))
    studio.clip("clip.mp4", 3)
    top, far = f"file://{studio.folder}/in", f"file://{studio.folder}/out"
    places = [top, "-o", far, "--work", "journal", "--json"]
    process = studio.start(*places, places=True)
    workers = [event["pid"] for event in wait_for(process, "worker", 2)]
    wait_for(process, "segment", 3)  # of which the clip is one at most
    process.kill()
    process.communicate()
    assert gone(workers)
    kept = len(list(work_path(studio.out / "film.tiny.mp4").glob("[0-9]*.json")))
    done = studio.run(*places, places=True)
    assert done.returncode == 0, done.stderr
    events = events_of(done)
    assert kept >= 2 and len([e for e in events if e["event"] == "segment" and e["of"] == 6]) == 6 - kept
    finished = [event for event in events if event["event"] == "done"]
    assert all(e["output"].startswith(far) and e["report"]["output"].startswith(far) for e in finished)
    for name in ("film.mp4", "clip.mp4"):
        assert studio.result(name) == studio.straight(name)
    assert sorted(path.name for path in studio.out.iterdir()) == ["clip.tiny.mp4", "film.tiny.mp4"]
    again = events_of(studio.run(*places, places=True))
    assert (again[-1]["skipped"], again[-1]["done"]) == (2, 0)
    (studio.out / "clip.tiny.mp4").unlink()
    mended = events_of(studio.run(*places, places=True))
    assert (mended[-1]["skipped"], mended[-1]["done"]) == (1, 1)
