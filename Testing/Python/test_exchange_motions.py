"""Motions in the formats of other programs: given the file, those programs make our warped image of an oblique pair."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import map_coordinates

from command_line import assert_refused
from motion_pairs import FIXED, MIRRORED, MOVING, affine_about_centre, smooth_field, write_pair
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.exchange.motions import (
    Motion,
    MotionContext,
    available_motion_formats,
    read_motion,
    write_motion,
)
from UltrasoundMotionLib.fields import DisplacementField, ImageGrid

GREY = 0.05
"""Of 100 grey levels: the largest difference of two libraries' linear interpolation, in single precision."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def context(pair):
    return MotionContext.read(pair.fixed_path, pair.moving_path)


def warped(motion, pair):
    """Our warped image."""
    return motion.field(pair.fixed).warp(pair.moving).array


def assert_same_inside(ours, theirs):
    """Equal where neither is outside the moving image: libraries differ in what they take half a voxel outside."""
    inside = (ours > 0) & (theirs > 0)
    assert inside.mean() > 0.3
    assert np.abs(ours - theirs)[inside].max() < GREY


MOTIONS = {
    "field": lambda: Motion.of_field(smooth_field()),
    "affine": lambda: Motion.of_matrix(affine_about_centre()),
    "both": lambda: Motion.of_field(smooth_field()).then(Motion.of_matrix(affine_about_centre())),
}


@pytest.mark.parametrize("kind", MOTIONS)
@pytest.mark.parametrize("name", ["m.h5", "m.tfm", "m.mat", "m.nrrd", "m.mha", "m.nii.gz"])
def test_itk_resamples_as_we_do(kind, name, pair, context, tmp_path):
    motion, path = MOTIONS[kind](), tmp_path / name
    if name == "m.mat" and kind != "affine":
        with pytest.raises(InputError, match=r"m\.mat: \.mat holds linear transforms only"):
            write_motion(path, motion, context=context)
        return
    write_motion(path, motion, context=context)
    if name.endswith((".h5", ".tfm", ".mat")):
        transform = sitk.ReadTransform(str(path))
    else:
        transform = sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))
    fixed = sitk.ReadImage(str(pair.fixed_path))
    theirs = sitk.GetArrayFromImage(sitk.Resample(sitk.ReadImage(str(pair.moving_path)), fixed, transform))
    assert_same_inside(warped(motion, pair), theirs)
    again = read_motion(path, context=context)
    assert (again.matrix is None) == (motion.matrix is None or not name.endswith((".h5", ".tfm", ".mat")))
    points = FIXED.points_lps_mm()[2:-2, 3:-3, 4:-4].reshape(-1, 3)[::37]
    np.testing.assert_allclose(again.points(points), motion.points(points), atol=2e-3)


@pytest.mark.slow  # ANTs takes 7 s to import; ITK, which it reads files with, is in the quick part
@pytest.mark.parametrize("files", [["w.nii.gz"], ["a.mat"], ["w.nii.gz", "a.mat"], ["both.h5"]])
def test_ants_resamples_as_we_do(files, pair, context, tmp_path):
    ants = pytest.importorskip("ants")
    parts = {"w.nii.gz": MOTIONS["field"](), "a.mat": MOTIONS["affine"](), "both.h5": MOTIONS["both"]()}
    for name in files:
        write_motion(tmp_path / name, parts[name], context=context)
    fixed, moving = (ants.image_read(str(path)) for path in (pair.fixed_path, pair.moving_path))
    paths = [str(tmp_path / name) for name in files]
    # ANTs' image axes are (x, y, z)
    theirs = ants.apply_transforms(fixed, moving, paths, interpolator="linear").numpy().transpose(2, 1, 0)
    motion = parts[files[0]] if len(files) == 1 else parts["w.nii.gz"].then(parts["a.mat"])
    assert_same_inside(warped(motion, pair), theirs)


