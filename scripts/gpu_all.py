"""Check and measure everything on a machine with an NVIDIA GPU in one call, within a time limit.

What matters most comes first; every result is in OUT as soon as it is known: check.json, check.txt, bench.json,
bench.txt, table.md and, with --train, styles/. What scripts/gpu_pack brought is installed into a temporary folder.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from gpu_site import PACK, ROOT, Parser, install, keep, with_site
from gpu_table import markdown, of_files

KEPT_BACK = 5.0  # seconds at the end, for the table
LEAST = 15.0  # seconds: with less left, a step is not begun
TRAIN_LEAST = 120.0
GRACE = 5.0  # seconds between asking a step to end and ending it


@dataclass(frozen=True)
class Step:
    """One command: ``share`` of the time that is left is the most it may take; its output is added to ``log``."""

    name: str
    command: tuple[str, ...]
    share: float
    log: str


#: (parts of gpu_bench, share of the time left that they may take), in order of value
BENCHES = (
    (("machine", "network", "latency"), 0.35),
    (("file", "copies"), 0.4),
    (("compile",), 0.8),
    (("memory",), 0.6),
    (("shapes", "sizes", "presets", "needs"), 0.9),
)


def steps(out: Path, cpu: bool, train: bool) -> list[Step]:
    """In order of value."""
    trial = ("--cpu",) if cpu else ()
    teachers = ("--teachers", str(PACK / "teachers")) if (PACK / "teachers").is_dir() else ()
    check = ("scripts/gpu_check", "--json", str(out / "check.json"), *teachers, *trial)
    found = [Step("check", check, 0.33, "check.txt")]
    for parts, share in BENCHES:
        command = ("scripts/gpu_bench", *parts, "--json", str(out / "bench.json"), *trial)
        found.append(Step(f"bench {' '.join(parts)}", command, share, "bench.txt"))
    if train and (ROOT / "gpu_pack").is_dir():
        found.append(Step("train", ("scripts/gpu_train", "run", str(out / "styles")), 1.0, "train.txt"))
    return found


def perform(step: Step, log: Path, environment: dict[str, str], seconds: float) -> str:
    """Run it; "ok", "failed (exit code 1)" or "ended after 60 s". What it printed is in ``log``."""
    command = list(step.command)
    if command[0] == "scripts/gpu_bench":
        command += ["--minutes", f"{max(seconds - GRACE, 1) / 60:.3f}"]
    with open(log, "ab") as file:
        file.write(f"\n$ {' '.join(command)}\n".encode())
        file.flush()
        try:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=file, stderr=file, start_new_session=True
            )
        except OSError as error:
            return f"failed ({error.strerror})"
        try:
            code = process.wait(seconds)
        except BaseException as error:
            end(process)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            return f"ended after {seconds:.0f} s"
    return "ok" if code == 0 else f"failed (exit code {code})"


def end(process: subprocess.Popen[bytes]) -> None:
    """It and the processes that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
    process.wait()


def run(out: Path, ends: float, environment: dict[str, str], planned: list[Step]) -> dict[str, str]:
    """How each step ended; stops beginning them when the time is over."""
    how: dict[str, str] = {}
    for step in planned:
        left = ends - KEPT_BACK - time.monotonic()
        if left < (TRAIN_LEAST if step.name == "train" else LEAST):
            how[step.name] = "not begun: no time was left"
        else:
            started = time.monotonic()
            how[step.name] = perform(step, out / step.log, environment, max(LEAST, left * step.share))
            how[step.name] += f", {time.monotonic() - started:.0f} s"
        print(f"{step.name}: {how[step.name]}", flush=True)
        if how[step.name].startswith(("failed", "ended")):
            print(last_lines(out / step.log), flush=True)
        write_table(out)
    return how


def write_table(out: Path) -> None:
    try:
        text = markdown(*of_files([out / "check.json", out / "bench.json"]))
    except ValueError as error:
        text = str(error)
    keep(out / "table.md", text + "\n")


def last_lines(log: Path, count: int = 12) -> str:
    return "\n".join(f"  {line}" for line in log.read_text(errors="replace").splitlines()[-count:])


def main(words: list[str] | None = None) -> int:
    parser = Parser(prog="gpu_all", description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the results")
    parser.add_argument("--minutes", type=float, default=9.0, help="for all of it")
    parser.add_argument("--train", action="store_true", help="then train with what time is left (needs gpu_pack/)")
    parser.add_argument("--cpu", action="store_true", help="try the code without a GPU")
    args = parser.parse_args(words)
    if not args.minutes > 0:
        print(f"gpu_all: --minutes is {args.minutes:g}: give a number above 0", file=sys.stderr)
        return 2
    ends = time.monotonic() + 60 * args.minutes
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as site:
        install(Path(site))
        how = run(out, ends, os.environ | {"PYTHONPATH": with_site(Path(site))}, steps(out, args.cpu, args.train))
    print((out / "table.md").read_text())
    return 0 if all(text.startswith("ok") for text in how.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
