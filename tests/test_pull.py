"""Pulling published networks from a hub: a real HTTP server on this machine, good and bad."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hub import Hub, closed_port, serving
from style_files import published_pb, random_weights

import vidstyle.pull
from vidstyle.errors import SinkError, StyleError, UsageError
from vidstyle.importer import MAX_BYTES
from vidstyle.network import Architecture
from vidstyle.pull import MODELS, pull
from vidstyle.style import load_style

WEIGHTS = random_weights(Architecture("ttn"), 7)


@pytest.fixture(scope="module")
def network() -> bytes:
    return published_pb(WEIGHTS)


@pytest.fixture
def hub(network: bytes, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("VIDSTYLE_OFFLINE", raising=False)
    assert not home.exists()
    with serving() as hub:
        hub.files["cartoon_bg.pb"] = network
        yield hub


def downloads(home: Path) -> list[str]:
    """What is left of the transfer, its lock aside."""
    return sorted(p.name for p in (home / "cache/downloads").rglob("*") if p.is_file() and p.name != "lock")


def test_normal(hub: Hub, home: Path, network: bytes) -> None:
    told: list[tuple[int, int | None]] = []
    pulled = pull("dctnet/anime", base_url=f"{hub.url}/", progress=lambda done, total: told.append((done, total)))
    assert pulled.path == home / "styles/dctnet-anime.safetensors"
    assert (pulled.sha256, pulled.checked) == (hashlib.sha256(network).hexdigest(), "the hub's listing")
    style = load_style(pulled.path)
    assert style.card == pulled.card and style.name == "dctnet-anime"
    assert style.card.licence == "Apache-2.0" and "DCT-Net" in style.card.provenance
    assert style.card.training["source_sha256"] == pulled.sha256
    assert style.card.training["source_url"] == pulled.url and pulled.url.startswith(hub.url)
    assert all(np.array_equal(style.weights[name], WEIGHTS[name]) for name in WEIGHTS)
    assert told[-1] == (len(network), len(network)) and [done for done, _ in told] == sorted(done for done, _ in told)
    assert hub.models == {"damo/cv_unet_person-image-cartoon_compound-models@master"}
    assert downloads(home) == []


@pytest.mark.parametrize("look", [look for look in MODELS if look != "anime"])
def test_every_look_asks_for_its_own_model(hub: Hub, home: Path, look: str) -> None:
    hub.files.clear()
    with pytest.raises(StyleError, match=r"no cartoon_bg\.pb"):
        pull(f"dctnet/{look}", base_url=hub.url)
    assert len(hub.models) == 1 and look in hub.models.pop()
    assert not (home / "styles").exists()


def test_the_older_name_is_tried_when_the_first_is_absent(hub: Hub, network: bytes) -> None:
    hub.files, hub.listing = {"cartoon_anime_bg.pb": network}, None
    pulled = pull("dctnet/3d", base_url=hub.url)
    assert [name for name, _ in hub.requests] == ["cartoon_bg.pb", "cartoon_anime_bg.pb"]
    assert (pulled.checked, pulled.card.training["source_file"]) == ("", "cartoon_anime_bg.pb")


def test_the_listing_says_which_name_there_is(hub: Hub, network: bytes) -> None:
    hub.files = {"cartoon_anime_bg.pb": network}
    pull("dctnet/3d", base_url=hub.url)
    assert [name for name, _ in hub.requests] == ["cartoon_anime_bg.pb"]


def test_the_known_digest_holds_where_no_listing_is(hub: Hub, home: Path, network: bytes) -> None:
    hub.files, hub.listing = {"cartoon_anime_bg.pb": network}, None
    with pytest.raises(StyleError, match=r"not as published.*expected 71efec51"):
        pull("dctnet/anime", base_url=hub.url)
    assert downloads(home) == [] and not (home / "styles").exists()


@pytest.mark.parametrize(
    "listing", [[], {"Data": None}, {"Data": {"Files": [{"Path": "cartoon_bg.pb"}]}}, {"Data": {"Files": [3]}}, "{"]
)
def test_a_listing_that_says_nothing_is_no_error(hub: Hub, listing: object) -> None:
    hub.listing = listing
    assert pull("dctnet/anime", base_url=hub.url).checked == ""


def test_goes_on_after_cuts_within_one_call(hub: Hub, home: Path, network: bytes) -> None:
    hub.cuts = [1_000_000, 500_000]
    pulled = pull("dctnet/anime", base_url=hub.url)
    assert [asked for _, asked in hub.requests] == [None, "bytes=1000000-", "bytes=1500000-"]
    assert pulled.sha256 == hashlib.sha256(network).hexdigest() and downloads(home) == []


def test_goes_on_in_a_later_call(hub: Hub, home: Path) -> None:
    hub.cuts = [400_000] * 4
    with pytest.raises(StyleError, match=r"broke off.*run it again to go on"):
        pull("dctnet/anime", base_url=hub.url)
    assert downloads(home) == ["cartoon_bg.pb.part"] and not (home / "styles").exists()
    pull("dctnet/anime", base_url=hub.url)
    assert hub.requests[-1] == ("cartoon_bg.pb", "bytes=1600000-")
    assert downloads(home) == []


def test_a_complete_part_is_not_fetched_again(hub: Hub, home: Path, network: bytes) -> None:
    part = home / "cache/downloads/dctnet-anime/cartoon_bg.pb.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(network)
    pull("dctnet/anime", base_url=hub.url)
    assert hub.requests == [] and downloads(home) == []


def test_without_a_digest_a_cut_begins_anew(hub: Hub) -> None:
    hub.listing, hub.cuts = None, [1_000_000]
    pull("dctnet/anime", base_url=hub.url)
    assert [asked for _, asked in hub.requests] == [None, None]


def test_a_cut_without_a_length_is_found_by_the_digest(hub: Hub, home: Path) -> None:
    hub.says_length, hub.cuts = False, [1_000_000]
    with pytest.raises(StyleError, match="not as published"):
        pull("dctnet/anime", base_url=hub.url)
    assert downloads(home) == []


def test_range_ignored_begins_anew(hub: Hub, home: Path) -> None:
    hub.ignores_range, hub.cuts = True, [700_000]
    pull("dctnet/anime", base_url=hub.url)
    assert [asked for _, asked in hub.requests] == [None, "bytes=700000-"]
    assert downloads(home) == []


def test_a_part_longer_than_the_file_begins_anew(hub: Hub, home: Path, network: bytes) -> None:
    part = home / "cache/downloads/dctnet-anime/cartoon_bg.pb.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(network + b"more")
    pull("dctnet/anime", base_url=hub.url)
    assert [asked for _, asked in hub.requests] == [f"bytes={len(network) + 4}-", None]


def test_a_wrong_digest_deletes_the_part(hub: Hub, home: Path) -> None:
    hub.listing = {"Data": {"Files": [{"Path": "cartoon_bg.pb", "Sha256": "0" * 64}]}}
    with pytest.raises(StyleError, match=r"not as published.*deleted"):
        pull("dctnet/anime", base_url=hub.url)
    assert downloads(home) == [] and not (home / "styles").exists()


@pytest.mark.parametrize("status", [403, 500, 503])
def test_an_error_of_the_hub_is_one_line(hub: Hub, status: int) -> None:
    hub.status = status
    with pytest.raises(StyleError, match=rf"answered {status}.*By hand: get cartoon_bg\.pb from https://") as caught:
        pull("dctnet/anime", base_url=hub.url)
    assert "\n" not in str(caught.value)


def test_no_network(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(StyleError, match=r"cannot reach 127.*styles import FILE --name dctnet-sketch") as caught:
        pull("dctnet/sketch", base_url=f"http://127.0.0.1:{closed_port()}")
    assert "\n" not in str(caught.value) and downloads(home) == []


def test_offline_asks_nothing(hub: Hub) -> None:
    with pytest.raises(StyleError, match="network is off"):
        pull("dctnet/anime", offline=True, base_url=hub.url)
    assert hub.models == set()


@pytest.mark.parametrize("says_length", [True, False])
def test_too_large_is_refused(hub: Hub, home: Path, says_length: bool) -> None:
    hub.files["cartoon_bg.pb"], hub.says_length = bytes(MAX_BYTES + 1), says_length
    with pytest.raises(StyleError, match="more than 32 MB"):
        pull("dctnet/anime", base_url=hub.url)
    assert downloads(home) == []


def test_what_is_no_network_is_refused_and_not_kept(hub: Hub, home: Path) -> None:
    hub.files["cartoon_bg.pb"] = b'{"Code": 200, "Message": "please log in"}'
    with pytest.raises(StyleError, match="cannot import"):
        pull("dctnet/anime", base_url=hub.url)
    assert downloads(home) == [] and not (home / "styles").exists()


def test_a_style_that_is_there_stays_unless_told(hub: Hub) -> None:
    first = pull("dctnet/anime", base_url=hub.url)
    asked = len(hub.requests)
    with pytest.raises(StyleError, match=r"there already.*--overwrite"):
        pull("dctnet/anime", base_url=hub.url)
    assert len(hub.requests) == asked
    assert pull("dctnet/anime", base_url=hub.url, overwrite=True).card == first.card


@pytest.mark.parametrize("model", ["anime", "dctnet/", "dctnet/unknown", "hf/anime", "dctnet/anime/../3d"])
def test_unknown_models(model: str) -> None:
    with pytest.raises(UsageError, match="expected one of dctnet/anime, dctnet/3d"):
        pull(model)


@pytest.mark.usefixtures("home")
def test_only_http(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="https://"):
        pull("dctnet/anime", base_url=tmp_path.as_uri())


def test_a_download_that_cannot_be_written(hub: Hub, home: Path) -> None:
    home.mkdir()
    (home / "cache").write_text("a file where a folder is needed")
    with pytest.raises(SinkError, match="cannot write"):
        pull("dctnet/anime", base_url=hub.url)


def test_two_at_once(hub: Hub) -> None:
    hub.hold = threading.Event()
    results: list[object] = []
    first = threading.Thread(target=lambda: results.append(pull("dctnet/anime", base_url=hub.url)))
    first.start()
    try:
        assert hub.held.wait(20)
        with pytest.raises(StyleError, match="another vidstyle is pulling dctnet/anime"):
            pull("dctnet/anime", base_url=hub.url)
    finally:
        hub.hold.set()
        first.join()
    assert len(results) == 1 and len(hub.requests) == 1
    load_style(results[0].path)  # type: ignore[attr-defined]


def test_a_killed_pull_leaves_no_lock_and_is_gone_on_with(hub: Hub, network: bytes) -> None:
    hub.hold = threading.Event()
    command = [sys.executable, "-m", "vidstyle", "styles", "pull", "dctnet/anime", "--base-url", hub.url]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        assert hub.held.wait(30)
        part = vidstyle.pull.cache_dir() / "downloads/dctnet-anime/cartoon_bg.pb.part"
        for _ in range(500):
            if part.exists() and part.stat().st_size > 1_000_000:
                break
            threading.Event().wait(0.02)
        process.send_signal(signal.SIGKILL)
    hub.hold.set()
    hub.hold = None
    pulled = pull("dctnet/anime", base_url=hub.url)
    assert hub.requests[-1][1] is not None  # a Range
    assert pulled.sha256 == hashlib.sha256(network).hexdigest()
