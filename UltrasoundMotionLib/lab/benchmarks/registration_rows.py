"""What was measured of one registered pair, and the file that keeps such rows while a benchmark runs, so that an
interruption loses none.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import check_output_path
from UltrasoundMotionLib.errors import InputError, OutputError


@dataclass(frozen=True)
class PairResult:
    """One pair: Dice and HD95 per label (nearest-neighbour labels on the fixed grid), Jacobian, wall and processor
    seconds.

    `peak_bytes` is the most memory that the process had held by then.
    """

    pair: str
    dice: dict[int, float]
    hd95_mm: dict[int, float]
    std_log_jacobian: float
    nonpositive: float
    seconds: float
    processor_seconds: float
    peak_bytes: int

    @property
    def mean_dice(self) -> float:
        """Over the labels that either map has."""
        values = [value for value in self.dice.values() if not math.isnan(value)]
        return float(np.mean(values)) if values else math.nan

    @classmethod
    def from_plain(cls, row: dict) -> PairResult:
        """From what JSON makes of `asdict`."""
        by_label = {name: {int(label): value for label, value in row[name].items()} for name in ("dice", "hd95_mm")}
        return cls(**{**row, **by_label})


@dataclass(frozen=True)
class MethodResult:
    """One method over all pairs; `missing` says why there are none."""

    method: str
    pairs: tuple[PairResult, ...]
    missing: str = ""

    @property
    def peak_bytes(self) -> int:
        """The most memory that a process of the method held."""
        return max((pair.peak_bytes for pair in self.pairs), default=0)

    def mean(self, name: str) -> float:
        """Mean of a number over the pairs."""
        return float(np.mean([getattr(pair, name) for pair in self.pairs]))

    def median(self, name: str) -> float:
        """Median of a number over the pairs: what seconds are given as, since other work on the machine only ever adds
        to some.
        """
        return float(np.median([getattr(pair, name) for pair in self.pairs]))

    def label_mean(self, name: str, label: int) -> float:
        """Mean of `dice` or `hd95_mm` of a label, over the pairs where it is finite."""
        values = [getattr(pair, name).get(label, math.nan) for pair in self.pairs]
        finite = [value for value in values if math.isfinite(value)]
        return float(np.mean(finite)) if finite else math.nan


@dataclass(frozen=True)
class RowFile:
    """A file of JSON lines, each a pair's row and the run it belongs to; several runs may write one file, also at the
    same time.

    Attributes:
        path: of the file.
        run: what the rows of this run share: method, protocol, part, atlas, threads.
    """

    path: Path
    run: dict[str, object]

    def read(self) -> dict[str, PairResult]:
        """The rows of this run by the pair's name. A line that was cut short counts as not written.

        Raises:
            InputError: the file holds something else, or cannot be read.
        """
        if not self.path.exists():
            return {}
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{self.path}: no readable rows ({error})") from error
        rows = {}
        for number, line in enumerate(lines, start=1):
            try:
                held = json.loads(line)
            except ValueError:
                continue
            if not isinstance(held, dict) or not {"run", "row"} <= held.keys():
                raise InputError(f"{self.path}, line {number}: no row of a registration benchmark")
            if held["run"] == self.run:
                rows[held["row"]["pair"]] = PairResult.from_plain(held["row"])
        return rows

    def add(self, row: PairResult) -> None:
        """Appends a row at once: on a line of its own, whatever the last writer left.

        Raises:
            OutputError: it cannot be written.
        """
        check_output_path(self.path)
        line = json.dumps({"run": self.run, "row": asdict(row)}).encode() + b"\n"
        try:
            with self.path.open("ab+") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - 1))
                cut_short = file.read(1) not in (b"", b"\n")
                file.write(b"\n" + line if cut_short else line)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror or error}") from error
