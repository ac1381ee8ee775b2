"""DICOM Deformable Spatial Registration (SOP class 1.2.840.10008.5.1.4.1.1.66.3).

It takes points of the registered frame of reference (the fixed image's) to the source's (the moving image's), LPS mm:
T(x) = post(pre(x) + d(x)), with the offset d on a grid of its own (PS3.3, C.20.3.1.1).
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib import __version__
from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.motions.agreement import check_same_motion
from UltrasoundMotionLib.exchange.motions.motion import Motion, MotionContext
from UltrasoundMotionLib.exchange.motions.registry import MotionFile, MotionFormat, motion_format
from UltrasoundMotionLib.fields.displacement_field import DisplacementField
from UltrasoundMotionLib.fields.image_grid import ImageGrid

if TYPE_CHECKING:
    from pydicom import Dataset

_SOP_CLASS = "1.2.840.10008.5.1.4.1.1.66.3"
_PREAMBLE = 128
_NEEDS_DICOM = (
    "a DICOM registration names the patient, the study and the frames of reference of both images; give both as DICOM"
    " files or folders (--fixed and --moving)"
)
_PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
_STUDY = ("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName")
_IDENTITY = np.eye(4)


@motion_format
class DicomRegistration(MotionFormat):
    """DICOM Deformable Spatial Registration."""

    name = "dicom"
    summary = "DICOM Deformable Spatial Registration (.dcm)"
    convention = "points of fixed (registered) to points of moving (source), LPS mm; offsets on a grid, matrices"
    endings = (".dcm",)
    rank = 25

    def recognises(self, file: MotionFile) -> bool:
        """Returns True for a DICOM file of this SOP class."""
        return file.head[_PREAMBLE : _PREAMBLE + 4] == b"DICM" and _SOP_CLASS.encode() in file.head

    def read(self, path: Path, context: MotionContext) -> Motion:
        """Reads the registration of one source; that of the moving image, where a file has several.

        Raises:
            InputError: another file, no grid, several that cannot be told apart, offsets that are not defined
                everywhere, images of other frames of reference.
        """
        dataset = _dataset(path)
        if dataset.get("SOPClassUID") != _SOP_CLASS:
            raise InputError(f"{path}: is no Deformable Spatial Registration: its SOP class is {_name_of(dataset)}")
        fixed, moving = _series_of(context.fixed_path), _series_of(context.moving_path)
        registered = str(dataset.get("FrameOfReferenceUID", ""))
        if fixed is not None and registered and fixed.frame_of_reference != registered:
            raise InputError(
                f"{path}: registers onto the frame of reference {registered}, but {context.fixed_path} has"
                f" {fixed.frame_of_reference}; it may be the moving image"
            )
        item = _item(path, dataset, None if moving is None else moving.frame_of_reference)
        grid, offsets = _grid(path, item.DeformableRegistrationGridSequence[0])
        pre = _matrix(path, item, "PreDeformationMatrixRegistrationSequence")
        post = _matrix(path, item, "PostDeformationMatrixRegistrationSequence")
        # post(pre(x) + d) = post(pre(x + v)), v being d turned back by the matrix that comes before it
        field = DisplacementField(offsets @ np.linalg.inv(pre[:3, :3]).T, grid)
        motion, linear = Motion.of_field(field), post @ pre
        return motion if np.array_equal(linear, _IDENTITY) else motion.then(Motion.of_matrix(linear))

    def write(self, path: Path, motion: Motion, context: MotionContext) -> None:
        """Writes the displacement on the motion's own grid, else on the fixed image's, as a grid without matrices.

        Raises:
            InputError: images that are not DICOM, or without a frame of reference; a 2D motion.
            OutputError: the file cannot be written.
        """
        if motion.dimension != 3:
            raise InputError(f"{path}: a DICOM registration is 3D, and this motion is 2D: its place is not known")
        fixed, moving = _series_of(context.fixed_path), _series_of(context.moving_path)
        if fixed is None or moving is None:
            raise InputError(f"{path}: {_NEEDS_DICOM}")
        field = _right_handed(motion.field(motion.grid or context.fixed))
        dataset = _registration(field, fixed, moving)

        def check(written: Path) -> None:
            largest = float(np.abs(field.displacement_mm).max(initial=0.0))
            check_same_motion(Motion.of_field(field), self.read(written, MotionContext()), 1e-4 + 1e-5 * largest)

        with atomic_output(path, read_back=check) as temporary:
            dataset.save_as(temporary, enforce_file_format=True)


@dataclass(frozen=True, eq=False)
class _Series:
    """A DICOM image: the header of its first file, and (series, SOP class, SOP instance) of each file."""

    header: Dataset
    instances: tuple[tuple[str, str, str], ...]
    path: Path

    @property
    def frame_of_reference(self) -> str:
        found = str(self.header.get("FrameOfReferenceUID", ""))
        if not found:
            raise InputError(f"{self.path}: has no FrameOfReferenceUID, so that nothing can be registered to it")
        return found


def _series_of(path: Path | None) -> _Series | None:
    """Reads the headers of a DICOM file or folder; None where it is neither."""
    from UltrasoundMotionLib.images.readers.dicom.pixel_layout import is_dicom

    if path is None:
        return None
    files = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
    headers = [_dataset(one) for one in files if is_dicom(one)]
    if not headers:
        return None
    instances = [
        (str(one.get("SeriesInstanceUID", "")), str(one.get("SOPClassUID", "")), str(one.get("SOPInstanceUID", "")))
        for one in headers
    ]
    return _Series(headers[0], tuple(instances), path)


def _dataset(path: Path) -> Dataset:
    import pydicom

    try:
        return pydicom.dcmread(path, stop_before_pixels=True)
    except (OSError, pydicom.errors.InvalidDicomError) as error:
        raise InputError(f"{path}: cannot be read as DICOM: {error}") from error


def _name_of(dataset: Dataset) -> str:
    uid = dataset.get("SOPClassUID")
    return "missing" if uid is None else uid.name


def _item(path: Path, dataset: Dataset, source: str | None) -> Dataset:
    """Returns the item with a grid: of a source, where several have one."""
    items = [one for one in dataset.get("DeformableRegistrationSequence", []) if _has_grid(one)]
    if not items:
        raise InputError(f"{path}: holds no grid of offsets")
    sources = [str(one.get("SourceFrameOfReferenceUID", "?")) for one in items]
    if source is not None and source not in sources:
        raise InputError(
            f"{path}: registers the frame of reference {', '.join(sources)}, but the moving image has {source}"
        )
    if source is not None:
        items = [one for one, name in zip(items, sources, strict=True) if name == source]
    if len(items) > 1:
        raise InputError(
            f"{path}: holds {len(items)} grids, of the sources {', '.join(sources)}; give the moving image as DICOM"
            " (--moving)"
        )
    return items[0]


def _has_grid(item: Dataset) -> bool:
    return len(item.get("DeformableRegistrationGridSequence", None) or ()) == 1


def _matrix(path: Path, item: Dataset, name: str) -> np.ndarray:
    sequence = list(item.get(name, None) or ())
    if not sequence:
        return _IDENTITY
    values = np.asarray(sequence[0].FrameOfReferenceTransformationMatrix, dtype=np.float64)
    if values.size != 16 or not np.isfinite(values).all() or abs(np.linalg.det(values.reshape(4, 4))) < 1e-12:
        raise InputError(f"{path}: {name} has no invertible matrix of 4 x 4 numbers")
    return values.reshape(4, 4)


def _grid(path: Path, item: Dataset) -> tuple[ImageGrid, np.ndarray]:
    """Returns the grid and the offsets on it, (D, H, W, 3)."""
    try:
        size = [int(value) for value in item.GridDimensions]
        spacing = [float(value) for value in item.GridResolution]
        origin = [float(value) for value in item.ImagePositionPatient]
        rows = np.array(item.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
        stored = item.VectorGridData
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{path}: its grid is not complete: {error}") from error
    values = np.frombuffer(stored, "<f4") if isinstance(stored, bytes) else np.array(stored, dtype=np.float32)
    if len(size) != 3 or values.size != 3 * int(np.prod(size)):
        raise InputError(f"{path}: holds {values.size} numbers for a grid of {' x '.join(map(str, size))} vectors")
    if not np.isfinite(values).all():
        undefined = int((~np.isfinite(values).reshape(-1, 3).all(axis=1)).sum())
        raise InputError(f"{path}: the motion is not defined (NaN) at {undefined} of {values.size // 3} grid points")
    direction = np.column_stack([*rows, np.cross(*rows)])
    grid = ImageGrid((size[2], size[1], size[0]), tuple(spacing), tuple(origin), direction)
    return grid, values.astype(np.float64).reshape(*grid.shape, 3)


def _right_handed(field: DisplacementField) -> DisplacementField:
    """Returns the field with its last axis turned round where its axes are left-handed, as DICOM has no such grid."""
    grid = field.grid
    if np.linalg.det(grid.direction) > 0:
        return field
    origin = grid.index_to_lps_mm @ [0, 0, grid.shape[0] - 1, 1]
    turned = ImageGrid(grid.shape, grid.spacing_mm, tuple(origin[:3]), grid.direction * [1.0, 1.0, -1.0])
    return DisplacementField(field.displacement_mm[::-1], turned)


def _registration(field: DisplacementField, fixed: _Series, moving: _Series) -> Dataset:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    now = datetime.datetime.now()
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = _SOP_CLASS, generate_uid()
    for name in (*_PATIENT, *_STUDY):
        setattr(dataset, name, fixed.header.get(name, ""))
    if "SpecificCharacterSet" in fixed.header:
        dataset.SpecificCharacterSet = fixed.header.SpecificCharacterSet
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "REG", 1, 1
    dataset.SeriesInstanceUID = generate_uid()
    dataset.Manufacturer = dataset.ManufacturerModelName = "UltrasoundMotion"
    dataset.DeviceSerialNumber, dataset.SoftwareVersions = "none", __version__
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = fixed.frame_of_reference, ""
    dataset.ContentDate = dataset.SeriesDate = f"{now:%Y%m%d}"
    dataset.ContentTime = dataset.SeriesTime = f"{now:%H%M%S}"
    dataset.ContentLabel, dataset.ContentDescription = "REGISTRATION", "Displacement of the moving image"
    dataset.ContentCreatorName = dataset.Laterality = ""

    item = Dataset()
    item.SourceFrameOfReferenceUID = moving.frame_of_reference
    item.ReferencedImageSequence = [_reference(one[1:]) for one in moving.instances]
    item.RegistrationTypeCodeSequence = [_code("125024", "DCM", "Image Content-based Alignment")]
    grid = Dataset()
    grid.ImagePositionPatient = [_decimal(value) for value in field.grid.origin_mm]
    grid.ImageOrientationPatient = [_decimal(value) for value in field.grid.direction[:, :2].T.ravel()]
    grid.GridDimensions = list(field.grid.shape[::-1])
    grid.GridResolution = [float(value) for value in field.grid.spacing_mm]
    grid.VectorGridData = np.ascontiguousarray(field.displacement_mm, dtype="<f4").tobytes()
    item.DeformableRegistrationGridSequence = [grid]
    dataset.DeformableRegistrationSequence = [item]
    _add_references(dataset, fixed, moving)
    return dataset


def _add_references(dataset: Dataset, fixed: _Series, moving: _Series) -> None:
    """Adds the Common Instance Reference module: the series of the registration's own study, and other studies."""
    from pydicom.dataset import Dataset

    by_series: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    for one in (fixed, moving):
        study = str(one.header.get("StudyInstanceUID", ""))
        for series, *instance in one.instances:
            entries = by_series.setdefault((study, series), [])
            if tuple(instance) not in entries:
                entries.append(tuple(instance))
    own: list[Dataset] = []
    others: dict[str, list[Dataset]] = {}
    for (study, series), referenced in by_series.items():
        entry = Dataset()
        entry.SeriesInstanceUID = series
        entry.ReferencedInstanceSequence = [_reference(one) for one in referenced]
        if study == dataset.StudyInstanceUID:
            own.append(entry)
        else:
            others.setdefault(study, []).append(entry)
    if own:
        dataset.ReferencedSeriesSequence = own
    if others:
        dataset.StudiesContainingOtherReferencedInstancesSequence = []
    for study, of_study in others.items():
        entry = Dataset()
        entry.StudyInstanceUID, entry.ReferencedSeriesSequence = study, of_study
        dataset.StudiesContainingOtherReferencedInstancesSequence.append(entry)


def _reference(instance: Any) -> Dataset:
    from pydicom.dataset import Dataset

    entry = Dataset()
    entry.ReferencedSOPClassUID, entry.ReferencedSOPInstanceUID = instance
    return entry


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    from pydicom.dataset import Dataset

    entry = Dataset()
    entry.CodeValue, entry.CodingSchemeDesignator, entry.CodeMeaning = value, scheme, meaning
    return entry


def _decimal(value: float) -> str:
    """Returns a decimal string (DS) of at most 16 characters."""
    from pydicom.valuerep import format_number_as_ds

    return format_number_as_ds(float(value))
