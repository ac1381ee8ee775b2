"""One registration method over the pairs of one protocol, in a process of its own: `python -m ...registration.runner`
prints its rows as JSON.

Its own process, because thread counts must be known before a library is loaded, and memory is measured per process.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.errors import InputError, MissingPackageError
from UltrasoundMotionLib.lab.benchmarks.registration.pair_rows import PairResult
from UltrasoundMotionLib.lab.benchmarks.registration.protocols import (
    CHALLENGE,
    FORMER_PARTS,
    PARTS,
    PROTOCOLS,
    protocol_pairs,
)
from UltrasoundMotionLib.lab.benchmarks.registration.regions import OWN, REGIONS, box_for, on_box
from UltrasoundMotionLib.lab.benchmarks.rows import RowFile
from UltrasoundMotionLib.lab.registration_datasets import RegistrationPair
from UltrasoundMotionLib.peak_memory import peak_bytes_with_programs, processor_seconds_with_programs

if TYPE_CHECKING:
    from UltrasoundMotionLib.fields import DisplacementField
    from UltrasoundMotionLib.images.volume import Volume

UNREGISTERED = "unregistered"
OURS = "ours:"
WORDS = {"yes": True, "no": False, "none": None}


def quiet_threads(threads: int) -> dict[str, str]:
    """Returns an environment that gives every library that many threads and lets none of them wait by spinning."""
    count = str(threads)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
    return {**dict.fromkeys(names, count), "OMP_WAIT_POLICY": "PASSIVE"}


def method_settings(method: str) -> tuple[str, dict[str, Any]]:
    """Splits a method as it is asked for: `ours:semantic-published:model=semantic-cardiac` into
    `semantic-published` and {"model": "semantic-cardiac"}.

    Raises:
        InputError: an option that is no NAME=VALUE.
    """
    name, _, options = method.removeprefix(OURS).partition(":")
    settings: dict[str, Any] = {}
    for option in filter(None, options.split(",")):
        key, equals, value = option.partition("=")
        if not (key and equals and value):
            raise InputError(f"method {method}: expected NAME=VALUE after the colon, got {option!r}")
        settings[key] = WORDS[value] if value in WORDS else _number_or_text(value)
    return name, settings


def method_call(method: str, region: str = OWN) -> Callable[[Volume, Volume], DisplacementField]:
    """Returns the method as one call: (fixed, moving) -> displacement on the grid of the fixed image.

    Args:
        region: one of `REGIONS`; only with "own" do ours cut their search region.
        method: "unregistered", a peer's name, or "ours:" and a method's name, with changes to its settings after a
            colon: "ours:semantic-published:model=semantic-cardiac".

    Raises:
        InputError: there is no such method or setting.
    """
    from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
    from UltrasoundMotionLib.lab.benchmarks.peers import find_peer
    from UltrasoundMotionLib.registration import find_method, register
    from UltrasoundMotionLib.registration.request import AUTO, WHOLE

    if method == UNREGISTERED:
        return lambda fixed, moving: DisplacementField.zero(ImageGrid.of(fixed))
    if not method.startswith(OURS):
        found = find_peer(method, "registration")
        return found.call if region == OWN else partial(found.call, **found.whole)
    name, settings = method_settings(method)
    find_method(name).settings_from(settings)
    searched = AUTO if region == OWN else WHOLE

    def ours(fixed: Volume, moving: Volume) -> DisplacementField:
        done = register(fixed, moving, method=name, settings=settings, search_region=searched, device="cpu")
        return done.displacement

    return ours


def run_method(
    call: Callable[[Volume, Volume], DisplacementField], pair: RegistrationPair, *, challenge: bool = False
) -> PairResult:
    """Registers one pair and measures it, see `pair_result`. Seconds are of the registration alone."""
    wall, processor = time.perf_counter(), processor_seconds_with_programs()
    field = call(pair.fixed.image, pair.moving.image)
    seconds = time.perf_counter() - wall, processor_seconds_with_programs() - processor
    return pair_result(pair, field, *seconds, challenge=challenge)


def pair_result(
    pair: RegistrationPair, field: DisplacementField, wall: float, processor: float, *, challenge: bool = False
) -> PairResult:
    """Measures a displacement on the grid of the fixed image, labels warped by nearest neighbour.

    Args:
        wall, processor: seconds of the registration.
        challenge: measure labels as Learn2Reg does, and SDlogJ.
    """
    import torch

    from UltrasoundMotionLib.fields import DisplacementField, ImageGrid, jacobian_measures
    from UltrasoundMotionLib.lab.benchmarks.registration.learn2reg_measures import challenge_overlaps
    from UltrasoundMotionLib.lab.registration_datasets import HIPPOCAMPUS_LABELS
    from UltrasoundMotionLib.registration.measuring import label_measures

    voxels = field.to_voxels()
    if challenge:
        maps = pair.fixed.labels.array, pair.moving.labels.array
        dice, hd95 = challenge_overlaps(*maps, voxels[0].numpy(), list(HIPPOCAMPUS_LABELS))
    else:
        nothing = DisplacementField.zero(ImageGrid.of(pair.fixed.image))
        unmoved, warped = (one.warp(pair.moving.labels, mode="nearest") for one in (nothing, field))
        labels = label_measures(pair.fixed.labels, unmoved, warped)
        dice, hd95 = (
            {label: one.dice for label, one in labels.items()},
            {label: one.hd95_mm for label, one in labels.items()},
        )
    jacobian, inside = (
        jacobian_measures(voxels),
        jacobian_measures(voxels, torch.from_numpy(pair.fixed.labels.array > 0)),
    )
    return PairResult(
        pair=pair.name,
        dice=dice,
        hd95_mm=hd95,
        std_log_jacobian=jacobian.std_log,
        nonpositive=jacobian.share_nonpositive,
        std_log_jacobian_inside=inside.std_log,
        nonpositive_inside=inside.share_nonpositive,
        seconds=wall,
        processor_seconds=processor,
        peak_bytes=peak_bytes_with_programs(),
        sdlogj=jacobian.sdlogj_learn2reg if challenge else None,
    )


def run_pairs(
    method: str,
    pairs: list[RegistrationPair],
    kept: RowFile[PairResult] | None,
    *,
    challenge: bool = False,
    region: str = OWN,
) -> list[PairResult]:
    """Returns a row for every pair; those that are kept already are taken from there, each new one is kept and printed
    on stderr at once.

    Args:
        region: one of `REGIONS`: what the method is given of the images. Measures are of the whole fixed grid.
    """
    rows = {} if kept is None else kept_rows(kept)
    left = [pair for pair in pairs if pair.name not in rows]
    if left:
        call = method_call(method, region)
        run_method(on_box(call, box_for(left[0], region)), left[0])  # so that loading libraries is not measured
    for number, pair in enumerate(left, start=len(pairs) - len(left) + 1):
        row = rows[pair.name] = run_method(on_box(call, box_for(pair, region)), pair, challenge=challenge)
        if kept is not None:
            kept.append(row)
        measured = f"Dice {row.mean_dice:.3f}, {100 * row.nonpositive:.4f} % folded, {row.seconds:.2f} s"
        print(f"{method}: {pair.name} ({number} of {len(pairs)}): {measured}", file=sys.stderr, flush=True)
    return [rows[pair.name] for pair in pairs]


def row_file(path: Path, run: Mapping[str, object]) -> RowFile[PairResult]:
    """Returns the file of a method's rows; `run` is method, protocol, part, atlas and threads, and the region where it
    is not "own".
    """
    return RowFile(path, PairResult, run, case=lambda row: row.pair)


def kept_rows(kept: RowFile[PairResult]) -> dict[Hashable, PairResult]:
    """Returns the rows of the run by pair, those under a former name of its part as well."""
    former = [name for name, part in FORMER_PARTS.items() if part == kept.run.get("part")]
    rows: dict[Hashable, PairResult] = {}
    for name in former:
        rows |= replace(kept, run={**kept.run, "part": name}).read()
    return rows | kept.read()


def main() -> int:
    """Runs the method that the arguments name and prints its rows, or what is missing, as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("method")
    parser.add_argument("protocol", choices=PROTOCOLS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--part", choices=PARTS, required=True)
    parser.add_argument("--atlas")
    parser.add_argument("--region", choices=tuple(REGIONS), default=OWN)
    parser.add_argument("--rows", type=Path)
    arguments = parser.parse_args()

    import SimpleITK as sitk
    import torch

    torch.set_num_threads(arguments.threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(arguments.threads)
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    shared = {name: getattr(arguments, name) for name in ("method", "protocol", "part", "atlas", "threads")}
    if arguments.region != OWN:
        shared["region"] = arguments.region
    kept = None if arguments.rows is None else row_file(arguments.rows, shared)
    pairs = protocol_pairs(arguments.protocol, arguments.folder, arguments.pairs, arguments.part, arguments.atlas)
    try:
        challenge = arguments.protocol in CHALLENGE
        rows = run_pairs(arguments.method, pairs, kept, challenge=challenge, region=arguments.region)
    except MissingPackageError as error:
        print(json.dumps({"missing": str(error)}))
        return 0
    print(json.dumps({"rows": [asdict(row) for row in rows]}))
    return 0


def _number_or_text(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


if __name__ == "__main__":
    sys.exit(main())
