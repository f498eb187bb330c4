"""`vidstyle batch --cluster` at the command line: what is refused, the plan, what is shown, unfit workers."""

from __future__ import annotations

import io
import json
import re
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from media import make_clip, save_tiny
from rich.console import Console
from rich.live import Live

from vidstyle import cli
from vidstyle.batch.inputs import Item
from vidstyle.batch.run import Event
from vidstyle.batch.totals import Totals
from vidstyle.cli import batch_cluster
from vidstyle.cli.batch_cluster_table import ClusterTable
from vidstyle.cli.batch_cluster_view import cluster_line, machine_lines
from vidstyle.cluster import connect
from vidstyle.cluster.connect import _refusal, check_address
from vidstyle.cluster.film import STYLE, Call, Film
from vidstyle.cluster.messages import Hello
from vidstyle.cluster.nodes import Size
from vidstyle.cluster.pool import RayPool, Worker
from vidstyle.cluster.worker import StyleWorker
from vidstyle.errors import EngineError, UsageError
from vidstyle.signals import CODES


@pytest.fixture
def main(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Any]:
    """The command in this process, for what ends before Ray starts: gives exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    save_tiny(home / "styles", "tiny")
    (tmp_path / "in").mkdir()
    make_clip(tmp_path / "in/a.mp4", 30)

    def run(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            cli.main(["batch", "in", "-o", "out", "--style", "tiny", *args])
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    handlers = {number: signal.getsignal(number) for number in CODES}
    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("address", "code", "words"),
    [
        ("nowhere", 2, "expected auto, local, ray://HOST:10001"),
        ("http://host:1", 2, "expected auto, local, ray://HOST:10001"),
        ("ray://127.0.0.1:1", 6, "no Ray cluster answers at ray://127.0.0.1:1"),
        ("127.0.0.1:1", 6, "is `ray start --head` running there?"),
    ],
)
def test_an_address_that_is_none_is_refused_in_one_line(main: Any, address: str, code: int, words: str) -> None:
    found, out, err = main("--cluster", address)
    assert (found, out, err.count("\n")) == (code, "", 1) and words in err


def test_without_ray_the_extra_is_named(main: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "find_spec", lambda _: None)
    code, _, err = main("--cluster", "local")
    assert code == 6 and err == "vidstyle: --cluster needs Ray: pip install 'vidstyle[cluster]'\n"


def test_gpus_without_a_cluster_are_refused(main: Any) -> None:
    code, _, err = main("--gpus", "1")
    assert code == 2 and "--gpus is for --cluster" in err


def test_a_cluster_on_gpus_takes_their_number(main: Any) -> None:
    code, _, err = main("--cluster", "local", "--device", "cuda:0")
    assert code == 2 and "add --gpus 1" in err


def test_rays_many_lines_become_one() -> None:
    reason = "Version mismatch: The cluster was started with:\n    Ray: 2.40.0\n    Python: 3.11.7\nThis process has..."
    said = _refusal("head:6379", reason)
    assert "has another version of Ray or Python (Ray: 2.40.0; Python: 3.11.7): install the same" in said
    assert "no Ray cluster runs on this machine" in _refusal("auto", "Could not find any running Ray instance. x\ny")
    assert _refusal("h:1", "first\nsecond") == "cannot join the Ray cluster at h:1: first"


def test_an_address_that_answers_is_taken() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        check_address(f"ray://127.0.0.1:{server.getsockname()[1]}")
    with pytest.raises(EngineError):
        check_address("ray://127.0.0.1:1")
    with pytest.raises(UsageError):
        check_address("host:notaport")


def has(monkeypatch: pytest.MonkeyPatch, cpus: int, gpus: int) -> None:
    """Let this machine have these."""
    monkeypatch.setattr(connect, "usable_cores", lambda: cpus)
    monkeypatch.setattr(connect, "visible_gpus", lambda: (gpus, 0))


@pytest.mark.parametrize("extra", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("words", "there", "said"),
    [
        (("--threads", "99"), (2, 0), "takes 99 CPU, this machine has 2 CPU and 0 GPU: give --threads 2 or less"),
        (("--gpus", "1"), (2, 0), "takes 1 CPU and 1 GPU, this machine has 2 CPU and 0 GPU: leave out --gpus"),
        (("--gpus", "4"), (8, 2), "takes 1 CPU and 4 GPU, this machine has 8 CPU and 2 GPU: give --gpus 2 or less"),
    ],
)
def test_a_worker_that_this_machine_cannot_hold_is_refused_before_anything_is_done(
    main: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    there: tuple[int, int],
    said: str,
    extra: tuple[str, ...],
) -> None:
    has(monkeypatch, *there)
    code, out, err = main("--cluster", "local", *words, *extra)
    assert (code, out, err.count("\n")) == (2, "", 1) and said in err
    assert not (tmp_path / "out").exists()


def test_a_dry_run_counts_the_workers_that_fit(main: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, 2, 1)
    assert "on 2 workers" in main("--cluster", "local", "--dry-run", "--jobs", "50")[1]
    assert "on 1 worker like" in main("--cluster", "local", "--dry-run", "--threads", "2")[1]
    assert "on 1 worker like" in main("--cluster", "local", "--dry-run", "--gpus", "1")[1]


def test_a_dry_run_on_a_cluster_without_room_says_so(main: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_cluster, "check_room", lambda _: None)
    monkeypatch.setattr(batch_cluster, "_room", lambda _: 0)
    said = "no machine of the cluster has room for a worker of 99 CPU (--threads, --gpus): the batch would wait"
    code, out, _ = main("--cluster", "auto", "--dry-run", "--threads", "99")
    assert code == 0 and said in out and "about 0:" not in out
    last = json.loads(main("--cluster", "auto", "--dry-run", "--threads", "99", "--json")[1].splitlines()[-1])
    assert last["workers"] == 0 and said in last["advice"]


def test_a_dry_run_gives_the_plan_and_an_estimate(main: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, 4, 0)
    code, out, _ = main("--cluster", "local", "--dry-run", "--jobs", "4")
    assert code == 0 and "30 frames  in/a.mp4 -> out/a.tiny.mp4" in out
    assert "on 4 workers" in out and "one machine is better: leave out --cluster" in out
    code, out, _ = main("--cluster", "local", "--dry-run", "--jobs", "4", "--json")
    last = json.loads(out.splitlines()[-1])
    assert last["event"] == "estimate" and last["workers"] == 4 and last["seconds"] > last["alone"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("usual", "short", "taken"),
    [
        ("/tmp", "/tmp", "/tmp"),
        ("/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T", "/tmp", "/tmp"),
        (r"C:\Users\somebody\AppData\Local\Temp", "/no/such/folder", r"C:\Users\somebody\AppData\Local\Temp"),
    ],
)
def test_a_local_cluster_begins_where_there_is_no_tmp(
    usual: str, short: str, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect.tempfile, "gettempdir", lambda: usual)
    monkeypatch.setattr(connect, "SHORT", Path(short))
    assert connect._socket_place() == taken


# --- workers that cannot work


class Pool(RayPool):
    """Without a cluster: only what a worker's first words lead to."""

    def dismiss(self, worker: Worker) -> None:
        self.workers.remove(worker)

    def _look_around(self) -> None:
        self._room = len(self.workers) + len(self._sent_home)

    def _hire(self) -> None: ...


