"""What the person may change while a session runs: one place of truth for keyboard, window and page."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from vidstyle.errors import UsageError

STEP = 0.1  # of strength, a key press

#: key -> (command, what it does)
KEYS: dict[str, tuple[str, str]] = {
    "n": ("next", "next look"),
    "p": ("previous", "previous look"),
    "+": ("stronger", "more of the look"),
    "-": ("weaker", "less of the look"),
    "m": ("mirror", "mirror"),
    "w": ("wipe", "source left, look right"),
    "f": ("freeze", "freeze"),
    "s": ("snapshot", "save the picture"),
    "h": ("help", "this help"),
    "q": ("quit", "quit"),
}
HELP = ", ".join(f"{key} {what}" for key, (_, what) in KEYS.items())


class Controls:
    """Settings of a running session; every method may be called from any thread.

    Args:
        looks: the names that ``next`` and ``previous`` go through.
        look: the one to begin with; may be another, as a mix.

    Attributes:
        look, strength (0 to 1), mirror, frozen: as `state` gives them.
        wipe: None, or where the source ends and the look begins, 0 to 1 of the width.
        snapshots: how many were asked for since the start.
        helps: how often help was asked for.
        has_ended: whether it was asked to end.
    """

    def __init__(self, looks: Sequence[str], look: str, strength: float = 1.0, mirror: bool = False) -> None:
        self.looks = tuple(dict.fromkeys((*looks, look)))
        self.look, self.strength, self.mirror = look, _share("strength", strength), mirror
        self.wipe: float | None = None
        self.frozen = self.has_ended = False
        self.snapshots = self.helps = 0
        self._lock = threading.RLock()
        self._commands: dict[str, Callable[[Any], None]] = {
            "next": lambda _: self._turn(1),
            "previous": lambda _: self._turn(-1),
            "look": self._set_look,
            "strength": self._set_strength,
            "stronger": lambda _: self._step(STEP),
            "weaker": lambda _: self._step(-STEP),
            "mirror": self._set_mirror,
            "wipe": self._set_wipe,
            "freeze": self._set_frozen,
            "snapshot": lambda _: self._count("snapshots"),
            "help": lambda _: self._count("helps"),
            "quit": lambda _: self._end(),
        }

    def command(self, name: str, value: Any = None) -> None:
        """Do one thing: a name of `KEYS`, or ``look`` or ``strength`` with a value.

        ``mirror``, ``freeze`` and ``wipe`` turn over without a value, and take true or false (``wipe`` also 0 to 1).

        Raises:
            UsageError: no such command, or a value it does not take.
        """
        if name not in self._commands:
            raise UsageError(f"no command {name!r}: there are {', '.join(self._commands)}")
        with self._lock:
            self._commands[name](value)

    def key(self, key: str) -> None:
        """What a pressed key does; nothing for a key that means nothing."""
        key = {"=": "+", "_": "-"}.get(key, key.lower())  # the same keys without or with shift
        if key in KEYS:
            self.command(KEYS[key][0])

    def state(self) -> dict[str, Any]:
        """JSON-ready: everything settable, and what it may be set to."""
        with self._lock:
            return {
                "look": self.look,
                "looks": list(self.looks),
                "strength": self.strength,
                "mirror": self.mirror,
                "wipe": self.wipe,
                "frozen": self.frozen,
            }

    def _turn(self, step: int) -> None:
        self.look = self.looks[(self.looks.index(self.look) + step) % len(self.looks)]

    def _set_look(self, value: Any) -> None:
        if value not in self.looks:
            raise UsageError(f"no look {value!r}: there are {', '.join(self.looks)}")
        self.look = value

    def _set_strength(self, value: Any) -> None:
        self.strength = _share("strength", value)

    def _step(self, step: float) -> None:
        self.strength = round(min(1.0, max(0.0, self.strength + step)), 2)

    def _set_mirror(self, value: Any) -> None:
        self.mirror = _switch("mirror", value, self.mirror)

    def _set_frozen(self, value: Any) -> None:
        self.frozen = _switch("freeze", value, self.frozen)

    def _set_wipe(self, value: Any) -> None:
        if value is None or isinstance(value, bool):
            self.wipe = 0.5 if _switch("wipe", value, self.wipe is not None) else None
        else:
            self.wipe = _share("wipe", value)

    def _count(self, what: str) -> None:
        setattr(self, what, getattr(self, what) + 1)

    def _end(self) -> None:
        self.has_ended = True


def _switch(name: str, value: Any, present: bool) -> bool:
    if value is not None and not isinstance(value, bool):
        raise UsageError(f"{name} is {value!r}: expected true, false or nothing")
    return not present if value is None else value


def _share(name: str, value: Any) -> float:
    # "not (...)" also catches NaN, which page and command line can name.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise UsageError(f"{name} is {value!r}: expected a number from 0 to 1")
    return float(value)
