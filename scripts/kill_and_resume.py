"""Kill `vidstyle file` with SIGKILL at 10, 50 and 90 % of a video, resume it, and compare with a straight run."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """``killed``: frames reported when the signal was sent; ``kept``: of those, in finished segments;
    ``went_on``: the first frame the resumed run made.
    """

    share: float
    total: int
    killed: int
    kept: int
    went_on: int
    identical: bool

    def line(self) -> str:
        same = "identical to the byte" if self.identical else "DIFFERENT"
        done_twice = f"{self.killed - self.kept} frames made twice"
        went_on = f"went on at frame {self.went_on}"
        return f"killed at {self.share:.0%} (frame {self.killed} of {self.total}): {went_on}, {done_twice}; {same}"


def start(video: Path, output: Path, options: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vidstyle", "file", str(video), "-o", str(output), "--json", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill_at(process: subprocess.Popen[str], frames: int) -> int:
    """Kill once that many frames are reported; how many were."""
    assert process.stdout is not None
    seen = 0
    for line in process.stdout:
        seen = json.loads(line).get("frames", seen)
        if seen >= frames:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    return seen


def finish(process: subprocess.Popen[str]) -> list[dict[str, object]]:
    out, _ = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"vidstyle ended with {process.returncode}")
    return [json.loads(line) for line in out.splitlines()]


def prove(video: Path, shares: list[float], options: list[str], folder: Path) -> list[Result]:
    """One straight run, then for each share one that is killed there and resumed."""
    straight = folder / "straight.mp4"
    total = int(finish(start(video, straight, options))[-1]["frames_out"])  # type: ignore[call-overload]
    results = []
    for share in shares:
        output = folder / f"killed-{share:g}.mp4"
        killed = kill_at(start(video, output, options), round(share * total))
        segments = (output.with_name(output.name + ".part")).glob("[0-9]*.json")
        kept = sum(len(json.loads(path.read_text())["pts"]) for path in segments)
        events = finish(start(video, output, [*options, "--resume"]))
        same = output.read_bytes() == straight.read_bytes()
        went_on = int(events[0]["frames"])  # type: ignore[call-overload]
        results.append(Result(share, total, killed, kept, went_on, same))
    return results


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/kill_and_resume", description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--at", type=float, nargs="*", default=[0.1, 0.5, 0.9], help="shares of the video")
    parser.add_argument("--options", nargs="*", default=[], help="of vidstyle file, without their dashes: size=96")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = prove(args.video, args.at, [f"--{option}" for option in args.options], Path(folder))
    for result in results:
        print(result.line())
    return 0 if all(result.identical for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