def greeted(hello: Hello, others: int = 0) -> tuple[Pool, list[tuple[str, dict[str, Any]]]]:
    told: list[tuple[str, dict[str, Any]]] = []
    pool = Pool(object, (), Size(), lambda name, facts: told.append((name, facts)))
    pool.workers = [Worker(number, None, None) for number in range(others + 1)]
    pool._welcome(pool.workers[-1], hello)
    return pool, told


@pytest.mark.parametrize(
    ("version", "unseen", "words"),
    [
        ("0.0.9", [], r"node7 has vidstyle 0\.0\.9, this machine .*: install the same on all nodes"),
        (
            None,
            [sys.executable],
            rf"node7 does not see {re.escape(sys.executable)}: give folders that all machines share",
        ),
    ],
)
def test_a_node_that_cannot_work_is_left_out_or_ends_it(version: str | None, unseen: list[str], words: str) -> None:
    from importlib.metadata import version as own

    hello = Hello("n", "node7", 1, version or own("vidstyle"), unseen)
    pool, told = greeted(hello, others=1)
    assert len(pool.workers) == 1 and re.search(words, told[0][1]["text"])
    pool.grow()
    pool, _ = greeted(hello)
    with pytest.raises(EngineError, match=words):
        pool.grow()


def test_a_file_that_is_gone_here_too_makes_no_worker_unfit() -> None:
    from importlib.metadata import version

    pool, told = greeted(Hello("n", "node7", 1, version("vidstyle"), ["/inbox/was/done/and/removed.mp4"]))
    assert [worker.hello is not None for worker in pool.workers] == [True] and told[0][0] == "worker"


