"""SiamFC and SiamRPN against their papers, step by step, written out again slowly: structure, ranking, suppression,
sizes and losses.
"""

import math

import numpy as np
import pytest
import torch

from test_training_landmarks import Blobs
from UltrasoundMotionLib.lab.training.data.landmark_batches import LandmarkBatches
from UltrasoundMotionLib.lab.training.data.triple_batches import LandmarkBatchSettings
from UltrasoundMotionLib.lab.training.objectives.siamfc import SiamFcLoss
from UltrasoundMotionLib.lab.training.objectives.siamrpn import (
    PUBLISHED_LOSS,
    SiamRpnObjective,
    drawn_anchors,
    landmark_boxes,
)
from UltrasoundMotionLib.lab.training.recipe import RECIPES
from UltrasoundMotionLib.tracking.registry import find_tracker
from UltrasoundMotionLib.tracking.trackers.siamese.crops import SAMPLE_PX, TARGET_PX
from UltrasoundMotionLib.tracking.trackers.siamese.network import EmbeddingConfig
from UltrasoundMotionLib.tracking.trackers.siamese.siamfc import PUBLISHED as SIAMFC_PUBLISHED
from UltrasoundMotionLib.tracking.trackers.siamese.siamfc import SiamFcTracker
from UltrasoundMotionLib.tracking.trackers.siamese.siamfc_network import SiamFcNetwork
from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn import PUBLISHED as SIAMRPN_PUBLISHED
from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn import SiamRpnTracker
from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn_network import (
    RpnAnswer,
    RpnKernels,
    SiamRpnNetwork,
    SiamRpnNetworkConfig,
    overlap,
)
from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn_proposals import (
    ProposalConfig,
    kept_boxes,
    ranked_proposals,
)

CPU = torch.device("cpu")
ALEXNET = (96, 256, 384, 384, 256)
RATIOS = (0.33, 0.5, 1.0, 2.0, 3.0)


def convolutions(network):
    return [one for one in network.embedding if isinstance(one, torch.nn.Conv2d)]


def test_both_embeddings_are_alexnets_unpadded_a_quarter_as_wide():
    fc, rpn = SiamFcNetwork(), SiamRpnNetwork()
    for network in (fc, rpn):
        assert [4 * one.out_channels for one in convolutions(network)] == list(ALEXNET)
        assert [one.kernel_size[0] for one in convolutions(network)] == [11, 5, 3, 3, 3]
        assert [one.stride[0] for one in convolutions(network)] == [2, 1, 1, 1, 1]
        assert all(one.padding == (0, 0) for one in convolutions(network))
    assert [one.groups for one in convolutions(fc)] == [1, 2, 1, 2, 2]
    assert [one.groups for one in convolutions(rpn)] == [1, 1, 1, 1, 1]
    with torch.no_grad():
        exemplars, windows = torch.rand(1, 1, 127, 127), torch.rand(1, 1, 255, 255)
        assert fc.embedding(exemplars).shape == (1, 64, 6, 6) and fc.embedding(windows).shape == (1, 64, 22, 22)
        assert fc(exemplars, windows).shape == (1, 17, 17)
        answer = rpn(exemplars, windows)
    assert answer.logits.shape == (1, 5, 2, 17, 17) and answer.boxes.shape == (1, 5, 4, 17, 17)
    assert rpn.exemplar_score.out_channels == 2 * 5 * 32 and rpn.exemplar_box.out_channels == 4 * 5 * 32
    assert sum(value.numel() for value in rpn.parameters()) < 1_000_000


