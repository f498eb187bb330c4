"""Who the page answers: this machine, the page itself, and whoever has the token."""

from __future__ import annotations

import pytest

from vidstyle.ui.guard import COOKIE, Guard, is_local

HERE = {"host": "127.0.0.1:7860"}


def closed(**headers: str) -> dict[str, str]:
    return HERE | {key.replace("_", "-"): value for key, value in headers.items()}


@pytest.fixture
def guard() -> Guard:
    return Guard(launching=False)


@pytest.mark.parametrize("path", ["/", "/files/app.js", "/api/session", "/api/s/a-b_c/thumb/my%20look"])
def test_the_pages_own_addresses_are_open(guard: Guard, path: str) -> None:
    assert guard.refusal(path, HERE, "127.0.0.1") is None


@pytest.mark.parametrize(
    "path", ["/gradio_api/info", "/gradio_api/upload", "/config", "/docs", "/login", "/files/../x", "/static/a.js"]
)
def test_what_gradio_serves_besides_is_closed(guard: Guard, path: str) -> None:
    assert guard.refusal(path, HERE, "127.0.0.1") == (404, "nothing here")


def test_gradio_may_ask_itself_while_it_starts() -> None:
    guard = Guard(launching=True)
    assert guard.refusal("/gradio_api/startup-events", HERE, "127.0.0.1") is None
    assert guard.refusal("/gradio_api/startup-events", HERE, "192.0.2.7") is not None
    guard.launching = False
    assert guard.refusal("/gradio_api/startup-events", HERE, "127.0.0.1") is not None


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "", "127.0.0.1.evil.example", "a@localhost"])
def test_another_name_for_this_machine_is_refused(guard: Guard, host: str) -> None:
    """DNS rebinding: the browser believes that another site is here."""
    assert guard.refusal("/", {"host": host}, "127.0.0.1") == (403, "this address is not the page's own")


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1", "[::1]:7860", "LOCALHOST"])
def test_this_machines_names_are_known(guard: Guard, host: str) -> None:
    assert guard.refusal("/", {"host": host}, "127.0.0.1") is None


@pytest.mark.parametrize(
    "headers",
    [
        closed(origin="http://evil.example"),
        closed(origin="null"),
        closed(sec_fetch_site="cross-site", sec_fetch_mode="no-cors"),
        closed(sec_fetch_site="same-site", sec_fetch_mode="cors"),
    ],
)
def test_another_sites_requests_are_refused(guard: Guard, headers: dict[str, str]) -> None:
    assert guard.refusal("/api/queue", headers, "127.0.0.1") == (403, "asked by another site")


def test_the_page_itself_and_a_link_to_it_pass(guard: Guard) -> None:
    assert guard.refusal("/api/queue", closed(origin="http://127.0.0.1:7860"), "127.0.0.1") is None
    link = closed(sec_fetch_site="cross-site", sec_fetch_mode="navigate")
    assert guard.refusal("/", link, "127.0.0.1") is None


def test_others_need_the_token() -> None:
    guard = Guard("secret", launching=False)
    far = {"host": "192.0.2.1:7860"}
    assert guard.refusal("/", far, "192.0.2.7") is not None
    assert guard.refusal("/", far, "192.0.2.7", "wrong") is not None
    assert guard.refusal("/", far, "192.0.2.7", "secret") is None
    assert guard.refusal("/api/queue", far | {"cookie": f"a=b; {COOKIE}=secret"}, "192.0.2.7") is None
    assert guard.refusal("/api/queue", far | {"cookie": f"{COOKIE}=other"}, "192.0.2.7") is not None


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("192.0.2.1", False), ("me", False)],
)
def test_which_addresses_are_this_machines_alone(host: str, local: bool) -> None:
    assert is_local(host) is local