@pytest.mark.parametrize("others", [True, False])
def test_workers_that_cannot_start_are_told_of_and_not_tried_all_the_time(
    others: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    pool = Pool(object, (), Size(), lambda _, facts: told.append(facts["text"]))
    pool.workers = [Worker(0, None, None, Hello("n", "node1", 1, "1", []))] if others else []
    hired: list[int] = []
    monkeypatch.setattr(pool, "_look_around", lambda: setattr(pool, "_room", 2))
    monkeypatch.setattr(pool, "_hire", lambda: hired.append(1))
    error = Exception("it died: Actor.__init__() (pid=7, ip=10.0.0.7, x=1)\nModuleNotFoundError: No module named 'x'")
    said = "a worker cannot start on 10.0.0.7 (ModuleNotFoundError: No module named 'x'): install the same vidstyle"
    for number in range(4):
        worker = Worker(number, None, None)
        pool.workers.append(worker)
        if not others and number == 2:
            with pytest.raises(EngineError, match=re.escape(said)):
                pool._lose(worker, None, error)
            return
        pool._lose(worker, None, error)
        pool.grow()
    assert told == [f"{said} on all nodes"] and len(hired) == 1


def test_a_cluster_that_has_no_room_is_waited_for_and_that_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    pool = Pool(object, (), Size(cpus=99), lambda name, facts: told.append((name, facts)))
    for _ in range(3):
        monkeypatch.setattr(pool, "_looked", -10.0)
        pool.grow()
    said = "no machine of the cluster has room for a worker of 99 CPU (--threads, --gpus); waiting for one that has"
    assert told == [("note", {"text": said})]


@pytest.mark.usefixtures("main")
def test_a_worker_sees_the_drivers_folder_or_says_so(tmp_path: Path) -> None:
    from vidstyle.batch.decide import Fingerprints
    from vidstyle.catalog import parse_recipe
    from vidstyle.job import FileJob

    job = FileJob(Path(), parse_recipe("tiny"))
    (tmp_path / "probe").write_text("token")
    for text, unseen in (("token", []), ("", []), ("other", ["probe"])):
        hello = StyleWorker(job, Fingerprints(job), {"probe": text}).hello()
        assert hello.unseen == unseen
    assert StyleWorker(job, Fingerprints(job), {"/nowhere/at/all": ""}).hello().unseen == ["/nowhere/at/all"]


# --- what is shown


def a_crew() -> Any:
    film = Film(lambda *_: None)
    film.item = Item(Path("in/a long film.mp4"), Path("out/a.mp4"))
    hello = Hello("n", "node1", 5, "1", [])
    workers = [Worker(1, None, None, hello, Call(film, STYLE, None, 4), film, 7, 12.3), Worker(2, None, None, hello)]
    pool = SimpleNamespace(ready=workers, nodes={"n": "node1"})
    machines = {"node1": {"segments": 7, "frames": 700, "seconds": 70.0}}
    return SimpleNamespace(pool=pool, machines=machines, retries=2)


def test_the_table_shows_machines_workers_and_how_far_it_is() -> None:
    out = io.StringIO()
    view = ClusterTable()
    view._console = Console(file=out, width=100, height=20, force_terminal=True, color_system=None)
    view._live = Live(console=view._console, auto_refresh=False, transient=False, redirect_stdout=False)
    with view:
        view.follow(a_crew())
        view.show(Event("node-lost", data={"host": "node9", "node": "x"}))
        view.tick(Totals(found=3, done=1))
    text = out.getvalue()
    assert "lost     machine node9" in text
    row = next(line for line in text.splitlines() if "a long film" in line)
    assert row.split()[:4] == ["node1", "1", "7", "12.3"] and "a long film.mp4, segment 4 of 0" in row
    assert "1 machine, 2 workers, 7 segments, 12.3 fps, 2 retries; 1 done, 2 left" in text
    assert list(machine_lines(a_crew())) == ["  node1: 7 segments, 700 frames, 10.0 fps a worker"]


def test_lines_are_few_and_say_what_happened() -> None:
    item = Item(Path("in/a.mp4"), Path("out/a.mp4"))
    shown = {
        "retry": {"segment": 3, "reason": "it is damaged,\n or gone"},
        "copied": {"segment": 3, "seconds": 12.3},
        "worker-lost": {"worker": 1, "host": "h", "reason": "worker 1 on h died"},
        "cluster": {"address": "auto", "dashboard": "http://h:8265"},
    }
    lines = [cluster_line(Event(name, item, data=facts)) for name, facts in shown.items()]
    assert lines == [
        "retry    in/a.mp4, segment 3: it is damaged,\\n or gone",
        "copied   in/a.mp4, segment 3: under way for 12 s, another worker has it, too",
        "lost     worker 1 on h died",
        "cluster auto, dashboard http://h:8265",
    ]
    assert cluster_line(Event("segment", item, data={"segment": 1})) is None
