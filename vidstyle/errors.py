"""Every error a person at the terminal may meet, with the exit code that scripts see.

    VidstyleError            1   failed
    ├── UsageError           2   the command line is wrong: an unknown option, an impossible value
    ├── SourceError          4   input unreadable or unsupported
    ├── SinkError            5   output or disk
    │   └── TakenError               a file is there that may not be replaced: nothing is wrong with the disk
    ├── EngineError          6   device or engine
    │   ├── OutOfMemoryError         the device's memory is full: less at a time may do
    │   ├── TooSmallError            a picture cannot be cut into parts
    │   └── DeviceLostError          the device stopped answering: nothing more can be done in this process
    └── StyleError           7   weights, licence, integrity

0 is success, 3 "some files failed" (batch), 130 Ctrl-C, 143 SIGTERM or a closed terminal. A message
is one line: what was got, what was expected, what to do.
"""

from __future__ import annotations


class VidstyleError(Exception):
    """Base of all; ``exit_code`` is what the process ends with."""

    exit_code = 1


class UsageError(VidstyleError):
    exit_code = 2


class SourceError(VidstyleError):
    exit_code = 4


class SinkError(VidstyleError):
    exit_code = 5


class TakenError(SinkError):
    pass


class EngineError(VidstyleError):
    exit_code = 6


class OutOfMemoryError(EngineError):
    pass


class TooSmallError(EngineError):
    pass


class DeviceLostError(EngineError):
    pass


class StyleError(VidstyleError):
    exit_code = 7


class Interrupted(BaseException):
    """Ctrl-C, SIGTERM or a closed terminal. Nothing catches it but to clean up.

    ``exit_code`` is what the process ends with.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


SOME_FAILED = 3
INTERRUPTED = 130
TERMINATED = 143
