"""Which cameras and microphones there are, and what ``--camera`` and ``--microphone`` may name."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import av

from vidstyle.errors import SourceError, UsageError
from vidstyle.inputs import SCHEMES, URL, Input, parse_input
from vidstyle.remote import address_of, options_of

#: FFmpeg's input for cameras and for microphones, by system; what is not in this PyAV goes through OpenCV
CAMERAS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
MICROPHONES = {"linux": "alsa", "darwin": "avfoundation", "win32": "dshow"}
TEST, LAVFI, OPENCV = "test", "lavfi:", "opencv:"
QUICK = {"fflags": "nobuffer", "flags": "low_delay"}  # what was read at opening is dropped, for the present
PATIENCE = (10.0, 5.0)  # seconds that a stream may take to open, and between two packets
NO_CAMERA = "no camera found: connect one, or try vidstyle live --camera test"
_SYSFS = Path("/sys/class/video4linux")


@dataclass(frozen=True)
class Device:
    """A camera or a microphone of this machine; ``address`` is how FFmpeg's input for it names it."""

    index: int
    address: str
    title: str
    is_virtual: bool = False

    def __str__(self) -> str:
        return f"{self.index} {self.title}" + (f" ({self.address})" if self.address != self.title else "")


@dataclass(frozen=True)
class Wish:
    """What is asked of a camera at opening; None is "whatever it likes", which for the size is 1280x720.

    ``rate``: pictures a second, from 1 on; ``any_certificate``: of an https camera, also one that nobody vouches for.
    """

    size: tuple[int, int] | None = None
    rate: int | None = None
    loop: bool = False
    any_certificate: bool = False

    def __post_init__(self) -> None:
        if self.rate is not None and self.rate < 1:
            raise UsageError(f"--fps is {self.rate}: expected pictures a second, from 1 on")

    @property
    def shape(self) -> str:
        width, height = self.size or (1280, 720)
        return f"{width}x{height}"


@dataclass(frozen=True)
class Opening:
    """How to open a camera or a microphone.

    Attributes:
        label: for people.
        address, format: as `av.open` takes them; format "opencv" is OpenCV's own.
        tries: options, the best first; what a device refuses is tried with the next.
        is_device: of this machine: it gives pictures at its own pace and may be unplugged.
        is_endless: its end is a fault that is waited out, rather than the end.
    """

    label: str
    address: str
    format: str | None = None
    tries: tuple[dict[str, str], ...] = ({},)
    is_device: bool = False
    is_endless: bool = True

    @property
    def is_address(self) -> bool:
        """Whether it comes over the network."""
        return self.is_device and self.format is None

    def of_film(self, wish: Wish) -> Opening:
        """Of what turned out to have a length, and so is no device."""
        tries = _stream_options(_scheme_of(self.address), wish, is_film=True)
        return replace(self, tries=tries, is_device=False, is_endless=wish.loop)


def list_cameras() -> list[Device]:
    """Cameras in the system's order; virtual ones too, marked."""
    return _list(CAMERAS.get(sys.platform), "video")


def list_microphones() -> list[Device]:
    if sys.platform == "linux" and not Path("/proc/asound").exists():
        return []  # ALSA would complain on the terminal
    return _list(MICROPHONES.get(sys.platform), "audio")


def _list(input_format: str | None, kind: str) -> list[Device]:
    try:
        found = av.enumerate_input_devices(input_format or "")
    except (ValueError, av.error.FFmpegError, OSError):  # not in this PyAV, or nothing to enumerate
        return []
    wanted = [device for device in found if kind in (device.media_types or [kind])]
    devices = []
    for place, device in enumerate(wanted):
        node = _SYSFS / Path(device.name).name
        if input_format == "v4l2" and read_attribute(node / "index") not in ("", "0"):
            continue  # a camera's second node carries data about its pictures, none themselves
        number = re.fullmatch(r"/dev/video(\d+)", device.name)
        virtual = "/virtual/" in str(node.resolve()) or "virtual camera" in device.description.lower()
        devices.append(Device(int(number[1]) if number else place, device.name, device.description, virtual))
    return devices


def read_attribute(path: Path) -> str:
    """What a file of sysfs says, as ``0``; "" where it cannot be read."""
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return ""


def find_camera(text: str | None, wish: Wish) -> Opening:
    """How to open what ``--camera`` names: a number, a part of a name, a device, a file, an address, ``test``,
    ``lavfi:`` with a graph of FFmpeg's filters, ``opencv:`` with what OpenCV opens.

    Raises:
        SourceError: there is none, or none or several of that name; the message lists what there is.
    """
    if text == TEST:
        return Opening("test picture", f"testsrc2=size={wish.shape}:rate={wish.rate or 30}", "lavfi")
    if text is not None and text.startswith(LAVFI):
        return Opening(text, text.removeprefix(LAVFI), "lavfi")
    if text is not None and text.startswith(OPENCV):
        address = text.removeprefix(OPENCV)
        return Opening(f"camera {OPENCV}{_shown(address)}", address, "opencv", is_device=True)
    if text is not None and (scheme := _scheme_of(text)) not in ("", "file"):
        return Opening(_shown(text), address_of(text), None, _stream_options(scheme, wish), is_device=True)
    if (file := file_named(text)) is not None:
        return Opening(str(file), f"file:{file}", is_endless=wish.loop)
    return _device(text, wish)


