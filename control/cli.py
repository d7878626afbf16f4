"""The `sidecall` command."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from control.config import Settings, load
from control.errors import ConfigError, SetupError

USAGE = 2
"""Exit status when the configuration or this machine keeps a command from running."""
FAULTY = 1
"""Exit status of `check`, `doctor` and `models check` when they found something."""

Command = Callable[[argparse.Namespace, Settings, Path | None], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    options = _parser().parse_args(arguments)
    command: Command = options.command
    try:
        config = find_config(options.config)
        return command(options, load(config), config)
    except (ConfigError, SetupError) as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"sidecall: {line}\n")
        return USAGE
    except KeyboardInterrupt:
        return 130


def find_config(given: Path | None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The configuration file: `given`, ./sidecall.toml if it exists, $SIDECALL_CONFIG, or none (defaults)."""
    if given is not None:
        return given
    here = Path("sidecall.toml")
    if here.is_file():
        return here
    named = environ.get("SIDECALL_CONFIG")
    return Path(named) if named else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sidecall", description="Real telephone calls for WebSocket AI bots.", allow_abbrev=False
    )
    common = argparse.ArgumentParser(add_help=False)
    for target, default in ((parser, None), (common, argparse.SUPPRESS)):
        target.add_argument(
            "-c",
            "--config",
            type=Path,
            default=default,
            metavar="FILE",
            help="configuration file (else ./sidecall.toml, else $SIDECALL_CONFIG, else the defaults)",
        )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, run: Command, words: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name, help=words, description=words.capitalize() + ".", parents=[common], allow_abbrev=False
        )
        command.set_defaults(command=run)
        return command

    up = add("up", _up, "start everything on this machine and show its log; Ctrl-C stops it")
    up.add_argument(
        "--no-sip",
        action="store_true",
        help="no telephony: neither Kamailio nor rtpengine, only audio over WebSocket (/call)",
    )
    up.add_argument("--no-bot", action="store_true", help="do not start the example bot")
    add("control", _control, "run the control process alone (what a service manager starts)")
    media = add("media", _media, "run one media worker alone (what a service manager starts)")
    media.add_argument("--worker", type=_worker, default=0, metavar="N", help="number of the worker, from 0")
    media.add_argument("--no-sip", action="store_true", help="serve only /call: there is no control process")
    add("speech", _speech, "run the speech process of a node alone (what a service manager starts)")
    providers = add("providers", _providers, "list the providers of speech, and what each needs")
    providers.add_argument("--json", action="store_true", help="as JSON, for programs")
    spec = add("spec", _spec, "print the API as OpenAPI (REST) or AsyncAPI (sockets), for programs")
    wanted = spec.add_mutually_exclusive_group(required=True)
    wanted.add_argument("document", nargs="?", choices=("openapi", "asyncapi"), help="what is printed")
    wanted.add_argument(
        "--write", metavar="FOLDER", help="write both there, and the tables of its api.md (for developers)"
    )
    add("render", _render, "write kamailio.cfg and rtpengine.conf from the configuration")
    add("check", _check, "try the configuration: both servers are really started with it, on spare ports")
    add("doctor", _doctor, "look at this machine: what is missing, what is wrong, what to do")
    models = add("models", _models, "list, fetch, check and remove models of local speech engines")
    models.add_argument("action", nargs="?", choices=("list", "fetch", "check", "remove"), default="list")
    models.add_argument(
        "names", nargs="*", metavar="NAME", help="which; list and check take all when none is named"
    )
    return parser


def _worker(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def _up(options: argparse.Namespace, settings: Settings, config: Path | None) -> int:
    from control import up

    asyncio.run(up.run(settings, config, sys.stdout, sip=not options.no_sip, bot=not options.no_bot))
    return 0


def _control(_: argparse.Namespace, __: Settings, config: Path | None) -> int:
    return _become(config, "control")


def _media(options: argparse.Namespace, settings: Settings, config: Path | None) -> int:
    if options.worker >= settings.media.workers:
        raise SetupError(
            f"--worker {options.worker}: media.workers is {settings.media.workers},"
            f" so workers are 0 to {settings.media.workers - 1}: raise media.workers"
        )
    without = ("--no-sip",) if options.no_sip else ()
    return _become(config, "media", "--worker", str(options.worker), *without)


def _speech(_: argparse.Namespace, __: Settings, config: Path | None) -> int:
    return _become(config, "media.speech.hub")


def _providers(options: argparse.Namespace, _: Settings, config: Path | None) -> int:
    return _become(config, "media.speech.listing", *(("--json",) if options.json else ()))


def _spec(options: argparse.Namespace, _: Settings, config: Path | None) -> int:
    wanted = (options.document,) if options.write is None else ("--write", options.write)
    return _become(config, "media.api.spec", *wanted)


def _become(config: Path | None, module: str, *arguments: str) -> NoReturn:
    """Replace this process by the module's, which reads the same configuration."""
    from control.up import python_module

    argv = python_module(module, config, *arguments)
    os.execv(argv[0], argv)  # noqa: S606 - no shell


def _render(_: argparse.Namespace, settings: Settings, __: Path | None) -> int:
    from control import render

    render.write(settings)
    sys.stdout.write(f"written to {settings.run_dir}\n")
    return 0


def _check(_: argparse.Namespace, settings: Settings, config: Path | None) -> int:
    from control import check

    faults = asyncio.run(check.run(settings))
    for fault in faults:
        sys.stdout.write(f"{fault}\n")
    if not faults:
        sys.stdout.write(f"{config or 'the default configuration'} is ok\n")
    return FAULTY if faults else 0


def _doctor(_: argparse.Namespace, settings: Settings, __: Path | None) -> int:
    from control import doctor

    findings = asyncio.run(doctor.run(settings))
    for finding in findings:
        sys.stdout.write(f"{finding}\n")
    return FAULTY if doctor.unusable(findings) else 0


def _models(options: argparse.Namespace, settings: Settings, _: Path | None) -> int:
    from control.models import command

    return command.run(options.action, options.names, settings, sys.stdout, sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
