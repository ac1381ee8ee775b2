"""A small set of trajectories, drawn: a texture that moves evenly, and four of its points."""

import numpy as np

from UltrasoundMotionLib import ImageSequence, write_sequence

FRAMES, SIDE = 10, 64
POINTS = np.array([[20.0, 24], [40, 22], [30, 40], [44, 44]])


def speckle_clip(seed, step):
    """A smooth random texture that moves by `step` px in x each frame, and its points' exact places."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(size=(40, 2)) * 0.5
    phases, sizes = rng.uniform(0, 2 * np.pi, 40), rng.uniform(0.5, 1, 40)
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    frames = []
    for frame in range(FRAMES):
        moved = x - step * frame
        texture = sum(
            size * np.sin(wave[0] * moved + wave[1] * y + phase)
            for wave, phase, size in zip(waves, phases, sizes, strict=True)
        )
        frames.append(128 + 18 * texture)
    places = POINTS + np.arange(FRAMES)[:, None, None] * np.array([step, 0.0])
    return np.clip(frames, 0, 255).astype(np.uint8), places


def tracks_text(places, **changed):
    lines = ["frame,time_s,label,x,y,confidence,visible"]
    for frame, row in enumerate(places):
        for number, (x, y) in enumerate(row):
            lines.append(f"{frame},,P{number},{x:.4f},{y:.4f},1,{changed.get(f'{frame}P{number}', 1)}")
    return "\n".join(lines) + "\n"


def write_set(root):
    """Four clips of three patients with `cases.csv`, in a new folder."""
    root.mkdir()
    rows = ["case,patient,clip,tracks"]
    for number, patient in enumerate(("anna", "anna", "bert", "cleo")):
        frames, places = speckle_clip(number, 0.6)
        write_sequence(root / f"c{number}.seq.nrrd", ImageSequence(frames))
        (root / f"c{number}.csv").write_text(tracks_text(places))
        rows.append(f"c{number},{patient},c{number}.seq.nrrd,c{number}.csv")
    (root / "cases.csv").write_text("\n".join(rows) + "\n")
    return root
