"""What a person can name as an input, and what is said where it cannot be read."""

import os
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from media import make_clip
from web import Site, self_signed, serve

from vidstyle.errors import SourceError, UsageError
from vidstyle.images import check_source
from vidstyle.inputs import Input, open_input, parse_input
from vidstyle.source import SourceOptions, VideoSource

QUICK = SourceOptions(timeout=0.5)


@pytest.mark.parametrize(
    ("text", "kind", "name", "stem", "seekable"),
    [
        ("in.mp4", "file", "in.mp4", "in", True),
        ("a/b c.tar.mkv", "file", "a/b c.tar.mkv", "b c.tar", True),
        ("C:\\film.mkv", "file", "C:\\film.mkv", None, True),
        ("concat:a|b", "file", "concat:a|b", "concat:a|b", True),
        ("./-", "file", "-", "-", True),
        ("file:///tmp/a%20b.mp4", "file", "/tmp/a b.mp4", "a b", True),
        ("-", "pipe", "standard input", "stdin", False),
        ("https://me:secret@host.org:81/v/clip.mp4?key=1#t=3", "url", "https://host.org:81/v/clip.mp4", "clip", True),
        ("HTTP://host/film%201.webm", "url", "http://host/film%201.webm", "film 1", True),
        ("rtsp://camera/", "url", "rtsp://camera/", "camera", False),
        ("rtmp://host/live/a:b", "url", "rtmp://host/live/a:b", "a_b", False),
    ],
)
def test_kinds_of_input(text: str, kind: str, name: str, stem: str | None, seekable: bool) -> None:
    found = parse_input(text)
    assert (found.kind, found.name, found.seekable) == (kind, name, seekable)
    assert found.path == (Path(name) if kind == "file" else None)
    if stem is not None:
        assert found.stem == stem


