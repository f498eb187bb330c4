"""`vidstyle train --paired`: drawings found by their photos' names, both of the same place, and a style of them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from faces import POINTS, draw_face
from test_portraits import FixedDetector, row
from train_command import drawn_faces_are_found, run

from training import open_looks, open_pairs, paired, student, ways
from training.data import EMPTY, EYES, FACE, SIDE
from vidstyle.catalog import find_style
from vidstyle.errors import SinkError, SourceError, UsageError
from vidstyle.style import read_card

TINY = [
    "student.steps=4",
    "student.widths=(4, 4, 4)",
    "student.start=",
    "student.crops.side=32",
    "student.crops.pairs=1",
]
Folders = tuple[Path, Path]


def negative(picture: np.ndarray) -> np.ndarray:
    return 255 - picture


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """22 photos with a face in the middle of a wider scene, and their negatives, four times as large, as .bmp."""
    root = tmp_path_factory.mktemp("pairs")
    for name in ("photos", "drawings"):
        (root / name / "set").mkdir(parents=True)
    for seed in range(22):
        scene = np.full((256, 640, 3), 40 + 5 * seed, np.uint8)
        scene[:, 192:448] = draw_face(seed)
        scene[100:140, 500:560] = (200, 30, 90)
        cv2.imwrite(str(root / "photos" / "set" / f"{seed}.png"), scene[..., ::-1])
        large = cv2.resize(negative(scene), None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(root / "drawings" / "set" / f"{seed}.bmp"), large[..., ::-1])
    return root / "photos", root / "drawings"


class SceneDetector(FixedDetector):
    """The face stands where `drawn` puts it; a picture of another shape has none."""

    def __call__(self, image: np.ndarray) -> np.ndarray:
        if image.shape[1] < 2 * image.shape[0]:
            return np.zeros((0, 15), np.float32)
        found = row(POINTS + np.float32([192, 0]))
        found[:4] = 260, 80, 120, 150
        return found[None]


@pytest.fixture
def folders(drawn: Folders, monkeypatch: pytest.MonkeyPatch) -> Folders:
    drawn_faces_are_found(monkeypatch)
    monkeypatch.setattr(paired, "Detector", SceneDetector)
    torch.set_num_threads(1)
    return drawn


def command(folders: Folders, *more: str) -> list[str]:
    settings = [word for text in TINY for word in ("--set", text)]
    paths = ["--photos", str(folders[0]), "--exemplars", str(folders[1]), "--detector", __file__, "--device", "cpu"]
    return ["train", "mine", *paths, "--paired", *settings, *more]


def touched(folder: Path, *files: str) -> Path:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def zipped(path: Path, *files: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in files:
            archive.writestr(name, b"")
    return path


def test_drawings_are_found_by_name_whatever_their_ending_and_folder(tmp_path: Path) -> None:
    ours = touched(tmp_path / "in", "day 1/a.b.jpg", "day 1/a.JPG", "c.png", "caf\u00e9.jpg")
    theirs = touched(tmp_path / "out", "day 1/A.tif", "day 1/a.b.jpg.png", "d.png", "cafe\u0301.png")
    found = paired.matched(ours, theirs)
    assert found == [
        ("caf\u00e9.jpg", "cafe\u0301.png"),
        ("day 1/a.JPG", "day 1/A.tif"),
        ("day 1/a.b.jpg", "day 1/a.b.jpg.png"),
    ]
    archive = zipped(tmp_path / "out.zip", "drawn/day 1/a.png", "drawn/c.webp", "drawn\\day 1\\a.b.png")
    assert [other for _, other in paired.matched(ours, archive)] == [
        *("drawn/c.webp", "drawn/day 1/a.png", "drawn\\day 1\\a.b.png")
    ]
    assert paired.matched(ours, zipped(tmp_path / "root.zip", "/day 1/a.png", "c.png")) == [
        *(("c.png", "c.png"), ("day 1/a.JPG", "/day 1/a.png"))
    ]
    touched(theirs, "day 1/a.png")
    with pytest.raises(SourceError, match=r"day 1/A\.tif and day 1/a\.png have one name"):
        paired.matched(ours, theirs)


def test_a_drawing_is_not_taken_for_that_of_a_photo_in_another_folder(tmp_path: Path) -> None:
    """Each side was told by names below the folder that all of it lies in: mary's drawing was paired with another's."""
    ours = touched(tmp_path / "in", "1.jpg", "mary/1.jpg", "john/2.jpg")
    assert paired.matched(ours, touched(tmp_path / "out", "mary/1.png")) == [("mary/1.jpg", "mary/1.png")]


def test_photo_and_drawing_show_the_same_place(folders: Folders, tmp_path: Path) -> None:
    paired.prepare(*folders, tmp_path / "made", Path(__file__), paired.Options())
    made, held = (paired.load(tmp_path / "made", part) for part in paired.PARTS)
    assert (made.kind == FACE).sum() + (held.kind == FACE).sum() == 22 and len(held.kind) > 0
    assert (made.kind == EMPTY).sum() > 3
    moved = []
    for source, target in zip(made.source, made.target, strict=True):
        half = cv2.resize(source, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        assert np.abs(negative(half).astype(int) - target)[8:-8, 8:-8].mean() < 1
        moved.append(cv2.phaseCorrelate(*(x[..., 1].astype(np.float64) for x in (negative(half), target)))[0])
    assert np.abs(np.mean(np.array(moved)[made.kind == FACE], 0)).max() < 0.1  # pixels
    sheet = cv2.imread(str(tmp_path / "made" / "sheet.png"))
    assert sheet is not None and abs(int(sheet[:128].mean()) + int(sheet[128:256].mean()) - 255) < 6
    again = tmp_path / "again"
    paired.prepare(*folders, again, Path(__file__), paired.Options())
    for path in (tmp_path / "made").glob("*.rgb"):
        assert path.read_bytes() == (again / path.name).read_bytes()


def test_what_has_no_face_is_about_as_large_as_faces_are() -> None:
    """A drawing's lines are as wide in a window as around the faces, or the network could not tell how wide."""
    faces = SceneDetector()(np.zeros((256, 640, 3)))
    least, most = paired._sides((256, 640), faces)
    usual = SIDE / EYES * np.hypot(*(faces[0, 4:6] - faces[0, 6:8]))
    assert least * 256 == pytest.approx(usual / paired.WIDER, rel=0.15) and most <= 1
    assert paired._sides((256, 640), faces[:0]) == (0.5, 1.0)