def file_named(text: str | None) -> Path | None:
    """The file that ``--camera`` or ``--microphone`` names, also through OpenCV; None where it is none."""
    text = (text or "").removeprefix(OPENCV)
    path = parse_input(text).path if _scheme_of(text) == "file" else Path(text)
    return path if path is not None and path.is_file() else None


def _scheme_of(text: str) -> str:
    match = re.match(r"([a-z][a-z0-9+]+)://", text.lower())
    return match[1] if match else ""


def _shown(text: str) -> str:
    """An address without its password and query, which the terminal and the page would show to all; else ``text``."""
    return Input(URL, text).name if _scheme_of(text) else text


def _stream_options(scheme: str, wish: Wish, is_film: bool = False) -> tuple[dict[str, str], ...]:
    options = options_of(scheme, PATIENCE[0]) if scheme in SCHEMES else {}
    if wish.any_certificate and scheme == "https":
        options["tls_verify"] = "0"
    if not is_film:
        # FFmpeg would take a stream's end for a broken connection; and a film would lose its first pictures.
        options = {name: value for name, value in options.items() if not name.startswith("reconnect")} | QUICK
    if not scheme.startswith("rtsp"):
        return (options,)
    # UDP loses packets on the way: a torn picture for every one.
    return options, {name: value for name, value in options.items() if name != "rtsp_transport"}


def _device(text: str | None, wish: Wish) -> Opening:
    devices = list_cameras()
    input_format = CAMERAS.get(sys.platform)
    if input_format is None or input_format not in _formats():
        return Opening(f"camera {text or 0}", text or "0", "opencv", is_device=True)
    device = _named(text, devices)
    if device is None:
        if text is not None and re.fullmatch(r"/dev/\w+", text):  # FFmpeg says what is wrong with it
            return Opening(f"camera {text}", text, input_format, _camera_options(wish), is_device=True)
        raise SourceError(_unknown(text, devices))
    address = {"avfoundation": f"{device.index}:none", "dshow": f"video={device.address}"}
    where = address.get(input_format, device.address)
    return Opening(f"camera {device.title}", where, input_format, _camera_options(wish), is_device=True)


def _formats() -> set[str]:
    return {name for entry in av.formats_available for name in entry.split(",")}


def _named(text: str | None, devices: list[Device]) -> Device | None:
    """The camera of this number, address or part of a title; the first that is no virtual one for None."""
    if text is None:
        return next((d for d in devices if not d.is_virtual), None)
    exact = [d for d in devices if text in (str(d.index), d.address, d.title)]
    partly = [d for d in devices if text.lower() in d.title.lower() and not text.isdigit()]
    found = exact or partly
    return found[0] if len(found) == 1 or exact else None


def _unknown(text: str | None, devices: list[Device]) -> str:
    real = [d for d in devices if not d.is_virtual]
    if not (real if text is None else devices):
        return NO_CAMERA if text is None else f"no camera {text!r}, and none is connected (no file of that name either)"
    there = ", ".join(map(str, devices))
    several = sum(text.lower() in d.title.lower() for d in devices) > 1 if text else False
    how = "several cameras have it in their names" if several else f"no camera {text!r}"
    return f"{how}: name one of {there}"


def _camera_options(wish: Wish) -> tuple[dict[str, str], ...]:
    """MJPEG first: uncompressed, most cameras give a few large pictures a second."""
    shape = {"video_size": wish.shape, "framerate": str(wish.rate or 30)}
    if sys.platform == "darwin":
        return (shape | {"pixel_format": "nv12"}, shape, {"framerate": shape["framerate"]}, {})
    jpeg = {"input_format": "mjpeg"} if sys.platform == "linux" else {"vcodec": "mjpeg"}
    return (shape | jpeg, shape, {"video_size": shape["video_size"]}, {})


def find_microphone(text: str) -> Opening:
    """How to open what ``--microphone`` names: ``default``, a number, a part of a name, a file, ``lavfi:``.

    Raises:
        SourceError: there is none of that name; the message lists what there is.
    """
    if text.startswith(LAVFI):
        return Opening(text, text.removeprefix(LAVFI), "lavfi")
    if (file := file_named(text)) is not None:
        return Opening(str(file), f"file:{file}")
    input_format = MICROPHONES.get(sys.platform)
    if input_format is None or input_format not in _formats():
        raise SourceError("this build of PyAV reads no microphones: record without --microphone")
    devices = _list(input_format, "audio")
    if text == "default" and input_format == "alsa":
        return Opening("microphone", "default", "alsa", is_device=True)
    device = devices[0] if text == "default" and devices else _named(text, devices)
    if device is None:
        there = ", ".join(map(str, devices)) or "none"
        raise SourceError(f"no microphone {text!r}; there are: {there}")
    address = {"avfoundation": f":{device.index}", "dshow": f"audio={device.address}"}
    return Opening(
        f"microphone {device.title}", address.get(input_format, device.address), input_format, is_device=True
    )
