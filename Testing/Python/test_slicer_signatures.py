"""Every call into Slicer's own Python code fits the signatures of all supported versions."""

import inspect

import pytest

from slicer_signatures import COMMITS, METHODS, fault, held, signature_of, uses, uses_in

VERSIONS = tuple(COMMITS)
SIGNATURES = held()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_call_fits(version):
    found = uses()
    assert len(found) > 100
    assert [one for one in (fault(use, SIGNATURES, version) for use in found) if one is not None] == []


def test_nothing_is_held_that_is_not_used():
    assert set(SIGNATURES) - {use.name for use in uses()} - METHODS == set()


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("slicer.util.tryWithErrorDisplay('x', cursor=True)", "unexpected keyword argument 'cursor'"),
        ("slicer.util.mainWindow(1)", "too many positional arguments"),
        ("slicer.util.noSuchThing()", "has no slicer.util.noSuchThing"),
        ("from slicer.packaging import pip_ensure", "has no slicer.packaging.pip_ensure"),
        ("import PyTorchUtils\nPyTorchUtils.PyTorchUtilsLogic().installTorch(ask=True)", "'ask'"),
        ("parameters.connectGui()", "missing a required argument: 'gui'"),
        (
            "import SampleData\nlogic = SampleData.SampleDataLogic\n"
            "logic.registerCustomSampleDataSource(sampleDescription='x')",
            "unexpected keyword argument 'sampleDescription'",
        ),
        (
            "from slicer.util import VTKObservationMixin\n"
            "class Panel(VTKObservationMixin):\n    def setup(self):\n        self.addObserver(node)",
            "missing a required argument: 'event'",
        ),
    ],
)
def test_a_call_that_does_not_fit_is_found(code, complaint):
    faults = [fault(use, SIGNATURES, "5.10") for use in uses_in(code)]
    assert any(complaint in one for one in faults if one is not None)


@pytest.mark.parametrize(
    "code",
    [
        "try:\n    from slicer.packaging import pip_ensure\nexcept ModuleNotFoundError:\n    raise\n"
        "pip_ensure(['numpy'])",
        "import SampleData\nif hasattr(SampleData.SampleDataLogic, 'registerCustomSampleDataCategory'):\n"
        "    SampleData.SampleDataLogic.registerCustomSampleDataCategory('a', title='b')",
    ],
)
def test_what_only_newer_versions_have_is_called_under_a_guard(code):
    assert [fault(use, SIGNATURES, version) for use in uses_in(code) for version in VERSIONS] == [None] * (
        len(uses_in(code)) * len(VERSIONS)
    )


def test_the_held_signatures_are_those_of_the_installed_libraries():
    """slicer-core brings the `slicer.util` of Slicer 5.12."""
    slicer = pytest.importorskip("slicer", reason="needs slicer-core: pip install --editable '.[slicer]'")
    compared = 0
    for name, versions in SIGNATURES.items():
        function = getattr(slicer.util, name.removeprefix("slicer.util."), None)
        if "5.12" in versions and inspect.isfunction(function):
            assert list(inspect.signature(function).parameters) == list(signature_of(versions["5.12"]).parameters), name
            compared += 1
    assert compared > 5
