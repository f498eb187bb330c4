"""The measures of a look: each must fall where what it measures is worse."""

import json
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from faces import POINTS, FixedMesh
from media import make_clip

from training import contact, evaluate, landmarks
from training.alignment import alignment
from training.data import EYES, SIDE
from training.evaluate import gradient_similarity, psnr
from training.sweeps import (
    PARTS,
    SWEEP,
    Look,
    aligned,
    at_scale,
    clarity,
    closeup,
    colour_sharpness,
    drawn,
    middle,
    part_sharpness,
    sharpness,
    soft,
)


def canvas(seed: int = 0, side: int = 2 * SIDE) -> np.ndarray:
    """uint8 [side, side, 3]: large soft shapes, which survive a change of size."""
    small = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
    return np.clip(cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC), 0, 255)


def half(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def drawing(offset: int = 0, lines: int = 6, width: int = 2) -> np.ndarray:
    paper = np.full((SIDE, SIDE, 3), 255, np.uint8)
    for i in range(lines):
        cv2.circle(paper, (SIDE // 2 + offset, SIDE // 2), 20 + 22 * i, (30, 30, 30), width, cv2.LINE_AA)
    return paper


def same(image: np.ndarray) -> np.ndarray:
    return image


@pytest.mark.parametrize("eyes", [24, 68, 136, 200])
def test_a_look_that_changes_nothing_is_the_same_at_every_size(eyes: int) -> None:
    sides = []

    def seen(image: np.ndarray) -> np.ndarray:
        sides.append(image.shape)
        return image

    result = at_scale(seen, canvas(), eyes)
    assert result.shape == (SIDE, SIDE, 3)
    assert sides[0][0] == sides[0][1] == pytest.approx(SIDE * eyes / EYES, abs=8)
    assert psnr(result, half(canvas())) > 34


def test_a_look_that_fails_on_small_faces_is_found_by_the_sweep() -> None:
    def large_only(image: np.ndarray) -> np.ndarray:
        return 255 - image if image.shape[0] >= SIDE else image

    wanted = middle(large_only(half(canvas())))
    at_best, small = (psnr(middle(at_scale(large_only, canvas(), eyes)), wanted) for eyes in (68, 34))
    assert at_best > 40 and small < 15


def test_a_look_that_fails_on_bodies_is_found_in_closeups() -> None:
    def pale(image: np.ndarray) -> np.ndarray:
        result = image.copy()
        result[len(image) * 3 // 4 :] = 255
        return result

    wanted = half(canvas())
    (whole, body), (least, none) = (closeup(run, canvas(), wanted) for run in (same, pale))
    assert min(whole, body) > 45 > 25 > least > none + 5


def draws_lines(width: float) -> Look:
    """A look that draws the same bars at every size of the picture, their edges ``width`` pixels wide."""

    def run(image: np.ndarray) -> np.ndarray:
        at = np.arange(len(image)) / len(image)
        steps = sum(
            np.tanh((at - edge) * len(image) / width) * (-1) ** n for n, edge in enumerate((0.3, 0.4, 0.6, 0.7))
        )
        return np.repeat((128 + 60 * steps)[None, :, None], len(image), 0).repeat(3, 2).round().astype(np.uint8)

    return run


def test_edges_as_steep_at_every_size_are_as_clear() -> None:
    canvas = np.zeros((2 * SIDE, 2 * SIDE, 3), np.uint8)
    clear = [clarity(drawn(draws_lines(1.5), canvas, eyes), eyes) for eyes in SWEEP]
    assert max(clear) < 1.15 * min(clear)
    grows = [
        clarity(drawn(draws_lines(1.5 * eyes / EYES), canvas, eyes), eyes) for eyes in SWEEP[3:]
    ]  # an enlarged drawing
    assert all(large < 0.6 * small for small, large in pairwise(grows))
    assert drawn(draws_lines(1.5), canvas, 136).shape == (2 * SIDE, 2 * SIDE, 3)


def test_a_soft_picture_is_softer_and_no_darker() -> None:
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    assert sharpness(soft(image)) < 0.1 * sharpness(image)
    assert soft(image).mean() == pytest.approx(image.mean(), abs=1)


def test_a_mesh_is_no_sharpness() -> None:
    image, mesh = drawing(), np.indices((SIDE, SIDE)).sum(0)[..., None] % 2
    meshed = np.clip(image.astype(int) - 20 * mesh, 0, 255).astype(np.uint8)
    assert sharpness(meshed) == pytest.approx(sharpness(image), rel=0.1)
    assert cv2.Laplacian(meshed, cv2.CV_64F).var() > 1.3 * cv2.Laplacian(image, cv2.CV_64F).var()  # would have been


def test_coloured_specks_are_told_from_lines() -> None:
    image = np.full((SIDE, SIDE, 3), 128, np.uint8)
    image[:, ::12] = 90  # grey lines
    specked = image.copy()
    specked[::16, ::12] = (90 + 60, 90 - 35, 90 + 16)  # as light as before
    assert colour_sharpness(image) < 1e-6
    assert colour_sharpness(specked) > 1
    assert sharpness(specked) == pytest.approx(sharpness(image), rel=0.01)


@pytest.mark.parametrize(("part", "places"), [("eyes", [(-0.5, -0.6), (0.5, -0.6)]), ("mouth", [(0, 0.4)])])
def test_eyes_and_mouth_are_measured_where_faces_have_them(part: str, places: list[tuple[float, float]]) -> None:
    image = np.full((SIDE, SIDE, 3), 128, np.uint8)
    for across, down in places:
        cv2.circle(image, (round(SIDE / 2 + across * EYES), round(SIDE / 2 + down * EYES)), 8, (0, 0, 0), 2)
    found = {name: part_sharpness(image, name) for name in PARTS}
    assert found.pop(part) > 10 and not any(found.values())
    rows, columns = PARTS[part]
    image[rows, columns] = 128
    assert sharpness(image) == 0  # they lay wholly inside


def test_lines_count_and_paper_does_not() -> None:
    wanted = drawing()
    assert gradient_similarity(wanted, wanted) == pytest.approx(1)
    bare = np.full_like(wanted, 255)
    moved, fewer, softer = drawing(3), drawing(lines=3), cv2.GaussianBlur(wanted, (0, 0), 4)
    found = [gradient_similarity(x, wanted) for x in (moved, fewer, softer, bare)]
    assert max(found) < 0.9 and min(found) == found[-1]
    assert gradient_similarity(bare, bare) == 1


def test_the_aligned_face_is_that_of_the_alignment() -> None:
    """A person whose five points are known is cut out alike by `training.alignment.alignment`."""
    points = np.array([[-34, -41], [34, -41], [0, 0], [-31, 27], [31, 27]], float) + SIDE / 2  # of many portraits
    expected = cv2.warpAffine(half(canvas(1)), alignment(points, 256), (256, 256), flags=cv2.INTER_CUBIC)
    assert psnr(aligned(half(canvas(1))), expected) > 36


def test_a_sheet_has_a_column_for_each_person_from_dark_to_light(tmp_path: Path) -> None:
    people = [np.full((2 * SIDE, 2 * SIDE, 3), level, np.uint8) for level in (200, 40, 120)]
    contact.people(same, lambda image: 255 - image, people, tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None and sheet.shape == (6 * (SIDE - 96), 3 * (SIDE - 96), 3)
    tops = sheet[10, 20 :: SIDE - 96, 0]
    assert tops.tolist() == [40, 120, 200]
    assert sheet[SIDE - 86, 20, 0] == 255 - 40  # the teacher's row


def test_a_sheet_of_scenes_has_a_row_for_each_clip(tmp_path: Path) -> None:
    clips = [
        make_clip(tmp_path / f"{n}.mp4", pts=[i * 512 for i in range(4)], size=size).path
        for n, size in enumerate([(320, 192), (192, 320)])
    ]
    contact.scenes(same, same, clips, tmp_path / "scenes.png", at=3)
    sheet = cv2.imread(str(tmp_path / "scenes.png"))
    assert sheet is not None and sheet.shape[1] == 3 * contact.WIDTH
    thirds = np.split(sheet.astype(int), 3, axis=1)
    assert all(np.abs(third - thirds[0]).mean() < 3 for third in thirds)


def test_a_blind_page_holds_both_results_of_every_person(tmp_path: Path) -> None:
    people = [np.full((2 * SIDE, 2 * SIDE, 3), level, np.uint8) for level in (200, 40)]
    contact.blind(same, lambda image: 255 - image, people, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    data = json.loads(page.partition('type="application/json">')[2].partition("</script>")[0])
    assert data["methods"] == ["student", "teacher"]
    assert data["results"][0] == data["photos"] and len(data["results"][1]) == 2
    assert data["results"][1] != data["photos"]


def test_expressions_are_those_of_the_photos_where_a_look_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in sees eyes as open as the picture is bright: one look keeps that, the other turns it about."""
    monkeypatch.setattr(landmarks, "FaceMesh", FixedMesh)
    monkeypatch.setattr(evaluate, "look", lambda style: (lambda x: x) if style == "keeps" else (lambda x: 255 - x))
    photos = [(np.full((300, 300, 3), level, np.uint8), POINTS) for level in (40, 90, 150, 220)]
    found = evaluate.expressions("keeps", "turns", photos, tmp_path / "mesh")  # type: ignore[arg-type]
    assert (found["mouth open (r)"], found["mouth open (r) teacher"]) == (1.0, -1.0)
    assert found["eyes open (r)"] == 1.0 and found["eyes open (r) teacher"] < 1  # one is always twice as open
