"""The command `gpuconv`: what may be written after it, and which module does the work.

Only the parser lives here. A module is imported when its command is called, so `gpuconv --help` imports
neither Numba nor a GPU library. What the user can mend, a missing package, an unreadable picture or a full
disk, is one line on stderr and exit code 2. A reader that has closed the pipe ends a command without a word,
with 141, as a shell says it of programs that the signal ends.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from gpuconv import __version__
from gpuconv.commands.environment import CommandError, refuse_wrong_variables
from gpuconv.commands.output import OutputError, say, watched_stdout


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (without the program's name) and return its exit code.

    Examples
    --------
    >>> from gpuconv.cli import main
    >>> main(["compile", "--arch"])
    Traceback (most recent call last):
    SystemExit: 2
    """
    try:
        with watched_stdout():
            return _run(vars(_parser().parse_args(argv)))
    except OutputError as failed:
        if isinstance(failed.error, BrokenPipeError):  # nobody reads on, as behind `head`
            return 141
        say(f"gpuconv: the output cannot be written: {failed}")
        return 2


def _run(options: dict[str, Any]) -> int:
    command = options.pop("command")
    try:
        if command != "info":  # which shows them
            refuse_wrong_variables()
        return _COMMANDS[command](**options)
    except CommandError as error:
        say(f"gpuconv {command}: {error}")
        return 2
    except KeyboardInterrupt:
        say(f"gpuconv {command}: interrupted")
        return 130


def _demo(learn: bool, **options: Any) -> int:
    if learn:
        from gpuconv.commands.learn import learn as run
    else:
        from gpuconv.commands.demo import demo as run
    return run(**options)


def _info() -> int:
    from gpuconv.commands import info

    return info.info()


def _verify(**options: Any) -> int:
    from gpuconv.commands import verify

    return verify.verify(**options)


def _compile(**options: Any) -> int:
    from gpuconv.commands import compile

    return compile.compile_ahead(**options)


_COMMANDS: dict[str, Callable[..., int]] = {
    "demo": _demo,
    "info": _info,
    "verify": _verify,
    "compile": _compile,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gpuconv",
        description="2-D convolution and pooling on batches of images, on the CPU and the GPU.",
    )
    parser.add_argument("--version", action="version", version=f"gpuconv {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_info(commands)
    _add_verify(commands)
    _add_compile(commands)
    return parser


def _add_demo(commands) -> None:
    text = "Filter and pool pictures as one batch: a contact sheet, and a table of times."
    demo = commands.add_parser("demo", help=text, description=text)
    demo.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help="picture files (scikit-image's photographs if none is given)",
    )
    demo.add_argument(
        "--learn",
        action="store_true",
        help="learn filters instead, then to read digits, with the gradients of this library, on the CPU",
    )
    demo.add_argument(
        "--out",
        default=argparse.SUPPRESS,  # the function's own
        metavar="FILE",
        help="the contact sheet, a PNG (gpuconv-demo.png, or gpuconv-learn.png)",
    )
    demo.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where to compute (%(default)s)"
    )


def _add_info(commands) -> None:
    text = "Show versions, processor, threads, devices, caches, and what is missing or wrong."
    commands.add_parser("info", help=text, description=text)


def _add_verify(commands) -> None:
    text = (
        "Check every algorithm against a plain reference, on integer data and for equality. What has not "
        "been compiled yet is, which takes most of the time: a minute or two on the CPU, once."
    )
    verify = commands.add_parser("verify", help=text, description=text)
    verify.add_argument(
        "--device",
        choices=("cpu", "cuda", "all"),
        default="all",
        help="all is every one present (%(default)s)",
    )
    verify.add_argument("--algorithm", default="", metavar="NAME", help="only the one of this name")
    verify.add_argument(
        "--isolate",
        action="store_true",
        help="each algorithm in a process of its own, so that one that crashes does not hide the rest",
    )


def _add_compile(commands) -> None:
    text = "Compile kernels ahead of their first call; no GPU is needed."
    compilation = commands.add_parser("compile", help=text, description=text)
    compilation.add_argument(
        "--arch",
        nargs="+",
        metavar="ARCH",
        dest="architectures",
        help="GPU architectures such as sm_90a (all that are known, unless --cpu is given alone)",
    )
    compilation.add_argument(
        "--kernel", default="", metavar="NAME", help="only kernels with NAME in their name"
    )
    compilation.add_argument(
        "--cpu", action="store_true", help="the CPU kernels, for all dtypes: about a minute on two cores"
    )
