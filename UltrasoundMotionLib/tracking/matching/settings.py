"""Settings of the trackers with a short and a long memory, in named groups; nothing here needs PyTorch.

Lengths are in pixels of a frame whose longer side has 256; they scale with the frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ShortMemorySettings:
    """Settings of the match with the previous frame's template.

    Attributes:
        enabled: False switches the short memory off, for comparison.
        level: pyramid level on which the search begins.
        step_deviation: expected standard deviation of the motion from one frame to the next.
        drift_deviation: error of one short match beyond its own estimate, as a standard deviation.
    """

    enabled: bool = True
    level: int = 1
    step_deviation: float = 3.0
    drift_deviation: float = 0.05


@dataclass(frozen=True)
class LongMemorySettings:
    """Settings of the match with the query frame's template.

    Attributes:
        enabled: False switches the long memory off, for comparison.
        level: pyramid level on which the search begins.
        search: distance, beyond its own uncertainty, at which the long template still finds a point.
        trust: weight of one long match; its errors stay the same for many frames, so each brings little that is new.
        readiness: log odds with which a long match that is not surprising is accepted.
        evidence_weight: weight of the template's log-likelihood ratio; half of the weight of independent samples,
            since structures repeat more often than speckle.
    """

    enabled: bool = True
    level: int = 1
    search: float = 1.5
    trust: float = 0.2
    readiness: float = 0.0
    evidence_weight: float = 0.25


@dataclass(frozen=True)
class FusionSettings:
    """Settings of the Kalman update that fuses a match into the state.

    Attributes:
        gate: squared distance, in standard deviations, beyond which an accepted match widens the covariance.
        surprise_freedom: degrees of freedom of Student's t for the innovation; the fewer, the sooner a long way is
            accepted.
    """

    gate: float = 4.0
    surprise_freedom: float = 3.0


@dataclass(frozen=True)
class NeighbourSettings:
    """Settings of the motion that neighbouring points share from frame to frame.

    Attributes:
        length: distance over which neighbouring points move alike; 0 lets each point move alone, without support
            points, corrections by neighbours and motion from the query frame.
        own_motion: share of a point's motion that its neighbours do not explain.
        stretch: share of the motion that may grow linearly with the position, see `share_motion`; 0 expects neighbours
            to move alike.
        own_doubt: share of a point's own uncertainty that its neighbours' agreement does not remove.
    """

    length: float = 60.0
    own_motion: float = 0.3
    stretch: float = 0.0
    own_doubt: float = 0.3


@dataclass(frozen=True)
class CorrectionSettings:
    """Settings of the neighbours' part in a correction by the long memory.

    Attributes:
        enabled: False lets each point be corrected by its own long match alone.
        length: distance over which the drift that is corrected is alike ...
        shared: ... and the share of its variance that is.
        deviation: standard deviation of a long match's error beyond its own estimate.
        consensus: weight of the neighbours' consensus on the displacement since the query frame in the odds of a long
            match; 0: none.
        stray: logarithm of the greatest factor on the variance of the motion of a point that has not moved as the
            consensus has: it may lie on clutter that stands still; 0: none.
    """

    enabled: bool = True
    length: float = 25.0
    shared: float = 0.15
    deviation: float = 0.3
    consensus: float = 1.0
    stray: float = 6.0


@dataclass(frozen=True)
class SupportSettings:
    """Settings of support points: points of the tracker's own, so that a few points have neighbours too.

    Attributes:
        count: number of points, those asked for included, that support points are added up to; 0: none are added.
        reach: distance from the nearest point asked for within which they lie.
        doubt: factor on the variance of a support point's motion: nobody chose it, so that it may lie on clutter.
    """

    count: int = 24
    reach: float = 60.0
    doubt: float = 16.0


@dataclass(frozen=True)
class QueryFlowSettings:
    """Settings of the coarse motion from the query frame, see `QueryFlow`: a second place for each point.

    Attributes:
        every: it is found in every so many frames; 0: never.
        distance: distance from a point from which on its place by this motion is another one.
        length: distance over which the evidence of points is taken together.
        memory: share of the evidence that is kept from one time to the next.
        evidence: weight of the log-likelihood ratio of the long template at the two places.
        readiness: log odds with which the point is moved where that ratio says nothing.
    """

    every: int = 1
    distance: float = 1.5
    length: float = 40.0
    memory: float = 0.7
    evidence: float = 6.0
    readiness: float = -3.0


@dataclass(frozen=True)
class ConfidenceSettings:
    """Settings of the confidence and of visibility.

    Attributes:
        visible_above: confidence under which a point is marked not visible.
        forward_backward_scale: forward-backward error that lowers the confidence to 0.6.
        deviation_scale: standard deviation of the position that lowers the confidence to 0.6.
    """

    visible_above: float = 0.5
    forward_backward_scale: float = 2.0
    deviation_scale: float = 2.0


@dataclass(frozen=True)
class RecoverySettings:
    """Settings of the wide search for points whose position has become uncertain.

    Attributes:
        lost_deviation: standard deviation of the position beyond which a point is searched for in a wide window.
        level: pyramid level on which that search begins.
        deviation: standard deviation of the position assumed in that search, beside the point's own.
        correlation: least correlation of an accepted match ...
        gain: ... which must also exceed the correlation at the point's present position by this.
    """

    lost_deviation: float = 5.0
    level: int = 1
    deviation: float = 2.0
    correlation: float = 0.75
    gain: float = 0.3


@dataclass(frozen=True)
class AbsoluteSearchSettings:
    """Settings of the fusion of an absolute search, which finds the query points anew in every frame.

    Attributes:
        search: distance, beyond its own uncertainty, at which a point is searched for.
        trust: weight of one finding, as `LongMemorySettings.trust`.
        evidence: weight of its log-likelihood ratio.
        readiness: log odds with which a visible finding that is not surprising is accepted.
        every: the search runs in every so many frames only, while all points are in sight.
    """

    search: float = 6.0
    trust: float = 0.3
    evidence: float = 1.0
    readiness: float = 5.0
    every: int = 1


@dataclass(frozen=True)
class ConsensusSettings:
    """Settings of the consensus of neighbours on the displacement since the query frame, with an absolute search.

    Attributes:
        length: distance over which displacements are alike; 0 switches the consensus off.
        own_motion: share of a displacement that neighbours do not explain.
        deviation: standard deviation of a point from the consensus, beside its own uncertainty.
        gate, distance: a point further from the consensus than so many standard deviations, and pixels, is searched
            for where its neighbours expect it.
        evidence: weight of the absolute search's log-likelihood ratio between the two positions.
        odds: log odds from which the point is moved there ...
        gain: ... if the likelihood alone, which look-alikes share, says so by as much, ...
        unseen: ... or is below this at the point's present position, so that it is hardly seen there.
    """

    length: float = 60.0
    own_motion: float = 0.1
    deviation: float = 1.5
    gate: float = 2.5
    distance: float = 6.0
    evidence: float = 1.0
    odds: float = 0.0
    gain: float = 0.5
    unseen: float = -3.5


@dataclass(frozen=True)
class UsualPlaceSettings:
    """Settings of the return of points out of sight. Chosen on tuning liver phantoms.

    Attributes:
        rate: share of each frame in which a point is seen in the running mean of its positions, its usual place.
        return_rate: part of the way back to it in each frame in which the point is out of sight. Breathing brings
            tissue back; without this, the moving edge of a shadow takes a hidden point along, too far for it to be
            found again.
        growth: standard deviation that each such frame adds to the position's.
        largest_deviation: limit of the position's standard deviation.
    """

    rate: float = 0.02
    return_rate: float = 0.1
    growth: float = 1.0
    largest_deviation: float = 12.0


@dataclass(frozen=True)
class SightSettings:
    """Settings of points out of sight, with an absolute search.

    Attributes:
        visibility: visibility under which a point is out of sight; 0: none ever is.
        correlation, slope: correlation of the long template from which on a point counts as seen whatever the search
            finds, and how sharply that changes; None: the search alone decides.
        usual_place: return of points out of sight.
    """

    visibility: float = 0.0
    correlation: float | None = None
    slope: float = 20.0
    usual_place: UsualPlaceSettings = field(default_factory=UsualPlaceSettings)


@dataclass(frozen=True)
class LongShortSettings:
    """Settings of `LongShortTracker`.

    Attributes:
        working_size: a frame whose longer side has twice this or more is halved until it is smaller (speckle grows
            with the frame, the patches do not).
        smoothing: blur of the finest level against pixel noise.
        short, long, fusion, neighbours, correction, support, flow, confidence, recovery, absolute, consensus, sight:
            the groups.
    """

    working_size: int = 256
    smoothing: float = 0.4
    short: ShortMemorySettings = field(default_factory=ShortMemorySettings)
    long: LongMemorySettings = field(default_factory=LongMemorySettings)
    fusion: FusionSettings = field(default_factory=FusionSettings)
    neighbours: NeighbourSettings = field(default_factory=NeighbourSettings)
    correction: CorrectionSettings = field(default_factory=lambda: CorrectionSettings(enabled=False))
    support: SupportSettings = field(default_factory=lambda: SupportSettings(count=0))
    flow: QueryFlowSettings = field(default_factory=lambda: QueryFlowSettings(every=0))
    confidence: ConfidenceSettings = field(default_factory=ConfidenceSettings)
    recovery: RecoverySettings = field(default_factory=RecoverySettings)
    absolute: AbsoluteSearchSettings = field(default_factory=AbsoluteSearchSettings)
    consensus: ConsensusSettings = field(default_factory=ConsensusSettings)
    sight: SightSettings = field(default_factory=SightSettings)


def point_tracker_settings() -> LongShortSettings:
    """Returns the settings of the point trackers without a network: neighbours correct drift together, and there are
    always enough of them.
    """
    return LongShortSettings(
        long=LongMemorySettings(level=2, search=2.0, trust=1.0),
        correction=CorrectionSettings(),
        support=SupportSettings(),
        flow=QueryFlowSettings(),
    )
