"""The nodes of a Ray cluster, and how many workers they have room for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Size:
    """How workers are cut out of nodes. ``workers``: how many, 0 for all that fit; ``cpus``, ``gpus``: of each."""

    workers: int = 0
    cpus: int = 1
    gpus: float = 0.0

    def fit(self, resources: dict[str, float]) -> int:
        """Workers on a node."""
        room = [resources.get("CPU", 0.0) / self.cpus]
        if self.gpus:
            room.append(resources.get("GPU", 0.0) / self.gpus)
        return int(min(room) + 1e-9)

    def __str__(self) -> str:
        """What a worker takes, as "2 CPU and 0.5 GPU"."""
        return f"{self.cpus} CPU" + (f" and {self.gpus:g} GPU" if self.gpus else "")


def alive_nodes() -> dict[str, dict[str, Any]]:
    """What Ray says of each node that is alive, by Ray's name of it."""
    import ray

    return {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}


def room(size: Size, nodes: dict[str, dict[str, Any]]) -> int:
    """Workers that fit on all ``nodes`` of `alive_nodes` together, were nothing else on them."""
    return sum(size.fit(node["Resources"]) for node in nodes.values())


def no_room(size: Size) -> str:
    """What a person is told where no node can hold a worker."""
    return f"no machine of the cluster has room for a worker of {size} (--threads, --gpus)"
