"""`vidstyle doctor --live`: what a virtual camera lacks here, and how to install it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from vidstyle import health_optional
from vidstyle.cli import app
from vidstyle.health import INFO, OK, WARN
from vidstyle.live import drivers


@pytest.fixture
def linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """The parts of a Linux machine that the check looks at."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(drivers.platform, "release", lambda: "6.1")
    monkeypatch.setattr(drivers.shutil, "which", lambda name: "/bin/dnf" if name == "dnf" else None)

    def make(installed: bool = False, loaded: str | None = None, device: bool = True, secure: bool = False) -> Path:
        modules = tmp_path / "lib/modules/6.1/updates"
        modules.mkdir(parents=True)
        if installed:
            (modules / "v4l2loopback.ko.xz").touch()
        if loaded is not None:
            (tmp_path / "sys/module/v4l2loopback/parameters").mkdir(parents=True)
            (tmp_path / "sys/module/v4l2loopback/parameters/exclusive_caps").write_text(loaded)
        if device:
            (tmp_path / "sys/devices/virtual/video7").mkdir(parents=True)
            (tmp_path / "sys/class/video4linux").mkdir(parents=True)
            (tmp_path / "sys/class/video4linux/video7").symlink_to(tmp_path / "sys/devices/virtual/video7")
            (tmp_path / "dev").mkdir()
            (tmp_path / "dev/video7").touch()
        if secure:
            (tmp_path / "sys/firmware/efi/efivars").mkdir(parents=True)
            (tmp_path / "sys/firmware/efi/efivars/SecureBoot-8be4").write_bytes(b"\x06\0\0\0\x01")
        return tmp_path

    return make


def test_linux_is_told_exactly_what_is_missing(linux: Callable[..., Path]) -> None:
    missing = drivers.find_driver(linux(secure=True))
    assert missing.state == WARN and missing.found == "v4l2loopback is not installed"
    assert missing.fix.startswith("sudo dnf install akmod-v4l2loopback (from RPM Fusion), then sudo modprobe")
    assert "exclusive_caps=1" in missing.fix and "mokutil --import" in missing.fix


def test_linux_with_the_module_not_loaded(linux: Callable[..., Path]) -> None:
    finding = drivers.find_driver(linux(installed=True))
    assert "not loaded" in finding.found and finding.fix == drivers.LOAD, "no word of Secure Boot where it is off"


@pytest.mark.parametrize(
    ("caps", "state", "says"), [("Y,N,N", OK, "/dev/video7"), ("N,N", WARN, "without exclusive_caps"), ("1", OK, "")]
)
def test_linux_with_the_module_loaded(linux: Callable[..., Path], caps: str, state: str, says: str) -> None:
    finding = drivers.find_driver(linux(loaded=caps))
    assert finding.state == state and says in finding.found and bool(finding.fix) == (state == WARN)


def test_linux_without_a_device_or_the_right_to_it(linux: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    root = linux(loaded="Y")
    monkeypatch.setattr(drivers, "_may_write", lambda _: False)
    assert drivers.find_driver(root).fix == drivers.GROUP
    (root / "sys/class/video4linux/video7").unlink()
    assert "no device" in drivers.find_driver(root).found


@pytest.mark.parametrize(
    ("obs", "system", "state"),
    [("31.0.1", "14.2", OK), ("29.1.3", "14.2", WARN), ("28.0", "12.6", OK), (None, "14", WARN)],
)
def test_macos_needs_obs_30_from_13_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, obs: str | None, system: str, state: str
) -> None:
    import plistlib

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(drivers.platform, "mac_ver", lambda: (system, ("", "", ""), ""))
    if obs:
        contents = tmp_path / "Applications/OBS.app/Contents"
        contents.mkdir(parents=True)
        (contents / "Info.plist").write_bytes(plistlib.dumps({"CFBundleShortVersionString": obs}))
    finding = drivers.find_driver(tmp_path)
    assert finding.state == state and ("OBS 30" in finding.fix) == (state == WARN)


@pytest.mark.parametrize("there", [True, False])
def test_windows_needs_a_registered_camera(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    def open_key(_: int, path: str) -> SimpleNamespace:
        if there and "A3FCE0F5" in path:
            return SimpleNamespace(Close=lambda: None)
        raise OSError

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "winreg", SimpleNamespace(HKEY_CLASSES_ROOT=0, OpenKey=open_key))
    finding = drivers.find_driver()
    assert finding.state == (OK if there else WARN)
    assert "OBS Virtual Camera" in finding.found if there else "UnityCapture" in finding.fix


def test_the_doctor_checks_it_only_where_asked(capsys: pytest.CaptureFixture[str]) -> None:
    names = []
    for args in (["doctor", "--json"], ["doctor", "--live", "--json"]):
        app(args=args, standalone_mode=False)
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert lines[-1]["exit_code"] == 0, "what live lacks is no failure"
        names.append({line["name"] for line in lines[:-1]})
    assert names[1] - names[0] == {"opencv", "cameras", "microphones", "pyvirtualcam", "virtual camera"}


def test_no_live_check_can_break_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    from vidstyle.live import health

    def broken() -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(health, "CHECKS", dict.fromkeys(health.CHECKS, broken))
    checks = list(health_optional.check_live())
    assert len(checks) == 5 and all(c.state == WARN and "RuntimeError: two lines" in c.found and c.fix for c in checks)
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.undo()


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import PackageNotFoundError

    from vidstyle.live import health

    def missing(_: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.setattr(health, "version", missing)
    found = {name: health.CHECKS[name]() for name in ("opencv", "pyvirtualcam")}
    assert all(f.state == WARN and "vidstyle[live]" in f.fix and "pip" not in f.found for f in found.values())
    assert INFO not in {f.state for f in found.values()}
