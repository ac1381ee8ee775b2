"""Registration of two images in the child process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.cli import request_arguments
from UltrasoundMotionLib.cli.register import RegisterInputs
from UltrasoundMotionLib.cli.registration_outputs import RegistrationOutputs
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import DisplacementField, JacobianMeasures
from UltrasoundMotionLib.images.given_images import as_volume
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.jobs.job import JobRequest
from UltrasoundMotionLib.jobs.job_folder import JobFolder
from UltrasoundMotionLib.jobs.plain_geometry import grid_from, plain_geometry, volume_from
from UltrasoundMotionLib.registration.registration import LabelDoubt, LabelMeasures, Registration, RegistrationMeasures
from UltrasoundMotionLib.registration.request import RegisterRequest, matrix_of
from UltrasoundMotionLib.settings import from_plain, takes_request, to_plain

if TYPE_CHECKING:
    import SimpleITK as sitk

    from UltrasoundMotionLib.jobs.running_job import RunningJob

IMAGES = ("fixed", "moving", "fixed_labels", "moving_labels", "fixed_mask", "moving_mask")


@takes_request(RegisterRequest)
def registration_job(
    fixed: Volume | sitk.Image,
    moving: Volume | sitk.Image,
    *,
    fixed_mask: Volume | sitk.Image | None = None,
    moving_mask: Volume | sitk.Image | None = None,
    fixed_labels: Volume | sitk.Image | None = None,
    moving_labels: Volume | sitk.Image | None = None,
    paths: Mapping[str, str | Path] | None = None,
    out_displacement: str | Path = "displacement.nrrd",
    out_warped: str | Path | None = None,
    out_labels: str | Path = "labels.nrrd",
    request: RegisterRequest,
) -> JobRequest:
    """Makes the job of `register` with these arguments; its result is the same `Registration`.

    The command line has no words for a matrix or for a method's settings: with those, the job's command is empty.

    Args:
        paths: the files to name in the job's command, by the name of each image's argument; files that are not given
            are named after the argument.
        out_displacement, out_warped, out_labels: the command line's outputs.

    Raises:
        InputError: no image; a matrix of another dimension; a transform that is not linear.
    """
    given = (fixed, moving, fixed_labels, moving_labels, fixed_mask, moving_mask)
    images = {name: as_volume(image, name) for name, image in zip(IMAGES, given, strict=True) if image is not None}
    request = _with_plain_start(request, images["fixed"].array.ndim)
    files = {name: (paths or {}).get(name, f"{name.replace('_', '-')}.nrrd") for name in images}
    command: tuple[str, ...] = ()
    if request.settings is None and isinstance(request.initial_transform, str):
        outputs = RegistrationOutputs(
            displacement=Path(out_displacement),
            warped=None if out_warped is None else Path(out_warped),
            labels=Path(out_labels) if "moving_labels" in images else None,
        )
        inputs = RegisterInputs(**{name: Path(path) for name, path in files.items()})
        command = request_arguments.command("register", (), inputs, request, outputs)
    return JobRequest(
        capability=__name__,
        options={
            "request": to_plain(request),
            "device": request.device,
            "geometry": {name: plain_geometry(image) for name, image in images.items()},
        },
        arrays={name: np.asarray(image.array) for name, image in images.items()},
        command=command,
    )


def _with_plain_start(request: RegisterRequest, dimension: int) -> RegisterRequest:
    """The request with an initial transform that JSON can hold.

    Raises:
        InputError: a matrix of another dimension; a transform that is not linear.
    """
    start = request.start
    if isinstance(start, str):
        return request
    if not isinstance(start, np.ndarray):
        start = matrix_of(start)
        request = replace(request, initial_transform=start)
    if len(start) != dimension + 1:
        raise InputError(f"the initial transform is {len(start) - 1}D and the images {dimension}D")
    return request


def choose_device(options: Mapping[str, Any]) -> str:
    """Returns the device to register on."""
    from UltrasoundMotionLib.device import choose_device as choose
    from UltrasoundMotionLib.registration.registry import find_method

    method = find_method(options["request"]["method"])
    return choose(options["device"], supported=method.devices, name=method.name)


def run(job: RunningJob, device: str) -> dict[str, Any]:
    """Registers in the child process."""
    from UltrasoundMotionLib.registration import register

    options = job.options
    images = {name: volume_from(job.folder.open(name), geometry) for name, geometry in options["geometry"].items()}
    request = from_plain(RegisterRequest, options["request"])
    registration = register(
        images.pop("fixed"),
        images.pop("moving"),
        **images,
        progress=job.progress,
        keep_partial=True,
        request=replace(request, device=request.device if device == choose_device(options) else device),
    )
    job.folder.write("displacement_mm", registration.displacement.displacement_mm)
    volumes = {
        name: getattr(registration, name)
        for name in ("warped", "warped_labels", "label_confidence")
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
    """Builds the registration from the arrays in the folder."""
    volumes = {name: volume_from(folder.read(name), geometry) for name, geometry in found["volumes"].items()}
    measures = dict(found["measures"])
    for name in ("jacobian", "jacobian_inside"):
        measures[name] = None if measures[name] is None else JacobianMeasures(**measures[name])
    measures["labels"] = {int(label): LabelMeasures(**values) for label, values in measures["labels"].items()}
    measures["label_doubts"] = {
        int(label): from_plain(LabelDoubt, values) for label, values in measures["label_doubts"].items()
    }
    return Registration(
        displacement=DisplacementField(folder.read("displacement_mm"), grid_from(found["grid"])),
        warped=volumes["warped"],
        warped_labels=volumes.get("warped_labels"),
        measures=RegistrationMeasures(**measures),
        method=found["method"],
        notes=tuple(found["notes"]),
        interrupted=found["interrupted"],
        label_confidence=volumes.get("label_confidence"),
    )


def partial(request: JobRequest, folder: JobFolder) -> None:
    """Returns None: a field is complete only at the end.

    A cancelled job that has the time to end by itself gives the best field so far.
    """