def test_pairs_that_cannot_be_used_are_named_and_the_rest_is(folders: Folders, tmp_path: Path) -> None:
    photos, drawings = tmp_path / "photos", tmp_path / "drawings"
    for source, folder in zip(folders, (photos, drawings), strict=True):
        folder.mkdir()
        for path in (source / "set").iterdir():
            (folder / path.name).symlink_to(path)
    (drawings / "3.bmp").unlink()
    cv2.imwrite(str(drawings / "3.bmp"), np.zeros((300, 300, 3), np.uint8))
    (drawings / "5.bmp").unlink()
    (drawings / "5.bmp").write_bytes(b"no picture")
    paired.prepare(photos, drawings, tmp_path / "made", Path(__file__), paired.Options())
    lines = (tmp_path / "made" / "refused.txt").read_text().splitlines()
    assert lines[0] == "3.png: is 640x256, its drawing 300x300: expected the same proportions"
    assert lines[1].startswith("5.png: its drawing 5.bmp: ") and len(lines) == 2
    assert json.loads((tmp_path / "made" / "report.json").read_text())["pairs"] == 20
    with pytest.raises(SourceError, match="20 of 22 pairs can be used, at least 21 are needed"):
        paired.prepare(photos, drawings, tmp_path / "more", Path(__file__), paired.Options(least=21))
    cv2.imwrite(str(drawings / "3.bmp"), np.zeros((640, 256, 3), np.uint8))
    with pytest.raises(SourceError, match=r"3\.png: is 640x256, its drawing 256x640: .*, and not turned; see "):
        paired.prepare(photos, drawings, tmp_path / "turned", Path(__file__), paired.Options(least=21))


