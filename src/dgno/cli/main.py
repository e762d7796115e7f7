"""The command line: `dgno VERB ...`. Each verb is one short function in a file of its own.

Exit statuses and error lines are those of `dgno.errors`; 130 after Ctrl-C, 143 after a request to terminate.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType

import typer

from dgno import __version__
from dgno.cli import (
    assess,
    bench,
    check_data,
    doctor,
    evaluate,
    export,
    import_weights,
    info,
    models,
    restore,
    simulate,
    train,
)
from dgno.cli.console import print_json, remarks_told
from dgno.errors import DgnoError

app = typer.Typer(
    name="dgno",
    help="Remove defocus and motion blur from microscopy and pathology images. For research use only.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
VERBS: dict[str, Callable[..., None]] = {
    "restore": restore.restore,
    "assess": assess.assess,
    "simulate": simulate.simulate,
    "train": train.train,
    "check-data": check_data.check_data,
    "evaluate": evaluate.evaluate,
    "bench": bench.bench,
    "info": info.info,
    "models": models.models,
    "import-weights": import_weights.import_weights,
    "export": export.export,
    "doctor": doctor.doctor,
}
for _name, _verb in VERBS.items():
    app.command(_name)(_verb)


@app.callback(invoke_without_command=True)
def main(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    if version:
        print(__version__)
        raise typer.Exit


class Stopped(BaseException):
    """Somebody pressed Ctrl-C, or the system asked the process to end."""


STOPPED = {
    signal.SIGINT: (130, "E-INTERRUPTED", "interrupted"),
    signal.SIGTERM: (143, "E-TERMINATED", "terminated"),
}


REMEDIES = {
    "restore": ", run again with --resume to go on",
    "train": ", run again with --resume to go on",
    "bench": ", run the same again to go on",
}


def run(arguments: list[str] | None = None) -> None:
    """Run one command and leave with its exit status."""
    for number in STOPPED:
        signal.signal(number, _stop)
    sys.exit(status_of(sys.argv[1:] if arguments is None else arguments))


def status_of(arguments: list[str]) -> int:
    """Run one command; every way it can end has its exit status."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    arguments = arguments or ["--help"]
    as_json, debug = "--json" in arguments, "--debug" in arguments
    if empty := [argument for argument in arguments if re.fullmatch(r"(--[\w-]+=)?", argument)]:
        what = f"{empty[0]} is empty" if empty[0] else "an argument is empty"
        return _usage_error(f"{what}: is a variable of the shell not set?", arguments, as_json=as_json, debug=debug)
    try:
        with remarks_told(quiet=not {"--quiet", "-q"}.isdisjoint(arguments)):
            return int(app(arguments, standalone_mode=False) or 0)
    except DgnoError as error:
        return _report(error.code, str(error), error.exit_status, error.as_json() if as_json else None, debug)
    except Stopped as stopped:
        status, code, what = STOPPED[stopped.args[0]]
        return _report(code, f"{what}; finished outputs are whole{REMEDIES.get(arguments[0], '')}", status, None, False)
    except (BrokenPipeError, SystemExit):  # whoever read our output has gone; typer turns that into an exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's own, or click's, as the version has it
            return _usage_error(error.format_message(), arguments, as_json=as_json, debug=debug)
        if told := _refused_name(error):
            return _report(told.code, str(told), told.exit_status, told.as_json() if as_json else None, debug)
        message = (
            f"unexpected {type(error).__name__}: {error}; this is a bug, please report it with the output of --debug"
        )
        facts = {"code": "E-BUG", "path": None, "message": message, "hint": "report it"} if as_json else None
        return _report("E-BUG", message, 1, facts, debug)


def _refused_name(error: Exception) -> DgnoError | None:
    from dgno.io.opening import refused_name  # takes time to import

    return refused_name(error)


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
    raise Stopped(number)


def _usage_error(message: str, arguments: list[str], *, as_json: bool, debug: bool) -> int:
    verb = arguments[:1] if arguments[0] in VERBS else []
    message, hint = message.rstrip("."), f"see {' '.join(['dgno', *verb, '--help'])}"
    facts = {"code": "E-USAGE", "path": None, "message": message, "hint": hint} if as_json else None
    return _report("E-USAGE", f"{message}; {hint}", 2, facts, debug)


def _report(code: str, text: str, status: int, facts: object, debug: bool) -> int:
    """One line on stderr, and the facts on stdout if they were asked for as JSON."""
    if debug:
        traceback.print_exc()
    line = " ".join(text.splitlines())
    print(f"dgno: error[{code}]: {line}", file=sys.stderr, flush=True)
    if facts is not None:
        print_json(facts)
    return status
