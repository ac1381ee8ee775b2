"""One image or volume put onto another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import DisplacementField, JacobianMeasures
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.jobs.job import JobRequest
from UltrasoundMotionLib.jobs.job_folder import JobFolder
from UltrasoundMotionLib.jobs.plain_geometry import grid_from, plain_geometry, volume_from
from UltrasoundMotionLib.jobs.plain_settings import plain_settings, settings_from
from UltrasoundMotionLib.registration.checked_input import as_volume
from UltrasoundMotionLib.registration.registration import LabelMeasures, Registration, RegistrationMeasures

if TYPE_CHECKING:
    import SimpleITK as sitk

    from UltrasoundMotionLib.jobs.running_job import RunningJob

IMAGES = ("fixed", "moving", "fixed_labels", "moving_labels", "fixed_mask", "moving_mask")


def registration_request(
    fixed: Volume | sitk.Image,
    moving: Volume | sitk.Image,
    *,
    method: str = "instance",
    device: str = "auto",
    fixed_labels: Volume | sitk.Image | None = None,
    moving_labels: Volume | sitk.Image | None = None,
    fixed_mask: Volume | sitk.Image | None = None,
    moving_mask: Volume | sitk.Image | None = None,
    initial_transform: str | np.ndarray | None = "auto",
    config: Any = None,
    refine: bool | None = None,
    working_spacing_mm: float | None = None,
    paths: Mapping[str, str | Path] | None = None,
    out_displacement: str | Path = "displacement.nrrd",
    out_warped: str | Path | None = None,
    out_labels: str | Path = "labels.nrrd",
) -> JobRequest:
    """Asks for `register` with these arguments; the result is its `Registration`.

    Args:
        initial_transform: as there, or an (n+1, n+1) matrix from fixed to moving points in LPS mm.
        config: the method's settings, as its dataclass or by name: {"iterations": [10, 10, 5]}.
        refine: as there.
        paths: for `command`, the file of each image given, by argument name; those left out are named after the
            argument.
        out_displacement, out_warped, out_labels: for `command`, where the command line writes.

    Raises:
        InputError: what is given is no image; a matrix of another shape.
    """
    given = (fixed, moving, fixed_labels, moving_labels, fixed_mask, moving_mask)
    images = {name: as_volume(image, name) for name, image in zip(IMAGES, given, strict=True) if image is not None}
    start = initial_transform
    if not isinstance(start, str) and start is not None:
        start = np.asarray(start, dtype=np.float64)
        wanted = (images["fixed"].array.ndim + 1,) * 2
        if start.shape != wanted or not np.isfinite(start).all():
            raise InputError(
                f"initial_transform: expected a {wanted[0]}x{wanted[0]} matrix of finite numbers, got shape {start.shape}"
            )
    options = {
        "method": method,
        "device": device,
        "initial_transform": start,
        "config": plain_settings(config),
        "refine": refine,
        "working_spacing_mm": working_spacing_mm,
        "geometry": {name: plain_geometry(image) for name, image in images.items()},
    }
    files = {name: (paths or {}).get(name, f"{name.replace('_', '-')}.nrrd") for name in images}
    command = _command(options, files, {"displacement": out_displacement, "warped": out_warped, "labels": out_labels})
    arrays = {name: np.asarray(image.array) for name, image in images.items()}
    return JobRequest(capability=__name__, options=options, arrays=arrays, command=command)


def _command(
    options: Mapping[str, Any], files: Mapping[str, str | Path], outputs: Mapping[str, str | Path | None]
) -> tuple[str, ...]:
    """The command line that repeats the run; it has no words for a matrix or for a method's settings."""
    inputs = {name.replace("_", "-"): path for name, path in files.items()}
    command = [
        "register",
        inputs.pop("fixed"),
        inputs.pop("moving"),
        "--method",
        options["method"],
        "--device",
        options["device"],
    ]
    for name, path in inputs.items():
        command += [f"--{name}", path]
    for name, path in outputs.items():
        if path is not None and (name != "labels" or "moving-labels" in inputs):
            command += [f"--out-{name}", path]
    start = options["initial_transform"]
    if start is None or (isinstance(start, str) and start != "auto"):
        command += ["--initial", start or "none"]
    if options["refine"] is not None:
        command.append("--refine" if options["refine"] else "--no-refine")
    if options["working_spacing_mm"] is not None:
        command += ["--working-spacing-mm", options["working_spacing_mm"]]
    return ("ultrasound-motion", *map(str, command))


def choose_device(options: Mapping[str, Any]) -> str:
    """The device to register on."""
    from UltrasoundMotionLib.registration.register_images import choose_registration_device
    from UltrasoundMotionLib.registration.registry import find_method

    return choose_registration_device(options["device"], find_method(options["method"]))


def run(job: RunningJob, device: str) -> dict[str, Any]:
    """Registers in the child process."""
    from UltrasoundMotionLib.registration import find_method, register

    options = job.options
    images = {name: volume_from(job.folder.open(name), geometry) for name, geometry in options["geometry"].items()}
    config, start = options["config"], options["initial_transform"]
    registration = register(
        images.pop("fixed"),
        images.pop("moving"),
        **images,
        method=options["method"],
        device=device,
        config=None if config is None else settings_from(find_method(options["method"]).configuration, config),
        refine=options["refine"],
        initial_transform=_affine(np.array(start)) if isinstance(start, list) else start,
        working_spacing_mm=options["working_spacing_mm"],
        progress=job.progress,
        keep_partial=True,
    )
    job.folder.write("displacement_mm", registration.displacement.displacement_mm)
    volumes = {
        name: getattr(registration, name)
        for name in ("warped", "warped_labels")
        if getattr(registration, name) is not None
    }
    for name, volume in volumes.items():
        job.folder.write(name, volume.array)
    return {
        "grid": plain_geometry(registration.displacement.grid),
        "volumes": {name: plain_geometry(volume) for name, volume in volumes.items()},
        "measures": asdict(registration.measures),
        "method": registration.method,
        "notes": registration.notes,
        "interrupted": registration.interrupted,
    }


def result(request: JobRequest, folder: JobFolder, found: Mapping[str, Any]) -> Registration:
    """The registration as it was in the child."""
    volumes = {name: volume_from(folder.read(name), geometry) for name, geometry in found["volumes"].items()}
    measures = dict(found["measures"])
    measures["jacobian"] = JacobianMeasures(**measures["jacobian"])
    measures["labels"] = {int(label): LabelMeasures(**values) for label, values in measures["labels"].items()}
    return Registration(
        displacement=DisplacementField(folder.read("displacement_mm"), grid_from(found["grid"])),
        warped=volumes["warped"],
        warped_labels=volumes.get("warped_labels"),
        measures=RegistrationMeasures(**measures),
        method=found["method"],
        notes=tuple(found["notes"]),
        interrupted=found["interrupted"],
    )


def partial(request: JobRequest, folder: JobFolder) -> None:
    """A field is whole at the end only; a job that is cancelled and has the time to end by itself gives the best so
    far.
    """


def _affine(matrix: np.ndarray) -> sitk.Transform:
    """A homogeneous matrix as SimpleITK has it."""
    import SimpleITK as sitk

    dimension = len(matrix) - 1
    transform = sitk.AffineTransform(dimension)
    transform.SetMatrix(matrix[:dimension, :dimension].ravel().tolist())
    transform.SetTranslation(matrix[:dimension, dimension].tolist())
    return transform
