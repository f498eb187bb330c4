"""Joining a Ray cluster, or starting one on this machine; and leaving nothing behind."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vidstyle.choice import visible_gpus
from vidstyle.cores import usable_cores
from vidstyle.errors import EngineError, UsageError

LOCAL, AUTO = "local", "auto"
REACH = 5.0  # seconds to wait for an address
SHORT, LONGEST = Path("/tmp"), 20  # see `_socket_place`; letters
STORE = 80 << 20  # bytes of the local cluster's object store, which holds the look alone
MISSING = "--cluster needs Ray: pip install 'vidstyle[cluster]'"
#: no reports to Ray's makers, no warning about GPUs that are not asked for, nothing of Ray's own on standard output
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
}


@dataclass(frozen=True)
class Cluster:
    """``dashboard``: its address, "" where there is none."""

    address: str
    dashboard: str = ""


def check_address(address: str) -> None:
    """
    Raises:
        EngineError: Ray is not installed, or nobody answers there.
        UsageError: it is no address.
    """
    if find_spec("ray") is None:
        raise EngineError(MISSING)
    if address in (LOCAL, AUTO):
        return
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if parts.scheme not in ("", "ray") or not host or not port:
        raise UsageError(f"--cluster {address}: expected auto, local, ray://HOST:10001 or HOST:6379")
    try:
        socket.create_connection((host, port), REACH).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise EngineError(
            f"no Ray cluster answers at {address} ({reason}): is `ray start --head` running there?"
        ) from error


def local_resources() -> dict[str, float]:
    """What the local cluster shares out, in Ray's names."""
    return {"CPU": usable_cores(), "GPU": visible_gpus()[0]}


@contextmanager
def joined(address: str) -> Iterator[Cluster]:
    """Joined to the cluster inside the block: ``local`` is started here, for this machine alone.

    Raises:
        EngineError, UsageError: see `check_address`; or its version of Ray or Python is another.
    """
    check_address(address)
    with _environment(_QUIET):
        if address == LOCAL:
            with _local() as cluster:
                yield cluster
        else:
            with _session({"address": address}) as found:
                yield Cluster(address, found)


@contextmanager
def _local() -> Iterator[Cluster]:
    """All of it on the loopback interface, with a token that only its own processes know."""
    folder = tempfile.mkdtemp(prefix="vs-", dir=_socket_place())
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    loopback = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # Ray's own way of saying: this machine alone
    there = local_resources()
    options: dict[str, Any] = {"num_cpus": there["CPU"], "num_gpus": there["GPU"], "object_store_memory": STORE}
    options |= {"include_dashboard": False, "_temp_dir": folder}
    try:
        with _environment(token | loopback), _session({"address": LOCAL, **options}):
            yield Cluster(LOCAL)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _socket_place() -> str:
    """The folder for temporary files, or `SHORT` in place of a long one.

    Ray's sockets lie deep below it, and their names may have about 100 letters. Windows has no such sockets, and no
    ``/tmp``.
    """
    usual = tempfile.gettempdir()
    return usual if len(usual) < LONGEST or not SHORT.is_dir() else str(SHORT)


@contextmanager
def _session(options: dict[str, Any]) -> Iterator[str]:
    """The dashboard's address."""
    import ray

    try:
        context = ray.init(log_to_driver=False, configure_logging=False, **options)
    except Exception as error:  # Ray raises that very class, too
        raise EngineError(_refusal(options["address"], str(error))) from error
    try:
        found = getattr(context, "dashboard_url", "") or ""
        yield f"http://{found}" if found and "://" not in found else found
    finally:
        ray.shutdown()


def _refusal(address: str, reason: str) -> str:
    """Ray's many lines as one."""
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    if "ersion mismatch" in reason:
        said = "; ".join(line for line in lines if "Ray:" in line or "Python:" in line)
        return f"the cluster at {address} has another version of Ray or Python ({said}): install the same on all nodes"
    if "Could not find any running Ray instance" in reason:
        return "no Ray cluster runs on this machine: `ray start --head` starts one, --cluster local needs none"
    return f"cannot join the Ray cluster at {address}: {lines[0] if lines else 'no reason given'}"


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """Set variables for Ray and the processes it starts; what a person has set stays."""
    added = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
