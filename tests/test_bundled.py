"""The looks that come with the package: their cards, their sizes, and that each is really its teacher's look."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage

import vidstyle
from training import open_looks, open_pairs
from vidstyle.catalog import find_style
from vidstyle.engine import EngineSpec, Recipe, load_engine
from vidstyle.importer import import_published
from vidstyle.network import flops_per_pixel
from vidstyle.style import Style

PUBLISHED = ["3d", "anime", "artstyle", "design", "handdrawn", "illustration", "sketch"]
FAST = "-fast"
LOOKS = [name for look in PUBLISHED for name in (look, look + FAST)]
OPEN = [name for look in open_looks.LOOKS for name in (look, look + FAST)]  # learned from what it draws
FACE = np.array([[155, 150], [218, 155], [183, 191], [153, 213], [210, 217]], np.float32)  # five points in `portrait`
HEAD = (slice(24, 232), slice(72, 280))  # rows and columns of the head in `portrait`


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """A woman's head and shoulders that no training has seen, about 70 pixels between the eyes: uint8 RGB."""
    path = Path(skimage.__file__).parent / "data" / "astronaut.png"
    image = cv2.imread(str(path))
    assert image is not None
    return cv2.resize(image[:220, 100:340, ::-1], None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC)


def styled(style: Style, image: np.ndarray) -> np.ndarray:
    with load_engine(Recipe(((style, 1.0),)), EngineSpec(*image.shape[:2], precision="f32")) as engine:
        return engine(np.ascontiguousarray(image)[None])[0]


def test_these_are_the_looks() -> None:
    assert sorted(path.stem for path in (Path(vidstyle.__file__).parent / "styles").iterdir()) == sorted(LOOKS + OPEN)


@pytest.mark.parametrize("look", LOOKS)
def test_the_card_says_whose_work_it_is(look: str) -> None:
    style = find_style(look)
    assert style.card.licence == "Apache-2.0"
    teacher = f"the {look.removesuffix(FAST)} network of DCT-Net"
    for name in (teacher, "Alibaba DAMO Academy", "DeBruine & Jones", "CC BY 4.0"):
        assert name in style.card.provenance
    assert style.card.training["by"] == "training/distill.py"


@pytest.mark.parametrize("look", OPEN)
def test_the_card_of_an_open_look_says_whose_portraits_and_weights_it_began_with(look: str) -> None:
    card = find_style(look).card
    assert card.licence == "Apache-2.0" and card.training["mode"] == "paired"
    for name in ("training/open_looks.py", "DeBruine & Jones", "CC BY 4.0", "artstyle", "Alibaba DAMO Academy"):
        assert name in card.provenance
    assert card.training["psnr"] > card.training["psnr_of_photos"] + 3 and card.training["held_out"] > 20


@pytest.mark.parametrize("look", OPEN)
def test_an_open_look_is_as_the_code_draws_it(portrait: np.ndarray, look: str) -> None:
    """Nearer to the drawing by far than the photo is, and with its lines: darker, where the photo has none."""
    wanted = cv2.resize(open_pairs.draw(portrait, [FACE], look.removesuffix(FAST)), portrait.shape[1::-1])
    found = styled(find_style(look), portrait)
    near, far = (cv2.PSNR(image[HEAD].copy(), wanted[HEAD].copy()) for image in (found, portrait))
    assert near > 17 and near > far + 1.5, (near, far)
    ink, photo, drawn = (
        cv2.cvtColor(image[HEAD], cv2.COLOR_RGB2GRAY).astype(int) for image in (wanted, portrait, found)
    )
    lines = photo - ink > 60
    assert (photo[lines] - drawn[lines]).mean() > 30, (photo[lines] - drawn[lines]).mean()


@pytest.mark.parametrize("look", LOOKS + OPEN)
@pytest.mark.parametrize("colour", [(40, 170, 90), (230, 40, 40), (60, 90, 200), (128, 128, 128)], ids=str)
def test_a_wall_of_one_colour_has_no_mesh(look: str, colour: tuple[int, ...]) -> None:
    """Pixels are worked on 4 by 4, and green screens are common."""
    wall = np.full((192, 192, 3), colour, np.uint8)
    found = styled(find_style(look), wall)[64:128, 64:128]
    assert found.astype(float).std((0, 1)).max() < 2


@pytest.mark.parametrize("look", LOOKS + OPEN)
def test_it_is_small(look: str) -> None:
    style = find_style(look)
    assert style.path is not None and style.path.stat().st_size <= 1_500_000
    assert flops_per_pixel(style.card.architecture) <= (6_000 if look.endswith(FAST) else 16_000)


@pytest.mark.parametrize("look", LOOKS)
def test_it_draws_a_face_as_its_teacher_does(portrait: np.ndarray, shared, look: str) -> None:
    teacher = import_published(shared(f"teachers/{look.removesuffix(FAST)}.tflite"), "teacher")
    wanted, found = styled(teacher, portrait), styled(find_style(look), portrait)
    near, far = cv2.PSNR(found[HEAD].copy(), wanted[HEAD].copy()), cv2.PSNR(portrait[HEAD].copy(), wanted[HEAD].copy())
    assert near > 19 and near > far + 3, (near, far)


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("light", [(1.0, 0.9, 0.7), (0.75, 0.95, 1.0)], ids=["warm", "cold"])
def test_under_another_lamp_it_draws_what_its_teacher_does(
    portrait: np.ndarray, shared, look: str, light: tuple[float, ...]
) -> None:
    """A cast of the source is kept, or not, as by the teacher: mean difference in Lab over the head."""
    teacher = import_published(shared(f"teachers/{look.removesuffix(FAST)}.tflite"), "teacher")
    tinted = (portrait * np.array(light)).round().astype(np.uint8)
    wanted, found = (lab(styled(style, tinted)[HEAD]) for style in (teacher, find_style(look)))
    assert np.abs(found.mean((0, 1)) - wanted.mean((0, 1))).max() < 3.5


def lab(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)


def test_a_sketch_has_no_colour(portrait: np.ndarray) -> None:
    found = styled(find_style("sketch"), portrait).astype(int)
    assert np.abs(found.max(-1) - found.min(-1)).mean() < 8  # of 255; the portrait's own is 28


def test_it_cleans_the_skin_and_keeps_the_scene(portrait: np.ndarray) -> None:
    found = styled(find_style("anime"), portrait)

    def texture(image: np.ndarray) -> float:
        cheek = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[175:195, 150:180]
        return float(cv2.Laplacian(cheek, cv2.CV_64F).std())

    assert texture(found) < texture(portrait)
    edges = [cv2.Canny(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), 60, 160) for image in (portrait, found)]
    near = cv2.dilate(edges[1], np.ones((7, 7), np.uint8))
    assert (near[edges[0] > 0] > 0).mean() > 0.35  # outlines are where they were
