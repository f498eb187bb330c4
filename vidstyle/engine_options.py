"""What a person may ask of an engine: settled before one is loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vidstyle.choice import GPU_ENGINES, choose
from vidstyle.on_device import settled


@dataclass(frozen=True)
class EngineOptions:
    """See `vidstyle.engine.EngineSpec`; ``engine`` is the runtime's name.

    ``pictures``: "auto" keeps them in the memory of an NVIDIA GPU from decoder to encoder where the network runs on
    one; "host" never does; "device" always, on the CPU too.
    """

    engine: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    threads: int = 0
    pictures: str = "auto"

    def settled(self) -> EngineOptions:
        """With the engine that "auto" stands for here, and the device's full name; a list of devices stays one.

        Raises:
            EngineError: a GPU was asked for that cannot be used.
        """
        if self.engine == "auto":
            first, *others = self.device.split(",")
            engine, device = choose(self.engine, first)
            return replace(self, engine=engine, device=",".join([device, *others]))
        return replace(self, device=settled(self.device)) if self.engine in GPU_ENGINES else self

    @property
    def on_device(self) -> bool:
        """Whether pictures stay on the engine's device."""
        on_gpu = self.engine in GPU_ENGINES or (self.engine == "torch" and self.device.startswith("cuda"))
        return self.pictures == "device" or (self.pictures == "auto" and on_gpu)
