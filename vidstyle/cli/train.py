"""vidstyle train: a style of one's own from about 100 pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidstyle.cli import options as opt
from vidstyle.errors import INTERRUPTED, EngineError, Interrupted, UsageError

if TYPE_CHECKING:
    from vidstyle.cli.train_view import View

PATIENCE = 5.0  # seconds that a training gets to stop when whoever attends it is gone


def train(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the style is to be called.")],
    photos: Annotated[Path, typer.Option(metavar="DIR|ZIP", help="Photos of people, some hundreds of them.")],
    exemplars: Annotated[Path, typer.Option(metavar="DIR|ZIP", help="About 100 portraits in the look.")],
    quick: Annotated[bool, typer.Option("--quick", help="Something to look at in about ten minutes.")] = False,
    paired: Annotated[
        bool, typer.Option("--paired", help="The exemplars are drawings of the photos, each by its photo's name.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="Through a generator as in the paper: needs a GPU.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be done and how long it takes here.")] = False,
    run: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the training; one that was stopped goes on.")
    ] = None,
    detector: Annotated[Path | None, typer.Option(metavar="FILE", help="YuNet's .onnx; fetched if left out.")] = None,
    mesh: Annotated[Path | None, typer.Option(metavar="FILE", help="MediaPipe's face mesh, likewise.")] = None,
    generator: Annotated[
        Path | None, typer.Option(metavar="FILE", help="StyleGAN2 weights of faces; one is trained if left out.")
    ] = None,
    features: Annotated[Path | None, typer.Option(metavar="FILE", help="VGG weights, or a small encoder's.")] = None,
    identity: Annotated[Path | None, typer.Option(metavar="FILE", help="Weights of a face recogniser.")] = None,
    look: Annotated[str, typer.Option(metavar="TEXT", help="One sentence about the look, for its card.")] = "",
    licence: Annotated[str, typer.Option(metavar="SPDX", help="For the card, as CC-BY-4.0.")] = "LicenseRef-own",
    sources: Annotated[str, typer.Option(metavar="TEXT", help="Whose pictures these are, for the card.")] = "",
    option: Annotated[
        list[str] | None, typer.Option("--set", metavar="K=V", help="As student.steps=2000; repeat for more.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Another one gives another training.")] = 0,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu or cuda.")] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a style of this name, or stand before a bundled one.")
    ] = False,
    attended: Annotated[
        bool, typer.Option("--attended", hidden=True, help="End when standard input does: for programs that start it.")
    ] = False,
    json: opt.Json = False,
) -> int:
    """Train a look of your own: vidstyle train mine --photos people/ --exemplars drawings/ --quick

    Ctrl-C stops it at any time: give the same command to go on.

    Then: vidstyle file in.mp4 --style mine
    """
    if attended:
        end_with_input()
    ways = {"quick": quick, "paired": paired, "full": full}
    if sum(ways.values()) > 1:
        raise UsageError(f"{' and '.join(f'--{way}' for way in ways if ways[way])} are several ways: give one of them")
    recipes, folder = _training("recipes"), run or _folder(name)
    wishes = recipes.Wishes(
        name=name,
        photos=photos,
        exemplars=exemplars,
        run=folder,
        out=_target(name, overwrite or plan, folder),
        mode=next((way for way in ways if ways[way]), "standard"),
        detector=detector,
        mesh=mesh,
        generator=generator,
        features=features,
        identity=identity,
        device=_device(device),
        seed=seed,
        look=look,
        licence=licence,
        sources=sources,
        settings=tuple(option or ()),
    )
    chain = recipes.chain(wishes)
    recipes.check_used(wishes, chain)
    if plan:
        return _plan(chain, wishes, json)
    return _go(chain, wishes, json)


def _go(chain: Any, wishes: Any, json: bool) -> int:
    from vidstyle.batch.stop import Stop
    from vidstyle.cli.train_view import open_view

    with Stop() as stop, open_view(json, stop) as view:
        _run(chain, view)
    view.finish(wishes.name, wishes.out, chain.run)
    return 0


def end_with_input() -> None:
    """End in order if it can, else at once, when standard input ends: as at the death of whoever holds it."""
    import os
    import signal
    import threading
    import time

    def wait() -> None:
        while os.read(0, 1):
            pass
        if sys.platform == "win32":  # where `os.kill` ends a process at once
            signal.raise_signal(signal.SIGINT)
        else:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(PATIENCE)
        os._exit(INTERRUPTED)

    threading.Thread(target=wait, name="vidstyle-attended", daemon=True).start()


def _run(chain: Any, view: View) -> None:
    try:
        chain.go(view)
    except Interrupted as stop:
        stop.add_note("the same command goes on from here")
        raise


def _plan(chain: Any, wishes: Any, json: bool) -> int:
    from vidstyle.cli.train_view import show_plan

    show_plan(_training("planning").plan(chain, wishes), json)
    return 0


def _training(module: str) -> Any:
    """A module of the training, which needs the extra ``train``.

    Raises:
        EngineError: it or what it needs is not installed.
    """
    import importlib

    try:
        return importlib.import_module(f"training.{module}")
    except ModuleNotFoundError as error:
        raise EngineError(
            f"training needs {error.name}, which is not installed: pip install 'vidstyle[train]'"
        ) from error


def _folder(name: str) -> Path:
    from vidstyle.paths import styles_dir

    return styles_dir().parent / "training" / name


def _target(name: str, overwrite: bool, run: Path) -> Path:
    """The style file; one that this very training wrote may be replaced.

    Raises:
        StyleError: another style has the name, also vidstyle's own or a package's; or no style can have it.
        SinkError: it could not be written, which is told now and not after a night.
    """
    from vidstyle.catalog import place_for
    from vidstyle.whole import check_place

    path = place_for(name, overwrite=True)
    if not (path.exists() and _wrote(run / "style", path)):
        place_for(name, overwrite)
    check_place(path)
    return path


def _wrote(stage: Path, path: Path) -> bool:
    """Whether a training's last stage made this file; earlier versions did not note which it was."""
    chain = _training("chain")
    return stage.exists() and chain.read_note(stage / chain.OWN).get("style", path.name) == path.name


def _device(name: str) -> str:
    """Raises UsageError, EngineError: no such word, or no GPU that torch can use."""
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device is {name!r}: expected auto, cpu or cuda")
    has_gpu: bool = _training("chain").has_gpu()
    if name == "cuda" and not has_gpu:
        raise EngineError("torch finds no GPU here: use --device cpu")
    return "cuda" if has_gpu and name != "cpu" else "cpu"