def test_ffmpegs_name_of_numbered_pictures_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was told as a file that is not there; one that is there is read as any other."""
    monkeypatch.chdir(tmp_path)
    made = "(vidstyle file {} --fps 24), or style each (vidstyle image {})"
    none = "no such file"
    for read, name, says in (
        (open_input, "img_%04d.png", made.format("img_%04d.png", "img_*.png")),
        (open_input, "my %d.jpg", made.format("'my %d.jpg'", "my *.jpg")),
        (open_input, "%d.jpg", made.format("%d.jpg", "*.jpg")),
        (open_input, "a.####.jpg", made.format("'a.####.jpg'", "a.*.jpg")),
        (open_input, "a#1.jpg", none),
        (check_source, "in/a%d.png", "; numbered pictures are given by their own names, as in/a*.png"),
        (open_input, "100%.mp4", none),
        (open_input, "a%s.png", none),
        (check_source, "a%s.png", "No such file or directory"),
    ):
        with pytest.raises(SourceError) as error:
            read(Path(name))
        assert str(error.value).endswith(says) and "\n" not in str(error.value)
    make_clip(tmp_path / "a%d.mkv", frames=3)
    with open_input(Path("a%d.mkv")) as container:
        assert len(list(container.decode(video=0))) == 3


def test_an_empty_name_is_told() -> None:
    with pytest.raises(UsageError, match="name is empty"):
        parse_input("")


def test_a_path_is_never_a_url() -> None:
    assert parse_input(Path("https://host/a")).kind == "file"
    assert parse_input(Path("-")).kind == "file"


@pytest.mark.parametrize("text", ["ftp://host/a.mp4", "smb://host/a", "javascript://x", "https://", "http:///a.mp4"])
def test_urls_of_other_kinds_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_input(text)


def facts(source: VideoSource) -> list[tuple[int, int, int]]:
    return [(frame.pts, frame.duration, zlib.crc32(frame.image.data)) for frame in source]


def of_file(path: Path) -> list[tuple[int, int, int]]:
    with VideoSource(path) as source:
        return facts(source)


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n"


def test_a_playlist_reads_local_files_but_never_the_network(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.ts").path
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(PLAYLIST.format("a.ts"))
    assert len(of_file(playlist)) == 12
    with serve(Site(tmp_path)) as site:
        playlist.write_text(PLAYLIST.format(f"{site.url}/{clip.name}"))
        with pytest.raises(SourceError):
            VideoSource(playlist)
        assert site.asked == []


def test_a_playlist_from_the_network_never_reads_local_files(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.ts").path
    with serve(Site(tmp_path)) as site:
        (tmp_path / "good.m3u8").write_text(PLAYLIST.format("a.ts"))
        (tmp_path / "bad.m3u8").write_text(PLAYLIST.format(clip.as_uri()))
        with VideoSource(parse_input(f"{site.url}/good.m3u8"), QUICK) as source:
            assert len(facts(source)) == 12
        with pytest.raises(SourceError):
            VideoSource(parse_input(f"{site.url}/bad.m3u8"), QUICK)


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a b ü.webm"])
def test_a_url_reads_as_the_file_does(tmp_path: Path, name: str, ranges: bool) -> None:
    audio, codec = (0, "libvpx-vp9") if name.endswith("webm") else (1, "libx264")
    clip = make_clip(tmp_path / name, audio=audio, codec=codec).path
    address = "a%20b%20%C3%BC.webm" if " " in name else name
    clip = clip.rename(tmp_path / "x").rename(tmp_path / address) if " " in name else clip
    with serve(Site(tmp_path, ranges=ranges)) as site, VideoSource(parse_input(f"{site.url}/{name}"), QUICK) as source:
        assert source.path is None
        assert facts(source) == of_file(clip)
        assert source.faults == []


def test_a_connection_that_breaks_is_taken_up_again(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", frames=100, size=(320, 240)).path
    with serve(Site(tmp_path, breaks=2)) as site, VideoSource(parse_input(f"{site.url}/a.mkv"), QUICK) as source:
        assert facts(source) == of_file(clip)
        assert site.breaks == 0
        assert any(0 < first < clip.stat().st_size for _, first in site.asked)


@pytest.mark.parametrize("name", ["a.mkv", "a.ts"])
def test_a_server_that_goes_away_is_told_and_no_end_of_the_film(tmp_path: Path, name: str) -> None:
    make_clip(tmp_path / name, frames=100, size=(320, 240))
    with (
        serve(Site(tmp_path, breaks=1, gone=True)) as site,
        pytest.raises(SourceError, match=r"cannot read on in http://127.*\.(mkv|ts)|cannot read http://127"),
        VideoSource(parse_input(f"{site.url}/{name}"), QUICK) as source,
    ):
        facts(source)


def test_a_server_that_stalls_is_given_up(tmp_path: Path) -> None:
    make_clip(tmp_path / "a.mkv", frames=100, size=(320, 240))
    with (
        serve(Site(tmp_path, stalls=True)) as site,
        pytest.raises(SourceError, match=r"no data for 0\.2 s|nothing answers in time"),
        VideoSource(parse_input(f"{site.url}/a.mkv"), replace(QUICK, timeout=0.2)) as source,
    ):
        facts(source)


def test_the_start_of_a_part_is_looked_up_in_a_url(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=600, size=(320, 240)).path
    part = replace(QUICK, start=Fraction(20))
    with VideoSource(clip, part) as source:
        expected = facts(source)
    with serve(Site(tmp_path)) as site, VideoSource(parse_input(f"{site.url}/a.mp4"), part) as source:
        assert facts(source) == expected


def test_reasons_a_person_can_act_on(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>a page</html>" * 50)
    with serve(Site(tmp_path)) as site:
        with pytest.raises(SourceError, match=r"no such file \(404\)"):
            open_input(parse_input(f"{site.url}/nothing.mp4"), 0.5)
        with pytest.raises(SourceError, match=r"page\.html is not a video that can be read"):
            open_input(parse_input(f"{site.url}/page.html?secret=1"), 0.5)
    with pytest.raises(SourceError, match="connection refused") as refused:
        open_input(parse_input(site.url.replace("//", "//me:secret@") + "/a.mp4?secret"), 0.5)
    assert "secret" not in str(refused.value)
    with pytest.raises(SourceError, match=r"no host nowhere\.invalid is known"):
        open_input(parse_input("http://nowhere.invalid/a.mp4"), 0.5)


def test_a_servers_certificate_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = self_signed(tmp_path)
    make_clip(tmp_path / "a.mkv")
    with serve(Site(tmp_path), (certificate, key)) as site:
        with pytest.raises(SourceError, match=r"certificate is not valid \(.*\); .*: set SSL_CERT_FILE to its"):
            VideoSource(parse_input(f"{site.url}/a.mkv"), QUICK)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with VideoSource(parse_input(f"{site.url}/a.mkv"), QUICK) as source:
            assert len(facts(source)) == 12


@contextmanager
def standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes, close: bool = True) -> Iterator[int]:
    """``data`` on standard input, from a writer of its own; the pipe's other end."""
    reader, writer = os.pipe()

    def feed() -> None:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(writer, view) :]
        except BrokenPipeError:
            pass
        if close:
            os.close(writer)

    with os.fdopen(reader) as file:
        monkeypatch.setattr(sys, "stdin", file)
        thread = threading.Thread(target=feed)
        thread.start()
        yield writer
    thread.join()
    if not close:
        os.close(writer)


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.y4m", "fragments.mp4"])
def test_standard_input_reads_as_the_file_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if name == "a.y4m":
        path = make_clip(
            tmp_path / name, audio=0, codec="wrapped_avframe", time_base=Fraction(1, 25), pts=[*range(12)]
        ).path
    else:
        path = make_clip(tmp_path / name.replace("fragments", "a")).path
    if name == "fragments.mp4":
        path = in_fragments(path)
    with standard_input(monkeypatch, path.read_bytes()), VideoSource(parse_input("-")) as source:
        assert facts(source) == of_file(path)


