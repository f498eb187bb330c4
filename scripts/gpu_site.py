"""What the scripts for a GPU share; what scripts/gpu_pack brought, for a machine that lacks it.

Imports nothing but Python's own. As a program it says which of the modules that it is given cannot be imported.
"""

from __future__ import annotations

import argparse
import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
PACK = ROOT / "gpu_wheels"
NEEDED = ("av", "filelock", "platformdirs")  # what a run of a file imports, and such a machine may lack
PIP = (
    "-q",
    "--no-index",
    "--no-deps",
    "--no-compile",
    "--no-cache-dir",
    "--upgrade",
    "--disable-pip-version-check",
    "--root-user-action=ignore",
)


class Parser(argparse.ArgumentParser):
    """Refuses wrong words in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def lacking(names: list[str]) -> str:
    """Why one of these modules cannot be imported, in one line; "" where all can."""
    for name in names:
        try:
            import_module(name)
        except ImportError as error:
            return f"{name} cannot be imported ({error}): this needs python3 with {', '.join(names)}"
    return ""


def keep(path: Path, text: str) -> None:
    """Write a file whole or not at all: a run may be ended at any time."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, "utf-8")
    part.replace(path)


def ensure() -> None:
    """Make what is missing importable, here and in processes started later; removed when this one ends."""
    if all(find_spec(name) for name in NEEDED) or not (PACK / "wheels").is_dir():
        return
    site = tempfile.mkdtemp(prefix="vidstyle-gpu-")
    atexit.register(shutil.rmtree, site, ignore_errors=True)
    install(Path(site))
    sys.path.insert(0, site)
    os.environ["PYTHONPATH"] = with_site(Path(site))


def with_site(site: Path) -> str:
    """PYTHONPATH with ``site`` first."""
    return os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))


def install(site: Path) -> None:
    """The wheels and this project's version into the folder ``site``; where pip fails, it says so, and that is all."""
    if wheels := sorted(map(str, (PACK / "wheels").glob("*.whl"))):
        command = [sys.executable, "-m", "pip", "install", "--target", str(site), *PIP, *wheels]
        subprocess.run(command, check=False)
    _name_the_version(site)


def _name_the_version(site: Path) -> None:
    """What an installation would leave: the checkout that runs here is not installed."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    folder = site / f"vidstyle-{version}.dist-info"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vidstyle\nVersion: {version}\n")


if __name__ == "__main__":
    sys.exit(lacking(sys.argv[1:]) or 0)
