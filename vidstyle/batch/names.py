"""Which video of a batch becomes which file: no two may become one.

A result's extension is known only once its video is open. Until then no other of the same name is begun.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vidstyle.batch.inputs import Item
from vidstyle.containers import CONTAINERS
from vidstyle.numbering import whatever_digits


class Names:
    """``watching``: the name of a video that is gone is free again."""

    def __init__(self, watching: bool) -> None:
        self._watching = watching
        self._owners: dict[Path, Item] = {}
        self._opening: set[Path] = set()  # targets without their extensions

    def claim(self, path: Path, item: Item) -> Item | None:
        """The other video that becomes ``path``; None where it is ``item``'s from now on."""
        key = whatever_digits(path)
        owner = self._owners.setdefault(key, item)
        if owner != item and self._watching and not owner.source.exists():
            self._owners[key] = owner = item
        return None if owner == item else owner

    def release(self, paths: Iterable[Path]) -> None:
        """Nothing becomes these."""
        for path in paths:
            self._owners.pop(whatever_digits(path), None)

    def taken(self, item: Item) -> dict[str, str]:
        """Name -> other video that becomes it, of every file that ``item`` might become."""
        owners = {path: self._owners.get(path) for path in map(item.target.with_suffix, CONTAINERS)}
        return {path.name: owner.names[0] for path, owner in owners.items() if owner is not None and owner != item}

    def open(self, item: Item) -> None:
        """Its result has no name yet."""
        self._opening.add(item.target.with_suffix(""))

    def opened(self, item: Item, file: str | None = None) -> None:
        """Its result is called ``file``, or is none."""
        self._opening.discard(item.target.with_suffix(""))
        if file is not None:
            self._owners[whatever_digits(item.target.with_name(file))] = item

    def is_open(self, item: Item) -> bool:
        """Whether one is being opened that may take its name."""
        return item.target.with_suffix("") in self._opening
