"""What a dropped file is, one good picture of it, and a copy that every browser plays."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from vidstyle.batch.inputs import EXTENSIONS
from vidstyle.containers import ATTACHED_PIC
from vidstyle.convert import at_short_side
from vidstyle.errors import SourceError, VidstyleError
from vidstyle.inputs import open_input
from vidstyle.picture import NotAPictureError, on_white, read_picture
from vidstyle.picture_tags import still_format
from vidstyle.source import SourceOptions, VideoSource

SAMPLE = 720  # short side in pixels of the picture that thumbnails are cut from
STILL = 720  # of a picture that is shown
PROXY = 480  # of the copy for browsers
LATE = 0.1  # seconds after the file's beginning at which its first picture may be
FLAT = 14.0  # standard deviation of levels below which a picture shows nothing: black, a title, a fade
#: (container, video codecs, sound codecs) that every current browser plays
PLAYED = (
    ({".mp4", ".m4v", ".mov"}, {"h264"}, {"aac", "mp3"}),
    ({".webm"}, {"vp8", "vp9", "av1"}, {"opus", "vorbis"}),
)


@dataclass(frozen=True)
class Media:
    """What is known of a file.

    Attributes:
        kind: "video" or "picture".
        width, height: pixels, upright.
        duration, at: seconds; ``at`` is where the sample picture was taken.
        plays: a browser is expected to play it.
    """

    name: str
    kind: str
    width: int
    height: int
    bytes: int
    duration: float = 0.0
    fps: float = 0.0
    frames: int | None = None
    at: float = 0.0
    plays: bool = True

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def look_into(path: Path) -> tuple[Media, np.ndarray]:
    """What the file is, and one good picture of it: uint8 [H, W, 3] at a short side of at most `SAMPLE`.

    Raises:
        SourceError: it is neither a picture nor a video that can be read.
    """
    size = path.stat().st_size
    # One picture beside a film, or with sound: by its contents it could be either.
    if path.suffix.lower() in EXTENSIONS and not _is_still(path):
        return _look_into_video(path, size)
    try:
        image = on_white(read_picture(path)).rgb
    except NotAPictureError:
        return _look_into_video(path, size)
    except SourceError as error:
        if _is_still(path):
            raise
        try:
            return _look_into_video(path, size)
        except SourceError as second:
            raise second from error
    height, width = image.shape[:2]
    return Media(path.name, "picture", width, height, size), at_short_side(image, SAMPLE)


def _is_still(path: Path) -> bool:
    with open(path, "rb") as file:
        return still_format(file.read(64)) is not None


def _look_into_video(path: Path, size: int) -> tuple[Media, np.ndarray]:
    plays = plays_in_browsers(path)
    with VideoSource(path, SourceOptions(SAMPLE)) as source:
        info, origin, first = source.info, source.origin, next(iter(source)).image
    at, image = _good_picture(path, float(info.duration or 0), origin, first)
    rate = float(info.rate or 0)
    plays = plays and info.bits == 8 and not info.alpha
    known = (float(info.duration or 0), rate, info.frames, at, plays)
    return Media(path.name, "video", info.width, info.height, size, *known), image


def _good_picture(path: Path, duration: float, origin: Fraction, first: np.ndarray) -> tuple[float, np.ndarray]:
    """(seconds, picture) that shows something: key pictures are tried first, since they are there at once."""
    best = 0.0, first
    keys = [key_time(path, duration * share, origin) for share in (0.33, 0.6, 0.15)]
    for at in dict.fromkeys([*keys, duration * 0.5, duration * 0.8]):
        try:
            with VideoSource(path, SourceOptions(SAMPLE, start=Fraction(at))) as source:
                found = at, next(iter(source)).image
        except VidstyleError:  # shorter than it says
            continue
        if found[1].std() > FLAT:
            return found
        best = max(best, found, key=lambda one: one[1].std())
    return best


def key_time(path: Path, seconds: float, origin: Fraction) -> float:
    """Seconds, from the stream's beginning, of the key picture before ``seconds``; 0 where that cannot be told."""
    with open_input(path) as container:
        stream = next((s for s in container.streams.video if not s.disposition & ATTACHED_PIC), None)
        if stream is None or stream.time_base is None or seconds <= 0:
            return 0.0
        try:
            container.seek(int((seconds + float(origin)) / stream.time_base), stream=stream)
            packet = next(container.demux(stream))
        except (av.error.FFmpegError, StopIteration):
            return 0.0
        if packet.pts is None:
            return 0.0
        at = float(packet.pts * stream.time_base) - float(origin)
        return at if 0 <= at <= seconds + 1 else 0.0