def in_fragments(path: Path) -> Path:
    import av

    target = path.with_name("fragments.mp4")
    options = {"movflags": "frag_keyframe+empty_moov"}
    with av.open(str(path)) as container, av.open(str(target), "w", options=options) as out:
        video = container.streams.video[0]
        copy = out.add_stream_from_template(video)
        for packet in container.demux(video):
            if packet.dts is not None:
                packet.stream = copy
                out.mux(packet)
    return target


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_read_once_from_its_first_byte(tmp_path: Path) -> None:
    clip, pipe = make_clip(tmp_path / "a.mkv").path, tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(clip.read_bytes()))
    writer.start()
    found = parse_input(pipe)
    assert found == Input("pipe", str(pipe)) and found.path is None and found.stem == "pipe"
    with VideoSource(found) as source:
        assert facts(source) == of_file(clip)
    writer.join()


@pytest.mark.parametrize(("data", "says"), [(b"", "empty"), (b"no video\n" * 999, "not a video that can be read")])
def test_pipes_without_a_video(monkeypatch: pytest.MonkeyPatch, data: bytes, says: str) -> None:
    with standard_input(monkeypatch, data), pytest.raises(SourceError, match=f"standard input is {says}"):
        VideoSource(parse_input("-"))


def test_an_index_at_the_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_clip(tmp_path / "a.mp4", frames=100, size=(320, 240)).path.read_bytes()
    with standard_input(monkeypatch, data), pytest.raises(SourceError, match=r"index is at the end.*give its path"):
        VideoSource(parse_input("-"))


def test_a_playlist_in_a_pipe_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip(tmp_path / "a.ts").path
    with standard_input(monkeypatch, PLAYLIST.format(clip).encode()), pytest.raises(SourceError):
        VideoSource(parse_input("-"))


def test_no_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="standard input is closed"):
        open_input(parse_input("-"))
    reader, writer = os.pipe()
    os.close(writer)
    with os.fdopen(reader) as file:
        monkeypatch.setattr(sys, "stdin", file)
    with pytest.raises(UsageError, match="standard input is closed"):
        open_input(parse_input("-"))


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs terminals")
def test_a_terminal_is_no_video(monkeypatch: pytest.MonkeyPatch) -> None:
    master, terminal = os.openpty()
    with os.fdopen(terminal) as file:
        monkeypatch.setattr(sys, "stdin", file)
        with pytest.raises(UsageError, match="standard input is a terminal"):
            open_input(parse_input("-"))
    os.close(master)


def test_a_reader_that_waits_for_its_writer_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_clip(tmp_path / "a.ts", frames=60).path.read_bytes()
    with standard_input(monkeypatch, data[: len(data) // 2], close=False):
        source = VideoSource(parse_input("-"))
        count: list[int] = []
        thread = threading.Thread(target=lambda: count.append(len(facts(source))))
        thread.start()
        with pytest.raises(KeyboardInterrupt), source.stopping():
            raise KeyboardInterrupt
        thread.join()  # it would wait for ever
        source.close()
    assert count[0] < 60
