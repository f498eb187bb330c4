"""Measures against references written here, and the page of the preference study."""

from __future__ import annotations

import csv
import json
import re
import warnings
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from faces import FixedMesh, dense_points, draw_face, drawn_as, write_crops
from style_files import write_style

from training import compare, landmarks, measures, openness, preference
from training.measures import Space, distances, frechet, identity, kid, space, statistics
from training.world import TrainingError
from vidstyle.errors import SourceError


def normal(seed: int, count: int, size: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, size)) @ rng.standard_normal((size, size)) + rng.standard_normal(size)


def test_the_frechet_distance_is_that_of_its_formula() -> None:
    a, b = normal(0, 300, 6), normal(1, 200, 6)
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    product = torch.linalg.eigvals(torch.from_numpy(cov_a @ cov_b)).sqrt().sum().real
    want = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b) - 2 * float(product)
    assert frechet(a, b) == pytest.approx(want, rel=1e-9)
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet(a, a + 2) == pytest.approx(4 * 6, rel=1e-9)  # a pure shift counts squared


def test_a_single_picture_cannot_be_compared() -> None:
    one, more = np.zeros((1, 32, 32, 3), np.uint8), np.zeros((2, 32, 32, 3), np.uint8)
    for a, b in ((one, more), (more, one)):
        with pytest.raises(TrainingError, match="at least 2"):
            distances(a, b, space(None))


def test_frechet_of_fewer_pictures_than_dimensions_is_finite() -> None:
    few = normal(0, 8, 30)
    assert frechet(few, few) == pytest.approx(0, abs=1e-3)
    assert np.isfinite(frechet(few, normal(1, 9, 30)))


def test_kid_is_the_unbiased_mean_over_pairs() -> None:
    a, b = normal(0, 7, 4), normal(1, 5, 4)

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / 4 + 1) ** 3)

    aa = np.mean([kernel(x, y) for i, x in enumerate(a) for j, y in enumerate(a) if i != j])
    bb = np.mean([kernel(x, y) for i, x in enumerate(b) for j, y in enumerate(b) if i != j])
    ab = np.mean([kernel(x, y) for x in a for y in b])
    assert kid(a, b) == pytest.approx(aa + bb - 2 * ab, rel=1e-9)


@pytest.fixture(scope="module")
def sets() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Photos, the look's exemplars of other people, and the photos in the look."""
    photos = np.stack([draw_face(seed, 64) for seed in range(24)])
    exemplars = np.stack([drawn_as(draw_face(100 + seed, 64)) for seed in range(40)])
    return photos, exemplars, np.stack([drawn_as(photo) for photo in photos])


def test_the_offline_distance_falls_when_the_look_is_met(sets: tuple[np.ndarray, ...]) -> None:
    photos, exemplars, styled = sets
    where = space(None)
    before, after = distances(photos, exemplars, where), distances(styled, exemplars, where)
    assert where.name == "FD-statistics" and "FID" not in " ".join(before)
    for name in before:
        assert after[name] < 0.5 * before[name]
    assert statistics(photos).shape == (24, 36)


def test_identity_tells_people_apart_through_a_look(sets: tuple[np.ndarray, ...]) -> None:
    photos, _, styled = sets
    found = identity(photos, styled)
    assert found["ID same (layout)"] > found["ID other (layout)"] + 0.1
    assert found["ID first (layout)"] > 0.25  # by chance 0.04
    wrong = identity(photos, np.roll(styled, 1, 0))
    assert wrong["ID same (layout)"] < found["ID same (layout)"] and wrong["ID first (layout)"] < 0.15


def test_inception_is_taken_from_a_script_and_named_fid(tmp_path: Path) -> None:
    class Fake(torch.nn.Module):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.size = size

        def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
            assert return_features and x.dtype == torch.uint8
            return x.float().flatten(1)[:, : self.size]

    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    for size in (2048, 100):
        with warnings.catch_warnings(action="ignore"):  # the published file is of this kind, whatever torch says of it
            torch.jit.script(Fake(size)).save(str(tmp_path / f"{size}.pt"))
    where = space(tmp_path / "2048.pt")
    want = images.transpose(0, 3, 1, 2).reshape(20, -1)[:, :2048]
    assert where.name == "FID"
    np.testing.assert_array_equal(where.features(images), want)
    with pytest.raises(TrainingError, match="expected 2048"):
        space(tmp_path / "100.pt").features(images)


def test_networks_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no network"):
        space(tmp_path / "none.pt")
    (tmp_path / "bad.safetensors").write_bytes(b"bad")
    with pytest.raises(TrainingError):
        space(tmp_path / "bad.safetensors")


def test_a_look_that_only_sees_upright_faces_loses_in_the_sweep() -> None:
    faces = np.stack([draw_face(seed, 64) for seed in range(3)])

    def steady(image: np.ndarray) -> np.ndarray:
        return 255 - image

    def upright_only(image: np.ndarray) -> np.ndarray:
        return np.where(np.arange(64)[:, None, None] < 32, image, 255 - image).astype(np.uint8)

    settings = [(0.0, 1.0), (90.0, 1.0), (0.0, 0.7)]
    good, bad = measures.sweep(steady, faces, settings), measures.sweep(upright_only, faces, settings)
    assert good[0] > 60 and bad[0] > 60
    assert good[1] > bad[1] + 5


