"""How this platform proves itself to Kafka's brokers: SASL/SCRAM over TLS, by settings."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domain.errors import Invalid
from infra.settings import Settings

PREFIX = "COMPUTE_KAFKA_"


@dataclass(frozen=True)
class Login:
    """A principal with its password, and whose certificates the brokers must show.

    `ca_file` is PEM; without it the machine's own authorities count.
    """

    user: str
    password: str = field(repr=False)
    ca_file: Path | None = None

    def options(self) -> dict[str, Any]:
        """The settings of every client."""
        return {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": self.user,
            "sasl_plain_password": self.password,
            "ssl_context": ssl.create_default_context(cafile=self.ca_file),
        }


def login_of(settings: Settings) -> Login | None:
    """The login that is set, None for plain text; Invalid, naming the field and the fix."""
    given = {
        "USER": bool(settings.kafka_user),
        "PASSWORD": bool(settings.kafka_password.get_secret_value()),
        "PASSWORD_FILE": settings.kafka_password_file is not None,
        "CA_FILE": settings.kafka_ca_file is not None,
    }
    if settings.kafka_security == "plaintext":
        for name in (name for name, is_set in given.items() if is_set):
            raise _bad(name, "is set, but would not be used: set COMPUTE_KAFKA_SECURITY=sasl_ssl")
        return None
    if not given["USER"]:
        raise _bad("USER", "is not set: COMPUTE_KAFKA_SECURITY=sasl_ssl needs a principal's name")
    if given["PASSWORD"] and given["PASSWORD_FILE"]:
        raise _bad("PASSWORD", "and COMPUTE_KAFKA_PASSWORD_FILE are both set: leave one out")
    if given["CA_FILE"]:
        _check_authority(Path(settings.kafka_ca_file or ""))
    return Login(settings.kafka_user, _password(settings), settings.kafka_ca_file)


def _password(settings: Settings) -> str:
    path = settings.kafka_password_file
    if path is None:
        password = settings.kafka_password.get_secret_value()
        if not password:
            raise _bad("PASSWORD_FILE", "is not set: name a file that holds the password")
        return password
    try:
        password = path.read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        # `from None`: the text of the file must not come along with a decoding error
        raise _bad("PASSWORD_FILE", f"{path} cannot be read: {type(error).__name__}") from None
    if not password:
        raise _bad("PASSWORD_FILE", f"{path} is empty: it must hold the password")
    return password


def _check_authority(path: Path) -> None:
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # an ssl.SSLError is one
        raise _bad("CA_FILE", f"{path} is no readable PEM of certificates: {error}") from error


def _bad(name: str, what: str) -> Invalid:
    return Invalid("bad_kafka", f"{PREFIX}{name} {what}")
