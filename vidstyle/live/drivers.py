"""The virtual camera's driver, which only the system can bring: whether it is there, and how to install it."""

from __future__ import annotations

import os
import platform
import plistlib
import shutil
import sys
from importlib import import_module
from pathlib import Path

from vidstyle.health import OK, WARN, Finding
from vidstyle.live.devices import read_attribute

LOAD = "sudo modprobe v4l2loopback exclusive_caps=1 max_buffers=2 card_label=vidstyle"
RELOAD = f"sudo modprobe -r v4l2loopback && {LOAD}"
GROUP = "sudo usermod -aG video $USER, then log in again"
#: package manager -> how to install the module; the first that is found counts
INSTALL = {
    "apt": "sudo apt install v4l2loopback-dkms linux-headers-$(uname -r)",
    "dnf": "sudo dnf install akmod-v4l2loopback (from RPM Fusion)",
    "pacman": "sudo pacman -S v4l2loopback-dkms linux-headers",
    "zypper": "sudo zypper install v4l2loopback-kmp-default",
}
FROM_SOURCE = "build it from github.com/v4l2loopback/v4l2loopback"
SECURE_BOOT = (
    "Secure Boot is on: where that says 'Key was rejected' or 'not permitted', run sudo mokutil --import "
    "/var/lib/shim-signed/mok/MOK.der (or /var/lib/dkms/mok.pub), restart, and choose Enroll MOK"
)
OBS_MAC = (
    "install OBS 30 or later from obsproject.com, press Start Virtual Camera in it once, allow its extension in the "
    "system settings, and restart"
)
OBS_WINDOWS = (
    "install OBS from obsproject.com, which brings its virtual camera; or UnityCapture, which takes several at a time"
)
OBS_OLDEST, MAC_NEW = 30, 13  # from macOS 13 on a virtual camera is an extension, which OBS has since 30
#: the registered classes of OBS's virtual camera and of UnityCapture's first
CLASSES = {
    "OBS Virtual Camera": "{A3FCE0F5-3493-419F-958A-ABA1250EC20B}",
    "UnityCapture": "{5C2CD55C-92AD-4999-8666-912BD3E70010}",
}


def find_driver(root: Path = Path("/")) -> Finding:
    """Whether programs can be given a camera here; where not, ``fix`` is what to do. ``root`` is for tests."""
    if sys.platform == "darwin":
        return _mac(root)
    if sys.platform == "win32":
        return _windows()
    return _linux(root)


def _linux(root: Path) -> Finding:
    module = root / "sys/module/v4l2loopback"
    if not module.exists():
        return _not_loaded(root)
    nodes = sorted(
        root / "dev" / node.name
        for node in (root / "sys/class/video4linux").glob("video*")
        if "/virtual/" in str(node.resolve())
    )
    if not nodes:
        return Finding(WARN, "v4l2loopback is loaded and has no device", RELOAD)
    found = f"v4l2loopback, {', '.join(f'/dev/{node.name}' for node in nodes)}"
    if not any(_may_write(node) for node in nodes):
        return Finding(WARN, f"{found}: not allowed to write to it", GROUP)
    if not read_attribute(module / "parameters/exclusive_caps").startswith(("Y", "1")):
        return Finding(WARN, f"{found}, without exclusive_caps: Chrome and others do not show it", RELOAD)
    return Finding(OK, found)


def _not_loaded(root: Path) -> Finding:
    release = platform.release()
    places = root / "lib/modules" / release, root / "usr/lib/modules" / release
    more = f"; {SECURE_BOOT}" if secure_boot(root) else ""
    if any(next(place.rglob("v4l2loopback.ko*"), None) for place in places):
        return Finding(WARN, "v4l2loopback is installed and not loaded", f"{LOAD}{more}")
    if not any(place.exists() for place in places):
        found = f"no modules for the kernel {release}: a container, or a kernel without any"
        return Finding(WARN, found, f"on the machine itself: {_install()}, then {LOAD}{more}")
    return Finding(WARN, "v4l2loopback is not installed", f"{_install()}, then {LOAD}{more}")


def _install() -> str:
    return next((how for manager, how in INSTALL.items() if shutil.which(manager)), FROM_SOURCE)


def secure_boot(root: Path = Path("/")) -> bool:
    """Whether the firmware loads signed code only: the last byte of its variable."""
    for variable in (root / "sys/firmware/efi/efivars").glob("SecureBoot-*"):
        try:
            return variable.read_bytes()[-1:] == b"\x01"
        except OSError:
            return False
    return False


def _may_write(node: Path) -> bool:
    return os.access(node, os.W_OK)


def _mac(root: Path) -> Finding:
    try:
        with open(root / "Applications/OBS.app/Contents/Info.plist", "rb") as file:
            version = str(plistlib.load(file).get("CFBundleShortVersionString", "0"))
    except (OSError, plistlib.InvalidFileException):
        return Finding(WARN, "OBS, which has the virtual camera, is not in Applications", OBS_MAC)
    system = platform.mac_ver()[0] or "0"
    if int(system.split(".")[0]) >= MAC_NEW and int(version.split(".")[0]) < OBS_OLDEST:
        return Finding(WARN, f"OBS {version} is too old for macOS {system}", OBS_MAC)
    return Finding(OK, f"OBS {version} on macOS {system}; its camera must have been started in OBS once")


def _windows() -> Finding:
    found = [name for name, number in CLASSES.items() if _is_registered(number)]
    return Finding(OK, ", ".join(found)) if found else Finding(WARN, "no virtual camera is installed", OBS_WINDOWS)


def _is_registered(number: str) -> bool:
    registry = import_module("winreg")
    try:
        registry.OpenKey(registry.HKEY_CLASSES_ROOT, rf"CLSID\{number}").Close()
    except OSError:
        return False
    return True
