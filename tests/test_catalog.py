"""Finding styles: the order of places, plugins of other packages, and the words of --style."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from style_files import published_pb, random_weights, write_style

from vidstyle import catalog
from vidstyle.catalog import add_style, find_style, list_styles, parse_recipe, remove_style
from vidstyle.errors import StyleError, UsageError
from vidstyle.network import Architecture
from vidstyle.style import load_style


@pytest.fixture(autouse=True)
def bundled(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package's styles, replaced by a folder of this test; the user's folder is empty."""
    assert not home.exists()
    folder = tmp_path / "package"
    folder.mkdir()
    monkeypatch.setattr(catalog, "bundled_dir", lambda: folder)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def own(home: Path) -> Path:
    folder = home / "styles"
    folder.mkdir(parents=True)
    return folder


def install(folder: Path, package: str, entries: dict[str, str], code: str) -> None:
    """A package as pip leaves it: its metadata with entry points, and one module of the same name."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {target}\n" for name, target in entries.items())
    (info / "entry_points.txt").write_text(f"[vidstyle.styles]\n{lines}")
    (folder / f"{package}.py").write_text(code)
    importlib.invalidate_caches()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on sys.path to install packages into."""
    folder = tmp_path / "site"
    monkeypatch.syspath_prepend(folder)
    modules = set(sys.modules)
    yield folder
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def test_search_order_and_shadowing(own: Path, bundled: Path, site: Path) -> None:
    write_style(own / "anime.safetensors", seed=1)
    write_style(bundled / "anime.safetensors", seed=2)
    write_style(bundled / "3d.safetensors", seed=3)
    loud = write_style(site / "loud.safetensors", seed=4)
    code = f"import pathlib\nPATH = {str(loud)!r}\ndef path():\n    return pathlib.Path(PATH)\n"
    install(site, "loud_looks", {"anime": "loud_looks:PATH", "loud": "loud_looks:path"}, code)
    found = [(style.name, style.origin, style.shadowed) for style in list_styles()]
    assert found == [
        ("anime", "user", False),
        ("3d", "package", False),
        ("anime", "package", True),
        ("anime", "plugin:loud_looks", True),
        ("loud", "plugin:loud_looks", False),
    ]
    assert all(style.card and style.path and not style.error for style in list_styles())
    assert find_style("anime").path == own / "anime.safetensors"
    assert find_style("3d").path == bundled / "3d.safetensors"
    assert find_style("loud").path == loud
    (own / "anime.safetensors").unlink()
    assert find_style("anime").path == bundled / "anime.safetensors"
    (bundled / "anime.safetensors").unlink()
    assert find_style("anime").path == loud


def test_plugins_run_only_when_asked_for(bundled: Path, site: Path) -> None:
    write_style(bundled / "anime.safetensors")
    install(site, "noisy", {"noise": "noisy:path"}, "raise SystemExit('imported')")
    assert find_style("anime").name == "anime"
    assert "noisy" not in sys.modules
    with pytest.raises(StyleError, match="there are: anime, noise"):
        find_style("other")  # names are told without running anybody's code


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise SystemExit('bye')", "SystemExit: bye"),
        ("import nonexistent_module_of_mine", "nonexistent_module_of_mine"),
        ("def path():\n    raise RuntimeError('no disk')", "RuntimeError: no disk"),
        ("def path():\n    return 42", "TypeError"),
        ("other = 1", "no attribute"),
        ("path = '/nowhere/x.safetensors'", "no style file /nowhere/x.safetensors"),
    ],
)
def test_a_broken_plugin_is_named_and_breaks_no_list(bundled: Path, site: Path, code: str, says: str) -> None:
    write_style(bundled / "anime.safetensors")
    install(site, "broken_looks", {"odd": "broken_looks:path"}, code)
    with pytest.raises(StyleError, match=r"package broken_looks") as caught:
        find_style("odd")
    assert says in str(caught.value) and "\n" not in str(caught.value)
    good, bad = list_styles()
    assert (good.name, good.error) == ("anime", "")
    assert (bad.name, bad.origin, bad.card) == ("odd", "plugin:broken_looks", None) and says in bad.error