def test_a_comparison_writes_its_table_sheet_and_page(tmp_path: Path) -> None:
    photos = np.stack([draw_face(seed, 64) for seed in range(8)])
    write_crops(tmp_path / "crops" / "photos", photos, held=5)
    write_crops(tmp_path / "crops" / "exemplars", np.stack([drawn_as(photo) for photo in photos]))
    styles = {name: write_style(tmp_path / f"{name}.safetensors", seed=i) for i, name in enumerate(("one", "two"))}
    rows = compare.compare(tmp_path, styles, 5, space(None), None)
    assert list(rows) == ["photos", "one", "two"]
    assert rows["photos"]["ID same (layout)"] == 1.0
    table = (tmp_path / "evaluation" / "table.md").read_text()
    assert "FD-statistics" in table and "| two |" in table and "90 degrees" in table
    kept = json.loads((tmp_path / "evaluation" / "figures.json").read_text())
    assert kept["rows"] == rows and kept["pictures"] == 5
    assert (tmp_path / "evaluation" / "sheet.png").exists()


def test_how_open_eyes_and_mouths_are_is_compared_where_there_is_a_mesh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landmarks, "FaceMesh", FixedMesh)
    photos = np.stack([draw_face(seed, 64) for seed in range(8)])
    write_crops(tmp_path / "crops" / "photos", photos, held=5)
    write_crops(tmp_path / "crops" / "exemplars", np.stack([drawn_as(photo) for photo in photos]))
    styles = {"one": write_style(tmp_path / "one.safetensors")}
    rows = compare.compare(tmp_path, styles, 5, space(None), None, mesh=tmp_path / "mesh")
    assert rows["photos"]["eyes open (r)"] == 1.0 and rows["photos"]["mouth open (r)"] == 1.0
    assert -1 <= rows["one"]["eyes open (r)"] < 1
    assert "mouth open (r)" in (tmp_path / "evaluation" / "table.md").read_text()


def test_all_eyes_widened_alike_are_as_open_as_the_photos() -> None:
    shares = np.random.default_rng(0).uniform(0.1, 0.6, (30, 3))
    faces, wider, others = (
        np.stack([dense_points(tuple(row)) for row in rows]) for rows in (shares, shares * 1.4 + 0.05, shares[::-1])
    )
    wider[3] = np.nan
    assert openness.kept(faces, wider) == {"eyes open (r)": 1.0, "mouth open (r)": 1.0}
    mixed = openness.kept(faces, others)
    expected = [
        np.corrcoef(shares[:, :2].ravel(), shares[::-1, :2].ravel()),
        np.corrcoef(shares[:, 2], shares[::-1, 2]),
    ]
    assert list(mixed.values()) == [pytest.approx(r[0, 1], abs=1e-3) for r in expected]
    assert openness.kept(faces[:1], wider[3:4]) == {"eyes open (r)": 0.0, "mouth open (r)": 0.0}


def test_the_page_holds_both_questions_and_no_method_is_shown(tmp_path: Path) -> None:
    photos = np.stack([draw_face(seed, 32) for seed in range(3)])
    methods = {"</script><b>x": photos, "second": photos}
    preference.write(tmp_path / "page.html", photos, methods, ["a", "b", "c"])
    page = (tmp_path / "page.html").read_text()
    data = json.loads(re.search(r'type="application/json">(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
    assert data["questions"] == preference.QUESTIONS and data["methods"] == list(methods)
    assert len(data["results"]) == 2 and all(len(made) == 3 for made in data["results"])
    assert page.count("</script>") == 2 and "http" not in page  # nothing breaks out, nothing is fetched


def test_answers_of_several_people_are_counted(tmp_path: Path) -> None:
    head = ["person", "study", "picture", "chosen", "place", "shown"]
    answers = [["A", "x"], ["A", "x"], ["A", "y"], ["B", "y"]]
    for person in range(2):
        with open(tmp_path / f"{person}.csv", "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(head)
            rows.writerows([[person, study, 0, chosen, 1, "x;y;z"] for study, chosen in answers])
    found = preference.tally(sorted(tmp_path.glob("*.csv")))
    assert found == {
        "x": {"Pref. A": 66.7, "Pref. B": 0.0},
        "y": {"Pref. A": 33.3, "Pref. B": 100.0},
        "z": {"Pref. A": 0.0, "Pref. B": 0.0},
    }


def test_counting_is_a_command_and_refuses_other_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text('"person","study","picture","chosen","place","shown"\r\n"1","A","0","x","1","x;y"\r\n')
    bad.write_text("a,b\n1,2\n")
    with patch("sys.argv", ["preference", str(good)]):
        preference.main()
    assert capsys.readouterr().out.splitlines() == ["| | Pref. A |", "|---|---|", "| x | 100.0 |", "| y | 0.0 |"]
    for content in (b"a,b\n1,2\n", b"\xff\xfe\x00", good.read_bytes().replace(b'"A"', b'"C"')):
        bad.write_bytes(content)
        with pytest.raises(SourceError, match=r"bad\.csv is not answers"):
            preference.tally([good, bad])


def test_a_table_has_a_column_for_every_figure() -> None:
    text = measures.table({"a": {"x": 1.0}, "b": {"x": 2.0, "y": 3.0}})
    assert text.splitlines() == ["| | x | y |", "|---|---|---|", "| a | 1.0 |  |", "| b | 2.0 | 3.0 |"]


def test_a_space_is_a_name_and_a_function() -> None:
    where = Space("mine", lambda images: images.reshape(len(images), -1)[:, :3].astype(float))
    images = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 3), np.uint8)
    assert distances(images, images, where)["mine"] == pytest.approx(0, abs=1e-3)
