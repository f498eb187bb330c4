"""The choice of encoder, pixel format and options, and that what is chosen can be opened and read back."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vidstyle.codecs import EncoderChoice, EncoderOptions, choose_encoder
from vidstyle.errors import EngineError, UsageError
from vidstyle.frame import TRC_HLG, TRC_PQ, Colour, VideoInfo
from vidstyle.mastering import Mastering
from vidstyle.priority import kept_priority

INFO = VideoInfo(64, 48, (48, 64), Fraction(1, 25), Fraction(25), pix_fmt="yuv420p")
PQ = replace(INFO, colour=Colour(9, 9, TRC_PQ, 1, 48), bits=10, pix_fmt="yuv420p10le")
EXTENSIONS = [".mp4", ".mov", ".mkv", ".webm", ".ts"]


def choose(extension: str, info: VideoInfo = INFO, **wanted: object) -> EncoderChoice:
    return choose_encoder(Path(f"out{extension}"), info, EncoderOptions(**wanted))  # type: ignore[arg-type]


def encoded(path: Path, choice: EncoderChoice, info: VideoInfo, alpha: bool = False) -> None:
    """Six pictures by this choice; where ``alpha``, more opaque from left to right."""
    with kept_priority(), av.open(str(path), "w") as out:
        stream = out.add_stream(choice.encoder, rate=25, options=dict(choice.options))
        stream.width, stream.height, stream.pix_fmt = info.width, info.height, choice.pix_fmt
        context = stream.codec_context
        context.colorspace, context.color_primaries = info.colour.matrix, info.colour.primaries
        context.color_trc = info.colour.transfer
        if choice.tag:
            context.codec_tag = choice.tag
        for index in range(6):
            image = np.zeros((info.height, info.width, 4), np.uint8)
            image[..., 0], image[..., 1] = 200, index * 20
            image[..., 3] = np.arange(info.width) * 4 if alpha else 255
            frame = av.VideoFrame.from_ndarray(image, format="rgba").reformat(format=choice.pix_fmt)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def test_the_usual() -> None:
    for extension in EXTENSIONS:
        choice = choose(extension)
        assert choice.encoder == ("libvpx-vp9" if extension == ".webm" else "libx264")
        assert (choice.pix_fmt, choice.alpha, choice.tag, choice.reductions) == ("yuv420p", False, "", ())


def test_odd_sizes_have_no_shared_colours() -> None:
    odd = replace(INFO, width=63)
    assert choose(".mp4", odd).pix_fmt == "yuv444p"
    assert choose(".mp4", replace(INFO, height=47)).pix_fmt in ("yuv422p", "yuv444p")
    with pytest.raises(UsageError, match="yuv420p needs even sizes, and these pictures are 63x48"):
        choose(".mp4", odd, pix_fmt="yuv420p")


def test_odd_sizes_share_colours_where_the_codec_can() -> None:
    odd = replace(INFO, width=63, height=47)
    for extension, codec in ((".webm", None), (".mkv", "vp9"), (".mp4", "av1")):
        choice = choose(extension, odd, codec=codec)
        assert (choice.pix_fmt, choice.notes) == ("yuv420p", ())
        assert choose(extension, odd, codec=codec, pix_fmt="yuv420p").pix_fmt == "yuv420p"
    for codec in ("h264", "hevc"):
        (note,) = choose(".mkv", odd, codec=codec).notes
        assert note.startswith("written as yuv444p") and "63x47 is odd" in note and "--codec vp9" in note
        assert choose(".mkv", odd, codec=codec, pix_fmt="yuv444p").notes == ()


# --- what a person asks for


def test_a_pixel_format_of_ones_own() -> None:
    full = replace(INFO, pix_fmt="yuv444p")
    assert choose(".mp4", full, pix_fmt="yuv444p").reductions == ()
    assert choose(".mkv", codec="ffv1", pix_fmt="gbrp10le").pix_fmt == "gbrp10le"
    with pytest.raises(UsageError, match="the encoder libx264 has no pixel format 'yuv999': use one of yuv420p, "):
        choose(".mp4", pix_fmt="yuv999")


def test_lists_of_options_are_added_to_ours() -> None:
    choice = choose(".mp4", codec="hevc", extra=(("x265-params", "aq-mode=3"),))
    assert choice.options["x265-params"] == "log-level=none:aq-mode=3"
    assert choose(".mp4", extra=(("tune", "animation"),), crf=20.5).options == {
        "crf": "20.5",
        "preset": "veryfast",
        "tune": "animation",
    }


@pytest.mark.parametrize(
    ("codec", "option", "says"),
    [
        ("h264", ("tune", "anime"), "tune is 'anime': libx264 takes film, animation"),
        ("h264", ("preset", "rapid"), "preset is 'rapid': libx264 takes ultrafast"),
        ("h264", ("profile", "best"), "profile is 'best': libx264 takes baseline"),
        ("h264", ("x264-params", "keyint=30:ref=4:keyitn=30"), r"'keyitn = 30'\): correct it"),
        ("hevc", ("x265-params", "aqmode=3"), "Unknown option: aqmode"),
        ("av1", ("svtav1-params", "film_grain=8"), "Error parsing option film_grain: 8"),
    ],
)
def test_a_word_that_the_encoder_does_not_know(
    capfd: pytest.CaptureFixture[str], codec: str, option: tuple[str, str], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        choose(".mp4", codec=codec, extra=(option,))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("option", [("tune", "Grain,fastdecode"), ("preset", "5"), ("x264-params", "keyint=30:ref=4")])
def test_words_that_it_knows(option: tuple[str, str]) -> None:
    assert dict([option]).items() <= choose(".mp4", extra=(option,)).options.items()


@pytest.mark.parametrize(
    ("extension", "wanted", "says"),
    [
        (".mp4", {"codec": "h265x"}, "no encoder 'h265x' here: use one of h264"),
        (".mp4", {"codec": "aac"}, "'aac' is an audio encoder"),
        (".webm", {"codec": "h264"}, ".webm cannot hold h264 video: use .mkv"),
        (".mov", {"codec": "av1"}, ".mov cannot hold av1 video: use .mkv"),
        (".mp4", {"codec": "prores_ks"}, ".mp4 cannot hold prores_ks video: use .mov, or another --codec"),
        (".mp4", {"codec": "rawvideo"}, ".mp4 cannot hold rawvideo video: use another --codec"),
        (".mp4", {"extra": (("no-such", "1"),)}, "no option 'no-such'"),
        (".mkv", {"codec": "ffv1", "crf": 18}, "the encoder ffv1 has no option 'crf'"),
        (".mp4", {"crf": -5}, "--crf is -5: libx264 takes 0 to 51"),
        (".mp4", {"crf": 999}, "--crf is 999: libx264 takes 0 to 51"),
        (".mp4", {"crf": float("nan")}, "--crf is nan: libx264 takes 0 to 51"),
        (".webm", {"crf": 64}, "--crf is 64: libvpx-vp9 takes 0 to 63"),
        (".mkv", {"codec": "av1", "preset": "slow"}, "--preset is 'slow': libsvtav1 takes -2 to 13"),
        (".mp4", {"preset": "slowly"}, "--preset is 'slowly': libx264 takes ultrafast, .*, placebo"),
    ],
)
def test_what_cannot_be(extension: str, wanted: dict, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        choose(extension, **wanted)


@pytest.mark.parametrize("codec", ["h264_nvenc", "hevc_nvenc", "h264_qsv", "h264_amf", "h264_v4l2m2m"])
def test_an_encoder_on_a_device_opens_or_says_what_it_needs(codec: str) -> None:
    try:
        choice = choose(".mp4", codec=codec)
    except EngineError as error:
        lines = str(error).splitlines()
        assert len(lines) == 1 and "it needs" in lines[0] and f"use --codec {codec.partition('_')[0]}" in lines[0]
    except UsageError as error:  # FFmpeg was built without it
        assert f"no encoder '{codec}' here (it needs" in str(error)
    else:
        assert choice.encoder == codec


# --- alpha


@pytest.mark.parametrize(
    ("extension", "encoder", "decoder"),
    [(".mov", "prores_ks", None), (".mkv", "ffv1", None), (".webm", "libvpx-vp9", "libvpx-vp9")],
)
def test_alpha_is_kept_by_itself(tmp_path: Path, extension: str, encoder: str, decoder: str | None) -> None:
    info = replace(INFO, alpha=True, pix_fmt="yuva420p")
    choice = choose(extension, info)
    assert (choice.encoder, choice.alpha, choice.reductions) == (encoder, True, ())
    path = tmp_path / f"a{extension}"
    encoded(path, choice, info, alpha=True)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = av.CodecContext.create(decoder, "r") if decoder else stream.codec_context
        frames = [frame for packet in container.demux(stream) if packet.size for frame in context.decode(packet)]
        frames += context.decode(None)
        alpha = frames[2].reformat(format="rgba").to_ndarray()[24, ::16, 3]
    assert np.abs(alpha.astype(int) - [0, 64, 128, 192]).max() <= 2


@pytest.mark.parametrize(
    ("extension", "codec", "pix_fmt"),
    [(".mov", "qtrle", "argb"), (".mov", "png", "rgba"), (".mkv", "vp9", "yuva420p"), (".mp4", "ffv1", "yuva444p")],
)
def test_alpha_in_the_codec_that_was_asked_for(extension: str, codec: str, pix_fmt: str) -> None:
    choice = choose(extension, replace(INFO, alpha=True, pix_fmt="rgba"), codec=codec)
    assert (choice.alpha, choice.pix_fmt) == (True, pix_fmt)


def test_alpha_that_is_lost_is_named() -> None:
    info = replace(INFO, alpha=True)
    for choice in (choose(".mp4", info), choose(".mkv", info, codec="h264"), choose(".mp4", info, codec="vp9")):
        assert not choice.alpha
        assert choice.reductions[-1].startswith("the source is transparent; its pictures were put on black (")
    lost = choose(".mkv", info, codec="ffv1", pix_fmt="yuv420p")
    assert not lost.alpha and len(lost.reductions) == 1


# --- HDR


def test_hdr_metadata_that_an_encoder_does_not_take_is_told() -> None:
    info = replace(PQ, mastering=Mastering(brightest=(1000, 400)))
    assert choose(".mov", info).reductions == ()
    assert choose(".mov", info, codec="prores_ks").reductions[0].startswith("the HDR10 metadata")


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("transfer", [TRC_PQ, TRC_HLG])
def test_hdr_gets_a_codec_that_carries_it(tmp_path: Path, extension: str, transfer: int) -> None:
    mastering = None
    if transfer == TRC_PQ:
        point = (Fraction(17, 50), Fraction(8, 25))
        screen = (Fraction(1, 200), Fraction(1000))
        mastering = Mastering((point, point, point), (Fraction(3127, 10000), Fraction(329, 1000)), screen, (1000, 400))
    info = replace(PQ, width=128, height=96, colour=replace(PQ.colour, transfer=transfer), mastering=mastering)
    choice = choose(extension, info)
    assert choice.encoder == ("libsvtav1" if extension == ".webm" else "libx265")
    assert choice.pix_fmt == "yuv420p10le" and choice.reductions == ()
    assert choice.tag == ("hvc1" if extension in (".mp4", ".mov") else "")
    encoded(tmp_path / f"h{extension}", choice, info)
    with av.open(str(tmp_path / f"h{extension}")) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        found = {data.type.name for data in frame.side_data}
        if choice.tag:
            assert stream.codec_context.codec_tag == choice.tag
    assert (frame.format.name, int(frame.color_trc), int(frame.color_primaries)) == ("yuv420p10le", transfer, 9)
    assert ({"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"} <= found) == (mastering is not None)


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"codec": "h264"}, "libx264 does not carry HDR here: use --codec hevc or av1"),
        ({"codec": "hevc", "pix_fmt": "yuv420p"}, "HDR needs 10 bits, and libx265 with yuv420p does not carry it"),
        ({"codec": "h264", "pix_fmt": "yuv420p10le"}, "HDR needs 10 bits, and libx264"),
    ],
)
def test_hdr_is_refused_where_it_would_be_lost(wanted: dict, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        choose(".mp4", PQ, **wanted)
    with pytest.raises(UsageError, match="y4m carries no HDR"):
        choose(".y4m", PQ)


# --- what is less than the source


@pytest.mark.parametrize(
    ("pix_fmt", "bits", "says"),
    [
        ("yuv420p", 8, []),
        ("nv12", 8, []),
        ("gray", 8, []),
        ("yuv444p", 8, ["written as 4:2:0 (the source is 4:4:4); --pixel-format yuv444p keeps full colour resolution"]),
        ("gbrp", 8, ["written as 4:2:0 (the source is 4:4:4); --pixel-format yuv444p keeps full colour resolution"]),
        ("yuv420p10le", 10, ["the source has 10 bits a colour; styled pictures have 8"]),
        (
            "yuv422p10le",
            10,
            ["the source has 10 bits a colour; styled pictures have 8", "written as 4:2:0 (the source"],
        ),
    ],
)
def test_reductions(pix_fmt: str, bits: int, says: list[str]) -> None:
    found = choose(".mp4", replace(INFO, pix_fmt=pix_fmt, bits=bits)).reductions
    assert len(found) == len(says)
    assert all(sentence.startswith(start) for sentence, start in zip(found, says, strict=True))


def test_pictures_alone() -> None:
    assert choose(".y4m").encoder == "rawvideo"
    assert choose(".y4m", replace(INFO, width=63)).pix_fmt == "yuv444p"
    assert choose(".y4m", replace(INFO, alpha=True)).reductions
    with pytest.raises(UsageError, match="y4m has no pixel format 'rgb24'"):
        choose(".y4m", pix_fmt="rgb24")


@pytest.mark.parametrize("size", [(16, 500), (500, 16), (24, 66)])
def test_a_picture_that_svt_av1_hangs_on_is_refused(size: tuple[int, int]) -> None:
    narrow = replace(INFO, width=size[0], height=size[1])
    with pytest.raises(UsageError, match=f"as narrow as {size[0]}x{size[1]}: use --codec h264 or vp9"):
        choose(".mp4", narrow, codec="av1")
    assert choose(".mp4", narrow, codec="vp9").encoder == "libvpx-vp9"
    assert choose(".mp4", replace(narrow, width=16, height=64), codec="av1").encoder == "libsvtav1"