def test_bad_files_are_listed_with_their_error(own: Path) -> None:
    (own / "text.safetensors").write_text("no style")
    (own / "folder.safetensors").mkdir()
    (own / "._anime.safetensors").write_text("a shadow some systems leave")
    (own / "anime.safetensors.12.part").write_text("half")
    write_style(own / "good.safetensors")
    found = list_styles()
    assert [style.name for style in found] == ["folder", "good", "text"]
    assert [bool(style.error) for style in found] == [True, False, True]
    assert [style.card is None for style in found] == [True, False, True]
    with pytest.raises(StyleError, match="not a style file"):
        find_style("text")  # and no other place is tried in silence


def test_none_at_all() -> None:
    assert list_styles() == []
    with pytest.raises(StyleError, match=r"none is installed.*styles pull dctnet/anime"):
        find_style("anime")


def test_unknown_names_the_nearest(bundled: Path) -> None:
    for name in ("anime", "3d", "sketch"):
        write_style(bundled / f"{name}.safetensors")
    with pytest.raises(StyleError) as caught:
        find_style("animee")
    assert "did you mean anime?" in str(caught.value) and "3d, anime, sketch" in str(caught.value)
    with pytest.raises(StyleError) as caught:
        find_style("zzzz")
    assert "did you mean" not in str(caught.value) and "styles pull dctnet/anime" in str(caught.value)


def test_paths(tmp_path: Path, bundled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_style(tmp_path / "sub" / "my look.safetensors", name="mine")
    assert find_style(str(path)).path == path
    assert find_style("sub/my look.safetensors").name == "mine"
    monkeypatch.chdir(path.parent)
    assert find_style("my look.safetensors").name == "mine"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_style("~/sub/my look.safetensors").name == "mine"
    path.rename(path.parent / "plain")
    assert find_style("plain").name == "mine"
    write_style(bundled / "plain.safetensors", seed=5)
    assert find_style("plain").path == bundled / "plain.safetensors"  # a stray file hides no style
    for odd in ("none.safetensors", "sub/none", "~nobody-at-all/x.safetensors", "a\0b.safetensors", "x" * 5000 + "/y"):
        with pytest.raises(StyleError):
            find_style(odd)
    for odd in ("", "a\0b", "x" * 5000, "."):
        with pytest.raises(StyleError, match="no style named"):
            find_style(odd)


def test_a_published_id_is_no_path() -> None:
    with pytest.raises(StyleError, match=r"styles pull dctnet/sketch; then: --style dctnet-sketch"):
        find_style("dctnet/sketch")


@pytest.fixture
def three(bundled: Path) -> None:
    for seed, name in enumerate(("anime", "3d", "sketch")):
        write_style(bundled / f"{name}.safetensors", seed=seed)


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("text", "name", "shares"),
    [
        ("anime", "anime", [1]),
        ("anime:0.6+3d:0.4", "anime+3d", [0.6, 0.4]),
        ("anime:3+3d:1", "anime+3d", [0.75, 0.25]),
        ("anime+3d", "anime+3d", [0.5, 0.5]),
        ("anime:0.2", "anime", [1]),
        ("sketch:1e-1+3d:.1+anime:0.3", "sketch+3d+anime", [0.2, 0.2, 0.6]),
    ],
)
def test_recipes(text: str, name: str, shares: list[float]) -> None:
    recipe = parse_recipe(text)
    assert recipe.name == name and np.allclose(recipe.shares, shares)