def test_the_published_settings_are_those_of_the_papers_and_their_authors_code():
    fc, rpn = SIAMFC_PUBLISHED, SIAMRPN_PUBLISHED
    assert (fc.window_influence, fc.size_penalty, fc.size_damping, fc.upsampling) == (0.176, 0.9745, 0.59, 16)
    assert fc.sizes == pytest.approx((1 / 1.0375, 1, 1.0375))
    assert (rpn.window_influence, rpn.size_penalty, rpn.size_rate, rpn.reach) == (0.4, 0.055, 0.3, 3)
    assert find_tracker("siamfc").settings() == fc and find_tracker("siamrpn").settings() == rpn
    for name, loss in (("siamfc", SiamFcLoss(radius=16.0)), ("siamrpn", PUBLISHED_LOSS)):
        default, published, landmarks = (
            RECIPES.find(name).make(one).objective for one in RECIPES.find(name).variants()
        )
        assert default.loss == published.loss == loss != landmarks.loss
        assert default.configuration() == published.configuration()
    assert RECIPES.find("siamrpn").make().objective.network.config.anchor_ratios == RATIOS


def cubic(distance, a=-0.75):
    """Keys's cubic convolution."""
    d = abs(distance)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


def slowly_upsampled(cells, factor):
    """Each sample a sum over the four cells around it along each axis, the border repeated."""
    count = len(cells)
    weights = np.zeros((factor * (count - 1) + 1, count))
    for sample in range(len(weights)):
        place = sample / factor
        for cell in range(math.floor(place) - 1, math.floor(place) + 3):
            weights[sample, min(max(cell, 0), count - 1)] += cubic(place - cell)
    return weights @ cells @ weights.T


class Told:
    """A network that answers what it is told to."""

    def __init__(self, answer):
        self.told = answer

    def kernels(self, exemplars):
        return exemplars[:, None]

    def scores(self, kernels, windows):
        return self.told.float()


def test_a_step_of_siamfc_is_the_papers():
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:17, :17]
    for _ in range(4):
        peaks = rng.uniform(4, 12, (3, 2))
        heights = rng.uniform(2, 2.2, 3)
        maps = np.stack(
            [h * np.exp(-((x - p[0]) ** 2 + (y - p[1]) ** 2) / 8) for h, p in zip(heights, peaks, strict=True)]
        )
        tracker = SiamFcTracker(Told(torch.tensor(maps)), SIAMFC_PUBLISHED, CPU)
        frame = rng.uniform(0, 200, (256, 256)).astype(np.float32)
        tracker.start(frame, np.array([[128.0, 128.0]]))
        found = tracker.update(rng.uniform(0, 200, (256, 256)).astype(np.float32))
        # written out
        fine = [slowly_upsampled(one, 16) for one in maps]
        best = max(range(3), key=lambda k: fine[k].max() * (1.0 if k == 1 else 0.9745))
        hann = np.cos(np.pi * (np.arange(257) - 128) / 258) ** 2
        window = np.outer(hann, hann)
        response = fine[best] - fine[best].min()
        mixed = (1 - 0.176) * response / response.sum() + 0.176 * window / window.sum()
        row, column = np.unravel_index(mixed.argmax(), mixed.shape)
        size = (1.0375 ** (best - 1)) * SAMPLE_PX
        expected = 128 + (np.array([column, row]) - 128) * 8 / 16 * size
        np.testing.assert_allclose(
            found.positions_px[0], expected, atol=0.25 * size
        )  # half a fine sample: the parabola
        assert float(tracker._sizes[0]) == pytest.approx(1 - 0.59 + 0.59 * 1.0375 ** (best - 1))


def slow_overlap(one, two):
    """Intersection over union of two boxes (x, y, w, h)."""
    shared = 1.0
    for axis in (0, 1):
        low = max(one[axis] - one[axis + 2] / 2, two[axis] - two[axis + 2] / 2)
        high = min(one[axis] + one[axis + 2] / 2, two[axis] + two[axis + 2] / 2)
        shared *= max(0.0, high - low)
    return shared / (one[2] * one[3] + two[2] * two[3] - shared)


def slow_suppression(boxes, above):
    kept = []
    for number, box in enumerate(boxes):
        if all(slow_overlap(box, boxes[other]) <= above for other in kept):
            kept.append(number)
    return kept


