"""The whole path of `vidstyle file`: real files in, real files out, everything accounted for."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media import left_behind, make_clip, packets, picture, save_tiny, video_times

from vidstyle.catalog import parse_recipe
from vidstyle.codecs import EncoderOptions
from vidstyle.containers import ATTACHED_PIC
from vidstyle.errors import EngineError, SinkError, SourceError, UsageError, VidstyleError
from vidstyle.job import FileJob, Progress, stylize_file
from vidstyle.picture import Picture, encode_picture
from vidstyle.sink import SinkOptions
from vidstyle.source import SourceOptions, VideoSource


@pytest.fixture
def job(home: Path, tmp_path: Path) -> FileJob:
    """A job over a small clip with one tone, in a style that changes it."""
    clip = make_clip(tmp_path / "in.mp4", frames=20)
    return FileJob(clip.path, parse_recipe(str(save_tiny(home, "tiny"))))


def pictures(path: Path) -> list[np.ndarray]:
    with VideoSource(path, SourceOptions(size=None)) as source:  # converts exactly; PyAV's own to_ndarray is 1-3 off
        return [frame.image for frame in source]


def test_everything_is_kept_and_the_pictures_are_styled(job: FileJob, tmp_path: Path) -> None:
    report = stylize_file(job)
    output = tmp_path / "in.tiny.mp4"
    assert report.output == str(output)
    assert (report.frames_in, report.frames_out, report.pts_equal, report.audio_equal) == (20, 20, True, True)
    assert report.losses == []
    assert video_times(output) == video_times(job.source)
    assert packets(output, "audio") == packets(job.source, "audio")
    before, after = pictures(job.source), pictures(output)
    assert after[0].shape == before[0].shape
    assert np.abs(after[5].astype(int) - before[5]).mean() > 5
    assert left_behind(tmp_path, "in.mp4", "in.tiny.mp4") == []


@pytest.mark.parametrize("extension", [".mp4", ".mov", ".mkv", ".ts", ".webm"])
def test_two_runs_are_equal_to_the_byte(job: FileJob, tmp_path: Path, extension: str) -> None:
    outputs = [tmp_path / f"{name}{extension}" for name in ("one", "two")]
    for output in outputs:
        stylize_file(replace(job, output=output))
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


@pytest.mark.parametrize("extension", [".mp4", ".mkv"])
def test_the_frame_rate_is_the_sources_and_not_the_clocks(job: FileJob, tmp_path: Path, extension: str) -> None:
    pts = [1001 * index for index in range(48)]
    clip = make_clip(tmp_path / "ntsc.mp4", pts=pts, time_base=Fraction(1, 24000), audio=0)
    stylize_file(replace(job, source=clip.path, output=tmp_path / f"out{extension}"))
    with av.open(str(tmp_path / f"out{extension}")) as container:
        assert container.streams.video[0].average_rate == pytest.approx(24000 / 1001, rel=0.02)


def test_an_identity_style_gives_the_source_back(home: Path, tmp_path: Path) -> None:
    """The path itself (decode, convert, convert, encode) must not change colours."""
    clip = make_clip(tmp_path / "in.mp4", frames=6, size=(128, 96))
    recipe = parse_recipe(str(save_tiny(home, "same")), strength=0.0)
    output = tmp_path / "out.mkv"
    stylize_file(FileJob(clip.path, recipe, output, writing=SinkOptions(EncoderOptions(extra=(("qp", "0"),)))))
    for before, after in zip(pictures(clip.path), pictures(output), strict=True):
        difference = np.abs(before.astype(int) - after)
        assert np.median(difference) <= 1 and difference.mean() < 2  # at hard edges 4:2:0 blurs the colours once more


@pytest.mark.parametrize("extension", [".mp4", ".mov", ".mkv", ".ts", ".webm"])
def test_uneven_times_survive_every_container(job: FileJob, tmp_path: Path, extension: str) -> None:
    pts = [0, 512, 1000, 1500, 4000, 6000, 9000, 12800, 12900]
    clip = make_clip(tmp_path / "vfr.mp4", pts=pts, audio=0 if extension == ".webm" else 2)
    output = tmp_path / f"out{extension}"
    report = stylize_file(replace(job, source=clip.path, output=output))
    assert report.pts_equal and report.frames_out == len(pts)
    clock = {".mkv": Fraction(1, 1000), ".webm": Fraction(1, 1000), ".ts": Fraction(1, 90000)}.get(
        extension, Fraction(0)
    )
    found = video_times(output)
    shift = found[0] - clip.times[0]
    assert all(abs(a - b - shift) <= clock for a, b in zip(found, clip.times, strict=True))
    header = 7 if extension == ".ts" else 0  # ADTS, which transport streams put before each AAC packet
    found_audio = [[d[header:] for _, d in t] for t in packets(output, "audio")]
    assert found_audio == [[d for _, d in t] for t in packets(clip.path, "audio")]
    assert report.losses == []


def test_odd_sizes_and_a_single_pixel_pair(job: FileJob, tmp_path: Path) -> None:
    for size in [(63, 47), (2, 2)]:
        clip = make_clip(tmp_path / f"odd{size[0]}.mkv", frames=3, size=size, codec="ffv1", pix_fmt="yuv444p")
        report = stylize_file(replace(job, source=clip.path))
        assert report.frames_out == 3
        assert pictures(Path(report.output))[0].shape == (size[1], size[0], 3)


def test_a_working_size_below_the_source_keeps_the_sources_size(job: FileJob, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "big.mp4", frames=3, size=(320, 240))
    report = stylize_file(replace(job, source=clip.path, reading=SourceOptions(size=120)))
    assert report.working == "160x120"
    assert pictures(Path(report.output))[0].shape == (240, 320, 3)


def test_compare_shows_the_source_beside_the_result(job: FileJob) -> None:
    writing = SinkOptions(compare=True)
    report = stylize_file(replace(job, reading=SourceOptions(originals=True), writing=writing))
    both = pictures(Path(report.output))[3]
    source = pictures(job.source)[3]
    assert both.shape == (48, 128, 3)
    assert np.abs(both[:, :64].astype(int) - source).mean() < 6 < np.abs(both[:, 64:].astype(int) - source).mean()


def test_trimming_moves_sound_with_the_pictures(job: FileJob, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "long.mp4", frames=75, audio=2)
    reading = SourceOptions(start=Fraction(1), end=Fraction(2))
    report = stylize_file(replace(job, source=clip.path, reading=reading))
    assert report.frames_out == 25 and report.pts_equal
    assert video_times(Path(report.output))[0] == 0
    for track in packets(Path(report.output), "audio"):
        assert 44 <= len(track) <= 49  # one second of 1024-sample packets
        assert 0 <= track[0][0] <= Fraction(1024, 48000)


def test_chapters_and_metadata(job: FileJob, tmp_path: Path) -> None:
    path = tmp_path / "chapters.mkv"
    make_clip(tmp_path / "plain.mkv", frames=20)
    with av.open(str(tmp_path / "plain.mkv")) as plain, av.open(str(path), "w") as out:
        streams = {s.index: out.add_stream_from_template(s) for s in plain.streams}
        out.metadata["title"] = "A day — ein Tag"
        tick = Fraction(1, 1000)
        chapters = [(0, 400, "one"), (400, 800, "two")]
        out.set_chapters(
            [
                {"id": i, "start": a, "end": b, "time_base": tick, "metadata": {"title": t}}
                for i, (a, b, t) in enumerate(chapters)
            ]
        )
        for packet in plain.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                out.mux(packet)
    report = stylize_file(replace(job, source=path))
    with av.open(report.output) as container:
        assert container.metadata["title"] == "A day — ein Tag"
        found = [(c["start"] * c["time_base"], c["metadata"]["title"]) for c in container.chapters()]
    assert found == [(0, "one"), (Fraction(2, 5), "two")]


REAL = [
    "dctnet_demo.mp4",
    "sample_with_chapters.mp4",
    "nasa_13013.mp4",
    "sample_edit_list_no_sync_frame_before_edit.mp4",
]


@pytest.mark.parametrize("name", REAL)
def test_real_files_are_accounted_for(job: FileJob, shared, tmp_path: Path, name: str) -> None:
    source = shared(f"media/{name}")
    output = tmp_path / name
    report = stylize_file(replace(job, source=source, output=output, reading=SourceOptions(size=96)))
    assert report.pts_equal and report.losses == []
    with av.open(str(source)) as container:
        best = container.streams.best("video")
        expected = [f.pts * Fraction(f.time_base) for f in container.decode(best)]
    moved = min(expected[0], Fraction(0))  # pictures before 0 would be hidden by an edit list: all is moved
    assert video_times(output) == [t - moved for t in expected]
    assert report.time_shift == pytest.approx(-float(moved))
    for copied, original in zip(packets(output, "audio"), packets(source, "audio"), strict=True):
        assert [d for _, d in copied] == [d for _, d in original]
        assert all(abs(a - b + moved) < Fraction(1, 40000) for (a, _), (b, _) in zip(copied, original, strict=True))
    assert [[d for _, d in t] for t in packets(output, "subtitle")] == [
        [d for _, d in t] for t in packets(source, "subtitle")
    ]
    with av.open(str(source)) as a, av.open(str(output)) as b:
        starts = [[(c["start"] * c["time_base"], c["metadata"]) for c in file.chapters()] for file in (a, b)]
    assert starts[0] == starts[1]


# --- refusals: one line, the right class, nothing left behind, the source untouched


@pytest.mark.parametrize("extension", [".jpg", ".png", ".bmp", ".tiff", ".webp"])
def test_a_picture_is_no_video(job: FileJob, tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"photo{extension}"
    path.write_bytes(encode_picture(Picture(picture(0, 64, 48)), extension))
    with pytest.raises(SourceError, match=f"is a picture, not a video: use vidstyle image .*photo{extension}$"):
        stylize_file(replace(job, source=path))
    assert left_behind(tmp_path, "in.mp4", path.name) == []


def test_a_photo_is_no_video(job: FileJob, tmp_path: Path) -> None:
    """FFmpeg knows a JPEG larger than a few kB by its name alone."""
    path = tmp_path / "photo.jpg"
    noise = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    path.write_bytes(encode_picture(Picture(noise), ".jpg"))
    assert path.stat().st_size > 4096
    with pytest.raises(SourceError, match=r"is a picture, not a video: use vidstyle image .*photo\.jpg$"):
        stylize_file(replace(job, source=path))


def test_sound_with_a_cover_is_no_video(job: FileJob, tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as out:
        sound = out.add_stream("aac", rate=48000, layout="mono")
        cover = out.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt, cover.disposition = 64, 48, "rgb24", ATTACHED_PIC
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        packets = cover.encode(av.VideoFrame.from_ndarray(picture(0, 64, 48), format="rgb24")) + cover.encode(None)
        for packet in [*packets, *sound.encode(frame), *sound.encode(None)]:
            out.mux(packet)
    with pytest.raises(SourceError, match=r"no video stream, its only picture is a cover \(found: audio, cover\)"):
        stylize_file(replace(job, source=path))


def test_an_output_that_exists_is_kept(job: FileJob, tmp_path: Path) -> None:
    output = tmp_path / "in.tiny.mp4"
    output.write_bytes(b"mine")
    with pytest.raises(SinkError, match="--overwrite"):
        stylize_file(job)
    assert output.read_bytes() == b"mine"
    stylize_file(replace(job, writing=SinkOptions(overwrite=True)))
    assert len(video_times(output)) == 20


@pytest.mark.parametrize("kind", ["itself", "symlink", "hardlink"])
def test_the_source_is_never_the_output(job: FileJob, tmp_path: Path, kind: str) -> None:
    output = tmp_path / "link.mp4"
    if kind == "itself":
        output = job.source
    elif kind == "symlink":
        output.symlink_to(job.source)
    else:
        output.hardlink_to(job.source)
    before = job.source.read_bytes()
    with pytest.raises(UsageError, match="source itself"):
        stylize_file(replace(job, output=output, writing=SinkOptions(overwrite=True)))
    assert job.source.read_bytes() == before


@pytest.mark.parametrize(
    ("output", "error", "says"),
    [
        ("out.xyz", UsageError, "extensions"),
        ("missing/out.mp4", SinkError, "no folder"),
        ("out.webm", UsageError, "cannot hold"),
    ],
)
def test_outputs_that_cannot_be(job: FileJob, tmp_path: Path, output: str, error: type, says: str) -> None:
    writing = SinkOptions(EncoderOptions("h264")) if output.endswith("webm") else SinkOptions()
    with pytest.raises(error, match=says):
        stylize_file(replace(job, output=tmp_path / output, writing=writing))
    assert left_behind(tmp_path, "in.mp4") == []


@pytest.mark.parametrize(
    ("encoder", "says"),
    [
        (EncoderOptions("h265x"), "no encoder"),
        (EncoderOptions("aac"), "audio encoder"),
        (EncoderOptions(extra=(("no-such", "1"),)), "no option 'no-such'"),
        (EncoderOptions(preset="warp9"), "preset"),
        (
            EncoderOptions("mjpeg", extra=(("qmin", "40"), ("qmax", "2"))),
            r"mjpeg refuses these settings: yuv420p 64x48 qmin=40 qmax=2: [^{}]*qmin[^{}]*$",
        ),
    ],
)
def test_wrong_encoder_options(job: FileJob, tmp_path: Path, encoder: EncoderOptions, says: str) -> None:
    with pytest.raises(VidstyleError, match=says):
        stylize_file(replace(job, writing=SinkOptions(encoder)))
    assert left_behind(tmp_path, "in.mp4") == []


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9", "ffv1"])
def test_every_named_encoder_works(job: FileJob, tmp_path: Path, codec: str) -> None:
    output = tmp_path / f"{codec}.mkv"
    report = stylize_file(replace(job, output=output, writing=SinkOptions(EncoderOptions(codec))))
    assert report.frames_out == 20 and report.pts_equal


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk to fill: mounts a small tmpfs as root")
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk(job: FileJob, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], capture_output=True).returncode:
        pytest.skip("this system does not let us mount a small disk")
    try:
        clip = make_clip(tmp_path / "large.mp4", frames=60, size=(320, 240))
        with pytest.raises(SinkError, match="disk is full"):
            stylize_file(replace(job, source=clip.path, output=small / "out.mp4"))
        assert left_behind(small) == []
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.parametrize("fails_at", [1, 2, 7, 20])
@pytest.mark.parametrize("where", ["source", "engine", "sink", "progress"])
def test_a_failure_anywhere_is_raised_once_and_leaves_nothing(
    job: FileJob,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    our_threads: Callable[[], list[str]],
    where: str,
    fails_at: int,
) -> None:
    count = 0

    def fail(*_: object) -> None:
        nonlocal count
        count += 1
        if count >= fails_at:
            raise {"source": SourceError, "engine": EngineError, "sink": OSError, "progress": KeyboardInterrupt}[where](
                "x"
            )

    def before(owner: type, name: str) -> None:
        real = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *args, **more: (fail(), real(*args, **more))[1])

    from engines.openvino import OpenVINOEngine
    from vidstyle.encoder import Encoder

    target = {"source": (VideoSource, "_convert"), "engine": (OpenVINOEngine, "submit"), "sink": (Encoder, "_picture")}
    if where in target:
        before(*target[where])
    expected = {"source": SourceError, "engine": EngineError, "sink": SinkError, "progress": KeyboardInterrupt}[where]
    with pytest.raises(expected):
        stylize_file(job, fail if where == "progress" else lambda _: None)
    assert left_behind(tmp_path, "in.mp4") == []
    assert our_threads() == []


def test_progress_counts_every_frame(job: FileJob) -> None:
    seen: list[Progress] = []
    stylize_file(job, seen.append)
    assert [p.frames for p in seen] == list(range(1, 21))
    assert seen[-1].total == 20 and seen[-1].fps > 0
