"""The trainer with a network of each family: cancelled and resumed, refusing NaN, with workers, in two processes."""

import csv
import shutil
import subprocess
import sys
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from UltrasoundMotionLib.errors import Cancelled, InputError
from UltrasoundMotionLib.lab.training.data.clip_batches import ClipBatches, ClipBatchSettings
from UltrasoundMotionLib.lab.training.data.landmark_batches import LandmarkBatches
from UltrasoundMotionLib.lab.training.data.landmark_sources import FrameTriple, LandmarkSource
from UltrasoundMotionLib.lab.training.data.pair_settings import Augmentation, PairAugmentation, PairSettings
from UltrasoundMotionLib.lab.training.data.registration_pairs import LabelledArrays, PairBatches, TrainingSubject
from UltrasoundMotionLib.lab.training.data.step_batches import StepBatches
from UltrasoundMotionLib.lab.training.data.triple_batches import LandmarkBatchSettings
from UltrasoundMotionLib.lab.training.data.warped_clips import RealFrame
from UltrasoundMotionLib.lab.training.objectives.anatomy import AnatomyObjective
from UltrasoundMotionLib.lab.training.objectives.ltnet import LtNetObjective, LtNetWeights
from UltrasoundMotionLib.lab.training.objectives.semantic import SemanticLoss, SemanticObjective
from UltrasoundMotionLib.lab.training.objectives.siamfc import SiamFcObjective
from UltrasoundMotionLib.lab.training.objectives.specknet import SpeckNetObjective
from UltrasoundMotionLib.lab.training.optimization import Optimization
from UltrasoundMotionLib.lab.training.settings import TrainingSettings
from UltrasoundMotionLib.lab.training.state import STATE_NAME
from UltrasoundMotionLib.lab.training.trained_weights import draft_card
from UltrasoundMotionLib.lab.training.trainer import train
from UltrasoundMotionLib.registration.learned.anatomy_network import AnatomyConfig
from UltrasoundMotionLib.registration.learned.model_domain import HIPPOCAMPUS
from UltrasoundMotionLib.registration.methods.ltnet.network import LtNetConfig
from UltrasoundMotionLib.registration.methods.semantic.feature_unet import FeatureUNetConfig
from UltrasoundMotionLib.registration.methods.semantic.two_step_config import published
from UltrasoundMotionLib.tracking.trackers.siamese.network import EmbeddingConfig
from UltrasoundMotionLib.tracking.trackers.siamese.siamfc_network import SiamFcNetworkConfig
from UltrasoundMotionLib.tracking.trackers.specknet.network import SpeckNetConfig
from UltrasoundMotionLib.weights import load_weights

pytestmark = pytest.mark.training

SETTINGS = TrainingSettings(steps=6, seed=3, learning_rate=2e-3, log_every=4, save_every=4, validate_every=0)
LIVELY = Augmentation(rotation_deg=20, shift=1, elastic=0.5, elastic_stride=6, gamma=0.1, noise=0.02)


class Blobs(LandmarkSource):
    """Frames of 96 px with a bright blob at each of two points that move."""

    name = "blobs-1"

    def draw(self, rng: np.random.Generator) -> FrameTriple:
        points = (np.array([[35.0, 40.0], [60.0, 55.0]]) + rng.uniform(-5, 5, (3, 1, 2))).astype(np.float32)
        y, x = np.mgrid[:96, :96]
        squared = (x - points[..., 0, None, None]) ** 2 + (y - points[..., 1, None, None]) ** 2
        return FrameTriple(200 * np.exp(-0.1 * squared).sum(axis=1), points, np.ones((3, 2), dtype=bool))


