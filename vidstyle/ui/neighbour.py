"""The page of a `vidstyle live` that runs on this machine."""

from __future__ import annotations

import http.client
import json
from contextlib import closing

PORTS = range(8765, 8785)  # where `vidstyle live` puts its page unless told otherwise
PATIENCE = 0.3  # seconds


def live_page(ports: range = PORTS) -> str | None:
    """Its address; None where there is none."""
    return next((f"http://127.0.0.1:{port}/" for port in ports if _is_live(port)), None)


def _is_live(port: int) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        try:
            connection.request("GET", "/status.json")
            answer = connection.getresponse()
            is_ours = (answer.headers.get("Server") or "").startswith("vidstyle")
            return is_ours and answer.status == 200 and "page" in json.loads(answer.read(1 << 16))
        except (OSError, ValueError, http.client.HTTPException):
            return False
