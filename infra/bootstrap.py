"""What a new cell begins with: tables, prices, a project, and tokens for its first people."""

from __future__ import annotations

from pathlib import Path

from domain.access import Role
from domain.event import Event, Meta, StreamId
from domain.policy import policy as policies
from domain.policy.policy import DEFAULT_PRICES, Policy
from domain.project import project as projects
from domain.token import token as tokens
from domain.token.events import Issued
from domain.values.ids import ProjectId, TokenId
from infra.ids import digest, fresh, fresh_token
from infra.store import Change, Store, stream_of

META = Meta("bootstrap", "command:bootstrap", "bootstrap")
FIRST_PROJECT = ProjectId("ml-research")


def begin(store: Store) -> None:
    """Give an empty cell a price list and a first project; does nothing to one in use."""
    store.execute(
        StreamId("policy/cell"),
        policies.evolve,
        Policy(),
        lambda policy: policies.set_prices(policy, policy.prices or DEFAULT_PRICES),
        META,
    )
    store.execute(
        stream_of("project", FIRST_PROJECT),
        projects.evolve,
        None,
        lambda p: [] if p else projects.create(p, FIRST_PROJECT, "the first project"),
        META,
    )


def token_in(store: Store, file: Path, principal: str, role: Role) -> str:
    """The token kept in `file` (mode 600); issued now if there is no such file."""
    if file.exists():
        return file.read_text().strip()
    secret = fresh_token()
    token = TokenId(fresh("token", store.now()))
    issued = Issued(token, digest(secret), principal, (role,))
    events: list[Event] = list(tokens.issue(issued, store.now()))
    store.append([Change(stream_of("token", token), 0, events, META)])
    file.touch(mode=0o600)
    file.write_text(secret + "\n")
    return secret