def test_suppression_keeps_what_a_written_out_one_keeps():
    generator = torch.Generator().manual_seed(5)
    middle = torch.rand(7, 40, 2, generator=generator) * 60
    boxes = torch.cat([middle, 20 + 30 * torch.rand(7, 40, 2, generator=generator)], dim=2)
    for above in (0.1, 0.4, 0.7):
        kept = kept_boxes(boxes, above)
        for sample in range(7):
            assert kept[sample].nonzero()[:, 0].tolist() == slow_suppression(boxes[sample].tolist(), above)
    assert 1 < int(kept_boxes(boxes, 0.1)[0].sum()) < 40


def test_suppression_keeps_what_opencvs_keeps():
    cv2 = pytest.importorskip("cv2")
    generator = torch.Generator().manual_seed(6)
    boxes = torch.cat(
        [torch.rand(60, 2, generator=generator) * 50, 15 + 20 * torch.rand(60, 2, generator=generator)], 1
    )
    corners = torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]], dim=1).double().numpy()
    for above in (0.3, 0.5):
        kept = cv2.dnn.NMSBoxes(corners, np.arange(60, 0, -1) / 60, score_threshold=0.0, nms_threshold=above)
        assert kept_boxes(boxes[None], above)[0].nonzero()[:, 0].tolist() == sorted(np.ravel(kept).tolist())


def drawn_answer(seed, count=2, anchors=5):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, anchors, 2, 17, 17, generator=generator)
    return RpnAnswer(logits, 0.2 * torch.randn(count, anchors, 4, 17, 17, generator=generator))


def slow_ranking(answer, sample, shape, *, reach=3, influence=0.4, k=0.055):
    """Every proposal by itself: (rank, probability, penalty, box), the highest rank first."""

    def overall(width, height):
        return math.sqrt((width + (width + height) / 2) * (height + (width + height) / 2))

    found = []
    for anchor, row, column in np.ndindex(5, 17, 17):
        if max(abs(row - 8), abs(column - 8)) > reach:
            continue
        width, height = 64 / math.sqrt(RATIOS[anchor]), 64 * math.sqrt(RATIOS[anchor])
        dx, dy, dw, dh = (float(value) for value in answer.boxes[sample, anchor, :, row, column])
        box = (8 * (column - 8) + dx * width, 8 * (row - 8) + dy * height, width * math.exp(dw), height * math.exp(dh))
        background, target = (float(value) for value in answer.logits[sample, anchor, :, row, column])
        probability = math.exp(target) / (math.exp(target) + math.exp(background))
        ratio = (box[2] / box[3]) / (shape[0] / shape[1])
        size = overall(box[2], box[3]) / overall(*shape)
        penalty = math.exp(-k * (max(ratio, 1 / ratio) * max(size, 1 / size) - 1))
        hann = [math.cos(math.pi * (place - 8) / 18) ** 2 for place in (row, column)]
        found.append(
            ((1 - influence) * probability * penalty + influence * hann[0] * hann[1], probability, penalty, box)
        )
    return sorted(found, key=lambda one: -one[0])


def test_proposals_are_ranked_as_the_paper_ranks_them():
    answer, shapes = drawn_answer(1), torch.tensor([[63.5, 63.5], [50.0, 80.0]])
    network = SiamRpnNetwork()
    hann = torch.cos(torch.pi * (torch.arange(17) - 8) / 18).square()
    config = ProposalConfig(3, 0.4, 0.055, count=20)
    found = ranked_proposals(answer, network.anchors(CPU), config, shapes, torch.outer(hann, hann))
    for sample in range(2):
        slow = slow_ranking(answer, sample, shapes[sample].tolist())[:20]
        np.testing.assert_allclose(found.ranks[sample], [one[0] for one in slow], rtol=1e-5)
        np.testing.assert_allclose(found.scores[sample], [one[1] for one in slow], rtol=1e-4)
        np.testing.assert_allclose(found.penalties[sample], [one[2] for one in slow], rtol=1e-4)
        np.testing.assert_allclose(found.boxes[sample], [one[3] for one in slow], rtol=1e-3, atol=1e-3)
        assert found.kept[sample].nonzero()[:, 0].tolist() == slow_suppression([one[3] for one in slow], 0.7)
    assert found.kept[:, 0].all()  # suppression never takes away the best one
    assert not ranked_proposals(answer, network.anchors(CPU), ProposalConfig(0, count=9)).kept[:, 5:].any()


