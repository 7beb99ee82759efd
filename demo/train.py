"""The training job: a small neural network learns handwritten digits and survives preemption.

It follows the checkpoint contract (docs/checkpoints.md): it saves when asked by SIGUSR1, saves and
leaves when asked by SIGTERM, and goes on from what it finds in COMPUTE_CHECKPOINT_DIR.
"""

from __future__ import annotations

import argparse
import os
import pickle
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier


@dataclass
class Training:
    """All that must survive: the model with its optimizer, and how far it came."""

    model: Any = field(
        default_factory=lambda: MLPClassifier((256, 128), random_state=1, learning_rate_init=1e-4)
    )
    epoch: int = 0
    seconds: float = 0.0


class Signals:
    """What the platform asked for since it was last looked at."""

    def __init__(self) -> None:
        self.save = self.leave = False
        signal.signal(signal.SIGUSR1, self._save)
        signal.signal(signal.SIGTERM, self._leave)

    def _save(self, _number: int, _frame: FrameType | None) -> None:
        self.save = True

    def _leave(self, _number: int, _frame: FrameType | None) -> None:
        self.save = self.leave = True


def restore(file: Path) -> Training:
    """The training as it was saved, or a new one."""
    if not file.exists():
        print("starting from nothing", flush=True)
        return Training()
    # our own file, whose hash the agent verified
    training: Training = pickle.loads(file.read_bytes())  # noqa: S301
    print(f"resumed after epoch {training.epoch}", flush=True)
    return training


def save(training: Training, file: Path) -> None:
    """Write aside, then rename: whoever looks finds a whole checkpoint."""
    aside = file.with_suffix(".tmp")
    aside.write_bytes(pickle.dumps(training))
    aside.rename(file)
    print(f"saved after epoch {training.epoch}", flush=True)


def main() -> int:
    """Train for `--seconds` of training time in all, over however many attempts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20.0)
    limit = parser.parse_args().seconds
    signals = Signals()
    file = Path(os.environ.get("COMPUTE_CHECKPOINT_DIR", ".")) / "training.pickle"
    training = restore(file)
    digits = load_digits()
    images, labels = digits.data / 16.0, digits.target
    train, test = slice(0, 1500), slice(1500, None)
    while training.seconds < limit:
        began = time.monotonic()
        for part in np.array_split(np.arange(1500), 10):
            training.model.partial_fit(
                images[train][part], labels[train][part], classes=np.arange(10)
            )
        training.epoch += 1
        training.seconds += time.monotonic() - began
        if training.epoch % 10 == 0:
            accuracy = training.model.score(images[test], labels[test])
            print(f"epoch {training.epoch} accuracy {accuracy:.3f}", flush=True)
        if signals.save:
            signals.save = False
            save(training, file)
        if signals.leave:
            print("leaving to make room", flush=True)
            return 143
    accuracy = training.model.score(images[test], labels[test])
    print(f"done: {training.epoch} epochs, accuracy {accuracy:.3f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