def smooth(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    image = gaussian_filter(np.random.default_rng(seed).random(shape), 2)
    return (image - image.min()) / (image.max() - image.min())


def subjects(count: int, shape: tuple[int, ...]) -> list[TrainingSubject]:
    images = [smooth(seed, shape).astype(np.float16) for seed in range(count)]
    return [
        TrainingSubject(f"s{n}", (LabelledArrays(image, (image > 0.6).astype(np.uint8)),))
        for n, image in enumerate(images)
    ]


def specknet() -> tuple[SpeckNetObjective, ClipBatches]:
    frames = [RealFrame((255 * smooth(seed, (120, 130))).astype(np.uint8), "smooth") for seed in range(2)]
    batch = ClipBatchSettings(clips=2, frames=3, points=12, input_size=64, crops=((0.5, 48), (1.0, 64)))
    network = SpeckNetConfig(input_size=64, channels=(4, 4, 4, 4))
    return SpeckNetObjective(network), ClipBatches([], frames, batch, SETTINGS.seed, SETTINGS.steps)


def siamfc() -> tuple[SiamFcObjective, LandmarkBatches]:
    batch = LandmarkBatchSettings(triples=1, landmarks=2)
    return (
        SiamFcObjective(network=SiamFcNetworkConfig(EmbeddingConfig((4, 8, 8, 8, 8)))),
        LandmarkBatches([Blobs()], batch, SETTINGS.seed),
    )


def ltnet() -> tuple[LtNetObjective, PairBatches]:
    """With a discriminator."""
    domain = replace(HIPPOCAMPUS, labels={1: "bright"})
    network = LtNetConfig(dimension=2, encoder=(4, 8), decoder=(8, 8, 8))
    batch = PairSettings("atlas", atlas="s0", size=2, augmentation=PairAugmentation(fixed=LIVELY, moving=LIVELY))
    return (
        LtNetObjective("ltnet-test", network, LtNetWeights(), domain=domain, atlas="s0"),
        PairBatches(subjects(4, (32, 32)), batch, SETTINGS.seed),
    )


def semantic() -> tuple[SemanticObjective, PairBatches]:
    """With a phase in which half of the network is not trained, and buffers."""
    unet = FeatureUNetConfig(2, 2, channels=(4, 6, 8, 10), deepest=2, up=(8, 8))
    config = replace(published(2, 2), unet=unet, channels=(4, 6, 8), hidden=6, scales=(5, 5), statistics="learnt")
    objective = SemanticObjective(
        config, SemanticLoss(pretraining=0.5), name="semantic-test", domain=replace(HIPPOCAMPUS, labels={1: "bright"})
    )
    return objective, PairBatches(subjects(4, (48, 48)), PairSettings(), SETTINGS.seed)


def anatomy() -> tuple[AnatomyObjective, PairBatches]:
    """With a running mean of the weights."""
    network = AnatomyConfig(classes=2, channels=(8, 16), through=(True, True), blocks=(1, 1))
    objective = AnatomyObjective("anatomy-test", network, replace(HIPPOCAMPUS, labels={1: "bright"}))
    return objective, PairBatches(subjects(4, (12, 16, 12)), PairSettings(), SETTINGS.seed)


FAMILIES = {"specknet": specknet, "siamfc": siamfc, "ltnet": ltnet}
ALL = {**FAMILIES, "semantic": semantic, "anatomy": anatomy}


def make(name: str):
    torch.manual_seed(SETTINGS.seed)
    return ALL[name]()


def trained(name: str, folder: Path, *, settings: TrainingSettings = SETTINGS, batches=None, **options):
    """The objective after a run."""
    objective, own = make(name)
    train(folder, objective, batches or own, settings, **options)
    return objective


def same(one, other) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return all(torch.equal(value, second[key]) for key, value in first.items())


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open() as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Gives the folder and the objective of an uninterrupted run of a family, made once."""
    made = {}

    def get(name: str):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            made[name] = folder, trained(name, folder)
        return made[name]

    return get


@pytest.mark.parametrize("name", FAMILIES)
def test_a_cancelled_run_is_saved_and_resumes_as_if_it_had_not_been(name, tmp_path, whole):
    def stop_after(step):
        def progress(done, total, message):
            if done == step:
                raise Cancelled("enough")

        return progress

    objective, batches = make(name)
    card = draft_card(objective, trained_on=(), command="none", seed=3, measured_with="nothing")
    for step in (2, 5):  # neither is a step that saves or logs
        objective, _ = make(name)
        with pytest.raises(Cancelled):
            train(tmp_path, objective, batches, SETTINGS, card=card, resume=step > 2, progress=stop_after(step))
        assert torch.load(tmp_path / STATE_NAME)["step"] == step
        saved = load_weights(tmp_path / f"{objective.name}.json")
        assert all(torch.equal(value, saved.tensors[key]) for key, value in objective.weights().items())
    resumed = trained(name, tmp_path, resume=True)
    folder, uninterrupted = whole(name)
    assert same(resumed, uninterrupted)
    assert rows(tmp_path) == rows(folder)
    assert [row["step"] for row in rows(folder)] == ["4", "6"]


def poisoned(batch):
    """The batch with NaN as its images."""
    if isinstance(batch, list):
        return [poisoned(batch[0]), *batch[1:]]
    first = next(one.name for one in fields(batch) if getattr(batch, one.name).is_floating_point())
    return replace(batch, **{first: torch.full_like(getattr(batch, first), torch.nan)})


class Poisoned(StepBatches):
    """Batches of which one has NaN."""

    def __init__(self, batches, step):
        self.batches, self.step, self.description = batches, step, batches.description

    def draw(self, step, *place):
        batch = self.batches.draw(step, *place)
        return poisoned(batch) if step == self.step else batch


@pytest.mark.parametrize("name", ALL)
def test_a_loss_that_is_not_finite_ends_the_run_before_it_changes_anything(name, tmp_path):
    objective, batches = make(name)
    settings = replace(SETTINGS, save_every=1)
    with pytest.raises(InputError, match=r"step 3: .*(the loss is not a finite number \(.*total nan|NaN or infinite)"):
        train(tmp_path, objective, Poisoned(batches, 2), settings)
    state = torch.load(tmp_path / STATE_NAME)
    assert state["step"] == 2
    assert all(torch.equal(value, state["objective"][key]) for key, value in objective.state_dict().items())
    assert same(trained(name, tmp_path, settings=settings, resume=True), trained(name, tmp_path, settings=settings))


def test_a_gradient_that_is_not_finite_is_refused():
    objective, batches = make("siamfc")
    objective.network.embedding[0].weight.register_hook(lambda gradient: gradient * torch.inf)
    before = {key: value.clone() for key, value in objective.state_dict().items()}
    with pytest.raises(InputError, match="step 1: the gradient is not a finite number"):
        Optimization(objective, SETTINGS).step(batches.draw(0), 0)
    assert all(torch.equal(value, before[key]) for key, value in objective.state_dict().items())


@pytest.mark.parametrize("name", FAMILIES)
def test_workers_change_nothing(name, tmp_path, whole):
    assert same(trained(name, tmp_path, workers=2), whole(name)[1])


def test_an_error_in_a_worker_stays_one_line(tmp_path):
    class Blank(LandmarkSource):
        name = "blank-1"

        def draw(self, rng):
            return FrameTriple(np.zeros((3, 96, 96)), np.full((3, 2, 2), 40.0), np.zeros((3, 2), dtype=bool))

    batches = LandmarkBatches([Blank()], LandmarkBatchSettings(), 1)
    with pytest.raises(InputError) as caught:
        trained("siamfc", tmp_path, batches=batches, workers=1)
    assert str(caught.value) == "blank-1 and others: no landmark is visible in two frames"


def test_a_clip_without_a_visible_point_teaches_nothing_and_does_no_harm():
    objective, batches = make("specknet")
    blank = [replace(clip, visible=torch.zeros_like(clip.visible)) for clip in batches.draw(0)]
    losses = Optimization(objective, SETTINGS).step(blank, 0)
    assert set(losses.values()) == {0.0}
    assert all(bool(torch.isfinite(value).all()) for value in objective.parameters())


def test_states_of_other_versions_and_runs_are_refused_by_name(tmp_path, whole):
    shutil.copytree(whole("siamfc")[0], tmp_path, dirs_exist_ok=True)
    path = tmp_path / STATE_NAME
    with pytest.raises(InputError, match="belongs to a run with other settings"):
        trained("siamfc", tmp_path, settings=replace(SETTINGS, learning_rate=1e-3), resume=True)
    values = torch.load(path)
    torch.save({"settings": "old", **{key: values[key] for key in ("step", "seconds")}}, path)
    with pytest.raises(InputError, match=r"state\.pt: a state of format 1, .* leave out --resume to train anew"):
        trained("siamfc", tmp_path, resume=True)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="not the state of a training run"):
        trained("siamfc", tmp_path, resume=True)


WORKER = """
import sys
sys.path.insert(0, {folder!r})
import torch
torch.set_num_threads(1)
from test_trainer import ALL, trained
from UltrasoundMotionLib.lab.training.processes import training_processes
with training_processes("cpu") as processes:
    for name in ALL:
        objective = trained(name, {out!r} + f"/{{name}}{{processes.rank}}", processes=processes)
        torch.save(objective.state_dict(), {out!r} + f"/{{name}}-{{processes.rank}}.pt")
"""


@pytest.mark.own_process
def test_two_processes_end_with_the_same_weights(tmp_path, whole):
    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(folder=str(Path(__file__).parent), out=str(tmp_path)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    for name in ALL:
        first, second = (torch.load(tmp_path / f"{name}-{rank}.pt") for rank in range(2))
        assert all(torch.equal(value, second[key]) for key, value in first.items())
        alone = whole(name)[1].state_dict()
        assert any(not torch.equal(value, alone[key]) for key, value in first.items())  # it saw other batches as well
        assert (tmp_path / f"{name}0" / STATE_NAME).exists()
        assert not list((tmp_path / f"{name}1").iterdir())


def test_a_batch_is_moved_with_all_its_tensors():
    from UltrasoundMotionLib.lab.training.data.step_batches import to_device

    def tensors(values):
        if isinstance(values, Tensor):
            return [values]
        if is_dataclass(values):
            values = [getattr(values, one.name) for one in fields(values)]
        return [tensor for value in values for tensor in tensors(value)] if isinstance(values, list) else []

    for name, family in FAMILIES.items():
        batch = family()[1].draw(0)
        moved = to_device(batch, torch.device("meta"))
        assert tensors(moved), name
        assert all(one.device.type == "meta" for one in tensors(moved))
        assert len(tensors(moved)) == len(tensors(batch))