@pytest.mark.usefixtures("three")
def test_strength() -> None:
    assert np.allclose(parse_recipe("anime:0.6+3d:0.4", 0.5).shares, [0.3, 0.2])
    assert parse_recipe("anime", 0).strength == 0
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="strength"):
            parse_recipe("anime", strength)


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    "text",
    ["anime:", ":0.5", "", "+", "anime+", "+anime", "anime:0", "anime:-1", "anime:nan", "anime:inf", "anime:much",
     "anime:0.6+3d", "anime:0.5:0.5", "anime:60%", "anime:1e308+3d:1e308", " "],
)  # fmt: skip
def test_malformed_recipes(text: str) -> None:
    with pytest.raises((UsageError, StyleError)) as caught:
        parse_recipe(text)
    assert type(caught.value) is UsageError or text == "anime:0.5:0.5"
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("three")
def test_recipes_with_paths(tmp_path: Path) -> None:
    odd = write_style(tmp_path / "a+b:0.5.safetensors", name="odd")
    plain = write_style(tmp_path / "c+d.safetensors", name="plain")
    colon = write_style(tmp_path / "x:0.5", name="colon")  # its suffix is no style's
    assert parse_recipe(str(odd)).name == "odd"
    assert parse_recipe(colon.name).name == "colon"
    assert parse_recipe(f"{plain}:0.5+anime:0.5").name == "plain+anime"
    assert parse_recipe(f"anime:1+{odd}:2+{plain}:1+3d:4").name == "anime+odd+plain+3d"
    assert np.allclose(parse_recipe(f"anime:1+{odd}:2+{plain}:1+3d:4").shares, [0.125, 0.25, 0.125, 0.5])
    assert parse_recipe(f"{odd}+{plain}").name == "odd+plain"
    with pytest.raises(StyleError, match=r"no style file C:\\looks\\none"):
        parse_recipe(r"C:\looks\none.safetensors")
    with pytest.raises(StyleError, match=r"no style file C:\\looks\\none"):
        parse_recipe(r"C:\looks\none.safetensors:0.5")


def test_add_and_remove(tmp_path: Path, own: Path, three: None) -> None:  # noqa: ARG001
    source = write_style(tmp_path / "My look (v2).safetensors", name="old", seed=9)
    card, path = add_style(source)
    assert (card.name, path) == ("My-look-v2", own / "My-look-v2.safetensors")
    style = load_style(path)
    assert style.name == "My-look-v2" and style.card.sha256 == load_style(source).card.sha256
    with pytest.raises(StyleError, match="there is a style My-look-v2 already"):
        add_style(source)
    add_style(source, overwrite=True)
    add_style(path, overwrite=True)  # onto itself
    assert load_style(path).card == style.card
    assert add_style(source, "other")[0].name == "other"
    with pytest.raises(StyleError, match="cannot be named"):
        add_style(source, "../up")
    assert remove_style("other") == own / "other.safetensors" and not (own / "other.safetensors").exists()
    with pytest.raises(StyleError, match="--style anime would take yours from then on: give another name, or --over"):
        add_style(source, "anime")
    assert add_style(source, "anime", overwrite=True)[1] == own / "anime.safetensors"
    remove_style("anime")
    with pytest.raises(StyleError, match="belongs to vidstyle itself"):
        remove_style("anime")
    with pytest.raises(StyleError, match="no style 'nothing'"):
        remove_style("nothing")
    with pytest.raises(StyleError, match="no style"):
        remove_style(str(source.with_suffix("")))
    assert source.exists()


def test_a_damaged_own_style_can_be_removed(own: Path) -> None:
    (own / "bad.safetensors").write_text("no style")
    remove_style("bad")
    assert list(own.iterdir()) == []


def test_add_a_published_network(tmp_path: Path) -> None:
    weights = random_weights(Architecture("ttn"))
    file = tmp_path / "cartoon_bg.pb"
    file.write_bytes(published_pb(weights))
    card, path = add_style(file, "dctnet-anime")
    assert card.architecture == Architecture("ttn") and "Apache-2.0" in card.licence
    assert np.array_equal(find_style("dctnet-anime").weights["conv9.weight"], weights["conv9.weight"])
    assert path == catalog.styles_dir() / "dctnet-anime.safetensors"


@pytest.mark.parametrize("name", ["…", "---"])
def test_a_file_whose_name_gives_none(tmp_path: Path, name: str) -> None:
    file = write_style(tmp_path / "x.safetensors").rename(tmp_path / f"{name}.safetensors")
    with pytest.raises(StyleError):
        add_style(file)
    assert add_style(file, "mine")[0].name == "mine"
