"""A training run's state as a file, from which it goes on as if it had never stopped; and its log."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError

LOG_FIELDS = ("step", "seconds", "learning_rate", "loss", "l1_px", "cross_entropy", "found_percent", "validation")


@dataclass
class TrainingState:
    """What changes while training. Random numbers are drawn from the seed and the step, so that they need not be kept.

    Attributes:
        settings: of the run, as a text; a run goes on only with the same.
        step: steps done.
        seconds: spent in them, over all sittings.
        log: its rows.
        sums: of what the next row of the log is the mean of.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    settings: str
    step: int = 0
    seconds: float = 0.0
    log: list[dict[str, Any]] | None = None
    sums: dict[str, float] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Writes the state.

        Raises:
            OutputError: the file cannot be written.
        """
        values = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "settings": self.settings,
            "step": self.step,
            "seconds": self.seconds,
            "log": self.log or [],
            "sums": self.sums,
        }
        with atomic_output(path) as temporary:
            torch.save(values, temporary)

    def read(self, path: Path, device: torch.device) -> None:
        """Takes up a written state.

        Raises:
            InputError: no such file, not a state, or one of a run with other settings.
        """
        try:
            values = torch.load(path, map_location=device, weights_only=True)
            same = values["settings"] == self.settings
        except (OSError, RuntimeError, KeyError, EOFError, ValueError) as error:
            raise InputError(f"{path}: not the state of a training run") from error
        except Exception as error:  # torch raises pickle's own errors for files of another kind
            raise InputError(f"{path}: not the state of a training run") from error
        if not same:
            raise InputError(
                f"{path}: belongs to a run with other settings ({values['settings']}) than asked for ({self.settings})"
            )
        self.network.load_state_dict(values["network"])
        self.optimizer.load_state_dict(values["optimizer"])
        self.scheduler.load_state_dict(values["scheduler"])
        self.step, self.seconds, self.log = values["step"], values["seconds"], values["log"]
        self.sums = values.get("sums", {})

    def write_log(self, path: Path, fields: Sequence[str] = LOG_FIELDS) -> None:
        """Writes the log as CSV with these columns.

        Raises:
            OutputError: the file cannot be written.
        """
        text = io.StringIO()
        writer = csv.DictWriter(text, fields, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.log or [])
        with atomic_output(path) as temporary:
            Path(temporary).write_text(text.getvalue(), encoding="utf-8")
