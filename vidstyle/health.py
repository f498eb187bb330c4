"""What works on this machine, and the line that mends what does not; the checks of ``vidstyle doctor``.

Nothing is imported before its check runs, and no check can raise: a broken part becomes a finding.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

OK, INFO, WARN, FAIL = "ok", "info", "warn", "fail"
ENGINE_CHECKS = ("openvino", "network")  # without these the default engine cannot run
MIN_FREE_GB, MIN_RAM_GB = 2.0, 1.5
REINSTALL = "pip install --force-reinstall vidstyle"
OWN_FOLDER = "set VIDSTYLE_HOME to a folder of your own"


@dataclass(frozen=True)
class Finding:
    """``state``: ok; info (an optional part that is absent); warn (works, but badly); fail. ``fix``: what to type."""

    state: str
    found: str
    fix: str = ""


@dataclass(frozen=True)
class Check:
    """A named `Finding`; every one that is not ok or info has a ``fix``."""

    name: str
    state: str
    found: str
    fix: str = ""

    def __post_init__(self) -> None:
        if self.state not in (OK, INFO, WARN, FAIL):
            raise ValueError(f"unknown state {self.state!r} of the check {self.name}")

    @classmethod
    def of(cls, name: str, finding: Finding) -> Check:
        return cls(name, finding.state, finding.found, finding.fix)


def check_all(read_config: Callable[[], object] | None = None) -> Iterator[Check]:
    """Run every check, one after the other.

    Args:
        read_config: reads the config file whole and raises where it is wrong; None for a reading of its syntax.
    """
    checks = CHECKS | {"config": lambda: _config(read_config)}
    for name, check in checks.items():
        yield Check.of(name, found_by(check, FAIL, _FIXES.get(name, "report it with this line")))


def found_by(check: Callable[[], Finding], state: str, fix: str) -> Finding:
    """What ``check`` finds; where it raises, that is what is found, with ``state`` and ``fix``: foreign code is run."""
    try:
        return check()
    except Exception as error:
        return Finding(state, " ".join(f"{type(error).__name__}: {error}".split()), fix)


def exit_code(checks: list[Check]) -> int:
    """0 where nothing failed, 6 where the default engine cannot run, else 1."""
    from vidstyle.errors import EngineError, VidstyleError

    failed = {check.name for check in checks if check.state == FAIL}
    if not failed.isdisjoint(ENGINE_CHECKS):
        return EngineError.exit_code
    return VidstyleError.exit_code if failed else 0


def _python() -> Finding:
    found = f"{platform.python_version()} ({sys.executable or 'unknown place'}), {platform.platform(terse=True)}"
    return Finding(OK, f"{found}, vidstyle {version('vidstyle')}")


def _pyav() -> Finding:
    import av

    found = f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}"
    major, minor = (int(part) for part in av.__version__.split(".")[:2])
    if not (18, 1) <= (major, minor) < (19, 0):
        return Finding(FAIL, f"{found}: another version than the one vidstyle is made for", _FIXES["pyav"])
    return Finding(OK, found)


def _encoders() -> Finding:
    import av

    from vidstyle.codecs import ENCODERS

    videos = dict.fromkeys(ENCODERS.values())
    pictures = ("png", "mjpeg", "libwebp")
    missing = [name for name in (*videos, *pictures) if name not in av.codecs_available]
    if missing:
        return Finding(WARN, f"without {', '.join(missing)}", _FIXES["encoders"])
    return Finding(OK, ", ".join((*videos, *pictures)))


def _numpy() -> Finding:
    import numpy as np

    return Finding(OK, f"NumPy {np.__version__}")


def _openvino() -> Finding:
    from vidstyle.engine import ENGINES

    engine = import_module(ENGINES["openvino"])  # OpenVINO through the engine, which keeps it from reporting its use
    ov, core = engine.ov, engine.CORE
    devices = [f"{name} ({core.get_property(name, 'FULL_DEVICE_NAME')})" for name in core.available_devices]
    found = f"OpenVINO {ov.__version__.partition('-')[0]}: {', '.join(devices) or 'no device'}"
    if "CPU" not in core.available_devices:
        return Finding(FAIL, found, _FIXES["openvino"])
    native = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    how = "bf16 is native" if native else "no native bf16: f32 is used (faster, less steady: --precision int8)"
    return Finding(OK, f"{found}; {how}")


def _network() -> Finding:
    """Run a small random network in the default engine and compare it with plain NumPy."""
    import numpy as np

    from vidstyle.engine import Recipe
    from vidstyle.network import Architecture, layers
    from vidstyle.reference import style_exactly
    from vidstyle.style import Card, Style
    from vidstyle.stylizer import Stylizer

    arch = Architecture("student", (8, 8), (1, 1), (0, 0))
    random = np.random.default_rng(0)
    weights = {}
    for name, layer in layers(arch).items():
        shape = (layer.out, layer.inp, layer.k, layer.k)
        weights[f"{name}.weight"] = (random.standard_normal(shape) / (layer.inp * layer.k**2) ** 0.5).astype(np.float32)
        weights[f"{name}.bias"] = np.zeros(layer.out, np.float32)
    style = Style(Card("check", "", arch, "", ""), weights)
    image = random.integers(0, 256, (37, 50, 3), np.uint8)
    with Stylizer(Recipe(((style, 1.0),))) as stylizer:
        styled = stylizer(image)
        description = stylizer.engine_for(37, 50).description
    off = int(np.abs(styled.astype(int) - style_exactly(image, style)).max())
    if off > 4:  # bf16 rounds to 1 or 2 of 255
        return Finding(FAIL, f"{description}: wrong by up to {off} of 255", "run with --precision f32, and report it")
    return Finding(OK, f"{description}: right within {off} of 255")


def _styles() -> Finding:
    from vidstyle.catalog import list_styles, load_found
    from vidstyle.errors import StyleError

    whole, broken = [], []
    for found in (style for style in list_styles() if not style.shadowed):
        try:
            load_found(found)
            whole.append(found.name)
        except StyleError as error:
            broken.append((found, str(error)))
    listed = f"{len(whole)} whole: {', '.join(whole)}" if whole else "none"
    if broken:
        first, reason = broken[0]
        fix = f"vidstyle styles remove {first.name}" if first.origin == "user" else REINSTALL
        return Finding(WARN if whole else FAIL, f"{listed}; {len(broken)} broken: {reason}", fix)
    return Finding(OK, listed) if whole else Finding(FAIL, listed, "vidstyle styles pull dctnet/anime")


def _folder(folder: Path) -> Finding:
    """Whether files can be written to a folder, or to the one it would be made in; and the space there."""
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free / 1e9
    found = f"{folder}{'' if folder.exists() else ' (made when needed)'}, {free:.0f} GB free"
    if not there.is_dir() or not os.access(there, os.W_OK):
        return Finding(WARN, f"{found}, cannot be written", OWN_FOLDER)
    if free < MIN_FREE_GB:
        return Finding(WARN, found, f"free some space below {there}")
    return Finding(OK, found)


def _cache_folder() -> Finding:
    from vidstyle.paths import cache_dir

    return _folder(cache_dir())


def _styles_folder() -> Finding:
    from vidstyle.paths import styles_dir

    return _folder(styles_dir())


def _cpu() -> Finding:
    from vidstyle.cores import usable_cores

    return Finding(OK, f"{usable_cores()} of {os.cpu_count() or 1} cores usable, {platform.machine()}")


def _memory() -> Finding:
    unknown = Finding(OK, "size not known on this system")
    if sys.platform == "win32":
        return unknown
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (ValueError, OSError):
        return unknown
    try:
        match = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text("ascii"))
    except OSError:
        match = None
    free = int(match[1]) * 1024 / 1e9 if match else total
    found = f"{total:.1f} GB" + (f", {free:.1f} GB available" if match else "")
    if free < MIN_RAM_GB:
        return Finding(WARN, found, "close other programs, or use a smaller --size")
    return Finding(OK, found)


def _terminal() -> Finding:
    encoding = (getattr(sys.stdout, "encoding", None) or "unknown").lower().replace("-", "")
    if encoding != "utf8":
        return Finding(WARN, f"{encoding}: other letters in names are shown as codes", "set PYTHONUTF8=1")
    return Finding(OK, "utf-8")


def _config(read: Callable[[], object] | None) -> Finding:
    from vidstyle.config import read_config
    from vidstyle.errors import UsageError
    from vidstyle.paths import config_file

    try:
        (read or read_config)()
    except UsageError as error:
        return Finding(FAIL, " ".join(str(error).split()), f"edit or remove {config_file()}")
    return Finding(OK, f"{config_file()}{'' if config_file().exists() else ' (not there: not needed)'}")


def _optional(name: str) -> Callable[[], Finding]:
    """A check of `vidstyle.health_optional`: a broken part that is not needed is no failure."""

    def check() -> Finding:
        from vidstyle import health_optional

        fix = f"remove or reinstall {name}; the CPU engine works without"
        return found_by(health_optional.CHECKS[name], WARN, fix)

    return check


CHECKS: dict[str, Callable[[], Finding]] = {
    "python": _python,
    "pyav": _pyav,
    "encoders": _encoders,
    "numpy": _numpy,
    "openvino": _openvino,
    "network": _network,
    "styles": _styles,
    "cache folder": _cache_folder,
    "styles folder": _styles_folder,
    "cpu": _cpu,
    "memory": _memory,
    "terminal": _terminal,
    "nvidia": _optional("nvidia"),
    "torch": _optional("torch"),
    "triton": _optional("triton"),
    "tensorrt": _optional("tensorrt"),
    "engine": _optional("engine"),
    "built engines": _optional("built engines"),
}
_FIXES = {
    "pyav": "pip install --force-reinstall 'av>=18.1,<19'",
    "encoders": "pip install --force-reinstall --only-binary av 'av>=18.1,<19'",
    "numpy": "pip install --force-reinstall numpy",
    "openvino": "pip install --force-reinstall openvino",
    "network": "pip install --force-reinstall openvino, and report it if that does not help",
    "styles": REINSTALL,
    "cache folder": OWN_FOLDER,
    "styles folder": OWN_FOLDER,
}
