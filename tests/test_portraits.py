"""Pictures in, aligned portraits out: what is taken, what is refused and why, and where the points land."""

from __future__ import annotations

import errno
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
from faces import POINTS, draw_face

from training import pictures, portraits
from training.alignment import aligned, alignment
from training.detector import FIT, Detector, detector_file
from training.pictures import fingerprint, read_all
from training.portraits import DRAWN, Options, fault, load, prepare
from vidstyle.errors import Interrupted, SourceError

Found = dict[int, np.ndarray]


def row(points: np.ndarray, width: float = 150) -> np.ndarray:
    """One face as YuNet gives it."""
    return np.concatenate([[50, 60, width, width * 1.3], points.reshape(-1), [0.95]]).astype(np.float32)


class FixedDetector:
    """Stands in for YuNet: every picture has one face, its points as drawn, by the picture's size."""

    def __init__(self, *_: object) -> None: ...

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return row(POINTS * (image.shape[0] / 256), 0.6 * image.shape[1])[None]


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(portraits, "Detector", FixedDetector)
    path = Path(__file__)  # any file: it is not read
    return path


def save(folder: Path, count: int, side: int = 256) -> Path:
    folder.mkdir(exist_ok=True)
    for seed in range(count):
        cv2.imwrite(str(folder / f"{seed:03d}.png"), draw_face(seed, side)[..., ::-1])
    return folder


def test_points_land_where_ffhq_has_them() -> None:
    _, at = aligned(draw_face(0, 512), POINTS * 2)
    eyes, mouth = at[:2].mean(0), at[3:].mean(0)
    assert at[0, 1] == pytest.approx(at[1, 1], abs=0.01)
    across, down = float(at[1, 0] - at[0, 0]), float(mouth[1] - eyes[1])
    assert max(across * 4, down * 3.6) == pytest.approx(256, rel=1e-3)  # of the quadrangle's two sizes the larger
    assert (eyes + 0.1 * (mouth - eyes)).tolist() == pytest.approx([128, 128], abs=0.01)


@pytest.mark.parametrize("angle", [-40, 25])
def test_alignment_undoes_turns_and_scales(angle: float) -> None:
    warp = cv2.getRotationMatrix2D((300, 200), angle, 1.7)
    moved = POINTS @ warp[:, :2].T + warp[:, 2]
    straight, back = (alignment(points) for points in (POINTS, moved))
    np.testing.assert_allclose(
        moved @ back[:, :2].T + back[:, 2], POINTS @ straight[:, :2].T + straight[:, 2], atol=1e-3
    )


def test_the_crop_shows_what_its_points_say() -> None:
    """A face drawn large and the same drawn small give nearly the same crop."""
    large, _ = aligned(draw_face(3, 1024), POINTS * 4)
    small, _ = aligned(draw_face(3, 256), POINTS)
    soft = [cv2.GaussianBlur(crop, (0, 0), 3).astype(float) for crop in (large, small)]
    assert np.abs(soft[0] - soft[1]).mean() < 4


def test_each_fault_has_its_reason() -> None:
    image, options = draw_face(0), Options()
    assert fault(image, row(POINTS)[None], options) == ""
    assert fault(image, np.zeros((0, 15)), options) == "no face found"
    assert fault(image, np.stack([row(POINTS), row(POINTS, 120)]), options) == "several faces"
    assert fault(image, np.stack([row(POINTS), row(POINTS, 60)]), options) == ""
    assert "too small (19 px" in fault(image, row(POINTS * 0.3)[None], options)
    turned = POINTS + np.array([[0, 0], [0, 0], [28, 0], [0, 0], [0, 0]], np.float32)
    assert fault(image, row(turned)[None], options) == "face turned away"
    assert "blurred" in fault(cv2.GaussianBlur(image, (0, 0), 6), row(POINTS)[None], options)
    assert fault(cv2.GaussianBlur(image, (0, 0), 1.0), row(POINTS)[None], DRAWN) == ""


