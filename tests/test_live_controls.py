"""What can be changed while a session runs, and the keys that do it."""

from __future__ import annotations

import json
import math
import threading
from typing import Any

import pytest

from vidstyle.errors import UsageError
from vidstyle.live.controls import HELP, KEYS, Controls


@pytest.fixture
def controls() -> Controls:
    return Controls(["a", "b", "c"], "b")


def test_the_state_is_json_and_whole(controls: Controls) -> None:
    assert json.loads(json.dumps(controls.state())) == {
        "look": "b",
        "looks": ["a", "b", "c"],
        "strength": 1.0,
        "mirror": False,
        "wipe": None,
        "frozen": False,
    }


def test_looks_go_round(controls: Controls) -> None:
    seen = []
    for command in ("next", "next", "previous", "previous", "previous"):
        controls.command(command)
        seen.append(controls.look)
    assert seen == ["c", "a", "c", "b", "a"]
    mix = Controls(["a", "b"], "a:0.5+b:0.5")
    mix.command("next")
    assert mix.look == "a" and mix.looks == ("a", "b", "a:0.5+b:0.5")


def test_every_key_does_something_and_is_in_the_help(controls: Controls) -> None:
    for key, (command, what) in KEYS.items():
        before = (controls.state(), controls.snapshots, controls.helps, controls.has_ended)
        controls.key("-") if key == "+" else None  # from the end of the scale nothing moves
        controls.key(key)
        assert (controls.state(), controls.snapshots, controls.helps, controls.has_ended) != before or key == "+", (
            command
        )
        assert f"{key} {what}" in HELP
    controls.key("x")
    controls.key("\x1b")


def test_strength_goes_in_tenths_and_stays_in_its_scale(controls: Controls) -> None:
    seen = []
    for key in "--==-++" + "-" * 12:
        controls.key(key)
        seen.append(controls.strength)
    assert seen[:7] == [0.9, 0.8, 0.9, 1.0, 0.9, 1.0, 1.0] and seen[-1] == 0.0 and 0.3 in seen


def test_switches_turn_over_or_are_set(controls: Controls) -> None:
    for name, field in (("mirror", "mirror"), ("freeze", "frozen")):
        for value, result in ((None, True), (None, False), (True, True), (True, True), (False, False)):
            controls.command(name, value)
            assert controls.state()[field] is result
    for value, result in ((None, 0.5), (None, None), (0.25, 0.25), (True, 0.5), (False, None), (0, 0.0), (1, 1.0)):
        controls.command("wipe", value)
        assert controls.state()["wipe"] == result


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stop", None),
        ("look", "d"),
        ("look", None),
        ("look", ["a"]),
        ("strength", None),
        ("strength", 1.1),
        ("strength", -0.1),
        ("strength", math.nan),
        ("strength", True),
        ("strength", "1"),
        ("mirror", 1),
        ("freeze", "yes"),
        ("wipe", 2),
    ],
)
def test_what_it_does_not_know_changes_nothing(controls: Controls, name: str, value: Any) -> None:
    before = controls.state()
    with pytest.raises(UsageError):
        controls.command(name, value)
    assert controls.state() == before


def test_a_session_cannot_begin_outside_of_the_scale() -> None:
    with pytest.raises(UsageError, match="strength"):
        Controls(["a"], "a", 1.5)


def test_commands_from_many_threads_all_count(controls: Controls) -> None:
    def press() -> None:
        for _ in range(300):
            controls.command("snapshot")
            controls.command("next")

    threads = [threading.Thread(target=press) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert controls.snapshots == 1200 and controls.look == "b"
