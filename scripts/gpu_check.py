"""Checks every kernel and every engine for NVIDIA GPUs against torch, on random pictures; exits 1 on a miss.

    scripts/gpu_check [--teachers FOLDER] [--json FILE] [--seed N]     on a machine with a GPU: some minutes
    scripts/gpu_check --cpu                                            the same by Triton's interpreter, tiny sizes

Needs torch, Triton, NumPy and safetensors, no network. ``--teachers`` is a folder of style files as training/pack.py
writes them. Prints a table of launches as well: what each moves and computes, against what the card could do.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gpu_check_costs as gpu_costs
import gpu_check_engines as gpu_engines
import gpu_check_files as gpu_files
import gpu_check_kernels as gpu_kernels
import torch
import triton
from gpu_site import PACK, keep

from vidstyle.engine import Recipe
from vidstyle.paths import bundled_dir
from vidstyle.style import Style

SIZES = [(1, 1), (2, 3), (17, 31), (101, 67), (360, 640), (719, 1279), (720, 1280), (1080, 1920)]
TINY = [(1, 1), (3, 5)]


def called(style: Style) -> str:
    """A published network and a look of this project may have one name."""
    return f"{style.name} ({style.card.architecture.name})"


class Report:
    """Prints results as they come, and keeps them for the JSON file."""

    def __init__(self) -> None:
        self.found: dict[str, list[dict[str, Any]]] = {"kernels": [], "engines": [], "costs": []}
        self.misses: list[str] = []
        self.done: list[str] = []  # parts

    def go_on_from(self, path: Path) -> None:
        """With what an earlier process has found, which lost the device."""
        kept = json.loads(path.read_text("utf-8"))
        self.found = {kind: kept[kind] for kind in self.found}
        self.misses, self.done = kept["misses"], kept["done"]

    def kernel(self, result: gpu_kernels.Result | gpu_files.Result) -> None:
        passed = result.error <= result.limit
        self._add("kernels", f"{result.name:34} {result.case:34} {result.error:9.4f} of {result.limit}", passed, result)

    def engine(self, result: gpu_engines.Result) -> None:
        what = f"{result.engine:14} {result.precision:5} {result.style:16} {result.case:38}"
        self._add("engines", f"{what} {result.levels:3d} levels {result.psnr:7.2f} dB", result.passed, result)

    def _add(self, kind: str, line: str, passed: bool, result: Any) -> None:
        print(f"{'ok  ' if passed else 'MISS'} {line}", flush=True)
        self.found[kind].append(asdict(result) | {"passed": passed})
        if not passed:
            self.misses.append(line)

    def failed(self, what: str, error: Exception) -> None:
        line = f"{what}: {type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
        print(f"MISS {line}", flush=True)
        self.misses.append(line)


class Run:
    def __init__(self, args: argparse.Namespace) -> None:
        self.device = torch.device("cpu" if args.cpu else "cuda:0")
        self.name = "CPU, interpreted" if args.cpu else torch.cuda.get_device_name(self.device)
        self.report, self._args, self._seed = Report(), args, args.seed
        self._sizes = TINY if args.cpu else SIZES
        self._checks = gpu_engines.Checks(self.device, args.seed)

    def everything(self) -> None:
        """In order of value: whoever runs it may end it early."""
        students = gpu_engines.find_styles(bundled_dir())
        teachers = gpu_engines.find_styles(self._args.teachers) if self._args.teachers else []
        first = (*teachers[:1], *students[:1])
        self._each("kernels", self._kernels("f16"))
        for style in first:
            self._each(f"cuda {called(style)}", iter([self._largest(style)]))
        self._each("planes", self._planes())
        if find_spec("av") is not None:
            self._each("files", self._files())
        for style in first:
            self._each(f"costs {called(style)}", self._costs(style))
        for style in first:
            self._each(f"cuda {called(style)}, other precisions", self._of_other_precisions(style))
        self._each("mixtures", self._mixed([*students[:1], *(teachers or students[1:])[:1]]))
        for style in first:
            self._each(f"cuda {called(style)}, other sizes", self._of_other_sizes(style))
        if not self._args.cpu and find_spec("tensorrt") is not None:
            self._each("tensorrt", self._tensorrt(first))
        for style in (*students[1:], *teachers[1:]):
            self._each(f"cuda {called(style)}", self._briefly(style))
        self._each("kernels in f32 and bf16", self._kernels("f32", "bf16"))
        for style in first if self._args.compile else ():
            self._each(f"torch.compile {called(style)}", self._compiled(style))

    def _each(self, what: str, steps: Iterator[Callable[[], None]]) -> None:
        """Every step of a part, to the end: one that fails is a miss, and the next is run."""
        if what in self.report.done:
            return
        begin = time.monotonic()
        for step in steps:
            try:
                step()
            except Exception as error:  # Triton's own are no RuntimeError
                self.report.failed(what, error)
                if self._args.json and self._is_lost():
                    self._begin_anew(what)
            self.save()
        self.report.done.append(what)
        print(f"---- {what}: {time.monotonic() - begin:.1f} s", flush=True)

    def _is_lost(self) -> bool:
        """Whether nothing can be run on the device any more by this process."""
        try:
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
        except RuntimeError:
            return True
        return False

    def _begin_anew(self, what: str) -> None:
        """In another process, with the part after ``what``: a kernel that went astray must not cost the rest."""
        self.report.done.append(what)
        self.save()
        print(f"---- {what}: the device is lost to this process: another one goes on", flush=True)
        os.execv(sys.executable, [sys.executable, *sys.argv, "--seed", str(self._seed), "--go-on"])

    def save(self) -> None:
        """All that was found so far."""
        if self._args.json:
            versions = {"torch": torch.__version__, "triton": triton.__version__}
            about = {"device": self.name, **versions, "seed": self._seed}
            about |= {"misses": self.report.misses, "done": self.report.done}
            keep(self._args.json, json.dumps(about | self.report.found, indent=1))

    def _kernels(self, *precisions: str) -> Iterator[Callable[[], None]]:
        """Some cases are of twice the size."""
        for i, size in enumerate(self._sizes[:2] if self._args.cpu else [*self._sizes[:4], (540, 960)]):
            for precision in precisions:
                if precision == "bf16" and self._args.cpu:
                    continue  # Triton's interpreter cuts bf16 off where a GPU rounds
                dtype, n = gpu_engines.DTYPES[precision], 2 if i % 2 else 1
                cases = gpu_kernels.Cases(n, size, dtype, self.device, self._seed + i)
                yield lambda cases=cases: [self.report.kernel(result) for result in cases.run()] and None

    def _planes(self) -> Iterator[Callable[[], None]]:
        from gpu_check_planes import check

        yield lambda: [self.report.kernel(result) for result in check(self.device, self._seed)] and None

    def _files(self) -> Iterator[Callable[[], None]]:
        clips = [str(clip)] if (clip := PACK / "clip.mp4").is_file() else []
        yield lambda: [self.report.kernel(r) for r in gpu_files.in_a_process([str(self.device), *clips])] and None

    def _engine(self, *args: Any, **options: Any) -> Callable[[], None]:
        return lambda: [self.report.engine(r) for r in self._checks.engine(*args, **options)] and None

    def _largest(self, style: Style) -> Callable[[], None]:
        return self._engine("cuda", "f16", gpu_engines.plain(style), self._sizes[-1])

    def _of_other_precisions(self, style: Style) -> Iterator[Callable[[], None]]:
        """And several calls under way."""
        recipe, largest = gpu_engines.plain(style), self._sizes[-1]
        middle = largest if self._args.cpu else (719, 1279)
        yield self._engine("cuda", "f32", recipe, middle)
        if not self._args.cpu:
            yield self._engine("cuda", "bf16", recipe, middle)
            yield self._engine("cuda", "f16", recipe, largest, n=2, in_flight=3)

    def _of_other_sizes(self, style: Style) -> Iterator[Callable[[], None]]:
        """cuDNN and each form of a convolution are tried anew for every one, which takes seconds."""
        recipe = gpu_engines.plain(style)
        for size in self._sizes[:-1]:
            yield self._engine("cuda", "f16", recipe, size)
        yield self._engine("cuda", "f16", recipe, self._sizes[1], n=3, in_flight=2)

    def _briefly(self, style: Style) -> Iterator[Callable[[], None]]:
        for size in self._sizes[1:2] if self._args.cpu else [(101, 67), (720, 1280)]:
            yield self._engine("cuda", "f16", gpu_engines.plain(style), size)

    def _mixed(self, styles: list[Style]) -> Iterator[Callable[[], None]]:
        size = self._sizes[1] if self._args.cpu else (719, 1279)
        shares = [(style, share) for style, share in zip(styles, (0.6, 0.4), strict=False)]
        yield self._engine("cuda", "f16", Recipe(tuple(shares), 0.8), size, n=2, in_flight=2)
        yield self._engine("cuda", "f16", Recipe(tuple(shares[:1]), 0.5), size)

    def _compiled(self, style: Style) -> Iterator[Callable[[], None]]:
        yield lambda: self.report.engine(self._checks.compiled("f16", style, (720, 1280)))

    def _tensorrt(self, styles: tuple[Style, ...]) -> Iterator[Callable[[], None]]:
        for style in styles:
            for size in ((101, 67), (720, 1280)):
                yield self._engine("tensorrt", "f16", gpu_engines.plain(style), size, in_flight=2)

    def _costs(self, style: Style) -> Iterator[Callable[[], None]]:
        def one() -> None:
            size, args = (1080, 1920), self._args
            plan = gpu_costs.plan_of(style, "f16", size, self.device)
            found = gpu_costs.costs(plan, size, self.device, args.tflops * 1e12, args.tbs * 1e12)
            limits = f"{args.tflops:g} TFLOP/s, {args.tbs:g} TB/s"
            print(gpu_costs.table(f"{style.name}, f16, one picture of 1920x1080; limits at {limits}:", found))
            self.report.found["costs"].append({"style": style.name, "launches": [asdict(cost) for cost in found]})

        yield one


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/gpu_check", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cpu", action="store_true", help="by Triton's interpreter, tiny sizes")
    parser.add_argument("--teachers", type=Path, help="folder of full networks, as training/pack.py writes them")
    parser.add_argument("--json", type=Path, help="write all results there")
    parser.add_argument("--compile", action="store_true", help="torch.compile too, which takes a minute")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31), help="of the random pictures")
    parser.add_argument("--tflops", type=float, default=790, help="the card's half-precision rate")
    parser.add_argument("--tbs", type=float, default=4.3, help="the card's terabytes a second")
    parser.add_argument("--go-on", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    args = _arguments()
    if not args.cpu and not torch.cuda.is_available():
        print("gpu_check: torch finds no GPU here; --cpu checks the same by Triton's interpreter", file=sys.stderr)
        return 2
    run = Run(args)
    if args.go_on:
        run.report.go_on_from(args.json)
    print(f"{run.name}; torch {torch.__version__}, Triton {triton.__version__}; seed {args.seed}", flush=True)
    run.everything()
    counts = {kind: len(found) for kind, found in run.report.found.items()}
    print(f"{counts['kernels']} kernel cases, {counts['engines']} engine cases, {len(run.report.misses)} misses")
    for miss in run.report.misses:
        print(f"MISS {miss}")
    return 1 if run.report.misses else 0


if __name__ == "__main__":
    sys.exit(main())