@pytest.mark.slow
def test_ants_registration_is_read(pair, tmp_path):
    """What ANTs itself writes: 1Warp, its inverse, the affine; with its own order of application."""
    ants = pytest.importorskip("ants")
    moving = ants.image_read(str(pair.moving_path))
    fixed = ants.apply_transforms(
        ants.image_read(str(pair.fixed_path)), moving, [_ants_file(pair, tmp_path)], interpolator="linear"
    )
    found = ants.registration(
        fixed, moving, "SyN", reg_iterations=(15, 8, 0), outprefix=str(tmp_path / "ants_"), random_seed=1
    )
    assert [path.rsplit("_", 1)[1] for path in found["fwdtransforms"]] == ["1Warp.nii.gz", "0GenericAffine.mat"]
    warp, affine = (read_motion(path) for path in found["fwdtransforms"])
    theirs = found["warpedmovout"].numpy().transpose(2, 1, 0)
    assert_same_inside(warped(warp.then(affine), pair), theirs)
    back = read_motion(tmp_path / "ants_1InverseWarp.nii.gz")
    points = FIXED.points_lps_mm()[5:-5, 6:-6, 7:-7].reshape(-1, 3)[::11]
    there = warp.points(points)
    assert np.abs(there - points).max() > 0.5
    assert np.abs(back.points(there) - points).max() < 0.35  # ANTs' own two fields, half a voxel at worst


def _ants_file(pair, folder):
    path = folder / "true.nii.gz"
    write_motion(path, MOTIONS["field"](), context=MotionContext(fixed=pair.fixed))
    return str(path)


@pytest.mark.parametrize("fixed", [FIXED, MIRRORED], ids=["positive", "negative"])
@pytest.mark.parametrize(
    "moving",
    [MOVING, ImageGrid(MOVING.shape, MOVING.spacing_mm, MOVING.origin_mm, -MOVING.direction)],
    ids=["positive", "negative"],
)
def test_fsl_coordinates_are_those_of_its_documentation(fixed, moving, tmp_path):
    """Voxels times voxel sizes, the first axis backwards where the NIfTI header's determinant is positive."""
    nibabel = pytest.importorskip("nibabel")
    pair = write_pair(tmp_path, fixed, moving)
    context = MotionContext.read(pair.fixed_path, pair.moving_path)

    def fsl(path, world):
        image = nibabel.load(path)
        index = nibabel.affines.apply_affine(np.linalg.inv(image.affine), world)
        if np.linalg.det(image.affine) > 0:
            index[:, 0] = image.shape[0] - 1 - index[:, 0]
        return index * image.header.get_zooms()[:3]

    matrix = affine_about_centre(fixed)
    write_motion(tmp_path / "flirt.mat", Motion.of_matrix(matrix), form="flirt", context=context)
    points = fixed.points_lps_mm().reshape(-1, 3)[::53]
    target = points @ matrix[:3, :3].T + matrix[:3, 3]
    flirt = np.loadtxt(tmp_path / "flirt.mat")
    ras = [-1, -1, 1]
    found = fsl(pair.moving_path, target * ras) @ flirt[:3, :3].T + flirt[:3, 3]
    np.testing.assert_allclose(found, fsl(pair.fixed_path, points * ras), atol=1e-3)
    again = read_motion(tmp_path / "flirt.mat", form="flirt", context=context)
    np.testing.assert_allclose(again.matrix, matrix, atol=1e-4)

    field = smooth_field(fixed)
    write_motion(tmp_path / "warp.nii.gz", Motion.of_field(field), form="fsl", context=context)
    stored = nibabel.load(tmp_path / "warp.nii.gz")
    assert stored.shape == (*fixed.shape[::-1], 3)
    assert int(stored.header["intent_code"]) == 2006
    values = np.asarray(stored.dataobj).transpose(2, 1, 0, 3).reshape(-1, 3)[::53]
    target = points + field.displacement_mm.reshape(-1, 3)[::53]
    np.testing.assert_allclose(
        fsl(pair.fixed_path, points * ras) + values, fsl(pair.moving_path, target * ras), atol=1e-3
    )
    again = read_motion(tmp_path / "warp.nii.gz", context=replace(context, fsl_relative=True))
    np.testing.assert_allclose(again.field(fixed).displacement_mm, field.displacement_mm, atol=1e-3)


