"""The page's wish for small faces: it reaches the run, and the report names it as the page does."""

from __future__ import annotations

import pytest
from media import Clip
from ui_browser import Page
from ui_client import Visitor, until

from vidstyle.frame import BEST
from vidstyle.source import SourceOptions
from vidstyle.ui import sessions
from vidstyle.ui.texts import TEXTS
from vidstyle.ui.words import sentence

pytest_plugins = "ui_fixtures"


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[SourceOptions]:
    """How each run reads its video."""
    seen: list[SourceOptions] = []

    def work(task: sessions.VideoTask) -> sessions.Work:
        seen.append(task.job.reading)
        return made(task)

    made = sessions.Work
    monkeypatch.setattr(sessions, "Work", work)
    return seen


def test_a_run_is_at_the_best_size_where_that_is_wanted(
    visitor: Visitor, clip: Clip, sizes: list[SourceOptions]
) -> None:
    visitor.drop(clip.path)
    for wish in ({}, {"best": True}, {"best": "yes"}):
        visitor.run(**wish)
        visitor.ended()
    auto, best, other = sizes
    assert best == SourceOptions.of_size(BEST) and auto == other == SourceOptions(by_faces=True)


def test_a_note_says_what_the_page_calls_it() -> None:
    note = "faces are small (eyes about 24 pixels apart at 720 lines): --size best draws them better, in 4.0 times"
    assert sentence(note) == (
        f"Faces are small (eyes about 24 pixels apart at 720 lines): “{TEXTS['best']}” draws them better, in 4.0 times."
    )
    assert sentence("worked at 1280x720, enlarged (--size native takes 14 %)") == "Worked at 1280x720, enlarged."


def test_the_box_is_for_videos_and_is_sent(page: Page, clip: Clip, sizes: list[SourceOptions]) -> None:
    assert not page.seen("best-row")
    page.drop(clip.path)
    until(lambda: page.seen("best-row"))
    page["best"].click()
    page.press("start")
    until(lambda: page.seen("done"))
    assert not page.seen("best-row")
    assert sizes == [SourceOptions.of_size(BEST)]