def plays_in_browsers(path: Path) -> bool:
    """Whether a browser is expected to play it, told from its container, codecs and first picture's time.

    One that begins late is played, but with other times than the page's, which are counted from the first picture.

    Raises:
        SourceError: it is no media.
    """
    with open_input(path) as container:
        videos = {s.codec_context.name for s in container.streams.video if s.codec_context is not None}
        first = next((s for s in container.streams.video if not s.disposition & ATTACHED_PIC), None)
        begin = (first.start_time or 0) * (first.time_base or 0) if first is not None else 0
        sounds = {s.codec_context.name if s.codec_context is not None else "?" for s in container.streams.audio}
    for endings, pictures, tones in PLAYED if abs(begin) < LATE else ():
        if path.suffix.lower() in endings and videos <= pictures | {"mjpeg", "png"} and sounds <= tones:
            return True
    return False


def shown(path: Path) -> np.ndarray:
    """A picture file as the page shows it: uint8 [H, W, 3], a short side of at most `STILL`."""
    return at_short_side(on_white(read_picture(path)).rgb, STILL)


def jpeg(image: np.ndarray, quality: int = 88) -> bytes:
    """A JPEG of uint8 [H, W, 3] RGB."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=quality)
    return data.getvalue()


def unjpeg(data: bytes) -> np.ndarray:
    """uint8 [H, W, 3] of what the page sends.

    Raises:
        SourceError: it is no JPEG, or far larger than the page sends.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            if image.width * image.height > 4 << 20:
                raise SourceError(f"the picture is {image.width}x{image.height}: larger than a preview is")
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise SourceError("what the page sent is no JPEG picture") from error


def make_proxy(source: Path, target: Path, on_progress: Callable[[float], None]) -> None:
    """Write an H.264/AAC copy with the source's times, small, for looking at only.

    Args:
        on_progress: gets the share that is done, 0..1.

    Raises:
        SourceError: it cannot be read.
    """
    with VideoSource(source, SourceOptions(PROXY)) as video, av.open(str(target), "w", format="mp4") as out:
        height, width = (side - side % 2 or 2 for side in video.info.working)
        stream: Any = out.add_stream("libx264", rate=video.info.rate or 25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "23"}
        stream.codec_context.time_base = video.info.time_base
        begin, length = video.info.start, float(video.info.duration or 0)
        sound = _Sound(source, out, begin)
        try:
            for frame in video:
                image = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame.image[:height, :width]), format="rgb24")
                image.pts, image.time_base = frame.pts - int(begin / frame.time_base), frame.time_base
                out.mux(stream.encode(image))
                seconds = float(frame.time - begin)
                sound.up_to(seconds)
                on_progress(min(1.0, seconds / length) if length else 0.0)
            out.mux(stream.encode(None))
            sound.up_to(float("inf"))
        finally:
            sound.close()


class _Sound:
    """The first sound track as AAC, taken along with the pictures; what cannot be decoded is left out."""

    def __init__(self, source: Path, out: Any, begin: Fraction) -> None:
        self._container, self._out = open_input(source), out
        track = next(iter(self._container.streams.audio), None)
        self._frames: Iterator[Any] = iter(())
        self._begin, self._waiting = begin, None
        if track is not None and track.codec_context is not None:
            self._frames = self._container.decode(track)
            self._stream = out.add_stream("aac", rate=48000, layout="stereo")
            self._resampler = av.AudioResampler("fltp", "stereo", 48000)
        self._is_over = track is None or track.codec_context is None

    def up_to(self, seconds: float) -> None:
        reached = -1.0
        while not self._is_over and reached < seconds:
            try:
                frame = next(self._frames)
                reached = float((frame.pts or 0) * frame.time_base - self._begin)
                if reached < 0:
                    continue
                frame.pts = round(reached / float(frame.time_base))
                for part in self._resampler.resample(frame):
                    self._out.mux(self._stream.encode(part))
            except (StopIteration, av.error.FFmpegError, ValueError):
                self._is_over = True
                self._out.mux(self._stream.encode(None))

    def close(self) -> None:
        self._container.close()
