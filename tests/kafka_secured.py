"""A real broker with TLS, SCRAM and ACLs; its certificates are made here and live a day."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from infra.kafka import Cell, cell_of
from infra.settings import Settings
from tests.real_kafka import free_port, kafka

USERS = {name: f"{name}-secret-9f3c" for name in ("admin", "relay", "reader", "nobody")}
"""Passwords by principal; no test may find one in a log."""


@dataclass(frozen=True)
class Secured:
    """The running broker as clients need it."""

    address: str
    ca_file: Path

    def cell(self, user: str, name: str, password: str = "") -> Cell:
        """The cell as this principal reaches it."""
        return cell_of(
            Settings(
                kafka=self.address,
                cell=name,
                kafka_security="sasl_ssl",
                kafka_user=user,
                kafka_password=password or USERS[user],
                kafka_ca_file=self.ca_file,
            )
        )


@contextmanager
def secured(folder: Path) -> Iterator[Secured]:
    """A broker that lets in only who has a password, and to what its ACLs allow."""
    _certificates(folder)
    port, controller = free_port(), free_port()
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
    more = f"""
listeners=SASL_SSL://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=SASL_SSL://127.0.0.1:{port}
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
inter.broker.listener.name=SASL_SSL
listener.security.protocol.map=CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={scram} required \
username="admin" password="{USERS["admin"]}";
ssl.keystore.type=PEM
ssl.keystore.location={folder / "keystore.pem"}
ssl.truststore.type=PEM
ssl.truststore.location={folder / "ca.pem"}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:ANONYMOUS
"""  # ANONYMOUS is the controller's own listener on loopback only
    with kafka(port, more, tuple(USERS.items())) as broker:
        yield Secured(broker.address, folder / "ca.pem")


def _certificates(folder: Path) -> None:
    """ca.pem, an authority; keystore.pem, the broker's key and certificate for 127.0.0.1."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = _named("test authority")
    own = (
        _certificate(authority, authority, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_signs_certificates(), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    broker = (
        _certificate(_named("broker"), authority, key.public_key())
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "ca.pem").write_bytes(own.public_bytes(Encoding.PEM))
    (folder / "keystore.pem").write_bytes(private + broker.public_bytes(Encoding.PEM))


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
    )


def _signs_certificates() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
