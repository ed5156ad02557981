"""What other labels have to do so that a label that changes brings nothing along (compensation, as of the
crosstalk between channels).

A flow that is told that a label stays does not always draw faces in which it does: labels are noisy, and
what they leave open moves along. A smile may look a little more like glasses, by readouts of the edited
faces. What a change of each label alone does to the readouts of all, on average, is a matrix E; the other
labels o take back what label a does to them where they change, per unit of a, by c with

    E[a, o] + sum_b c_b E[b, o] = 0   for all other labels o

by ridge regression, so that a label that does next to nothing is not asked for much, and none for more than
MOST. Labels that exclude one another are left alone: there the change is meant.

Faces are looked at as they are seen: an edited code is decoded, and the picture encoded, before it is read.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.optimize import lsq_linear

from faces.edits.exclusions import Exclusions
from faces.flow.editor import FlowEditor
from faces.latents.codes import Codes

RIDGE = 0.04  # on the changes of labels, where effects count standard deviations of the readout
MOST = 0.2  # of the change of a label that another makes to take back what that brings along
FEWEST = 8  # faces that say what a change does

Seen = Callable[[np.ndarray], np.ndarray]  # codes (F, D) -> codes of their decoded pictures


def compensation(
    editor: FlowEditor, codes: Codes, labels: np.ndarray, seen: Seen, faces: int, seed: int
) -> np.ndarray:
    """(A, A) float32: row a has the changes of the other labels per unit change of label a.

    At most `faces` of codes (N, D) with labels (N, A) are edited for each label, as many with as without.
    """
    effects, known = measured(editor, codes, labels, seen, faces, seed)
    found = np.zeros((len(known), len(known)), np.float32)
    for a in np.flatnonzero(known):
        others = known & ~excluded(editor.exclusions, a)
        others[a] = False
        places = np.flatnonzero(others)
        if len(places):
            weak = np.sqrt(RIDGE) * np.eye(len(places))
            design = np.concatenate([effects[np.ix_(places, places)].T, weak])
            asked = np.concatenate([-effects[a, places], np.zeros(len(places))])
            found[a, places] = lsq_linear(design, asked, (-MOST, MOST), method="bvls").x
    return found


def measured(
    editor: FlowEditor, codes: Codes, labels: np.ndarray, seen: Seen, faces: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(A, A) the mean change of each readout, in standard deviations, per unit change of each label alone;
    and for which labels (A,) it is known.
    """
    rng = np.random.default_rng(seed)
    alone = replace(editor, exclusions=Exclusions.none(len(editor.attributes)))
    readouts = editor.readouts
    read = readouts.normals.any(1)
    effects = np.zeros((len(read), len(read)))
    before: list[np.ndarray] = []
    known = np.zeros(len(read), bool)
    for a in np.flatnonzero(read):
        sides = [rng.permutation(np.flatnonzero(labels[:, a] * side > 0))[: faces // 2] for side in (1, -1)]
        if min(map(len, sides)) < FEWEST:
            continue
        rows = np.sort(np.concatenate(sides))
        values = -np.sign(labels[rows, a])
        edited = alone.switch(editor.attributes[a], codes[rows], labels[rows], values, 1.0)
        asked = (values - editor.given(codes[rows], labels[rows])[:, a]) * values
        log_odds = [seen(some) @ readouts.normals.T for some in (codes[rows], edited)]
        effects[a] = ((log_odds[1] - log_odds[0]) * values[:, None]).mean(0) / asked.mean()
        before.append(log_odds[0])
        known[a] = True
    if known.any():
        spread = np.concatenate(before).std(0)
        effects /= np.where(spread > 0, spread, 1)
    return effects, known


def excluded(exclusions: Exclusions, attribute: int) -> np.ndarray:
    """(A,) bool: which labels are in a pair that excludes one another, or in an exhaustive set, with it."""
    rules = np.concatenate([exclusions.pairs, exclusions.exhaustive])
    return rules[rules[:, attribute] != 0].any(0)