def test_fslpy_resamples_as_we_do(pair, context, tmp_path):
    pytest.importorskip("fsl.transform", reason="fslpy, a second library for FSL's conventions")
    from fsl.data.image import Image
    from fsl.transform import affine, flirt, fnirt, nonlinear

    fixed, moving = Image(str(pair.fixed_path)), Image(str(pair.moving_path))
    write_motion(tmp_path / "flirt.mat", MOTIONS["affine"](), form="flirt", context=context)
    world = flirt.fromFlirt(flirt.readFlirt(str(tmp_path / "flirt.mat")), moving, fixed, "world", "world")
    lps = np.diag([-1, -1, 1, 1]) @ affine.invert(world) @ np.diag([-1, -1, 1, 1])
    np.testing.assert_allclose(lps, affine_about_centre(), atol=1e-3)

    write_motion(tmp_path / "warp.nii.gz", MOTIONS["both"](), form="fsl", context=context)
    field = fnirt.readFnirt(str(tmp_path / "warp.nii.gz"), moving, fixed)
    assert field.deformationType == "relative"
    theirs = nonlinear.applyDeformation(moving, field, order=1, mode="constant", cval=0.0).transpose(2, 1, 0)
    assert_same_inside(warped(MOTIONS["both"](), pair), theirs)

    absolute = nonlinear.convertDeformationType(field, "absolute")
    Image(absolute, header=field.header).save(str(tmp_path / "absolute.nii.gz"))
    with pytest.raises(InputError, match="--fsl-warp relative or --fsl-warp absolute"):
        read_motion(tmp_path / "absolute.nii.gz", form="fsl", context=context)
    told = replace(context, fsl_relative=False)
    found = read_motion(tmp_path / "absolute.nii.gz", form="fsl", context=told)
    np.testing.assert_allclose(
        found.field(pair.fixed).displacement_mm, MOTIONS["both"]().field(pair.fixed).displacement_mm, atol=2e-3
    )


@pytest.mark.parametrize("absolute", [False, True])
def test_fsl_fields_of_one_grid_tell_what_they_hold(absolute, tmp_path):
    nibabel = pytest.importorskip("nibabel")
    pair = write_pair(tmp_path, moving=FIXED)
    context = MotionContext.read(pair.fixed_path, pair.moving_path)
    write_motion(tmp_path / "ours.nii.gz", MOTIONS["field"](), form="fsl", context=context)
    stored = nibabel.load(tmp_path / "ours.nii.gz")
    values = np.asarray(stored.dataobj)
    if absolute:
        index = np.stack(np.meshgrid(*map(np.arange, values.shape[:3]), indexing="ij"), axis=-1)
        index[..., 0] = values.shape[0] - 1 - index[..., 0]
        values = values + index * FIXED.spacing_mm
    header = stored.header.copy()
    header["descrip"] = b"FSL"
    nibabel.Nifti1Image(values, stored.affine, header).to_filename(tmp_path / "theirs.nii.gz")
    found = read_motion(tmp_path / "theirs.nii.gz", form="fsl", context=context)
    assert bool(found.notes) == absolute
    np.testing.assert_allclose(found.field().displacement_mm, smooth_field().displacement_mm, atol=1e-3)


