"""Fetch the published DCT-Net networks from ModelScope, where their authors put them, and convert them."""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, urlencode

from vidstyle.download import AbsentError, Progress, download, open_url
from vidstyle.errors import StyleError, UsageError
from vidstyle.importer import MAX_BYTES, import_published
from vidstyle.locking import alone
from vidstyle.paths import cache_dir, styles_dir
from vidstyle.style import Card, save_style

HUB = "https://modelscope.cn"
MAX_LISTING = 4 << 20  # bytes
LISTING_TIMEOUT = 10.0  # seconds


@dataclass(frozen=True)
class Model:
    """A model of the hub; ``files`` are the names its full-frame network had, newest first."""

    id: str
    look: str
    revision: str = "master"
    files: tuple[str, ...] = ("cartoon_bg.pb", "cartoon_anime_bg.pb")


_ID = "damo/cv_unet_person-image-cartoon{}_compound-models"
MODELS = {
    "anime": Model(_ID.format(""), "Anime"),
    "3d": Model(_ID.format("-3d"), "3D animation"),
    "handdrawn": Model(_ID.format("-handdrawn"), "Hand drawn"),
    "sketch": Model(_ID.format("-sketch"), "Sketch"),
    "artstyle": Model(_ID.format("-artstyle"), "Painted"),
    "design": Model(_ID.format("-sd-design"), "Design", "v1.0.0"),
    "illustration": Model(_ID.format("-sd-illustration"), "Illustration", "v1.0.0"),
}
#: sha256 by look and file, for when the hub's listing gives none
KNOWN = {("anime", "cartoon_anime_bg.pb"): "71efec51b4566cce3a3123822fb4e17794ad062c3e324b33f2a65df850c037ad"}


@dataclass(frozen=True)
class Pulled:
    """A fetched style; ``checked`` says what its file's digest was compared with, "" for nothing to be had."""

    card: Card
    path: Path
    url: str
    sha256: str  # of the published file
    checked: str  # "the hub's listing", "a known digest" or ""


def look_of(text: str) -> str:
    """The look that ``dctnet/<look>`` names.

    Raises:
        UsageError: another text.
    """
    source, _, look = text.partition("/")
    if source != "dctnet" or look not in MODELS:
        raise UsageError(f"cannot pull {text!r}; expected one of {', '.join(f'dctnet/{name}' for name in MODELS)}")
    return look


def pull(
    model: str,
    *,
    overwrite: bool = False,
    offline: bool = False,
    base_url: str = HUB,
    progress: Progress | None = None,
) -> Pulled:
    """Fetch ``dctnet/<look>`` and keep it in the user's folder as the style ``dctnet-<look>``.

    A transfer that was cut goes on where it ended, here or in the next call.

    Raises:
        UsageError: ``model`` is unknown.
        StyleError: the style is there already, another process pulls it, the network is off or away,
            or what the hub sent is not what it should be.
        SinkError: the download cannot be written.
    """
    look = look_of(model)
    target = styles_dir() / f"dctnet-{look}.safetensors"
    if target.exists() and not overwrite:
        raise StyleError(f"the style {target.stem} is there already ({target}); to fetch it again: --overwrite")
    if offline:
        raise StyleError(f"{model} was not fetched: the network is off (--offline, VIDSTYLE_OFFLINE). {_by_hand(look)}")
    if not base_url.startswith(("https://", "http://")):
        raise UsageError(f"cannot fetch from {base_url!r}; expected an address that begins with https://")
    folder = cache_dir() / "downloads" / target.stem
    with alone(folder, f"pulling {model}"):
        try:
            return _pull(look, target, folder, base_url.rstrip("/"), progress or _silent)
        except StyleError as error:
            raise StyleError(f"{model} was not fetched: {error}. {_by_hand(look)}") from error


def _silent(done: int, total: int | None) -> None:
    """No progress wanted."""


def _pull(look: str, target: Path, folder: Path, base: str, progress: Progress) -> Pulled:
    model = MODELS[look]
    listed = _listing(base, model)
    for name in sorted(model.files, key=lambda name: name not in listed):
        digest = listed.get(name) or KNOWN.get((look, name))
        query = urlencode({"Revision": model.revision, "FilePath": name})
        url = f"{base}/api/v1/models/{quote(model.id)}/repo?{query}"
        path = folder / name
        try:
            found = download(url, path, digest, MAX_BYTES, progress)
            checked = "the hub's listing" if name in listed else "a known digest" if digest else ""
            return Pulled(_convert(look, path, url, found, target), target, url, found, checked)
        except AbsentError:
            continue
        finally:
            path.unlink(missing_ok=True)
    raise StyleError(f"the hub has no {' and no '.join(model.files)} of it")


def _convert(look: str, path: Path, url: str, digest: str, target: Path) -> Card:
    style = import_published(path, target.stem)
    sentence = f"{MODELS[look].look}: the published DCT-Net network, full size and slow"
    training = {"source_file": path.name, "source_url": url, "source_sha256": digest}
    return save_style(target, replace(style.card, look=sentence, training=training), style.weights)


def _by_hand(look: str) -> str:
    page = f"{HUB}/models/{MODELS[look].id}/summary"
    return f"By hand: get cartoon_bg.pb from {page}, then: vidstyle styles import FILE --name dctnet-{look}"


def _listing(base: str, model: Model) -> dict[str, str]:
    """sha256 by file name as the hub lists them; empty where it does not answer so."""
    query = urlencode({"Revision": model.revision, "Recursive": "true"})
    url = f"{base}/api/v1/models/{quote(model.id)}/repo/files?{query}"
    try:
        with open_url(url, {}, LISTING_TIMEOUT) as answer:
            entries = json.loads(answer.read(MAX_LISTING))["Data"]["Files"]
        digests = {str(entry["Path"]): str(entry.get("Sha256")).lower() for entry in entries}
    except urllib.error.HTTPError as error:
        error.close()
        return {}
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}  # no network is told by the download itself
    return {name: digest for name, digest in digests.items() if re.fullmatch("[0-9a-f]{64}", digest)}