def test_one_command_makes_a_style_of_pairs_and_a_second_one_does_nothing(
    folders: Folders, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command(folders, "--json")) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["name"] for event in events if event["event"] == "done"] == ["paired", "student", "style"]
    card = read_card(home / "styles" / "mine.safetensors")
    assert card.training["pairs"] == 22 and card.training["mode"] == "paired"
    assert card.training["psnr"] > card.training["psnr_of_photos"] > 0
    assert events[-1]["psnr"] == card.training["psnr"] and events[-1]["held_out"] == card.training["held_out"]
    assert "Begun from" not in card.provenance
    assert run(command(folders, "--json")) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(event["before"] for event in events if event["event"] == "done")
    assert run(command(folders)) == 0
    said = capsys.readouterr().err
    assert f"comes to {card.training['psnr']:.1f} dB to the drawings of {card.training['held_out']} photos that" in said


def test_a_style_begun_from_a_look_names_its_makers(folders: Folders, home: Path) -> None:
    assert run([*command(folders), "--set", "student.widths=(16, 32, 64)", "--set", "student.start=anime-fast"]) == 0
    start = find_style("anime-fast").card
    assert start.provenance in read_card(home / "styles" / "mine.safetensors").provenance


def test_a_plan_of_pairs_counts_them(folders: Folders, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command(folders, "--plan", "--json", "--set", "paired.pictures=21")) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["name"], row["steps"]) for row in rows] == [("paired", 21), ("student", 4), ("style", 1)]
    assert rows[0]["seconds"] > 0 and rows[1]["seconds"] > 0
    assert not any(path.is_file() for path in home.rglob("*"))


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (["--quick"], 2, "--quick and --paired are several ways: give one of them"),
        (
            ["--set", "paired.least=30"],
            4,
            "and 22 have the same name; at least 30 are needed: call each drawing as its",
        ),
        (["--set", "student.start=anime"], 1, "student.start=anime is of another shape than the student"),
        (["--set", "pairs.count=3"], 2, "stages are paired, student"),
        (["--mesh", __file__], 2, "--mesh is for standard or full training, this one is paired"),
    ],
)
def test_a_wrong_wish_is_refused_in_one_line(
    folders: Folders, home: Path, capsys: pytest.CaptureFixture[str], change: list[str], code: int, says: str
) -> None:
    assert run(command(folders, *change)) == code
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1
    assert not home.exists()


@pytest.mark.parametrize("look", open_looks.LOOKS)
def test_an_open_look_draws_whole_pictures_under_their_names(
    tmp_path: Path, look: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_pairs, "Detector", FixedDetector)
    folder = tmp_path / "in" / "a"
    folder.mkdir(parents=True)
    for seed in range(3):
        cv2.imwrite(str(folder / f"{seed}.jpg"), draw_face(seed)[:, :200, ::-1])
    assert open_pairs.make(tmp_path / "in", tmp_path / "out", look, Path(__file__), 2) == 2
    made = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert made == ["a/0.jpg.png", "a/2.jpg.png"]
    assert paired.matched(tmp_path / "in", tmp_path / "out") == [("a/0.jpg", made[0]), ("a/2.jpg", made[1])]
    first = cv2.imread(str(tmp_path / "out" / made[0]))
    eyes = float(np.hypot(*(POINTS[1] - POINTS[0]))) * first.shape[0] / 256
    assert eyes == pytest.approx(open_pairs.EYES, rel=0.15)
    assert first.shape[1] / first.shape[0] == pytest.approx(200 / 256, rel=0.01)
    photo = draw_face(0)[:, :200]
    np.testing.assert_array_equal(*(open_pairs.draw(photo, [POINTS], look) for _ in range(2)))
    assert open_pairs.draw(photo, [], look).shape[1] == open_looks.SIDE


