"""What the agent is told when it starts: flags first, then the environment. Read once."""

from __future__ import annotations

import argparse
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.errors import Invalid
from domain.values import quantity
from domain.values.ids import check_name
from domain.values.topology import model_of

RUNNERS = ("docker", "sandbox", "process")
_FAKE = re.compile(r"([1-9][0-9]{0,3})x([A-Za-z0-9][A-Za-z0-9 _-]{0,40})")


@dataclass(frozen=True)
class Settings:
    """One agent on one node. CPU in thousandths, sizes in bytes; None: what the machine has."""

    url: str
    token: str
    node: str
    data: Path
    objects: Path
    runners: tuple[str, ...] | None = None
    fake_gpus: tuple[str, ...] = ()
    cpu_milli: int | None = None
    memory_bytes: int | None = None
    pool: str = ""
    rack: str = ""
    spine: str = ""
    taints: tuple[str, ...] = ()
    storage_bytes: int | None = None
    network_mbps: int = 0
    labels: tuple[tuple[str, str], ...] = ()
    pull: bool = False
    stop_seats: bool = False
    log_cap_bytes: int = 64 * 2**20
    pids_limit: int = 4096
    tmp_bytes: int = 2**30
    mask: tuple[Path, ...] = ()
    expose: tuple[Path, ...] = ()

    def __repr__(self) -> str:
        return f"Settings(node={self.node!r}, url={self.url!r}, data={str(self.data)!r})"


