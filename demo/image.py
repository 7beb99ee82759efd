"""A container image for the demonstration, made of this machine's own Python: no registry."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import sysconfig
import tarfile
from contextlib import closing
from importlib import metadata
from pathlib import Path

import docker

from agents.engine import FAILURES

NAME, TAG = "compute-demo", "1"
_LEFT_OUT = re.compile(r"/(tests?|__pycache__|idlelib|tkinter|ensurepip|config-[^/]*)(/|$)")


def docker_answers() -> bool:
    """Whether a Docker engine can be used."""
    try:
        with closing(docker.from_env(timeout=5)) as client:
            client.ping()
    except FAILURES:
        return False
    return True


def demo_image() -> str:
    """The image's name; built now by `docker import` of files of this machine."""
    client = docker.from_env(timeout=300)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for folder in ("dev", "proc", "sys", "tmp", "etc", "work", "checkpoint"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        for source, target in sorted(_files().items(), key=lambda pair: pair[1]):
            tar.add(source.resolve(), target, recursive=False)
    client.api.import_image_from_data(archive.getvalue(), repository=NAME, tag=TAG)
    return f"{NAME}:{TAG}"


def _files() -> dict[Path, str]:
    """Files of the machine and where they stand in the image."""
    library = Path(sysconfig.get_path("stdlib"))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = Path(sysconfig.get_path("purelib"))
    found = {
        Path(sys.executable).resolve(): "usr/bin/python3",
        Path(__file__).parent / "train.py": "train.py",
    }
    for file in _tree(library):
        if "site-packages" not in file.parts and "dist-packages" not in file.parts:
            found[file] = f"usr/lib/{version}/{file.relative_to(library)}"
    for file in _distribution_files("scikit-learn", set()):
        if file.is_relative_to(site) and not _LEFT_OUT.search(str(file.relative_to(site))):
            found[file] = f"usr/lib/{version}/site-packages/{file.relative_to(site)}"
    for source in list(found):
        if source.suffix == ".so" or ".so." in source.name or source.name.startswith("python"):
            for needed in _needed(source):
                found.setdefault(needed, str(needed).lstrip("/"))
    return found


def _distribution_files(name: str, seen: set[str]) -> list[Path]:
    """The installed files of a distribution and of everything it needs."""
    if name in seen:
        return []
    seen.add(name)
    distribution = metadata.distribution(name)
    found = [
        Path(str(file.locate())) for file in distribution.files or () if ".." not in file.parts
    ]
    for requirement in distribution.requires or ():
        if "extra ==" not in requirement:
            found += _distribution_files(re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower(), seen)
    return found


def _tree(top: Path) -> list[Path]:
    files = [f for f in top.rglob("*") if f.is_file()]
    return [f for f in files if not _LEFT_OUT.search(str(f.relative_to(top.parent)))]


def _needed(file: Path) -> list[Path]:
    """The shared libraries of the machine that a program or library is linked with."""
    output = subprocess.run(["ldd", str(file)], capture_output=True, text=True, check=False).stdout
    paths = re.findall(r"(?:=> )?(/\S+) \(0x", output)
    inside = (str(Path(sys.prefix)),)
    return [Path(p) for p in paths if not p.startswith(inside)]