def test_drawings_are_not_put_among_the_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The .png photos among them were replaced by their drawings."""
    monkeypatch.setattr(open_pairs, "Detector", FixedDetector)
    cv2.imwrite(str(tmp_path / "1.png"), draw_face(1))
    before = (tmp_path / "1.png").read_bytes()
    for folder in (tmp_path, tmp_path / "drawn"):
        with pytest.raises(SinkError, match="drawings would be taken for photos"):
            open_pairs.make(tmp_path, folder, "comic", Path(__file__), 2)
    assert (tmp_path / "1.png").read_bytes() == before and not (tmp_path / "drawn").exists()


def test_a_zips_names_lead_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_pairs, "Detector", FixedDetector)
    picture = cv2.imencode(".png", draw_face(1))[1].tobytes()
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for name in (f"{tmp_path}/outside.png", "c:\\a.png"):
            archive.writestr(name, picture)
    assert open_pairs.make(tmp_path / "photos.zip", tmp_path / "out", "comic", Path(__file__), 5) == 2
    made = list(tmp_path.rglob("*.png.png"))
    assert len(made) == 2 and all(path.is_relative_to(tmp_path / "out") for path in made)


def test_every_face_of_a_picture_is_drawn_as_the_look_bends_it() -> None:
    """Only the largest was, and a second one was learned as if the look left faces as they are."""
    two = np.concatenate([draw_face(1), draw_face(2)], 1)
    other = POINTS + np.float32([256, 0])
    alone, both = (open_looks.comic(two, faces, None) for faces in ([POINTS], [POINTS, other]))
    gap = np.abs(alone.astype(int) - both).mean(-1)
    assert gap[:, 300:480].mean() > 3 and gap[:, :160].mean() < 0.5


def test_of_few_pairs_three_are_held_out_and_without_faces_there_is_nothing_to_learn(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paired.prepare(*folders, tmp_path / "made", Path(__file__), paired.Options(held=0.01))
    assert (paired.load(tmp_path / "made", "held").kind == FACE).sum() == paired.HELD
    with pytest.raises(UsageError, match="is given as photos and as drawings"):
        paired.check(folders[0], folders[0], paired.Options())
    monkeypatch.setattr(SceneDetector, "__call__", lambda *_: np.zeros((0, 15), np.float32))
    with pytest.raises(SourceError, match="no face was found in 22 photos"):
        paired.prepare(*folders, tmp_path / "none", Path(__file__), paired.Options())


def test_how_near_a_student_comes_is_measured_on_those_held_out(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paired.prepare(*folders, tmp_path / "made", Path(__file__), paired.Options())
    asked: list[int] = []

    def perfect(_: Path, faces: np.ndarray, __: torch.device) -> np.ndarray:
        asked.append(len(faces))
        return negative(faces)

    monkeypatch.setattr(student, "drawn", perfect)
    near = student.nearness(tmp_path / "none", tmp_path / "made", torch.device("cpu"))
    assert asked == [near["held_out"]] == [len(paired.load(tmp_path / "made", "held").kind)]
    assert near["psnr"] > 30 > near["psnr_of_photos"] + 10
    paired.prepare(*folders, tmp_path / "all", Path(__file__), paired.Options(held=0.0))
    assert student.nearness(tmp_path / "none", tmp_path / "all", torch.device("cpu")) == {}


@pytest.mark.slow
def test_a_look_is_learned_from_pairs_of_real_photos(shared: Callable[[str], Path], home: Path, tmp_path: Path) -> None:
    """Drawn by code, learned in a few hundred steps: nearer to the drawings of strangers by far than their photos."""
    detector, people = shared("weights/yunet_n_dynamic.onnx"), shared("photos/london_canada_ccby4")
    assert open_pairs.make(people, tmp_path / "comic", "comic", detector, 80) == 80
    words = ["train", "ink", "--photos", str(people), "--exemplars", str(tmp_path / "comic"), "--paired"]
    words += ["--detector", str(detector), "--device", "cpu", "--set", "student.steps=300", "--set", "student.ema=0.98"]
    assert run([*words, "--set", "student.crops.pairs=2"]) == 0
    card = read_card(home / "styles" / "ink.safetensors")
    assert card.training["psnr"] > card.training["psnr_of_photos"] + 1.5
    assert ways.START in card.provenance
