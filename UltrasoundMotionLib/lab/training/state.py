"""The state of a training run as a file, from which the run goes on as if it had never stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.objective import Objective
from UltrasoundMotionLib.lab.training.optimization import Optimization

STATE_NAME = "state.pt"
_FORMAT = 2


@dataclass
class TrainingState:
    """All that changes while training. Random numbers are drawn from seed and step, so they are not kept.

    Attributes:
        objective: its weights and buffers.
        optimization: its optimizers and schedule.
        run: network, settings and data as a text; only the same run is resumed.
        step: steps taken.
        seconds: time spent in them, over all sessions.
        rows: the log's rows.
        sums: sums of the losses since the last row, and their "count".
        validation: the figures of the last validation.
    """

    objective: Objective[Any, Any]
    optimization: Optimization
    run: str
    step: int = 0
    seconds: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    validation: dict[str, float] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Writes the state.

        Raises:
            OutputError: the file cannot be written.
        """
        values = {name: getattr(self, name) for name in ("run", "step", "seconds", "rows", "sums", "validation")}
        values |= {
            "format": _FORMAT,
            "objective": self.objective.state_dict(),
            "optimization": self.optimization.state_dict(),
        }
        with atomic_output(path) as temporary:
            torch.save(values, temporary)

    def read(self, path: Path, device: torch.device) -> None:
        """Restores a state from its file.

        Raises:
            InputError: no such file, not a state, one of an earlier version or of a run with other settings.
        """
        try:
            values = torch.load(path, map_location=device, weights_only=True)
            version, step = values.get("format", 1), values["step"]
        except Exception as error:  # torch raises pickle's own errors for files of another kind
            raise InputError(f"{path}: not the state of a training run") from error
        if version != _FORMAT:
            raise InputError(
                f"{path}: a state of format {version}, written by another version, which cannot be resumed by this one "
                f"(format {_FORMAT}); leave out --resume to train anew"
            )
        if values["run"] != self.run:
            raise InputError(
                f"{path}: belongs to a run with other settings ({values['run']}) than asked for ({self.run})"
            )
        self.objective.load_state_dict(values["objective"])
        self.optimization.load_state_dict(values["optimization"])
        self.step, self.seconds, self.rows = step, values["seconds"], values["rows"]
        self.sums, self.validation = values["sums"], values["validation"]