@pytest.mark.parametrize("moving", [MOVING, FIXED], ids=["other grid", "same grid"])
def test_voxelmorph_samples_as_we_do(moving, tmp_path):
    """Voxelmorph's own arithmetic: the moving array at the voxel's indices plus the warp, in the order (i, j, k)."""
    nibabel = pytest.importorskip("nibabel")
    pair = write_pair(tmp_path, moving=moving)
    context = MotionContext.read(pair.fixed_path, pair.moving_path)
    motion = MOTIONS["field"]()
    write_motion(tmp_path / "warp.npz", motion, context=context)
    warp = np.load(tmp_path / "warp.npz")["vol"]
    assert warp.shape == (*FIXED.shape[::-1], 3)
    assert warp.dtype == np.float32
    index = np.stack(np.meshgrid(*map(np.arange, warp.shape[:3]), indexing="ij"), axis=-1)
    array = np.asarray(nibabel.load(pair.moving_path).dataobj)
    theirs = map_coordinates(array, np.moveaxis(index + warp, -1, 0), order=1, cval=0.0).transpose(2, 1, 0)
    assert_same_inside(warped(motion, pair), theirs)
    again = read_motion(tmp_path / "warp.npz", context=context)
    np.testing.assert_allclose(again.field().displacement_mm, smooth_field().displacement_mm, atol=1e-3)
    np.savez(tmp_path / "torch.npz", np.moveaxis(warp, -1, 0)[None])
    torch_one = read_motion(tmp_path / "torch.npz", context=context)
    np.testing.assert_allclose(torch_one.field().displacement_mm, smooth_field().displacement_mm, atol=1e-3)


def test_every_format_says_its_convention():
    for one in available_motion_formats():
        assert one.summary
        assert one.convention


def test_unknown_direction_grid_and_units_are_refused(pair, context, tmp_path):
    np.savetxt(tmp_path / "matrix.txt", np.eye(4))
    with pytest.raises(InputError, match=r"matrix\.txt: its content is of no format of motions .* --from"):
        read_motion(tmp_path / "matrix.txt")
    with pytest.raises(InputError, match=r"give the fixed image \(--fixed\) and the moving image \(--moving\)"):
        read_motion(tmp_path / "matrix.txt", form="flirt")
    write_motion(tmp_path / "w.npz", MOTIONS["field"]())
    with pytest.raises(InputError, match=r"do not say of which image; give the fixed image \(--fixed\)"):
        read_motion(tmp_path / "w.npz")
    other = MotionContext(fixed=MOVING)
    with pytest.raises(InputError, match=r"a warp of the fixed image is \(30, 24, 26, 3\)"):
        read_motion(tmp_path / "w.npz", context=other)
    with pytest.raises(InputError, match="no grid to sample its displacement on"):
        write_motion(tmp_path / "u.nrrd", MOTIONS["affine"]())
    with pytest.raises(InputError, match="give the moving image"):
        write_motion(tmp_path / "u.nii.gz", MOTIONS["field"](), form="fsl")
    with pytest.raises(OutputError, match=r"expected a name that ends in"):
        write_motion(tmp_path / "u.xyz", MOTIONS["field"]())
    with pytest.raises(OutputError, match=r"elastix is only read"):
        write_motion(tmp_path / "u.txt", MOTIONS["affine"](), form="elastix")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["matrix.txt", "w.npz"]


def test_inverse_and_composition_agree_with_simpleitk(tmp_path):
    motion, affine = MOTIONS["field"](), MOTIONS["affine"]()
    inverse = motion.inverse()
    points = FIXED.points_lps_mm()[4:-4, 5:-5, 6:-6].reshape(-1, 3)[::17]
    np.testing.assert_allclose(motion.points(inverse.motion.points(points)), points, atol=0.02)
    iterative = sitk.IterativeInverseDisplacementField(
        sitk.Cast(smooth_field().to_sitk(), sitk.sitkVectorFloat64), numberOfIterations=50, stopValue=1e-4
    )
    their_field = DisplacementField.from_sitk(iterative)
    middle = (slice(5, -5), slice(6, -6), slice(7, -7))
    np.testing.assert_allclose(
        inverse.motion.field().displacement_mm[middle], their_field.displacement_mm[middle], atol=0.05
    )
    both = motion.then(affine)
    composed = sitk.CompositeTransform([affine.transform, motion.transform])
    for point in points[::20].tolist():
        np.testing.assert_allclose(both.points(np.array(point)), composed.TransformPoint(point), atol=1e-9)
    exact = affine.inverse()
    np.testing.assert_allclose(exact.motion.matrix @ affine.matrix, np.eye(4), atol=1e-9)
    write_motion(tmp_path / "u.nrrd", motion)
    read = read_motion(tmp_path / "u.nrrd", context=MotionContext(invert=True))
    assert "inverted" in read.notes[0]
    np.testing.assert_allclose(
        read.field().displacement_mm[middle], inverse.motion.field().displacement_mm[middle], atol=1e-3
    )