class ToldProposals(SiamRpnNetwork):
    def kernels(self, exemplars):
        return RpnKernels(exemplars[:, None], exemplars[:, None])

    def answer(self, kernels, windows):
        return self.told


def test_a_step_of_siamrpn_is_the_papers_and_its_shape_follows_the_best_proposal():
    network = ToldProposals(SiamRpnNetworkConfig(EmbeddingConfig((4, 8, 8, 8, 8)), 8))
    tracker = SiamRpnTracker(network, SIAMRPN_PUBLISHED, CPU)
    rng = np.random.default_rng(1)
    tracker.start(rng.uniform(0, 200, (256, 256)).astype(np.float32), np.array([[128.0, 120.0]]))
    shape, place, nominal = np.ones(2), np.array([128.0, 120.0]), TARGET_PX / SAMPLE_PX
    for frame in range(4):
        network.told = drawn_answer(10 + frame, count=1)
        found = tracker.update(rng.uniform(0, 200, (256, 256)).astype(np.float32))
        size = math.sqrt((shape[0] + shape.mean()) * (shape[1] + shape.mean())) / 2  # of the search window
        _, probability, penalty, box = slow_ranking(network.told, 0, (shape * nominal / size).tolist())[0]
        place = place + np.array(box[:2]) * SAMPLE_PX * size
        rate = 0.3 * probability * penalty
        shape = (1 - rate) * shape + rate * np.array(box[2:]) * size / nominal
        np.testing.assert_allclose(found.positions_px[0], place, atol=1e-3)
        np.testing.assert_allclose(tracker._shapes[0], shape, rtol=1e-4)
        assert found.confidence[0] == pytest.approx(probability, rel=1e-4)
    before = tracker._shapes.clone()
    tracker.hold(np.array([True]), np.array([[100.0, 100.0]]))
    tracker.update(rng.uniform(0, 200, (256, 256)).astype(np.float32))
    assert torch.equal(before, tracker._shapes)  # nothing is learnt of a landmark that is held


def test_every_anchor_is_the_nearest_of_some_landmark_of_a_training():
    """A square landmark alone would never be near the four anchors that are not square."""
    objective = SiamRpnObjective(PUBLISHED_LOSS)
    settings = LandmarkBatchSettings(triples=6, largest_ratio=objective.largest_ratio, images=None)
    batch = LandmarkBatches([Blobs()], settings, 1).draw(0)
    boxes = landmark_boxes(batch)
    torch.testing.assert_close(boxes[:, 3] / boxes[:, 2], batch.ratio)
    torch.testing.assert_close(boxes[:, 2] * boxes[:, 3], (63.5 * batch.size) ** 2)
    assert batch.ratio.min() < 0.6 and batch.ratio.max() > 1.6
    common = overlap(objective.network.anchors(CPU), boxes) > PUBLISHED_LOSS.positive_above
    assert common.flatten(2).any(dim=2).any(dim=0).all()
    square = LandmarkBatches([Blobs()], LandmarkBatchSettings(triples=6, images=None), 1).draw(0)
    alone = overlap(objective.network.anchors(CPU), landmark_boxes(square)) > PUBLISHED_LOSS.positive_above
    assert alone.flatten(2).any(dim=2).any(dim=0).tolist() == [False, False, True, False, False]


