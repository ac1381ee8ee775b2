"""DICOM files drawn for the tests: clips of any pixel format, ultrasound regions, and stacks of slices."""

import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

AXIAL = (1, 0, 0, 0, 1, 0)


def dicom_file(path, pixels, photometric="MONOCHROME2", syntax=ExplicitVRLittleEndian, data=None, **attributes):
    """Writes a multi-frame ultrasound file of pixels (T, H, W) or (T, H, W, 3); `data` replaces the bytes of the
    pixels.
    """
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.UltrasoundMultiFrameImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.Modality = "US"
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = pixels.shape[:3]
    dataset.SamplesPerPixel = pixels.shape[3] if pixels.ndim == 4 else 1
    if dataset.SamplesPerPixel == 3:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.add_new(
        "PixelData", "OB" if pixels.dtype.itemsize == 1 else "OW", pixels.tobytes() if data is None else data
    )
    dataset["PixelData"].is_undefined_length = syntax.is_encapsulated
    for name, value in attributes.items():
        setattr(dataset, name, value)
        if value is None:
            delattr(dataset, name)
    dataset.save_as(path, enforce_file_format=True)
    return path


def region(x1, y1, delta_x=0.03, delta_y=0.03, *, x0=0, y0=0, **changes):
    item = pydicom.Dataset()
    values = {
        "RegionSpatialFormat": 1,
        "RegionDataType": 1,
        "RegionFlags": 2,
        "RegionLocationMinX0": x0,
        "RegionLocationMinY0": y0,
        "RegionLocationMaxX1": x1,
        "RegionLocationMaxY1": y1,
        "PhysicalUnitsXDirection": 3,
        "PhysicalUnitsYDirection": 3,
        "PhysicalDeltaX": delta_x,
        "PhysicalDeltaY": delta_y,
    }
    for name, value in (values | changes).items():
        setattr(item, name, value)
    return item


def slice_files(folder, positions, orientation=AXIAL, names=None, each=None, **attributes):
    """Writes one file of one MR slice of 6 x 8 pixels for each position (LPS mm); the grey level counts the slices.

    `each` holds attributes with one value for every slice.
    """
    folder.mkdir(exist_ok=True)
    series = {"SeriesInstanceUID": generate_uid(), "StudyInstanceUID": generate_uid(), "Modality": "MR",
              "PixelSpacing": [0.5, 0.25], "SOPClassUID": MRImageStorage,
              "FrameOfReferenceUID": generate_uid(), "NumberOfFrames": None}  # fmt: skip
    for number, position in enumerate(positions):
        own = series | attributes | {name: values[number] for name, values in (each or {}).items()}
        place = {} if position is None else {"ImagePositionPatient": [f"{value:.6g}" for value in position]}
        if orientation is not None:
            directions = orientation[number] if np.ndim(orientation) == 2 else orientation
            place["ImageOrientationPatient"] = [f"{value:.8f}" for value in directions]
        pixels = own.pop("pixels", np.full((1, 6, 8), 100 + number, np.uint16))
        name = names[number] if names else f"s{number:02d}.dcm"
        dicom_file(folder / name, pixels, **({"InstanceNumber": number + 1} | place | own))
    return folder


def item(**attributes):
    """Returns a sequence item with attributes."""
    dataset = pydicom.Dataset()
    for name, value in attributes.items():
        setattr(dataset, name, value)
    return dataset


def frame_groups(positions, orientation=AXIAL, spacing=(0.5, 0.25), per_frame=None, volume=False):
    """Returns the functional groups of an enhanced multi-frame file as attributes.

    Args:
        positions: of each frame, LPS mm.
        orientation: of all frames.
        spacing: of the pixels, rows first.
        per_frame: for each frame, more functional groups as a dict of a sequence's keyword to its item.
        volume: the places are those of an ultrasound volume's own frame of reference.
    """
    kind = "Volume" if volume else "Patient"
    plane = "Volume" if volume else ""
    shared = item(
        PixelMeasuresSequence=[item(PixelSpacing=list(spacing))],
        **{f"PlaneOrientation{plane}Sequence": [item(**{f"ImageOrientation{kind}": list(orientation)})]},
    )
    groups = [
        item(
            **{f"PlanePosition{plane}Sequence": [item(**{f"ImagePosition{kind}": list(map(float, position))})]},
            **{name: [value] for name, value in (per_frame[number] if per_frame else {}).items()},
        )
        for number, position in enumerate(positions)
    ]
    return {"SharedFunctionalGroupsSequence": [shared], "PerFrameFunctionalGroupsSequence": groups}
