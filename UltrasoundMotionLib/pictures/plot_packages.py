"""Check for the optional packages of the figures."""

from importlib.util import find_spec

from UltrasoundMotionLib.errors import MissingPackageError


def require_plot_packages(what: str = "pictures") -> None:
    """Checks that matplotlib and Pillow are installed, without importing them.

    Raises:
        MissingPackageError: one is missing; the message has `what` needs it and the extra that installs it.
    """
    for module, name in (("matplotlib", "matplotlib"), ("PIL", "Pillow")):
        if find_spec(module) is None:
            raise MissingPackageError(
                f"{what} need{'' if what.endswith('s') else 's'} {name}: pip install matplotlib pillow"
            )