def test_a_stretched_window_shows_the_landmark_stretched():
    """The blob is round in x_0: its second moments in the search window have the ratio of the box."""
    settings = LandmarkBatchSettings(triples=2, motion=None, images=None, longest_offset=8.0, largest_ratio=2.0)
    batch = LandmarkBatches([Blobs()], settings, 4).draw(0)
    y, x = torch.meshgrid(torch.arange(255.0), torch.arange(255.0), indexing="ij")
    for window, target, ratio in zip(batch.instance[:, 0], batch.target, batch.ratio, strict=True):
        near = ((x - target[0]).abs() < 62) & ((y - target[1]).abs() < 62)
        mass = (window - window.median()).clamp(min=0) * near
        spread = [
            float((mass * (axis - place).square()).sum() / mass.sum())
            for axis, place in ((x, target[0]), (y, target[1]))
        ]
        assert math.sqrt(spread[1] / spread[0]) == pytest.approx(float(ratio), rel=0.05)


def test_sixteen_positives_of_sixty_four_anchors_are_drawn():
    generator = torch.Generator().manual_seed(2)
    lots = torch.rand(3, 5, 17, 17, generator=generator)
    positive, negative = lots > 0.97, lots < 0.9
    positive[1] = False
    positive[2].flatten()[:] = False
    positive[2, 0, 0, :5] = True
    some, others = drawn_anchors(positive, negative & ~positive, (16, 64), step=3)
    assert some.flatten(1).sum(dim=1).tolist() == [16, 0, 5]
    assert others.flatten(1).sum(dim=1).tolist() == [48, 64, 59]
    assert (some <= positive).all() and (others <= negative).all()
    again = drawn_anchors(positive, negative & ~positive, (16, 64), step=3)
    assert torch.equal(again[0], some) and not torch.equal(drawn_anchors(positive, negative, (16, 64), 4)[1], others)


def test_the_published_loss_of_siamrpn_is_its_formula():
    batch = LandmarkBatches([Blobs()], LandmarkBatchSettings(triples=1, images=None, largest_ratio=2.0), 2).draw(0)
    torch.manual_seed(1)
    objective = SiamRpnObjective(PUBLISHED_LOSS, SiamRpnNetworkConfig(EmbeddingConfig((4, 8, 8, 8, 8)), 8)).eval()
    with torch.no_grad():
        losses = objective.losses(batch, 7)
        answer = objective.network(batch.exemplar, batch.instance)
    anchors, boxes = objective.network.anchors(CPU), landmark_boxes(batch)
    common = torch.tensor(
        [
            [
                [[slow_overlap(anchors[a, :, r, c].tolist(), box.tolist()) for c in range(17)] for r in range(17)]
                for a in range(5)
            ]
            for box in boxes
        ]
    )
    positive, negative = drawn_anchors(common > 0.6, common < 0.3, (16, 64), 7)
    entropies, distances = [], []
    for index in (positive | negative).nonzero().tolist():
        sample, anchor, row, column = index
        background, target = answer.logits[sample, anchor, :, row, column].tolist()
        chosen, other = (target, background) if positive[tuple(index)] else (background, target)
        entropies.append(math.log(1 + math.exp(other - chosen)))
        if positive[tuple(index)]:
            x, y, w, h = anchors[anchor, :, row, column].tolist()
            tx, ty, tw, th = boxes[sample].tolist()
            wanted = ((tx - x) / w, (ty - y) / h, math.log(tw / w), math.log(th / h))
            given = answer.boxes[sample, anchor, :, row, column].tolist()
            off = [abs(one - two) for one, two in zip(given, wanted, strict=True)]
            distances.append(sum(4.5 * d * d if d < 1 / 9 else d - 1 / 18 for d in off))  # smooth L1, sigma = 3
    assert float(losses["score"]) == pytest.approx(np.mean(entropies), rel=1e-4)
    assert float(losses["box"]) == pytest.approx(np.mean(distances), rel=1e-4)
    assert float(losses["total"]) == pytest.approx(np.mean(entropies) + 1.2 * np.mean(distances), rel=1e-4)
