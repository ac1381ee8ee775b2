"""Strain of a dense displacement field: the Green-Lagrange tensor and its principal values. Needs torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from UltrasoundMotionLib.fields.displacement_field import DisplacementField
from UltrasoundMotionLib.fields.image_grid import ImageGrid
from UltrasoundMotionLib.fields.jacobian import spatial_gradient


@dataclass(frozen=True, eq=False)
class DenseStrain:
    """Green-Lagrange strain at every voxel of the fixed image, dimensionless (0.1 is about 10 %).

    Attributes:
        tensor: (*spatial, n, n) E in LPS axes, symmetric.
        principal: (*spatial, n) its eigenvalues in ascending order: the strongest shortening first.
        directions: (*spatial, n, n) unit eigenvectors in LPS; `directions[..., :, k]` belongs to `principal[..., k]`.
        grid: the grid of the fixed image.
    """

    tensor: np.ndarray
    principal: np.ndarray
    directions: np.ndarray
    grid: ImageGrid

    @property
    def principal_stretch_percent(self) -> np.ndarray:
        """Lagrangian strain (*spatial, n) in percent along the principal directions: 100 (sqrt(1 + 2 E_k) - 1)."""
        return 100.0 * (np.sqrt(np.maximum(1.0 + 2.0 * self.principal, 0.0)) - 1.0)

    def along_percent(self, directions_lps: np.ndarray) -> np.ndarray:
        """Returns Lagrangian strain (*spatial) in percent along LPS vectors (*spatial, n) or (n,) of any length.

        It is 100 (sqrt(1 + 2 d'E d) - 1) with the unit vector d.
        """
        directions = np.asarray(directions_lps, dtype=np.float64)
        directions = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
        value = np.einsum("...i,...ij,...j->...", directions, self.tensor, directions)
        return 100.0 * (np.sqrt(np.maximum(1.0 + 2.0 * value, 0.0)) - 1.0)


def green_lagrange_strain(field: DisplacementField) -> DenseStrain:
    """Computes Green-Lagrange strain of a displacement field: E = (F'F - I) / 2 with F = I + grad u.

    The deformation is x -> x + u(x) (Malvern 1969, "Introduction to the Mechanics of a Continuous Medium"). Rigid
    motion gives zero, however large. With the frame of end-diastole as the fixed image and a later frame as the
    moving one, u carries tissue from end-diastole to that frame, and E is its strain. Derivatives are central
    differences, one-sided at the border; they are computed in float64.

    Args:
        field: displacement u in LPS mm, in two or three dimensions, with any spacing and direction.
    """
    n = field.grid.dimension
    displacement = torch.from_numpy(np.moveaxis(field.displacement_mm.astype(np.float64), -1, 0).copy())[None]
    # du_i / d(index axis j) in mm per voxel, then per mm along LPS axes by the chain rule.
    per_voxel = spatial_gradient(displacement)[:, 0].movedim(0, -1).movedim(0, -2).numpy()  # (*spatial, i, j)
    gradient = per_voxel @ np.linalg.inv(field.grid.index_to_lps_mm[:n, :n])
    deformation = np.eye(n) + gradient
    tensor = (np.swapaxes(deformation, -1, -2) @ deformation - np.eye(n)) / 2
    principal, directions = np.linalg.eigh(tensor)
    return DenseStrain(tensor, principal, directions, field.grid)
