"""A group whose commands are imported only when they are used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import click

Section = Mapping[str, tuple[str, str]]
"""Command name to (`module:function`, its first line of help)."""


class LazyGroup(click.Group):
    """Knows names and help of its commands without importing them; `sections` in help's order."""

    def __init__(
        self,
        *,
        sections: Mapping[str, Section],
        aliases: Mapping[str, str],
        name: str | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(name, **kwargs)  # type: ignore[arg-type]  # click's own options
        self.sections = sections
        self.aliases = aliases
        self._places = {name: at for section in sections.values() for name, at in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self._places)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        place = self._places.get(self.aliases.get(cmd_name, cmd_name))
        if place is None:
            return None
        module, _, function = place[0].partition(":")
        command = getattr(import_module(module), function)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = args[0].startswith("-") or self.get_command(ctx, args[0]) is not None
        if not known and not ctx.resilient_parsing:
            raise click.NoSuchCommand(args[0], possibilities=list(self._places), ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        wide = max(map(len, self._places))
        for title, section in self.sections.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(name.ljust(wide), text) for name, (_, text) in section.items()]
                )
