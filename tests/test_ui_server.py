"""What the page is answered: files, runs, results, and a sentence for everything that goes wrong."""

from __future__ import annotations

import os
import time
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from media import Clip, make_clip, packets, save_tiny, video_times
from PIL import Image
from ui_client import Visitor, until

import vidstyle
from vidstyle.paths import styles_dir
from vidstyle.ui import answers
from vidstyle.ui.house import House

pytest_plugins = "ui_fixtures"


def opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"))


def folder_of(house: House) -> Path:
    """The temporary folder of a house's visitors."""
    return Path(house.sessions.folder)


def test_a_dropped_video_is_seen_in_every_look(visitor: Visitor, clip: Clip) -> None:
    file = visitor.drop(clip.path)
    assert (file["kind"], file["width"], file["height"], file["frames"]) == ("video", 160, 96, 20)
    assert file["plays"] and file["proxy"] is None
    still = opened(visitor.http.get(visitor.url("/still")).content).astype(int)
    looks = [one["name"] for one in visitor.http.get("/api/looks").json()]
    assert "anime" in looks
    for look in looks:
        thumb = opened(visitor.http.get(visitor.url(f"/thumb/{look}")).content)
        assert thumb.shape == (96, 160, 3)
        assert np.abs(thumb - still).mean() > 2, look


def test_a_run_gives_the_file_that_the_command_line_gives(visitor: Visitor, clip: Clip, tmp_path: Path) -> None:
    visitor.drop(clip.path)
    visitor.run(look="anime", strength=0.5)
    run = visitor.ended()
    assert run["status"] == "done", run["reason"]
    assert run["result"]["name"] == "clip.anime.mp4"
    answer = visitor.http.get(visitor.url("/result?download=1"))
    assert "attachment" in answer.headers["content-disposition"]
    ours, theirs = tmp_path / "ours.mp4", tmp_path / "theirs.mp4"
    ours.write_bytes(answer.content)
    vidstyle.stylize_file(clip.path, theirs, "anime", strength=0.5)
    assert packets(ours, "video") == packets(theirs, "video")
    assert packets(ours, "audio") == packets(clip.path, "audio")
    words = [line["text"] for line in run["report"]]
    assert "All 20 pictures are there, each at its exact time." in words
    assert "The sound is the same, to the bit." in words


def test_a_part_of_a_video(visitor: Visitor, clip: Clip, tmp_path: Path) -> None:
    visitor.drop(clip.path)
    visitor.run(start=0.2, end=0.6)
    assert visitor.ended()["shift"] == 0.2
    (tmp_path / "part.mp4").write_bytes(visitor.http.get(visitor.url("/result")).content)
    assert len(video_times(tmp_path / "part.mp4")) == 10


