"""How many cores this process may keep busy."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path


def usable_cores(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Cores this process may keep busy: its CPU affinity and the quota of its control groups (containers)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:  # not Linux
        return cores
    for _, controllers, path in lines:  # version 2 names no controllers, version 1 has a folder for each set
        top = groups / controllers
        folder = top / path.strip("/")
        for place in (folder, *folder.parents):
            if place.is_relative_to(top):
                cores = min(cores, _quota(place))
    return cores


def _quota(group: Path) -> int:
    """Cores that one control group allows, rounded up; very many without a limit."""
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return max(1, math.ceil(int(quota) / int(period))) if int(quota) > 0 else sys.maxsize
    except (OSError, ValueError):  # no limit here ("max"), or no such group
        return sys.maxsize
