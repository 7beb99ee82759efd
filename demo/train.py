"""The training job: a small neural network learns handwritten digits and survives preemption.

With `--gpu` it is one of PyTorch's on the GPU that the job was given. It follows the checkpoint
contract (docs/checkpoints.md): it saves when asked by SIGUSR1, saves and leaves when asked by
SIGTERM, and goes on from what it finds in COMPUTE_CHECKPOINT_DIR.
"""

from __future__ import annotations

import argparse
import os
import pickle
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, Protocol


class Learner(Protocol):
    """A model with its optimizer."""

    state: Any
    """All of it that must survive."""

    def epoch(self) -> None:
        """See every example once."""

    def accuracy(self) -> float:
        """The share of unseen examples that it gets right."""


class Digits:
    """scikit-learn's on the CPU."""

    def __init__(self) -> None:
        from sklearn.datasets import load_digits
        from sklearn.neural_network import MLPClassifier

        digits = load_digits()
        self._images, self._labels = digits.data / 16.0, digits.target
        self.state: Any = MLPClassifier((256, 128), random_state=1, learning_rate_init=1e-4)

    def epoch(self) -> None:
        for first in range(0, 1500, 150):
            part = slice(first, first + 150)
            self.state.partial_fit(self._images[part], self._labels[part], classes=range(10))

    def accuracy(self) -> float:
        return float(self.state.score(self._images[1500:], self._labels[1500:]))


class OnGpu:
    """PyTorch's on the GPU: on which side of a plane a point lies."""

    def __init__(self) -> None:
        torch: Any = import_module("torch")  # only whoever has a GPU has it
        self._torch = torch
        torch.manual_seed(1)
        self._points = torch.randn(200_000, 64, device="cuda")
        self._side = (self._points @ torch.randn(64, device="cuda") > 0).long()
        layers = [torch.nn.Linear(64, 2048), torch.nn.ReLU(), torch.nn.Linear(2048, 2)]
        self._model = torch.nn.Sequential(*layers).cuda()
        self._optimizer = torch.optim.Adam(self._model.parameters(), 1e-3)
        print(f"on {torch.cuda.device_count()} GPU: {torch.cuda.get_device_name()}", flush=True)

    @property
    def state(self) -> Any:
        return self._model.state_dict(), self._optimizer.state_dict()

    @state.setter
    def state(self, saved: Any) -> None:
        self._model.load_state_dict(saved[0])
        self._optimizer.load_state_dict(saved[1])

    def epoch(self) -> None:
        for first in range(0, 190_000, 10_000):
            part = slice(first, first + 10_000)
            self._optimizer.zero_grad()
            wrong = self._torch.nn.functional.cross_entropy(
                self._model(self._points[part]), self._side[part]
            )
            wrong.backward()
            self._optimizer.step()
        self._torch.cuda.synchronize()

    def accuracy(self) -> float:
        with self._torch.no_grad():
            said = self._model(self._points[190_000:]).argmax(1)
        return float((said == self._side[190_000:]).float().mean())


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


class Training:
    """A learner, how far it came, and the file that this is kept in."""

    def __init__(self, learner: Learner, file: Path) -> None:
        self.learner, self._file = learner, file
        self.epoch, self.seconds = 0, 0.0
        if not file.exists():
            print("starting from nothing", flush=True)
            return
        # our own file, whose hash the agent verified
        learner.state, self.epoch, self.seconds = pickle.loads(file.read_bytes())  # noqa: S301
        print(f"resumed after epoch {self.epoch}", flush=True)

    def save(self) -> None:
        """Write aside, then rename: whoever looks finds a whole checkpoint."""
        aside = self._file.with_suffix(".tmp")
        aside.write_bytes(pickle.dumps((self.learner.state, self.epoch, self.seconds)))
        aside.rename(self._file)
        print(f"saved after epoch {self.epoch}", flush=True)


def main() -> int:
    """Train for `--seconds` of training time in all, over however many attempts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--gpu", action="store_true")
    options = parser.parse_args()
    signals = Signals()
    file = Path(os.environ.get("COMPUTE_CHECKPOINT_DIR", ".")) / "training.pickle"
    learner = OnGpu() if options.gpu else Digits()
    training = Training(learner, file)
    while training.seconds < options.seconds:
        began = time.monotonic()
        learner.epoch()
        training.epoch += 1
        training.seconds += time.monotonic() - began
        if training.epoch % 10 == 0:
            print(f"epoch {training.epoch} accuracy {learner.accuracy():.3f}", flush=True)
        if signals.save:
            signals.save = False
            training.save()
        if signals.leave:
            print("leaving to make room", flush=True)
            return 143
    print(f"done: {training.epoch} epochs, accuracy {learner.accuracy():.3f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
