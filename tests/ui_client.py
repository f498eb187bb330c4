"""A visitor of the page's server, as a program."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

GIB = 1 << 30


def until(what: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait for something true, and give it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError("waited in vain")


class Visitor:
    """A session, as a program uses it."""

    def __init__(self, url: str) -> None:
        import httpx

        self.http = httpx.Client(base_url=url, timeout=60)
        self.id = self.http.post("/api/session").json()["id"]

    def url(self, rest: str = "") -> str:
        return f"/api/s/{self.id}{rest}"

    def state(self) -> Any:
        return self.http.get(self.url()).json()

    def drop(self, path: Path) -> Any:
        """Upload a file and wait until it was looked into."""
        answer = self.http.put(self.url("/file"), params={"name": path.name}, content=path.read_bytes())
        assert answer.status_code == 200, answer.text
        return until(lambda: (file := self.state()["file"])["status"] != "reading" and file)

    def run(self, **choice: Any) -> Any:
        answer = self.http.post(self.url("/run"), json={"look": "anime", **choice})
        assert answer.status_code == 200, answer.text
        return answer.json()["run"]

    def ended(self) -> Any:
        """The run, once it is over."""
        return until(lambda: (run := self.state()["run"])["status"] not in ("running", "paused") and run)
