"""Weights that are for research only, or to be shared alike, are used only after the user agreed to their licence."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from module_bench import needs_qt
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.mrml.volume_nodes import add_volume
from UltrasoundMotionLib.registration.learned.possible_weights import possible_weights
from UltrasoundMotionLib.registration.registry import METHODS
from UltrasoundMotionLib.registration.request import RegisterRequest
from UltrasoundMotionLib.tracking.registry import TRACKERS
from UltrasoundMotionLib.weights import find_card, read_card, shipped_cards, write_card
from UltrasoundMotionLib.weights.licence_terms import ACCEPT_VARIABLE, restricted_cards, terms_of

MODULE = "DeformableRegistration"
ACDC, SHARE_ALIKE = "LicenseRef-ACDC-research-only", "CC-BY-SA-4.0"
HEART, HIPPOCAMPUS = ((10, 120, 120), (2.0, 2.0, 9.0)), ((35, 51, 35), (1.0, 1.0, 1.0))


def volume(shape, spacing_mm, seed=0):
    array = np.random.default_rng(seed).normal(500, 100, shape).astype(np.float32)
    return Volume(array, spacing_mm, (0.0, 0.0, 0.0), np.eye(3), f"image {seed}")


@pytest.fixture
def settings(application, monkeypatch):
    monkeypatch.delenv(ACCEPT_VARIABLE, raising=False)
    application.userSettings().clear()
    yield application.userSettings()
    application.userSettings().clear()


@pytest.mark.parametrize("licence", ["Apache-2.0", "MIT", "BSD-3-Clause", "CC0-1.0", "CC-BY-4.0"])
def test_permissive_licences_ask_nothing(licence):
    assert terms_of(licence) == ""


@pytest.mark.parametrize(
    ("licence", "word"),
    [
        (ACDC, "research only"),
        (SHARE_ALIKE, "same licence"),
        ("CC-BY-NC-4.0", "commercially"),
        ("CC-BY-NC-SA-4.0", "commercially"),
        ("GPL-3.0-only", "same licence"),
        ("a strange one", "not known here"),
        ("", "not known here"),
    ],
)
def test_other_licences_say_what_they_ask(licence, word):
    assert word in terms_of(licence)


def test_the_weights_that_are_shipped_with_restrictions_are_those_of_the_readme(monkeypatch):
    monkeypatch.delenv(ACCEPT_VARIABLE, raising=False)
    restricted = {card.name for card in restricted_cards(shipped_cards())}
    assert restricted == {path.stem for path in shipped_cards() if "cardiac" in path.stem or "hippocampus" in path.stem}
    used = {entry.weights for entry in TRACKERS.all() if entry.weights}
    assert used and not used & restricted  # no tracker asks


def test_only_weights_that_can_fit_are_asked_about():
    def licences(image, **options):
        return {read_card(path).licence for path in possible_weights(RegisterRequest(**options), volume(*image))}

    assert licences(HEART, method="anatomy-guided") == {ACDC}
    assert licences(HIPPOCAMPUS, method="anatomy-guided") == {SHARE_ALIKE}
    assert licences(((1, 200, 200), (1.0, 1.0, 1.0)), method="anatomy-guided") == set()
    assert licences(HEART, method="instance") == set()
    assert licences(HEART, method="anatomy-guided", weights="anatomy-hippocampus") == {SHARE_ALIKE}
    assert licences(HIPPOCAMPUS, method="anatomy-guided", settings={"model": "semantic-cardiac"}) == {ACDC, SHARE_ALIKE}


def test_every_method_with_weights_is_asked_about():
    names = {"cardiac": HEART, "hippocampus": HIPPOCAMPUS}
    for method in (entry for entry in METHODS.all() if entry.weights and entry.installed):
        for word, image in names.items():
            expected = {path.stem for path in shipped_cards() if path.stem in method.weights and word in path.stem}
            found = {path.stem for path in possible_weights(RegisterRequest(method=method.name), volume(*image))}
            assert found == expected, method.name


def test_a_script_is_told_how_to_agree_and_shown_no_dialog(scene, logic, settings, monkeypatch, application):
    fixed, moving = (add_volume(scene, volume(*HIPPOCAMPUS, seed), f"image {seed}") for seed in (1, 2))
    with pytest.raises(InputError, match="acceptLicences=") as error:
        logic.register(fixed, moving, method="anatomy-guided", device="cpu")
    for said in ("anatomy-hippocampus", SHARE_ALIKE, f"{ACCEPT_VARIABLE}={SHARE_ALIKE}", "panel", "another method"):
        assert said in str(error.value)
    assert "\n" not in str(error.value)
    runs = []
    monkeypatch.setattr(
        "UltrasoundMotionModuleLib.deformable_registration.logic.run_job", lambda *_, **__: runs.append(1) or stop()
    )

    def allowed(**more):
        with pytest.raises(StopIteration):
            logic.register(fixed, moving, method="anatomy-guided", device="cpu", **more)
        return len(runs)

    assert allowed(acceptLicences=[SHARE_ALIKE]) == 1
    with pytest.raises(InputError, match="acceptLicences="):  # that was for one call
        logic.register(fixed, moving, method="anatomy-guided", device="cpu")
    with pytest.raises(InputError, match="acceptLicences="):
        logic.register(fixed, moving, method="anatomy-guided", device="cpu", acceptLicences=[ACDC])
    monkeypatch.setenv(ACCEPT_VARIABLE, f"{ACDC}, {SHARE_ALIKE}")
    assert allowed() == 2
    monkeypatch.delenv(ACCEPT_VARIABLE)
    monkeypatch.setattr(application, "testing", True)
    assert allowed() == 3 and settings == {}


def stop():
    raise StopIteration


@pytest.fixture
def dialogs(monkeypatch):
    """Collects the dialogs, and answers with the button whose text begins as `dialogs.answer` says."""
    import qt
    from PySide6 import QtWidgets

    shown = []

    class Box(QtWidgets.QMessageBox):
        def exec_(self):
            shown.append(f"{self.text()}\n{self.informativeText()}")
            Box.pressed = next((one for one in self.buttons() if one.text().startswith(Box.answer)), None)

        def clickedButton(self):  # noqa: N802  Qt's own name
            return Box.pressed

    Box.answer = "I &agree"
    monkeypatch.setattr(QtWidgets, "QMessageBox", Box)
    assert qt.QMessageBox._wrapped is Box
    return SimpleNamespace(shown=shown, box=Box)


@pytest.fixture
def panel(application, scene, settings, monkeypatch):
    """The panel with two hearts that the preset takes trained weights for; a run is not started."""
    from UltrasoundMotionModuleLib.deformable_registration.choices import Preset
    from UltrasoundMotionModuleLib.shared import background_job

    panel = application.open_module("DeformableRegistration")
    parameters = panel.parameters
    parameters.preset = Preset.CARDIAC_CINE_MRI
    parameters.fixedVolume, parameters.movingVolume = (
        add_volume(scene, volume(*HEART, seed), f"image {seed}") for seed in (1, 2)
    )
    started = []
    monkeypatch.setattr(background_job.BackgroundJob, "start", lambda self: started.append(panel.run))
    panel.started = started
    yield panel
    panel.run = None
    application.close_module("DeformableRegistration")


@needs_qt
def test_the_panel_asks_once_and_remembers(panel, dialogs, settings, application):
    panel.onApply()
    (text,) = dialogs.shown
    for said in ("anatomy-cardiac-phases", ACDC, "research only", "ACDC (Bernard et al., 2018)", "doi:10.1109"):
        assert said in text
    assert list(settings) == [f"UltrasoundMotion/AcceptedLicences/{ACDC}"]
    panel.run = None
    panel.onApply()
    assert len(dialogs.shown) == 1 and len(panel.started) == 2
    assert panel.parameters.method == "" and application.errors == []


@needs_qt
@pytest.mark.parametrize("answer", ["Use another", "nothing: the dialog was closed"])
def test_who_does_not_agree_gets_a_method_without_weights(panel, dialogs, settings, answer):
    dialogs.box.answer = answer
    panel.onApply()
    assert panel.parameters.method == "instance" and len(panel.started) == 1 and settings == {}
    panel.run = None
    panel.onApply()
    assert len(dialogs.shown) == 1  # nothing to agree to any more
    panel.run, panel.parameters.method = None, ""
    panel.onApply()
    assert len(dialogs.shown) == 2


@needs_qt
def test_testing_mode_shows_no_dialog_and_remembers_nothing(panel, dialogs, settings, application, monkeypatch):
    monkeypatch.setattr(application, "testing", True)
    panel.onApply()
    assert dialogs.shown == [] and settings == {} and len(panel.started) == 1 and panel.parameters.method == ""


@pytest.fixture
def restricted_tracker(application, settings, tmp_path, monkeypatch):
    """Lets the card of the tracker `specknet` name a licence that is not permissive, as imported weights may."""
    from UltrasoundMotionModuleLib.shared import licence_consent

    path = tmp_path / "specknet.json"
    write_card(path, replace(read_card(find_card("specknet")), licence="CC-BY-NC-4.0"))
    monkeypatch.setattr(licence_consent, "installed_cards", lambda: (path,))
    return licence_consent


def test_trackers_under_such_a_licence_are_held_back_from_scripts_too(restricted_tracker):
    weights = restricted_tracker.weightsOfTracker
    with pytest.raises(InputError, match=r"specknet are under CC-BY-NC-4\.0") as error:
        restricted_tracker.checkConsent(weights("specknet"))
    assert "acceptLicences" not in str(error.value) and f"{ACCEPT_VARIABLE}=CC-BY-NC-4.0" in str(error.value)
    restricted_tracker.checkConsent(weights("lucas-kanade"))
    restricted_tracker.checkConsent(weights("no such tracker"))


@needs_qt
def test_the_other_panels_ask_too(restricted_tracker, application, scene, dialogs):
    panel = application.open_module("LandmarkTracking")
    panel.parameters.tracker = "specknet"
    dialogs.box.answer = "Use another"
    asked = []

    def make():
        asked.append(panel.parameters.tracker)
        raise InputError("enough")

    with pytest.raises(InputError, match="enough"):
        panel.startRun(make)
    assert len(dialogs.shown) == 1 and "CC-BY-NC-4.0" in dialogs.shown[0]
    assert asked == ["lucas-kanade"]  # the default tracker needs no weights
    panel.parameters.tracker = "specknet"
    with pytest.raises(InputError, match="enough"):  # as *Track through corrections* does, with a result of its own
        panel.startRun(make, lambda found, *, complete: iter(()), withWeights=True)
    assert len(dialogs.shown) == 2
    application.errors.clear()
    application.close_module("LandmarkTracking")
