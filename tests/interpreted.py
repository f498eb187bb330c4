"""The GPU's kernels under Triton's interpreter: import this before `engines.cuda` has loaded one.

The interpreter is chosen where a kernel is defined, by a variable of the environment that no other test shall see.
Where triton is not installed, the tests that need it are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("triton")

with pytest.MonkeyPatch.context() as patch:
    patch.setenv("TRITON_INTERPRET", "1")
    from engines.cuda import fused, kernels, kernels_convolve, kernels_guided, kernels_pixels, launches

assert type(kernels.combine).__name__ == "InterpretedFunction", "a kernel was imported before tests/interpreted.py"


@pytest.fixture
def interpreter(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kernels run in Python; pieces of the guided filter are small, so that small pictures have several."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(launches, "GUIDED_ROWS", 2)
    monkeypatch.setattr(launches, "GUIDED_BLOCK", 16)
    monkeypatch.setattr(launches, "FINISH_BLOCK", 16)
    # What a kernel calls makes Triton's language over again at each call, which takes most of the time.
    monkeypatch.setattr(type(kernels.term), "__call__", lambda self, *args, **options: self.rewrite()(*args, **options))
    yield


@pytest.fixture
def by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Launches compute by torch what the kernels are to compute, rounded where they round: quicker."""
    import gpu_check_kernels

    for name in ("combine", "from_pixels", "finish_look", "finish_guided"):
        monkeypatch.setattr(launches, name, getattr(gpu_check_kernels, name))


__all__ = [
    "by_torch",
    "fused",
    "interpreter",
    "kernels",
    "kernels_convolve",
    "kernels_guided",
    "kernels_pixels",
    "launches",
]
