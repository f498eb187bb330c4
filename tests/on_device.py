"""For the tests of pictures that stay on a device, with the CPU as the device."""

from __future__ import annotations

from vidstyle.codecs import EncoderOptions
from vidstyle.engine_options import EngineOptions
from vidstyle.sink import SinkOptions

DEVICE, HOST = (EngineOptions("torch", "cpu", "f32", pictures=pictures) for pictures in ("device", "host"))
LOSSLESS = SinkOptions(EncoderOptions(crf=0))


class Stopped(BaseException):
    """What a test ends a run with."""
