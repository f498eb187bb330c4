"""Addresses that a page listens at."""

from __future__ import annotations

from ipaddress import ip_address

from vidstyle.errors import UsageError

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})  # names of this machine


def is_local(host: str) -> bool:
    """Whether only this machine reaches that address."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_host(host: str) -> None:
    """Refuse an empty ``--host``, which the system would take for every address.

    Raises:
        UsageError: it is empty.
    """
    if not host:
        raise UsageError("--host is empty: 127.0.0.1 is for this machine alone, 0.0.0.0 for the network")
