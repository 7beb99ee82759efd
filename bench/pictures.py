"""Pictures of a simulated history: what was used and how many waited, over time."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path

from bench.simulator import History


def steps(changes: Iterable[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Times and the level from each on, out of (time, change) in any order."""
    by_time: dict[int, int] = {}
    for time, change in changes:
        by_time[time] = by_time.get(time, 0) + change
    times = sorted(by_time)
    return times, list(accumulate(by_time[time] for time in times))


def draw(history: History, capacity: int, folder: Path, name: str) -> Path:
    """NAME.png in the folder, made if need be: utilisation above, the queue below.

    Where the capacity changes, `capacity` is the largest, and there is a line of it. SystemExit
    without matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise SystemExit("--pictures needs matplotlib: install the group `bench`") from None
    used = [(start, size) for start, _, size in history.runs]
    used += [(end, -size) for _, end, size in history.runs]
    begin = min(job.submitted for job in history.jobs)
    figure = Figure(figsize=(10, 6), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True)
    share = 100 / capacity
    drawn = [(above, used, share), (below, history.queue, 1)]
    if history.offered:
        drawn.append((above, history.offered, share))
    for axes, changes, scale in drawn:
        times, levels = steps(changes)
        hours = [(time - begin) / 3600 / history.second for time in times]
        axes.step(hours, [level * scale for level in levels], where="post", linewidth=0.8)
        axes.set_ylim(bottom=0)
    above.set(title=name, ylabel="used, % of capacity")
    below.set(ylabel="jobs waiting", xlabel="hours since the first submission")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    figure.savefig(path, dpi=100)
    return path
