"""What every command shares: how to reach the server, and how to speak to people and programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from compute_platform.client import Client

Function = Callable[..., Any]
"""What a decorator takes and gives."""


class Session:
    """The invocation's settings; the client is made when a command first asks for it."""

    def __init__(self) -> None:
        self.url: str | None = None
        self.token_file: str | None = None
        self.patience: float | None = None
        self.at: str | None = None
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """The client for the server that options and environment name."""
        if self._client is None:
            from compute_platform.client import Client, credentials
            from compute_platform.transport import PATIENCE_SECONDS

            patience = PATIENCE_SECONDS if self.patience is None else self.patience
            url, token = credentials(self.url, self.token_file)
            self._client = Client(url, token, patience=patience, tell=say, as_of=self.at)
        return self._client

    def job(self, text: str) -> str:
        """The full id of the job that `text` means."""
        from compute_platform import resolve

        return resolve.job_id(self.client, text)


class JobName(click.ParamType[str]):
    """A job by id, part of an id, or name; completed from the server if it answers quickly."""

    name = "job"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - click's signature
        incomplete: str,
    ) -> list[click.shell_completion.CompletionItem]:
        from compute_platform import completion

        return completion.jobs(session_of(ctx), incomplete)


def session_of(ctx: click.Context) -> Session:
    """The session of this invocation."""
    return ctx.find_root().ensure_object(Session)


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(ctx: click.Context, param: click.Parameter, value: object) -> None:  # noqa: ARG001 - click's signature
        if value is not None:
            setattr(session_of(ctx), name, value)

    return keep


def connection_options(hidden: bool) -> Callable[[Function], Function]:
    """`--url`, `--token-file`, `--retry-for`: shown once, understood after each command too."""

    def decorate(function: Function) -> Function:
        for option, name, kind, text in (
            ("--retry-for", "patience", click.FloatRange(min=0), "Seconds to try again for."),
            ("--token-file", "token_file", str, "File with the token; default: COMPUTE_TOKEN."),
            ("--url", "url", str, "The server's address; default: COMPUTE_URL."),
        ):
            function = click.option(
                option,
                type=kind,
                expose_value=False,
                hidden=hidden,
                callback=_keep(name),
                is_eager=True,
                help=text,
            )(function)
        return function

    return decorate


def at_option(function: Function) -> Function:
    """`--at`: what was so at a moment of the past."""
    return click.option(
        "--at",
        metavar="MOMENT",
        expose_value=False,
        callback=_keep("at"),
        help="As it was then: a log position, an RFC 3339 time, or -90s, -10m, -2h, -3d.",
    )(function)


def json_option(function: Function) -> Function:
    """`--json`: the API's own JSON instead of text for people."""
    return click.option("--json", "as_json", is_flag=True, help="Print the API's JSON.")(function)


def api_command(function: Function) -> Function:
    """A command that asks the server: connection options, `--json`, and the session first."""

    @wraps(function)
    def with_session(*args: Any, **kwargs: Any) -> Any:
        return function(session_of(click.get_current_context()), *args, **kwargs)

    return connection_options(hidden=True)(json_option(with_session))


job_argument = click.argument("job", type=JobName())


def say(text: str) -> None:
    """Progress and remarks, on stderr."""
    click.echo(f"compute: {text}", err=True)


def write(data: bytes, *, err: bool = False) -> None:
    """Raw bytes on stdout or stderr, at once."""
    stream = sys.stderr if err else sys.stdout
    stream.flush()
    stream.buffer.write(data)
    stream.buffer.flush()


def write_json(value: object, *, one_line: bool = False) -> None:
    """A JSON document on stdout: indented, or on one line for streams."""
    import json

    click.echo(json.dumps(value, indent=None if one_line else 2, ensure_ascii=False))


def write_lines(lines: list[str]) -> None:
    """Lines of text on stdout."""
    click.echo("\n".join(lines))


def coloured(stream: Any = None) -> bool:
    """Whether colour is wanted: a terminal, and NO_COLOR (no-color.org) is not set."""
    out = stream or sys.stdout
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