def test_convert_on_the_command_line(run, pair, tmp_path):
    write_motion(tmp_path / "u.nrrd", MOTIONS["field"]())
    images = ("--fixed", pair.fixed_path, "--moving", pair.moving_path)
    code, said, error = run("convert", tmp_path / "u.nrrd", tmp_path / "w.nii.gz", "--to", "fsl", *images)
    assert (code, error) == (0, "")
    assert "image to fsl: a 3D motion (displacements)" in said
    back = ("--fsl-warp", "relative", "--quiet")
    assert run("convert", tmp_path / "w.nii.gz", tmp_path / "b.npz", *images, *back) == (0, "", "")
    assert run("convert", tmp_path / "b.npz", tmp_path / "b.h5", *images, "--quiet") == (0, "", "")
    np.testing.assert_allclose(
        read_motion(tmp_path / "b.h5").field(FIXED).displacement_mm, smooth_field().displacement_mm, atol=2e-3
    )
    assert run("convert", tmp_path / "b.h5", tmp_path / "i.h5", "--invert", "--quiet")[0] == 0
    middle = FIXED.points_lps_mm()[8, 10, 12]
    there = read_motion(tmp_path / "b.h5").points(middle)
    np.testing.assert_allclose(read_motion(tmp_path / "i.h5").points(there), middle, atol=0.02)
    assert_refused(run("convert", tmp_path / "b.npz", tmp_path / "c.nrrd"), "b.npz", "--fixed")
    assert_refused(run("convert", tmp_path / "b.npz", tmp_path / "b.npz", *images), "would overwrite an input")
    assert_refused(run("convert", tmp_path / "b.h5", tmp_path / "c.json", "--to", "coco"), "is a motion")
    assert_refused(run("convert", tmp_path / "b.h5", tmp_path / "c.csv"), "expected a name that ends in")


def test_slicers_transform_of_points_is_not_taken_for_one_of_images(tmp_path):
    """Slicer 5.10 stores either direction in a .nrrd and says which in its header."""
    path = tmp_path / "u.nrrd"
    image = smooth_field().to_sitk()
    image.SetMetaData("displacement field type", "modeling")
    sitk.WriteImage(image, str(path))
    with pytest.raises(InputError, match="--no-invert if it stood over points of the fixed image, or --invert"):
        read_motion(path)
    as_it_is = read_motion(path, context=MotionContext(invert=False))
    np.testing.assert_allclose(as_it_is.field().displacement_mm, smooth_field().displacement_mm)
    image.SetMetaData("displacement field type", "resampling")
    sitk.WriteImage(image, str(path))
    read_motion(path)


def test_a_field_of_niftyreg_is_refused(tmp_path):
    """Its NIfTI files look like ITK's vectors, and hold positions."""
    nibabel = pytest.importorskip("nibabel")
    write_motion(tmp_path / "u.nii", MOTIONS["field"]())
    image = nibabel.load(tmp_path / "u.nii")
    image.header["intent_name"] = b"NREG_TRANS"
    nibabel.save(image, tmp_path / "n.nii")
    with pytest.raises(InputError, match="NiftyReg"):
        read_motion(tmp_path / "n.nii")
