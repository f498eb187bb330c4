"""Who may ask the page's server for what.

Another site open in the same browser can send requests to this machine too, and so can other machines where the
page listens to them. Against the first stand: the ``Host`` header must name this machine (DNS rebinding), and
requests that the browser marks as another site's are refused (CSRF). Against the second stands a token, without
which nothing is answered. Only the page's own addresses exist: everything else that Gradio serves is closed.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from vidstyle.hosts import LOCAL, is_local

COOKIE = "vidstyle-ui"
OURS = re.compile(r"/(?:files/[A-Za-z0-9._-]+|api/[A-Za-z0-9._/%-]*)?")
LAUNCH = ("/gradio_api/startup-events", "/")  # what Gradio asks of itself while it starts
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]/@]+))(?::\d+)?")
POLICY = (
    "default-src 'none'; img-src 'self' blob: data:; media-src 'self' blob:; style-src 'self'; script-src 'self'; "
    "worker-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass
class Guard:
    """
    Attributes:
        token: what everybody must bring; "" where only this machine can ask.
        names: of this machine, in lower case.
        launching: Gradio may ask itself, until it has started.
    """

    token: str = ""
    names: frozenset[str] = LOCAL
    launching: bool = field(default=True, compare=False)

    def refusal(self, path: str, headers: Mapping[str, str], client: str, given: str = "") -> tuple[int, str] | None:
        """(status, one line) for a request that gets no answer; None where it may pass.

        Args:
            headers: by name in lower case.
            client: address of who asks.
            given: the token in the address, if any.
        """
        if self.launching and path in LAUNCH and is_local(client):
            return None
        if OURS.fullmatch(path) is None:
            return 404, "nothing here"
        host = headers.get("host", "")
        match = _HOST.fullmatch(host)
        if match is None or not (self.token or (match[1] or match[2]).lower() in self.names):
            return 403, "this address is not the page's own"
        origin = headers.get("origin")
        if origin is not None and _host_of(origin) != host:
            return 403, "asked by another site"
        foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if foreign and headers.get("sec-fetch-mode") != "navigate":
            return 403, "asked by another site"
        if self.token and not (self.knows(given) or self.knows(cookie(headers))):
            return 403, "the token is missing or old: open the address that vidstyle ui printed"
        return None

    def knows(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self.token.encode())


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # as of http://[
        return ""


def cookie(headers: Mapping[str, str]) -> str:
    """The token that the browser keeps."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
