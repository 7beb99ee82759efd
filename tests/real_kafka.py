"""A real Apache Kafka for tests and for trying out: jars by Maven, run by Java, KRaft, loopback.

`python -m tests.real_kafka` starts one broker, prints its address and stays until Ctrl-C.
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

KAFKA, LOG4J = "4.3.1", "2.25.4"
CACHE = Path(__file__).parent.parent / ".cache" / "kafka"
LIBS = CACHE / f"libs-{KAFKA}"
READY_SECONDS = 60.0
STOP_SECONDS = 10.0

_POM = f"""<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>tests</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
      <version>{KAFKA}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
      <version>{LOG4J}</version>
    </dependency>
  </dependencies>
</project>
"""

_LOG4J = """<Configuration status="ERROR"><Appenders><Console name="out">
<PatternLayout pattern="%d %p %c: %m%n%throwable"/></Console></Appenders>
<Loggers><Root level="INFO"><AppenderRef ref="out"/></Root></Loggers></Configuration>
"""

# The two heartbeat settings let a killed broker come back in 4 s; with the defaults it waits 10 s
# for its own old session.
_PROPERTIES = """
process.roles=broker,controller
node.id={node}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={folder}/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
"""


def missing() -> str:
    """What a broker needs and this machine lacks, as a reason; empty if nothing."""
    if shutil.which("java") is None:
        return "a real Kafka needs Java 17 (Debian: openjdk-17-jre-headless)"
    if not LIBS.exists() and shutil.which("mvn") is None:
        return "fetching Kafka's jars needs Maven (Debian: maven)"
    return ""


def fetch() -> None:
    """Fetch Kafka's jars if they are not there; RuntimeError with Maven's output if it fails."""
    if LIBS.exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        (Path(folder) / "pom.xml").write_text(_POM)
        command = ["mvn", "-q", "-B", "dependency:copy-dependencies"]
        command += ["-DoutputDirectory=libs", "-DincludeScope=runtime"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"Maven failed: {(done.stdout + done.stderr)[-2000:]}")
        if not LIBS.exists():  # another test process may have been faster
            (Path(folder) / "libs").rename(LIBS)


@dataclass
class Broker:
    """One node, broker and controller in one process, with all its files in one folder."""

    port: int
    folder: Path
    controller: int
    node: int = 1
    voters: str = ""
    """All nodes as `id@host:port,...` where there are several."""
    cluster: str = field(default_factory=lambda: cluster_id())
    more: str = ""
    """Settings beside or in place of the usual ones."""
    users: tuple[tuple[str, str], ...] = ()
    """SCRAM users there are from the start, with their passwords."""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """What COMPUTE_KAFKA takes."""
        return f"127.0.0.1:{self.port}"

    def format(self) -> None:
        """Write the settings and an empty store."""
        settings = _PROPERTIES.format(
            port=self.port, controller=self.controller, folder=self.folder, node=self.node
        )
        if self.voters:
            quorum = f"controller.quorum.voters={self.voters}\n"
        else:
            quorum = f"controller.quorum.bootstrap.servers=127.0.0.1:{self.controller}\n"
        # of settings given twice the last one counts
        (self.folder / "server.properties").write_text(settings + quorum + self.more)
        (self.folder / "log4j2.xml").write_text(_LOG4J)
        command = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", f"{LIBS}/*"]
        command += ["kafka.tools.StorageTool", "format", "-t", self.cluster]
        command += ["-c", str(self.folder / "server.properties")]
        command += [] if self.voters else ["--standalone"]
        for name, password in self.users:
            command += ["--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"formatting failed: {(done.stdout + done.stderr)[-2000:]}")

    def start(self) -> None:
        """Start it on what its folder holds; returns when it serves.

        Raises RuntimeError with its log if it ends or takes a minute.
        """
        command = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-cp", f"{LIBS}/*"]
        command += [f"-Dlog4j2.configurationFile={self.folder / 'log4j2.xml'}", "kafka.Kafka"]
        printed = self.folder / "server.log"
        with printed.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, str(self.folder / "server.properties")],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_SECONDS
        while b"Kafka Server started" not in printed.read_bytes():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Kafka does not start: {printed.read_text()[-3000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """As by `kill -9`."""
        assert self.process is not None, "not started"
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Kill it if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def lose_disk(self) -> None:
        """Kill it and start it on an empty disk, as a new cluster."""
        self.kill()
        shutil.rmtree(self.folder / "data")
        self.cluster = cluster_id()
        self.format()
        self.start()

    def stop(self) -> None:
        """Ask it to end, and make it."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()


@contextmanager
def kafka(
    port: int | None = None, more: str = "", users: tuple[tuple[str, str], ...] = ()
) -> Iterator[Broker]:
    """A broker on a loopback port, its files in a folder that goes with it."""
    fetch()
    with tempfile.TemporaryDirectory(prefix="compute-kafka-", ignore_cleanup_errors=True) as name:
        own = port or free_port()
        broker = Broker(own, Path(name), free_port(), more=more, users=users)
        broker.format()
        try:
            broker.start()
            yield broker
        finally:
            broker.stop()


def cluster_id() -> str:
    """A name for a new cluster, as Kafka wants it."""
    return base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=").replace("-", "A")


def free_port() -> int:
    """A loopback port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    """Run one broker until a signal."""
    parser = argparse.ArgumentParser(prog="python -m tests.real_kafka", description=__doc__)
    parser.add_argument("--port", type=int, default=None, help="any free one if not given")
    options = parser.parse_args()
    if reason := missing():
        sys.exit(reason)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with kafka(options.port) as broker:
        print(f"export COMPUTE_KAFKA={broker.address}   # Ctrl-C stops it", flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