@pytest.mark.parametrize("start", ["NaN", "1e999", "1" + "0" * 400])
def test_a_start_that_is_no_number_is_told(visitor: Visitor, clip: Clip, start: str) -> None:
    visitor.drop(clip.path)
    body = f'{{"look": "anime", "start": {start}}}'
    answer = visitor.http.post(visitor.url("/run"), content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and "expected a number" in answer.json()["error"]


@pytest.mark.parametrize("start", [5, 1e30])
def test_a_start_after_the_end_is_told(visitor: Visitor, clip: Clip, start: float) -> None:
    visitor.drop(clip.path)
    visitor.run(start=start)
    assert visitor.ended()["reason"] == "clip.mp4: no pictures between “Begin here” and “End here”: it ends at 0.80 s"


def test_a_name_of_many_bytes_is_taken(visitor: Visitor, clip: Clip) -> None:
    answer = visitor.http.put(
        visitor.url("/file"), params={"name": "漢" * 100 + ".mp4"}, content=clip.path.read_bytes()
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["file"]["name"].endswith("漢.mp4")


def test_a_photo_that_does_not_come_leaves_nothing(house: House, visitor: Visitor) -> None:
    answer = visitor.http.put("/api/school/photos?name=a.jpg", content=b"")
    assert answer.status_code == 400
    assert house.rooms.school.state()["photos"] == 0


def test_photos_keep_their_folders_and_stay_below_their_own(house: House, visitor: Visitor) -> None:
    """And one of macOS, with an accent of its own, has the name of what was drawn of it elsewhere."""
    sent = {
        "photos": ["day 1/a.jpg", "../../b.jpg", "/c//d.jpg", "e\u0301.jpg"],
        "exemplars": ["day 1/a.png", "\u00e9.png"],
    }
    try:
        for kind, names in sent.items():
            for name in names:
                answer = visitor.http.put(f"/api/school/{kind}", params={"name": name}, content=b"x")
                assert answer.status_code == 200, answer.text
        assert answer.json()["pairs"] == 2
        photos = house.rooms.school.folder / "photos"
        found = {path.relative_to(photos).as_posix() for path in photos.rglob("*") if path.is_file()}
        assert found == {"day 1/a.jpg", "video/video/b.jpg", "c/d.jpg", "\u00e9.jpg"}
        answer = visitor.http.put("/api/school/photos", params={"name": "day 1/a.jpg"}, content=b"x")
        assert answer.json()["photos"] == 4
    finally:
        for kind in sent:
            house.rooms.school.clear(kind)


def test_a_picture(visitor: Visitor, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)).save(tmp_path / "one.png")
    assert visitor.drop(tmp_path / "one.png")["kind"] == "picture"
    visitor.run()
    run = visitor.ended()
    assert run["result"]["name"] == "one.anime.png"
    assert opened(visitor.http.get(visitor.url("/result")).content).shape == (90, 120, 3)
    assert opened(visitor.http.get(visitor.url("/result-still")).content).shape == (90, 120, 3)
    assert run["report"][0]["text"] == "Styled at its own size, 120 by 90."


def test_a_video_that_browsers_do_not_play_gets_a_copy_that_they_do(visitor: Visitor, tmp_path: Path) -> None:
    odd = make_clip(tmp_path / "odd.mkv", frames=10, codec="mpeg4")
    assert visitor.drop(odd.path)["plays"] is False
    until(lambda: (visitor.state()["file"]["proxy"] or {}).get("status") == "done")
    (tmp_path / "proxy.mp4").write_bytes(visitor.http.get(visitor.url("/proxy")).content)
    assert [float(time) for time in video_times(tmp_path / "proxy.mp4")] == pytest.approx(
        [float(time) for time in odd.times], abs=0.002
    )
    assert packets(tmp_path / "proxy.mp4", "audio")[0]
    visitor.run()
    assert visitor.ended()["result"]["plays"] is False
    until(lambda: (visitor.state()["run"]["proxy"] or {}).get("status") == "done")
    assert visitor.http.get(visitor.url("/result-proxy")).status_code == 200


@pytest.mark.parametrize("data", [b"this is no video at all\n" * 50, bytes(5000)])
def test_what_is_no_video_is_told(visitor: Visitor, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "notes.mp4").write_bytes(data)
    file = visitor.drop(tmp_path / "notes.mp4")
    assert file["status"] == "bad"
    assert file["reason"].startswith("notes.mp4")
    assert "/" not in file["reason"]
    answer = visitor.http.post(visitor.url("/run"), json={"look": "anime"})
    assert answer.status_code == 400 and "otes.mp4" in answer.json()["error"]


def test_an_empty_file_is_told(visitor: Visitor) -> None:
    answer = visitor.http.put(visitor.url("/file?name=a.mp4"), content=b"")
    assert answer.json()["error"] == "a.mp4 is empty (0 bytes): copy or download it again"
    assert visitor.state()["file"] is None


def test_what_is_too_large_is_refused_before_and_while_it_comes(
    house: House, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house.rooms, "upload", 5000)
    for content in (bytes(6000), iter([bytes(4000), bytes(4000)])):
        answer = visitor.http.put(visitor.url("/file?name=a.mp4"), content=content)
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("The file is larger than")
    session = house.sessions.get(visitor.id)
    assert session is not None and not [path for path in session.folder.rglob("*") if path.is_file()]


def test_a_full_disk_is_told(visitor: Visitor, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    answer = visitor.http.put(visitor.url("/file?name=a.mp4"), content=clip.path.read_bytes())
    assert (answer.status_code, answer.json()["error"]) == (507, "The disk is full: make room, then try again")
    monkeypatch.undo()
    assert visitor.drop(clip.path)["status"] == "ready"


def test_a_look_that_fails_costs_only_that_run(visitor: Visitor, clip: Clip) -> None:
    visitor.drop(clip.path)
    bad = styles_dir() / "broken.safetensors"
    bad.parent.mkdir(parents=True, exist_ok=True)
    bad.write_bytes(b"nonsense")
    try:
        for answer in (
            visitor.http.post(visitor.url("/run"), json={"look": "broken"}),
            visitor.http.get(visitor.url("/thumb/broken")),
        ):
            assert answer.status_code == 400 and "broken" in answer.json()["error"]
        assert [one["error"] for one in visitor.http.get("/api/looks").json() if one["name"] == "broken"] != [""]
    finally:
        bad.unlink()
    visitor.run()
    assert visitor.ended()["status"] == "done"


def test_cancelling_leaves_nothing(house: House, visitor: Visitor, long_clip: Clip) -> None:
    visitor.drop(long_clip.path)
    visitor.run()
    until(lambda: visitor.state()["run"]["frames"])
    session = house.sessions.get(visitor.id)
    assert session is not None and session.run is not None
    pid, place = session.run.work.pid, session.run.work.folder
    assert visitor.http.post(visitor.url("/run/cancel")).json()["run"]["status"] == "cancelled"
    assert not place.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert visitor.state()["file"]["status"] == "ready"


def test_a_worker_that_dies_is_told(house: House, visitor: Visitor, long_clip: Clip) -> None:
    visitor.drop(long_clip.path)
    visitor.run()
    until(lambda: visitor.state()["run"]["frames"])
    session = house.sessions.get(visitor.id)
    assert session is not None and session.run is not None
    os.kill(session.run.work.pid, 9)
    run = visitor.ended()
    assert run["status"] == "failed" and "died" in run["reason"]
    assert not session.run.work.folder.exists()


def test_a_pause_holds_the_frames(visitor: Visitor, long_clip: Clip) -> None:
    visitor.drop(long_clip.path)
    visitor.run()
    until(lambda: visitor.state()["run"]["frames"])
    assert visitor.http.post(visitor.url("/run/pause")).json()["run"]["status"] == "paused"
    time.sleep(0.5)
    held = visitor.state()["run"]["frames"]
    time.sleep(0.6)
    assert visitor.state()["run"]["frames"] == held
    visitor.http.post(visitor.url("/run/resume"))
    until(lambda: visitor.state()["run"]["frames"] > held)
    assert opened(visitor.http.get(visitor.url("/shown")).content).shape[0] == 192
    visitor.http.post(visitor.url("/run/cancel"))


def test_two_visitors_do_not_mix(house: House, visitor: Visitor, clip: Clip, tmp_path: Path) -> None:
    other = Visitor(house.url)
    red = make_clip(tmp_path / "other.mp4", frames=5, size=(64, 48))
    visitor.drop(clip.path)
    other.drop(red.path)
    visitor.run(look="anime")
    other.run(look="sketch")
    assert visitor.ended()["result"]["name"] == "clip.anime.mp4"
    assert other.ended()["result"]["name"] == "other.sketch.mp4"
    other.http.delete(other.url())
    assert other.http.get(other.url()).status_code == 404
    other.http.close()
    assert visitor.http.get(visitor.url("/result")).status_code == 200


def test_the_next_file_takes_the_place_of_the_one_before(house: House, visitor: Visitor, clip: Clip) -> None:
    for _ in range(2):
        visitor.drop(clip.path)
        visitor.run()
        visitor.ended()
    session = house.sessions.get(visitor.id)
    assert session is not None
    assert sorted(path.name for path in session.folder.rglob("*") if path.is_file()) == ["clip.anime.mp4", "clip.mp4"]


def test_a_preview_is_what_the_look_gives(visitor: Visitor) -> None:
    image = np.full((48, 64, 3), (200, 120, 60), np.uint8)
    image[:, :32] = (20, 90, 160)
    data = BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=95)
    sent = opened(data.getvalue())
    for style, query in {
        "anime": "look=anime",
        "anime:0.25+sketch:0.75": "look=anime&second=sketch&share=0.75",
    }.items():
        answer = visitor.http.post(f"/api/look?{query}&strength=0.8", content=data.getvalue())
        wanted = vidstyle.stylize(sent, style, strength=0.8).astype(int)
        assert np.abs(opened(answer.content) - wanted).mean() < 4, style


@pytest.mark.parametrize(
    ("query", "content", "words"),
    [
        ("look=anime", b"no jpeg", "no JPEG"),
        ("look=none", None, "no look 'none'"),
        ("look=anime&strength=7", None, "from 0 to 1"),
        ("look=anime&strength=x", None, "expected a number"),
        ("look=anime", bytes(5 << 20), "larger than a preview"),
    ],
)
def test_a_bad_preview_is_told(visitor: Visitor, query: str, content: bytes | None, words: str) -> None:
    data = BytesIO()
    Image.new("RGB", (32, 32)).save(data, "JPEG")
    answer = visitor.http.post(f"/api/look?{query}", content=data.getvalue() if content is None else content)
    assert answer.status_code == 400 and words in answer.json()["error"]


def test_a_style_file_comes_in_and_goes(visitor: Visitor, tmp_path: Path) -> None:
    file = save_tiny(tmp_path, "mine")
    answer = visitor.http.put("/api/looks?name=mine.safetensors", content=file.read_bytes())
    assert answer.json() == {"name": "mine"}
    card = next(one for one in visitor.http.get("/api/looks").json() if one["name"] == "mine")
    assert card["own"] and card["licence"] == "Apache-2.0" and card["look"] == "A test's look"
    again = visitor.http.put("/api/looks?name=mine.safetensors", content=file.read_bytes())
    assert again.status_code == 400 and "mine" in again.json()["error"]
    assert visitor.http.delete("/api/looks/mine").status_code == 200
    assert "mine" not in [one["name"] for one in visitor.http.get("/api/looks").json()]
    assert "only your own" in visitor.http.delete("/api/looks/anime").json()["error"]
    nonsense = visitor.http.put("/api/looks?name=x.pb", content=b"nonsense")
    assert nonsense.status_code == 400 and "vidstyle-ui-" not in nonsense.json()["error"]