@pytest.mark.parametrize("shape", [(1, 5000, 3), (5000, 1, 3)])
def test_a_banner_is_a_picture_without_a_face(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them among thousands of photos ended the training."""
    net = Mock()
    net.detect.return_value = 0, None
    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *_: net)
    assert len(Detector(Path("yunet.onnx"), 0.8)(np.zeros(shape, np.uint8))) == 0
    assert sorted(net.setInputSize.call_args.args[0]) == [1, FIT]


def test_a_folder_becomes_crops_a_split_and_a_report(tmp_path: Path, detector: Path) -> None:
    source = save(tmp_path / "in", 30)
    (source / "note.txt").write_text("no picture")
    (source / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut short")
    seen: list[int] = []
    report = prepare(source, tmp_path / "out", detector, Options(), lambda done, of, _: seen.append(of - done))
    assert report["kept"] == 30 and list(report["refused"]) == ["broken.jpg"]  # type: ignore[call-overload]
    assert "broken.jpg: " in (tmp_path / "out.refused.txt").read_text()
    assert seen == list(range(30, -1, -1))
    train, held = load(tmp_path / "out"), load(tmp_path / "out", "held")
    assert train.faces.dtype == np.uint8 and train.faces.shape[1:] == (256, 256, 3)
    assert train.landmarks.shape == (len(train), 5, 2) and not set(train.names) & set(held.names)
    assert len(train) + len(held) == 30 and len(held) >= 1
    small = load(tmp_path / "out", "train", side=64)
    np.testing.assert_allclose(small.landmarks, train.landmarks / 4)
    assert small.faces.shape[1:] == (64, 64, 3)
    assert cv2.imread(str(tmp_path / "out" / "sheet.png")) is not None
    assert json.loads((tmp_path / "out" / "report.json").read_text())["kept"] == 30


@pytest.mark.parametrize("zipped", [False, True])
def test_what_was_found_before_a_stop_is_not_looked_for_again(tmp_path: Path, detector: Path, zipped: bool) -> None:
    source = save(tmp_path / "in", 24)
    (source / "003.png").write_bytes(b"broken")
    if zipped:
        with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
            for path in sorted(source.iterdir()):
                archive.write(path, path.name)
        source = tmp_path / "in.zip"
    straight = prepare(source, tmp_path / "straight", detector, Options())

    def stop(done: int, *_: object) -> None:
        if done == 10:
            raise Interrupted(130)

    with pytest.raises(Interrupted):
        prepare(source, tmp_path / "out", detector, Options(), stop)
    assert not (tmp_path / "out").exists()
    looked: list[int] = []
    assert prepare(source, tmp_path / "out", detector, Options(), lambda done, *_: looked.append(done)) == straight
    assert looked == list(range(11, 25))
    assert not (tmp_path / "out.begun.npz").exists()
    for part in ("train", "held"):
        one, other = (load(tmp_path / name, part) for name in ("straight", "out"))
        assert one.names == other.names and np.array_equal(one.faces, other.faces)
        assert np.array_equal(one.landmarks, other.landmarks)


def test_what_was_found_in_other_pictures_or_is_damaged_is_not_taken_up(tmp_path: Path, detector: Path) -> None:
    def stop(done: int, *_: object) -> None:
        if done == 5:
            raise KeyboardInterrupt

    def stopped() -> Path:
        with pytest.raises(KeyboardInterrupt):
            prepare(source, tmp_path / "out", detector, Options(), stop)
        return tmp_path / "out.begun.npz"

    source = save(tmp_path / "in", 21)
    for spoil in (
        lambda begun: begun.write_bytes(begun.read_bytes()[:200]),
        lambda _: cv2.imwrite(str(source / "000a.png"), draw_face(99, 256)),
    ):
        spoil(stopped())
        looked: list[int] = []
        prepare(source, tmp_path / "out", detector, Options(), lambda done, *_, to=looked: to.append(done))
        assert looked[0] == 1 and looked[-1] == len(looked)


def test_a_name_may_be_no_text(tmp_path: Path, detector: Path) -> None:
    """As of pictures that came from a disk with another encoding."""
    source = save(tmp_path / "in", 20)
    (source / "000.png").rename(source / os.fsdecode(b"caf\xe9.png"))
    (source / os.fsdecode(b"b\xe9.png")).write_bytes(b"nothing")
    assert fingerprint(source)
    assert prepare(source, tmp_path / "out", detector, Options())["kept"] == 20
    assert (tmp_path / "out.refused.txt").read_bytes().startswith(b"b\xe9.png: ")
    names = [name for part in ("train", "held") for name in load(tmp_path / "out", part).names]
    assert os.fsdecode(b"caf\xe9.png") in names


def test_pictures_of_every_kind_are_read_or_refused_by_name(tmp_path: Path, detector: Path) -> None:
    """AVIF, GIF and HEIC were not even counted."""
    image = pytest.importorskip("PIL.Image").fromarray(draw_face(30))
    source = save(tmp_path / "in", 2)
    for name in ("still.gif", "still.avif", "jpeg.jfif"):
        image.save(source / name, "jpeg" if name.endswith("jfif") else None)
    for name in ("moving.gif", "moving.avif"):
        image.save(source / name, save_all=True, append_images=[image.rotate(9)])
    (source / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    assert pictures.count(source) == 8
    report = prepare(source, tmp_path / "out", detector, Options(least=1))
    assert report["kept"] == 5
    refused = dict(report["refused"])  # type: ignore[call-overload]
    assert sorted(refused) == ["moving.avif", "moving.gif", "phone.HEIC"]
    assert "is a video" in refused["moving.gif"] and "animated AVIF" in refused["moving.avif"]


def test_too_few_are_refused_with_their_reasons(tmp_path: Path, detector: Path) -> None:
    source = save(tmp_path / "in", 3)
    for name in "abc":
        (source / f"{name}.png").write_bytes(b"nothing")
    with pytest.raises(SourceError, match=r"3 usable portraits, at least 20 .*refused\.txt") as error:
        prepare(source, tmp_path / "out", detector, Options())
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()
    assert len((tmp_path / "out.refused.txt").read_text().splitlines()) == 3


@pytest.mark.parametrize(("held", "count"), [(0.99, 4), (0.0, 1), (0.99, 1), (0.0, 6), (0.0, 2)])
def test_something_is_always_left_to_train_on_and_to_measure_on(
    tmp_path: Path, detector: Path, held: float, count: int
) -> None:
    """A single portrait, or all of a few, were held out: an IndexError. Or one, and ablations ended in an error."""
    prepare(save(tmp_path / "in", count), tmp_path / "out", detector, Options(least=1, held=held))
    train, kept = len(load(tmp_path / "out")), len(load(tmp_path / "out", "held"))
    assert train >= 1 and train + kept == count and kept >= min(2, count // 2)


def test_a_full_disk_keeps_nothing_of_what_did_not_fit(
    tmp_path: Path, detector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the crops stayed, and with them the disk was full."""
    monkeypatch.setattr(portraits, "sheet", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        prepare(save(tmp_path / "in", 3), tmp_path / "out", detector, Options(least=1))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_cmyk_and_sixteen_bits_are_read_like_the_plain_picture(tmp_path: Path) -> None:
    image = cv2.GaussianBlur(draw_face(1), (0, 0), 2)
    cv2.imwrite(str(tmp_path / "b.png"), (image[..., ::-1].astype(np.uint16) * 257))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    cv2.imwrite(str(tmp_path / "c.png"), grey)
    pillow = pytest.importorskip("PIL.Image")
    pillow.fromarray(image).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    found = {read.name: read for read in read_all(tmp_path)}
    assert all(read.image is not None for read in found.values())
    np.testing.assert_allclose(found["b.png"].image.astype(int), image, atol=1)
    np.testing.assert_array_equal(found["c.png"].image, np.repeat(grey[..., None], 3, -1))
    assert np.abs(found["a.jpg"].image.astype(int) - image).mean() < 4


def test_a_zip_is_read_but_never_unpacked(tmp_path: Path) -> None:
    done, data = cv2.imencode(".png", draw_face(0)[..., ::-1])
    assert done
    names = ["../../escape.png", "/etc/root.png", "a/ok.png", "__MACOSX/a/._ok.png", ".hidden.png", "b.exe"]
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for name in names:
            archive.writestr(name, data.tobytes())
        archive.writestr("z.png", b"no picture")
    before = set(tmp_path.parent.rglob("*"))
    found = {read.name: read for read in read_all(tmp_path / "in.zip")}
    assert set(found) == {"/etc/root.png", "a/ok.png", "z.png"}
    assert found["a/ok.png"].image is not None and found["z.png"].image is None and found["z.png"].reason
    assert set(tmp_path.parent.rglob("*")) == before
    assert not (tmp_path.parent.parent / "escape.png").exists()


def test_a_zips_damaged_and_enormous_members_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(1 << 20))
        archive.writestr("torn.png", np.random.default_rng(0).bytes(5000))
    data = bytearray(path.read_bytes())
    at = data.index(b"torn.png") + 2000
    data[at : at + 50] = bytes(50)
    path.write_bytes(bytes(data))
    monkeypatch.setattr(pictures, "MEMBER_BYTES", 1 << 19)
    reasons = {read.name: read.reason for read in read_all(path)}
    assert reasons["bomb.png"].startswith("more than") and "damaged" in reasons["torn.png"]


@pytest.mark.parametrize("kind", ["missing", "file", "empty"])
def test_a_source_without_pictures_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "in"
    if kind == "file":
        source.write_text("text")
    elif kind == "empty":
        source.mkdir()
    with pytest.raises(SourceError, match=r"folder|no pictures"):
        list(read_all(source))


def test_a_detector_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no face detector"):
        detector_file(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"bad")
    with pytest.raises(SourceError, match="expected YuNet"):
        Detector(tmp_path / "bad.onnx", 0.8)


def test_real_faces_are_found_upright_and_the_eyes_are_where_they_should(
    shared: Callable[[str], Path], tmp_path: Path
) -> None:
    folder, detector = shared("photos/london_canada_ccby4"), shared("weights/yunet_n_dynamic.onnx")
    (tmp_path / "in").mkdir()
    for path in sorted(folder.iterdir())[:4]:
        image = cv2.imread(str(path))
        cv2.imwrite(str(tmp_path / "in" / f"{path.stem}.png"), image)
    prepare(tmp_path / "in", tmp_path / "out", detector, Options(least=4))
    crops = np.load(tmp_path / "out" / "landmarks.npy")
    np.testing.assert_allclose(crops[:, :2].mean(1), [[128, 121]] * 4, atol=4)
    again = Detector(detector, 0.8)
    for face, points in zip(np.load(tmp_path / "out" / "faces.npy"), crops, strict=True):
        found = again(face)[0, 4:14].reshape(5, 2)
        assert np.abs(found - points).max() < 12 and np.median(np.abs(found - points)) < 3
