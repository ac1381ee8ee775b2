"""Deformable Registration with trained methods: what a preset takes, how refinement is passed on, what is said of
weights and licences.
"""

import pytest

from registration_pairs import node_names, pair_in
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.registration import available_methods
from UltrasoundMotionLib.weights import ModelCard, shipped_cards, write_card

MODULE = "DeformableRegistration"
CARDIAC_LICENCE = "LicenseRef-ACDC-research-only"


@pytest.fixture
def choices(application):
    from UltrasoundMotionModuleLib.deformable_registration import choices as registration_choices

    return registration_choices


@pytest.fixture
def installed(choices, monkeypatch, tmp_path):
    """Makes the module believe that cards of these names and licences are all that is installed."""

    def install(**licences):
        for name, licence in licences.items():
            card = ModelCard(name, "TwoStep", {}, "a test", (), "none", 0, "0", {}, "none", "a test", licence, "0" * 64)
            write_card(tmp_path / f"{name}.json", card)
        monkeypatch.setattr(choices, "installed_cards", lambda: tuple(sorted(tmp_path.glob("*.json"))))

    return install


def test_a_preset_takes_its_trained_method_where_its_weights_are(choices, installed):
    preset = choices.Preset
    installed()
    for one in (preset.CARDIAC_CINE_MRI, preset.HIPPOCAMPUS_MRI):
        assert one.value.installedMethod() == "instance"
        assert "not installed" in one.value.text()
        assert "instance" in one.value.text()
    installed(**{preset.CARDIAC_CINE_MRI.value.weights[-1]: CARDIAC_LICENCE})
    assert preset.CARDIAC_CINE_MRI.value.installedMethod() == "anatomy-guided"
    assert CARDIAC_LICENCE in preset.CARDIAC_CINE_MRI.value.text()
    assert preset.HIPPOCAMPUS_MRI.value.installedMethod() == "instance"
    assert preset.GENERAL.value.installedMethod() == "instance"
    assert preset.GENERAL.value.text() == preset.GENERAL.value.summary


def test_a_chosen_method_counts_more_than_the_preset(application, scene, choices, installed):
    from DeformableRegistration import DeformableRegistrationLogic

    logic = DeformableRegistrationLogic()
    parameters = logic.getParameterNode()
    parameters.preset = choices.Preset.CARDIAC_CINE_MRI
    installed(**{parameters.preset.value.weights[-1]: CARDIAC_LICENCE})
    assert logic.request(parameters).method == "anatomy-guided"
    parameters.method = "demons"
    assert logic.request(parameters).method == "demons"


def test_refinement_is_offered_for_the_methods_that_have_it(choices):
    assert {entry.name for entry in available_methods() if choices.isRefinable(entry.name)} == {
        "anatomy-guided",
        "label-transfer",
        "voxelmorph",
        "pyramid",
        "ltnet-published",
    }
    assert not choices.isRefinable("nothing")
    refinement = choices.Refinement
    assert [one.of("anatomy-guided") for one in (refinement.METHOD, refinement.YES, refinement.NO)] == [
        None,
        True,
        False,
    ]
    assert refinement.YES.of("demons") is None


def test_the_panel_passes_refinement_on_and_shows_licences(application, scene, choices, installed):
    pytest.importorskip("PySide6", reason="panels are shown with Qt for Python: pip install --editable '.[test]'")
    panel = application.open_module("DeformableRegistration")
    nodes, ui, parameters = pair_in(scene, (14, 16, 18)), panel.ui, panel.parameters
    parameters.fixedVolume, parameters.movingVolume = nodes["fixed"], nodes["moving"]
    installed(**{choices.Preset.CARDIAC_CINE_MRI.value.weights[-1]: CARDIAC_LICENCE})
    assert not ui.refinementComboBox.enabled
    assert "--refine" not in panel.commandArguments()
    parameters.preset = choices.Preset.CARDIAC_CINE_MRI
    assert ui.refinementComboBox.enabled
    assert CARDIAC_LICENCE in ui.presetTextLabel.text
    for refinement, word in ((choices.Refinement.YES, "--refine"), (choices.Refinement.NO, "--no-refine")):
        parameters.refinement = refinement
        command = panel.commandArguments()
        assert word in command
        assert command[command.index("--method") + 1] == "anatomy-guided"
    parameters.method = "instance"
    assert not ui.refinementComboBox.enabled
    assert not {"--refine", "--no-refine"} & set(panel.commandArguments())


def test_what_a_trained_method_was_not_made_for_is_refused(application, scene):
    from DeformableRegistration import DeformableRegistrationLogic

    logic, nodes = DeformableRegistrationLogic(), pair_in(scene, (14, 16, 18))
    names = node_names(scene)
    with pytest.raises(InputError, match="refine"):
        logic.register(nodes["fixed"], nodes["moving"], method="demons", refine=True, device="cpu")
    if any(path.stem == "semantic-hippocampus" for path in shipped_cards()):
        with pytest.raises(InputError, match="instance"):  # an image of 18 x 20 x 21 mm is no hippocampus
            logic.register(nodes["fixed"], nodes["moving"], method="anatomy-guided", refine=False, device="cpu")
    assert node_names(scene) == names
