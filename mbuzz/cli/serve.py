"""`mbuzz serve`: run the backend."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mbuzz.server.app import Application
    from mbuzz.server.bootstrap import FirstStart
    from mbuzz.server.settings import Loaded, ServerSettings


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    from mbuzz.server.settings import DEFAULTS, OPTIONS

    parser = commands.add_parser(
        "serve",
        help="run the backend on an SQLite file",
        description="Run the backend. The first start makes the database, a key and "
        "a log-in for the dashboard, and shows them once. Each option is also a "
        "variable, MBUZZ_SERVER_ and its name in capitals; a flag wins.",
    )
    groups: dict[str, argparse._ArgumentGroup] = {}
    for option in OPTIONS:
        if option.group not in groups:
            title = option.group or "the server"
            groups[option.group] = parser.add_argument_group(title)
        default = DEFAULTS[option.name]
        if isinstance(default, float):
            default = f"{default:g}"
        shown = "" if default in ("", ()) else f" (default: {default})"
        groups[option.group].add_argument(
            option.flag,
            metavar=option.metavar,
            help=f"{option.help}{shown}".replace("%", "%%"),
        )
    parser.add_argument(
        "--check",
        action="store_true",
        help="look at the settings, show where each comes from, and end",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    from mbuzz.server import logs, settings

    flags = {option.name: getattr(args, option.name) for option in settings.OPTIONS}
    loaded = settings.load(os.environ, flags)
    if args.check:
        return _check(loaded)
    chosen = loaded.settings
    undo = logs.configure(chosen.log_format, chosen.log_level)
    try:
        return _serve(chosen, loaded.warnings)
    finally:
        undo()


def _check(loaded: Loaded) -> int:
    """Show the settings; 1 if a variable is none of ours."""
    for name, value, origin in loaded.table():
        print(f"{name:<21} {value:<32} {origin}")
    for warning in loaded.warnings:
        print(f"warning: {warning}")
    return 1 if loaded.warnings else 0


def _serve(settings: ServerSettings, warnings: tuple[str, ...]) -> int:
    import logging

    from mbuzz.cli.running import listen, try_port, until_stopped, wait_for
    from mbuzz.clock import SYSTEM_CLOCK
    from mbuzz.server import bootstrap, gauges, interpreter
    from mbuzz.server.app import create_app, scheduler

    logger = logging.getLogger("mbuzz.server")
    for warning in warnings:
        logger.warning("option ignored (why=%s)", warning)
    try_port(settings.host, settings.port, "--port")
    app = create_app(settings)
    jobs = scheduler(app.storage)
    with until_stopped() as stopped:
        try:
            server = listen(
                app, settings.host, settings.port, "--port", **_limits(settings)
            )
            gauges.attach_server(app.metrics, server)
            with server:
                first = bootstrap.prepare(
                    app.storage,
                    SYSTEM_CLOCK,
                    email=settings.email,
                    currency=settings.currency,
                    timezone=settings.timezone,
                )
                interpreter.tune()
                server.start()
                jobs.start()
                _announce(server.url, settings.database, first)
                # people have just read that
                level = logging.INFO if settings.log_format == "json" else logging.DEBUG
                logger.log(
                    level, "started (host=%s, port=%d)", settings.host, server.port
                )
                wait_for(stopped)
                _tell_of_the_end(app, settings)
                server.shutdown(settings.stop_timeout)
        finally:
            jobs.stop()
            app.close()
    logger.log(level, "stopped (host=%s, port=%d)", settings.host, server.port)
    return 0


def _limits(settings: ServerSettings) -> dict[str, float]:
    limits: dict[str, float] = {
        "request_timeout": settings.request_timeout,
        "idle_timeout": settings.idle_timeout,
    }
    if settings.max_connections:
        limits["max_connections"] = settings.max_connections
    return limits


def _tell_of_the_end(app: Application, settings: ServerSettings) -> None:
    waiting = app.metrics.read("mbuzz_writer_queue_units") or 0
    opened = app.metrics.read("mbuzz_open_connections") or 0
    print(
        f"stopping: finishing what is being written (connections={opened:.0f}, "
        f"writes={waiting:.0f}), within {settings.stop_timeout:g} s; "
        "a second signal stops at once",
        flush=True,
    )


def _announce(url: str, database: str, first: FirstStart | None) -> None:
    print(f"mbuzz backend on {url}, database {database}")
    # "all addresses" is none that a browser or an application could ask
    url = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    print(f"  dashboard  {url}/")
    print(f"  API        {url}/api/v1  (described at {url}/openapi.json)")
    if first is not None:
        print("\nShown once, keep it:")
        print(f"  API key    {first.api_key}")
        print(f"  log-in     {first.email}  password {first.password}")
        print("\nIn your application's environment:")
        print(f"  export MBUZZ_API_KEY={first.api_key}")
        print(f"  export MBUZZ_API_URL={url}")
        print(
            "\nThis is a test key; `mbuzz keys create --live` makes one for real data."
        )
    print("\nCtrl-C stops it.", flush=True)