def read(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Settings from the command line and the environment; Invalid names what is wrong."""
    given = _parser().parse_args(arguments)

    def pick(name: str, variable: str, otherwise: str = "") -> str:
        value = getattr(given, name)
        return str(value) if value is not None else environment.get(variable, otherwise)

    url = pick("url", "COMPUTE_URL")
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", url):
        raise Invalid(
            "bad_url", "--url (COMPUTE_URL): give the cell's http(s) address", field="url"
        )
    data = Path(pick("data", "COMPUTE_AGENT_DATA", "agent-data")).absolute()
    objects = pick("objects", "COMPUTE_AGENT_OBJECTS")
    cpu = pick("cpu", "COMPUTE_AGENT_CPU")
    memory = pick("memory", "COMPUTE_AGENT_MEMORY")
    storage = pick("storage", "COMPUTE_AGENT_STORAGE")
    network = pick("network_mbps", "COMPUTE_AGENT_NETWORK_MBPS", "0")
    spine = pick("spine", "COMPUTE_AGENT_SPINE")
    taints = given.taint or _words(environment.get("COMPUTE_AGENT_TAINTS", ""))
    host = re.sub(r"[^a-z0-9._-]+", "-", socket.gethostname().lower()).strip("._-")[:63]
    return Settings(
        url=url,
        token=_token(pick("token", "COMPUTE_TOKEN"), pick("token_file", "COMPUTE_TOKEN_FILE")),
        node=check_name("--node", pick("node", "COMPUTE_AGENT_NODE", host.rstrip("._-"))),
        data=data,
        objects=Path(objects).absolute() if objects else data / "objects",
        runners=_runners(pick("runners", "COMPUTE_AGENT_RUNNERS", "auto"), given.no_docker),
        fake_gpus=fake_models(pick("fake_gpus", "COMPUTE_AGENT_FAKE_GPUS")),
        cpu_milli=_positive("--cpu", quantity.milli("--cpu", cpu)) if cpu else None,
        memory_bytes=_positive("--memory", quantity.size("--memory", memory)) if memory else None,
        pool=check_name("--pool", pool) if (pool := pick("pool", "COMPUTE_AGENT_POOL")) else "",
        rack=check_name("--rack", rack) if (rack := pick("rack", "COMPUTE_AGENT_RACK")) else "",
        spine=check_name("--spine", spine) if spine else "",
        taints=tuple(check_name("--taint", taint) for taint in taints),
        storage_bytes=quantity.size("--storage", storage) if storage else None,
        network_mbps=quantity.size("--network-mbps", network),
        labels=_labels(given.label or _words(environment.get("COMPUTE_AGENT_LABELS", ""))),
        pull=given.pull,
        stop_seats=given.stop_seats,
        log_cap_bytes=_positive("--log-cap", quantity.size("--log-cap", given.log_cap)),
        pids_limit=given.pids_limit,
        tmp_bytes=_positive("--tmp-size", quantity.size("--tmp-size", given.tmp_size)),
        mask=_paths(given.mask or environment.get("COMPUTE_AGENT_MASK", "").split(":")),
        expose=_paths(given.expose or environment.get("COMPUTE_AGENT_EXPOSE", "").split(":")),
    )


def fake_models(text: str) -> tuple[str, ...]:
    """One model name for each fake GPU of a list such as `2xA100,4xH100`."""
    models: list[str] = []
    for part in _words(text):
        match = _FAKE.fullmatch(part)
        if match is None:
            raise Invalid(
                "bad_fake_gpus",
                f"--fake-gpus: {part!r} is not COUNTxMODEL, as in 8xH100 or 2xA100,4xH100",
                field="fake_gpus",
            )
        models += [model_of(match[2])] * int(match[1])
    if len(models) > 1024:
        raise Invalid("bad_fake_gpus", "--fake-gpus: at most 1024 on a node", field="fake_gpus")
    return tuple(models)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _paths(words: Sequence[str]) -> tuple[Path, ...]:
    return tuple(Path(word).absolute() for word in words if word)


def _positive(field: str, value: int) -> int:
    if value < 1:
        raise Invalid("out_of_range", f"{field}: must be more than 0", field=field)
    return value


def _token(token: str, file: str) -> str:
    if token or not file:
        return token
    try:
        return Path(file).read_text().strip()
    except OSError as error:
        raise Invalid("no_token_file", f"--token-file: {error}", field="token_file") from error


def _runners(text: str, no_docker: bool) -> tuple[str, ...] | None:
    """The ways to run seats that are wanted; None lets the agent find out."""
    words = tuple(_words(text))
    unknown = [word for word in words if word not in (*RUNNERS, "auto")]
    if unknown or not words:
        raise Invalid(
            "bad_runners",
            f"--runners: use auto, or a list of {', '.join(RUNNERS)}",
            field="runners",
        )
    if "auto" in words:
        return ("sandbox",) if no_docker else None
    wanted = tuple(word for word in words if not (no_docker and word == "docker"))
    if not wanted:
        raise Invalid("bad_runners", "--no-docker leaves no runner", field="runners")
    return wanted


def _labels(pairs: Sequence[str]) -> tuple[tuple[str, str], ...]:
    labels = []
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name or len(pair) > 200:
            raise Invalid("bad_label", f"--label: {pair!r} is not NAME=VALUE", field="label")
        labels.append((name, value))
    return tuple(labels)


def _parser() -> argparse.ArgumentParser:
    """Flags; each may be given by environment variable instead where the help names one."""
    parser = argparse.ArgumentParser(prog="python -m agents", description=__doc__)
    add = parser.add_argument
    add("--url", help="address of the cell (COMPUTE_URL)")
    add("--token", help="agent token; prefer COMPUTE_TOKEN or --token-file: others see flags")
    add("--token-file", help="file with the agent token (COMPUTE_TOKEN_FILE)")
    add("--node", help="name of this node, the host name if not given (COMPUTE_AGENT_NODE)")
    add("--data", help="folder for state and seats, default agent-data (COMPUTE_AGENT_DATA)")
    add("--objects", help="object folder for checkpoints (COMPUTE_AGENT_OBJECTS)")
    add("--runners", help="auto, or a list of docker, sandbox, process (COMPUTE_AGENT_RUNNERS)")
    add("--no-docker", action="store_true", help="never use a Docker engine")
    add("--fake-gpus", help="GPUs to pretend, as in 8xH100 (COMPUTE_AGENT_FAKE_GPUS)")
    add("--cpu", help="CPUs to offer, as in 16 or 500m (COMPUTE_AGENT_CPU)")
    add("--memory", help="memory to offer, as in 64Gi (COMPUTE_AGENT_MEMORY)")
    add("--pool", help="pool the node joins (COMPUTE_AGENT_POOL)")
    add("--rack", help="rack the node stands in (COMPUTE_AGENT_RACK)")
    add("--spine", help="spine switch its rack hangs on (COMPUTE_AGENT_SPINE)")
    add("--taint", action="append", help="only jobs that tolerate it (COMPUTE_AGENT_TAINTS)")
    add("--storage", help="local storage to offer, as in 2Ti (COMPUTE_AGENT_STORAGE)")
    add("--network-mbps", help="network to offer, Mbit/s (COMPUTE_AGENT_NETWORK_MBPS)")
    add("--label", action="append", help="NAME=VALUE, may be repeated (COMPUTE_AGENT_LABELS)")
    add("--pull", action="store_true", help="pull missing images")
    add("--stop-seats", action="store_true", help="end the seats with the agent")
    add("--log-cap", default="64Mi", help="largest log kept of one seat (64Mi)")
    add("--tmp-size", default="1Gi", help="size of a seat's private /tmp (1Gi)")
    add("--pids-limit", type=int, default=4096, help="most processes and threads of a seat (4096)")
    add("--mask", action="append", help="path no seat may see (COMPUTE_AGENT_MASK, by colons)")
    add("--expose", action="append", help="path every seat may read (COMPUTE_AGENT_EXPOSE)")
    return parser
