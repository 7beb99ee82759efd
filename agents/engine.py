"""A container engine as it fails: away, or saying no; and what can be done without it."""

from __future__ import annotations

import os
import signal
import socket
import struct
from pathlib import Path
from typing import Any

import docker
import docker.errors
import urllib3
from docker.transport.unixconn import UnixHTTPConnection

RETRY_S = 0.25
"""Between calls of an engine that is away."""
FAILURES = (docker.errors.DockerException, urllib3.exceptions.HTTPError, struct.error, OSError)
"""What a call of the docker SDK 7.2 raises (requests' errors are OSErrors), and a full disk."""
_UNKNOWN = 255
"""The engine's own exit code for a container whose end it did not see (containerd, too)."""


def _connect(connection: UnixHTTPConnection) -> None:
    """As the SDK's own, but a socket that does not connect is closed, not left to the collector."""
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(connection.timeout)
    try:
        line.connect(connection.unix_socket)
    except BaseException:
        line.close()
        raise
    connection.sock = line


UnixHTTPConnection.connect = _connect  # type: ignore[method-assign, assignment]  # in its place


def passes(error: Exception) -> bool:
    """Whether the same call may succeed later: nobody answered, or the engine failed itself."""
    if isinstance(error, docker.errors.APIError):
        return bool(error.is_server_error())
    return not isinstance(error, docker.errors.DockerException)


def explanation(error: Exception) -> str:
    return str(getattr(error, "explanation", None) or error)


def keeps_ends(client: docker.DockerClient, code: int) -> bool:
    """Whether a container that ended while the engine was away did so by itself, with this code.

    An engine without live restore stops its containers when it stops, and those that outlived it
    when it starts; one that lost sight of a container makes up its code.
    """
    return code != _UNKNOWN and bool(client.info().get("LiveRestoreEnabled"))


def signal_here(container: Any, number: int) -> bool:
    """Signal the container's first process without its engine; False where that cannot be done.

    The process must be in the container's control group: by now, or on this machine, its number
    may be another's.
    """
    pid = container.attrs["State"]["Pid"]
    if not pid:
        return False
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if container.id not in Path(f"/proc/{pid}/cgroup").read_text():
            return False
        signal.pidfd_send_signal(handle, number)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
