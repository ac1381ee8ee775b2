"""`demo --registration`: register a simulated heart's end-systole in MRI to its end-diastole, by a trained method."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.cli.register import summarise
from UltrasoundMotionLib.cli.registration_outputs import RegistrationOutputs
from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress, print_notes
from UltrasoundMotionLib.errors import MissingPackageError

if TYPE_CHECKING:
    from UltrasoundMotionLib.images.volume import Volume
    from UltrasoundMotionLib.simulation.short_axis_heart import ShortAxisPair

TRAINED, WITHOUT_WEIGHTS = "anatomy-guided", "instance"
WEIGHTS = ("anatomy-cardiac-phases",)
SEED = 0


def run_registration_demo(folder: Path) -> int:
    """Simulates the pair, registers it, writes the outputs that the installed extras allow, and prints where they are.

    Raises:
        OutputError: the folder cannot be written to.
    """
    outputs, left_out = choose_outputs(folder)

    from UltrasoundMotionLib.registration import register
    from UltrasoundMotionLib.simulation.short_axis_heart import simulate_short_axis
    from UltrasoundMotionLib.weights import shipped_cards

    print("Drawing a heart in short-axis MRI at end-diastole and end-systole ...", flush=True)
    pair = simulate_short_axis(seed=SEED)
    inputs = _write_pair(folder, pair)
    method = TRAINED
    if not {path.stem for path in shipped_cards()} & set(WEIGHTS):
        method = WITHOUT_WEIGHTS
        left_out.append(
            f"the trained method {TRAINED}: its weights {WEIGHTS[-1]} are not installed, so {WITHOUT_WEIGHTS} was used,"
            " which needs none"
        )
    with TerminalProgress("registering", "steps") as progress:
        found = register(
            pair.fixed,
            pair.moving,
            method=method,
            fixed_labels=pair.fixed_labels,
            moving_labels=pair.moving_labels,
            progress=progress,
        )
    print_notes(found.notes)
    outputs.write(pair.fixed, pair.moving, found, pair.fixed_labels)
    print(summarise(pair.fixed, pair.moving, found))
    print(
        "Labels: 1 right ventricle, 2 myocardium, 3 left ventricle. They are only for measuring; no method uses them."
    )
    print("\n".join(["Wrote:", *(f"  {name:<16}  {path}" for name, path in [*inputs.items(), *outputs.named()])]))
    for reason in left_out:
        print(f"Left out: {reason}")
    print("Next:")
    if outputs.scene:
        print(
            f"  open {outputs.scene} in 3D Slicer (drag it onto the window) and fade between the two with the"
            " foreground slider;"
        )
    if outputs.picture:
        print(f"  look at {outputs.picture};")
    print("  run the same on a patient's end-diastole and end-systole:")
    print(
        f"    ultrasound-motion register ED.nii.gz ES.nii.gz --method {method} --out-displacement u.nrrd"
        " --picture picture.png"
    )
    return 0


def choose_outputs(folder: Path) -> tuple[RegistrationOutputs, list[str]]:
    """Returns the outputs that the installed packages can write, and for each other one the package that is missing."""
    outputs = RegistrationOutputs(
        displacement=folder / "heart-displacement.nrrd",
        warped=folder / "heart-warped.nii.gz",
        labels=folder / "heart-warped-labels.nii.gz",
        report=folder / "heart-report.json",
    )
    outputs.check(inputs=())
    left_out = []
    for name, path in {"picture": folder / "heart-picture.png", "scene": folder / "heart.mrb"}.items():
        wanted = replace(outputs, **{name: path})
        try:
            wanted.check(inputs=())
        except MissingPackageError as missing:
            left_out.append(str(missing))
        else:
            outputs = wanted
    return outputs, left_out


def _write_pair(folder: Path, pair: ShortAxisPair) -> dict[str, Path]:
    """Writes both volumes and their labels, and returns their paths by a name for each."""
    from UltrasoundMotionLib.images.volume_files import write_volume

    volumes: dict[str, tuple[str, Volume]] = {
        "end-diastole": ("heart-ed.nii.gz", pair.fixed),
        "its labels": ("heart-ed-labels.nii.gz", pair.fixed_labels),
        "end-systole": ("heart-es.nii.gz", pair.moving),
        "its labels there": ("heart-es-labels.nii.gz", pair.moving_labels),
    }
    for name, volume in volumes.values():
        write_volume(folder / name, volume)
    return {what: folder / name for what, (name, _) in volumes.items()}
