"""Fixtures of the tests of `vidstyle batch`; a test module names this one in ``pytest_plugins``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from batch_shop import Shop
from media import save_tiny


@pytest.fixture
def shop(home: Path, tmp_path: Path) -> Iterator[Shop]:
    save_tiny(home / "styles", "tiny")
    shop = Shop(tmp_path, home)
    yield shop
    for process in shop.running:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children():  # a stopped one would hold the pipes for ever
                child.kill()
        process.kill()
        process.communicate()
