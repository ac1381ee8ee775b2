"""One registration method over the pairs of one protocol, in a process of its own: `python -m ...registration_runner` prints its rows as JSON.

Its own process, because thread counts must be known before a library is loaded, and memory is measured per process.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from UltrasoundMotionLib.errors import MissingPackageError
from UltrasoundMotionLib.evaluation.peak_memory import own_peak_bytes
from UltrasoundMotionLib.evaluation.registration_datasets import (
    RegistrationPair,
    acdc_patients,
    evenly,
    hippocampus_subjects,
    most_similar_pairs,
    random_pairs,
    read_acdc,
)

PROTOCOLS = ("hippocampus-most-similar", "hippocampus-random", "acdc")
UNREGISTERED = "unregistered"
OURS = "ours:"


def quiet_threads(threads: int) -> dict[str, str]:
    """Environment that gives every library that many threads and lets none of them wait by spinning."""
    count = str(threads)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
    return {**dict.fromkeys(names, count), "OMP_WAIT_POLICY": "PASSIVE"}


def protocol_pairs(protocol: str, folder: Path, count: int, tuned: bool) -> list[RegistrationPair]:
    """The pairs of a protocol: of subjects left aside, or of those tuned on.

    Most similar atlas: the atlases are the subjects tuned on, as the papers take theirs from the training set.
    """
    if protocol == "acdc":
        return [read_acdc(folder, patient) for patient in evenly(acdc_patients(folder, tuned=tuned), count)]
    subjects = hippocampus_subjects(folder, tuned=tuned)
    if protocol == "hippocampus-random":
        return random_pairs(folder, subjects, count)
    return most_similar_pairs(folder, evenly(subjects, count), hippocampus_subjects(folder, tuned=True))


def run_method(name: str, pair: RegistrationPair) -> dict:
    """Registers one pair and measures it on the fixed grid, labels warped by nearest neighbour. Seconds are of the registration alone.

    Args:
        name: "unregistered", a peer's name, or "ours:" and a method's name.
    """
    from UltrasoundMotionLib.evaluation.registration_peers import find_registration_peer
    from UltrasoundMotionLib.fields import DisplacementField, ImageGrid, jacobian_measures
    from UltrasoundMotionLib.registration import register
    from UltrasoundMotionLib.registration.measuring import label_measures

    fixed, moving = pair.fixed.image, pair.moving.image
    still = DisplacementField.zero(ImageGrid.of(fixed))
    wall, processor = time.perf_counter(), time.process_time()
    if name == UNREGISTERED:
        field = still
    elif name.startswith(OURS):
        field = register(fixed, moving, method=name.removeprefix(OURS), device="cpu").displacement
    else:
        field = find_registration_peer(name).register(fixed, moving)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    unmoved, warped = (one.warp(pair.moving.labels, mode="nearest") for one in (still, field))
    labels = label_measures(pair.fixed.labels, unmoved, warped)
    jacobian = jacobian_measures(field.to_voxels())
    return {
        "pair": pair.name,
        "dice": {str(label): one.dice for label, one in labels.items()},
        "hd95_mm": {str(label): one.hd95_mm for label, one in labels.items()},
        "std_log_jacobian": jacobian.std_log,
        "nonpositive": jacobian.share_nonpositive,
        "seconds": wall,
        "processor_seconds": processor,
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("method")
    parser.add_argument("protocol", choices=PROTOCOLS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--tuned", action="store_true")
    arguments = parser.parse_args()

    import SimpleITK as sitk
    import torch

    torch.set_num_threads(arguments.threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(arguments.threads)
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    pairs = protocol_pairs(arguments.protocol, arguments.folder, arguments.pairs, arguments.tuned)
    try:
        run_method(arguments.method, pairs[0])  # so that loading libraries is not measured
        rows = [run_method(arguments.method, pair) for pair in pairs]
    except MissingPackageError as error:
        print(json.dumps({"missing": str(error)}))
        return 0
    print(json.dumps({"rows": rows, "peak_bytes": own_peak_bytes()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
