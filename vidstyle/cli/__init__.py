"""The command line. Command modules import only typer at their top, so that ``--help`` is quick."""

from __future__ import annotations

import signal
import sys
from typing import Any, NoReturn

import typer

from vidstyle.cli import batch, build_engine, doctor, file, image, live, styles, train, ui
from vidstyle.cli.help import Group, show_plainly
from vidstyle.errors import INTERRUPTED, Interrupted, UsageError, VidstyleError
from vidstyle.signals import CODES, HANGUP, Echo, end_here, heard, leave_terminal

app = typer.Typer(
    name="vidstyle",
    cls=Group,
    help="Put the people in a video into a drawn look: vidstyle file in.mp4 --style anime",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("file")(file.file)
app.command("batch")(batch.batch)
app.command("image")(image.image)
app.command("preview")(image.preview)
app.command("live")(live.live)
app.command("ui")(ui.ui)
app.command("train")(train.train)
app.command("build-engine")(build_engine.build_engine)
app.command("doctor")(doctor.doctor)
app.add_typer(styles.app, name="styles", cls=Group)
show_plainly(app)
show_plainly(styles.app)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        from vidstyle.cli.console import result

        result(f"vidstyle {version('vidstyle')}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Say the version and end."),
    debug: bool = typer.Option(False, "--debug", help="On an error show where in the code it came from."),
) -> None:
    pass


def _stop(number: int, _: object) -> NoReturn:
    """The first signal ends the run in order; a second one ends it here: finished segments are safe on the disk.

    A terminal that closes may say so twice (the system and the shell), and means one end by it.
    """
    is_echo = Echo()
    is_echo(number)
    for each in heard():
        end = signal.SIG_IGN if each == HANGUP else lambda again, _: is_echo(again) or end_here(CODES[number])
        signal.signal(each, end)
    if number == HANGUP:
        leave_terminal()
    raise Interrupted(CODES[number])


def _with_notes(message: str, error: BaseException, otherwise: str = "") -> str:
    notes = getattr(error, "__notes__", [otherwise])
    return "; ".join(filter(None, [message, *notes]))


def _say(message: str) -> None:
    from vidstyle.cli.console import forget, human

    try:
        human(" ".join(f"vidstyle: {message}".split()))
    except BrokenPipeError:  # nobody reads it: the exit code says it all the same
        forget(sys.stderr)


def _say_usage(error: BaseException, args: list[str]) -> None:
    from vidstyle.cli.console import human
    from vidstyle.cli.usage import shows_help, usage_message

    if shows_help(error):
        for line in str(error).splitlines():
            human(line)
    else:
        _say(usage_message(error, args))


def _run(args: list[str]) -> int:
    from vidstyle.cli.config import load_defaults

    options: dict[str, Any] = {"default_map": load_defaults(app, args)}
    result = app(args=args, prog_name="vidstyle", standalone_mode=False, **options)
    return result if isinstance(result, int) else 0


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and end the process with the exit codes of `vidstyle.errors`."""
    args = list(sys.argv[1:] if args is None else args)
    words = args[: args.index("--")] if "--" in args else args
    debug = "--debug" in words
    args = [arg for arg in words if arg != "--debug"] + args[len(words) :]
    for number in heard():
        signal.signal(number, _stop)
    try:
        code = _run(args)
    except VidstyleError as error:
        if debug:
            raise
        _say(_with_notes(str(error), error))
        code = error.exit_code
    except typer.Exit as done:
        code = done.exit_code
    except Interrupted as stop:
        _say(_with_notes("stopped", stop, "nothing was left behind"))
        code = stop.exit_code
    except typer.Abort:  # at a question
        _say("stopped")
        code = INTERRUPTED
    except BrokenPipeError:
        from vidstyle.cli.console import forget

        forget(sys.stdout)
        code = 1
    except _CLICK_ERROR as error:
        _say_usage(error, args)
        code = UsageError.exit_code
    except MemoryError as error:
        if debug:
            raise
        _say(_with_notes("the memory is full: close other programs, or give a smaller --size", error))
        code = VidstyleError.exit_code
    except Exception as error:
        if debug:
            raise
        _say(f"unexpected {type(error).__name__}: {error}. Run again with --debug and report it")
        code = VidstyleError.exit_code
    sys.exit(code)


#: Typer carries its own copy of click; BadParameter's ancestor is its class for every usage error.
_CLICK_ERROR: Any = typer.BadParameter.__mro__[2]
