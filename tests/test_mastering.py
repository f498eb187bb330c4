"""Static HDR metadata goes from a source's stream into an encoder's options and back; HDR sources kept as such."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vidstyle.errors import UsageError
from vidstyle.frame import TRC_HLG, TRC_PQ, Colour
from vidstyle.mastering import Mastering
from vidstyle.priority import kept_priority
from vidstyle.source import SourceOptions, VideoSource
from vidstyle.tags import unreadable

P3 = tuple((Fraction(x, 1000), Fraction(y, 1000)) for x, y in ((680, 320), (265, 690), (150, 60)))
SCREEN = Mastering(
    (P3[0], P3[1], P3[2]),
    (Fraction(3127, 10000), Fraction(3290, 10000)),
    (Fraction(1, 200), Fraction(1000)),
    (937, 180),
)


def hdr_clip(path: Path, codec: str, options: dict[str, str], transfer: int = TRC_PQ) -> Path:
    with kept_priority(), av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=25, options=options)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p10le"
        context = video.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 9, 9, transfer, 1
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")
            frame = frame.reformat(format="yuv420p10le", dst_colorspace=9)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            frame.color_trc, frame.color_primaries, frame.colorspace = transfer, 9, 9
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path


def joined(options: dict[str, str]) -> str:
    return ":".join(f"{key}={value}" for key, value in options.items())


def test_the_strings_are_as_the_encoders_want_them() -> None:
    assert SCREEN.x265() == {
        "master-display": "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)",
        "max-cll": "937,180",
    }
    assert SCREEN.svtav1() == {
        "mastering-display": "G(0.26500,0.69000)B(0.15000,0.06000)R(0.68000,0.32000)WP(0.31270,0.32900)"
        "L(1000.00000,0.00500)",
        "content-light": "937,180",
    }
    assert Mastering(brightest=(400, 100)).x265() == {"max-cll": "400,100"}
    assert Mastering().svtav1() == {}


@pytest.mark.parametrize("codec", ["libx265", "libsvtav1"])
def test_what_an_encoder_was_given_is_read_again(tmp_path: Path, codec: str) -> None:
    name, given = ("x265-params", SCREEN.x265()) if codec == "libx265" else ("svtav1-params", SCREEN.svtav1())
    quiet = {"log-level": "none"} if codec == "libx265" else {}
    path = hdr_clip(tmp_path / "a.mkv", codec, {name: joined(given | quiet)})
    with VideoSource(path, SourceOptions(hdr="keep")) as source:
        found = source.info.mastering
    assert found is not None and found.x265() == SCREEN.x265()
    with VideoSource(path) as source:
        assert source.info.mastering is None  # an SDR output has no use for it


@pytest.mark.parametrize("transfer", [TRC_PQ, TRC_HLG])
def test_keeping_hdr_changes_what_the_output_is_not_what_the_network_sees(tmp_path: Path, transfer: int) -> None:
    path = hdr_clip(tmp_path / "a.mkv", "libx265", {"x265-params": "log-level=none"}, transfer)
    with VideoSource(path) as sdr, VideoSource(path, SourceOptions(hdr="keep")) as kept:
        assert sdr.info.colour == Colour(1, 1, 1, 1, 64)
        assert (kept.info.colour.matrix, kept.info.colour.primaries, kept.info.colour.transfer) == (9, 9, transfer)
        assert kept.info.bits == 10
        assert not sdr.notes and not kept.notes
        for ours, theirs in zip(sdr, kept, strict=True):
            np.testing.assert_array_equal(ours.image, theirs.image)


def test_dynamic_metadata_is_told(shared) -> None:
    name = "media/sample_edit_list_no_sync_frame_before_edit.mp4"
    with VideoSource(shared(name), SourceOptions(size=64, hdr="keep")) as source:
        assert [note for note in source.notes if "Dolby Vision" in note and "not kept" in note]


def test_dolby_visions_own_colours_are_told_from_a_compatible_layer() -> None:
    """Profile 5 has no picture that another player could show."""
    header = bytearray(80)
    header[:8] = (48).to_bytes(8, "little")
    header[48 + 4], header[48 + 10] = 1, 0  # profile 8
    assert unreadable(Colour(9, 9, 16), {"DOVI_METADATA": bytes(header)}) is None
    header[48 + 4], header[48 + 10] = 0, 1
    assert unreadable(Colour(2, 2, 2), {"DOVI_METADATA": bytes(header)}) == "IPT of Dolby Vision profile 5"


def test_an_unknown_way() -> None:
    with pytest.raises(UsageError, match="sdr, keep"):
        SourceOptions(hdr="maybe")
