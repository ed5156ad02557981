"""Table of metrics: meaning of each figure of reports/metrics.json, better direction, and whether it is
critical.

The gates of a retraining run and all comparisons of runs use it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Metric:
    """All keys that match `pattern` (dots between levels, * within or across them).

    `better` is None for a figure that is only descriptive. A challenger that is worse in a critical metric,
    by more than chance explains, is not promoted.
    """

    pattern: str
    better: Better | None
    critical: bool
    meaning: str


# The first pattern that matches a key counts.
METRICS = (
    Metric("reconstruction.psnr", "higher", True, "reconstructed test faces, dB"),
    Metric("reconstruction.psnr_*", "higher", False, "test faces after so many rounds through the model, dB"),
    Metric("reconstruction.ssim", "higher", False, "structural similarity of reconstructed test faces"),
    Metric("reconstruction.ms_ssim", "higher", True, "the same over several scales"),
    Metric("code.length", None, False, "numbers per face"),
    Metric("code.active_units", None, False, "code dimensions in use; the good number depends on the model"),
    Metric("code.collapsed", "lower", True, "1 where hardly any code dimension is in use"),
    Metric("valid.psnr", "higher", False, "reconstructed valid faces at the end of training, dB"),
    Metric("valid.mse", "lower", False, "squared error of the same"),
    Metric("valid.*", None, False, "parts of the loss on valid faces; each model has its own"),
    Metric("auroc.mean", "higher", False, "test AUROC of the directions, mean over attributes"),
    Metric("auroc.*", "higher", True, "test AUROC of the attribute's direction"),
    Metric("auroc_by_estimator.random", None, False, "a control: what no direction scores"),
    Metric("auroc_by_estimator.shuffled_labels", None, False, "a control: what meaningless labels score"),
    Metric("auroc_by_estimator.*", "higher", False, "mean test AUROC of the estimator's directions"),
    Metric(
        "counterfactual.error_reduction.*",
        "higher",
        True,
        "share of the error against the true counterfactual that the edit removes, at equal effect",
    ),
    Metric("counterfactual.error_reduction_detail.*", "higher", False, "the same with the details kept"),
    Metric(
        "counterfactual.error_reduction_nearest.*",
        "higher",
        False,
        "the same against the nearest of all pictures that are as true: any of the glasses",
    ),
    Metric(
        "counterfactual.mean.error_reduction_mean_*", None, False, "against the truths' mean: blur does best"
    ),
    Metric("counterfactual.mean.*_nothing", None, False, "how far the truth is from the original"),
    Metric("counterfactual.mean.*", "higher", False, "agreement with the truth, mean over attributes"),
    Metric(
        "counterfactual_joint.*.attribute_pairs", None, False, "pairs of attributes that the means are over"
    ),
    *(
        Metric(f"counterfactual_joint.{name}.*", None, False, meaning)
        for name, meaning in (
            ("nothing", "how far the truth of two changes is from the original"),
            ("rebuilt", "the truth of two changes through the model"),
            ("random", "a control: what no direction does"),
            ("oracle", "what the best directions do, taken from the truth"),
        )
    ),
    Metric("counterfactual_joint.*.flips", "higher", False, "share of faces on which both labels flip"),
    Metric(
        "counterfactual_joint.*.error_reduction",
        "higher",
        False,
        "share of the error against the true picture with two attributes flipped that the edit removes",
    ),
    Metric("counterfactual_joint.*.psnr_outside", "higher", False, "dB where that truth did not change"),
    Metric("truth_cosine.mean.attributes", None, False, "attributes behind the mean"),
    Metric("truth_cosine.mean.ceiling", None, False, "what the true direction itself would score"),
    Metric("truth_cosine.mean.random", None, False, "a control: what no direction scores"),
    Metric("truth_cosine.mean.oracle", None, False, "the true direction of other pairs"),
    Metric("truth_cosine.*", "higher", False, "cosine of the edit with the true change of the codes"),
    Metric(
        "edits_by_attribute.*", None, False, "of one attribute's edit, behind the means that are compared"
    ),
    Metric("edits*.random.*", None, False, "a control: what no direction does"),
    Metric("edits*.oracle.*", None, False, "what the best direction does, taken from the truth"),
    Metric("edits*.floor.*", None, False, "what the truth itself scores, one half against the other"),
    Metric("edits*.attributes", None, False, "attributes that the means are over"),
    Metric("edits*.scored", None, False, "share of the test faces that the classifier reads as labelled"),
    Metric("edits*.realism_faces", None, False, "faces behind the realism"),
    Metric("edits*_low", None, False, "lower end of an interval"),
    Metric("edits*_high", None, False, "upper end of an interval"),
    Metric(
        "edits*.reached",
        "higher",
        True,
        "share of the attributes whose edits flip the faces, at one strength",
    ),
    Metric("edits*.reached_visible", "higher", False, "the same of the attributes that a picture shows"),
    Metric(
        "edits*.reached_hidden", "lower", False, "the same of those that it cannot show: others were moved"
    ),
    Metric(
        "edits*.leakage",
        "lower",
        True,
        "change of the other attributes beyond the truth's, at equal effect, standard deviations",
    ),
    Metric("edits*.leakage_total", None, False, "the same with what truly goes along"),
    Metric("edits*.dependency", "lower", False, "size of the other attributes' changes over the own, mean"),
    Metric("edits*.dependency_max", "lower", False, "the same of the attribute that changes most"),
    Metric("edits*.identity", "lower", False, "distance from the original face; 1: another one"),
    Metric("edits*.same_person", "higher", False, "share of the attributes whose edits stay the same person"),
    Metric("edits*.kept", "higher", False, "share of the other attributes that keep their sign"),
    Metric("edits*.carried", "lower", False, "share of the label correlations that edits carry along"),
    Metric("edits*.confounded", "lower", False, "change of correlated attributes"),
    Metric("edits*.unrelated", "lower", False, "change of unrelated attributes"),
    Metric(
        "edits*.confounded_ratio", "lower", False, "change of correlated attributes over the first editor's"
    ),
    Metric(
        "edits*.unrelated_ratio", "lower", False, "change of unrelated attributes over the first editor's"
    ),
    Metric("edits*.psnr_gain", "higher", False, "dB by which detail-preserving edits keep the rest better"),
    Metric("edits*.perceptual", "lower", False, "how changed the edited picture looks at equal effect"),
    Metric(
        "edits*.realism", "lower", False, "kernel distance of edited faces to real ones with the attribute"
    ),
    Metric("edits*.reversibility", "higher", False, "dB between the start and an edit that is taken back"),
    Metric(
        "edits*.error_reduction", "higher", False, "agreement with the true counterfactual at equal effect"
    ),
    Metric(
        "edits*.error_reduction_nearest", "higher", False, "the same, to the nearest picture that is true"
    ),
    Metric("edits*.error_reduction_mean", None, False, "the same, to the mean of those: blur does best"),
    Metric("edits*.mode_coverage", "higher", False, "share of the true forms that some edit is nearest to"),
    Metric("edits*.mode_entropy", None, False, "how evenly edits are spread over the true forms; 1: evenly"),
    Metric("edits*.psnr_outside", "higher", True, "dB where the truth did not change"),
    Metric("edits*", None, False, "strength, flips and effect at which edits are compared"),
    Metric("disentanglement.auroc_gap_attributes", None, False, "attributes that some code number tells"),
    Metric("disentanglement.*", "higher", False, "how far single code numbers stand for single attributes"),
    Metric("generation.train_faces.*", None, False, "real faces against real faces: a property of the data"),
    Metric("generation.*.faces", None, False, "faces in each set"),
    Metric("generation.*_low", None, False, "lower end of an interval"),
    Metric("generation.*_high", None, False, "upper end of an interval"),
    Metric("generation.reconstruction.kernel_lite1", "lower", True, "KID of reconstructed to real faces"),
    Metric(
        "generation.gaussian.kernel_lite1", "lower", True, "KID of new faces to real ones, exported prior"
    ),
    Metric("generation.*.path_length", "lower", False, "unevenness of the ways between faces"),
    Metric("generation.*.precision_*", "higher", False, "share of the faces that lie among real ones"),
    Metric("generation.*.recall_*", "higher", False, "share of the real faces that lie among them"),
    Metric("generation.*.density_*", "higher", False, "how densely they lie among real ones"),
    Metric("generation.*.coverage_*", "higher", False, "share of the real faces with one of them near"),
    Metric(
        "generation.*.variance", None, False, "variance of the codes over that of train codes; 1 is right"
    ),
    Metric("generation.*.nearest_*", None, False, "distance to the nearest train code; far below 1: copies"),
    Metric("generation.*.sharpness", None, False, "Laplacian energy over that of real faces; 1 is right"),
    Metric("generation.*", "lower", False, "distance to real faces"),
    Metric("witness.identity.pairs", None, False, "pairs of pictures of one person in the data"),
    Metric("witness.identity.pairs_apart", None, False, "pairs of pictures of two people in the data"),
    Metric("witness.identity.auroc*", None, False, "how well the witness tells people apart in these data"),
    Metric("witness.identity.true_accept", None, False, "pairs of one person within the threshold"),
    Metric("witness.identity.true_accept_1", None, False, "pairs of one person accepted at FAR 1% of these"),
    Metric("witness.identity.false_accept", None, False, "pairs of two people within it: to be 1%"),
    Metric("witness.identity.*", None, False, "scale of the witness's distances between two people"),
    Metric("witness.edits.*.attributes", None, False, "attributes that the means are over"),
    Metric("witness.edits.*.same_person", "higher", True, "edited faces within the threshold of FAR 1%"),
    Metric("witness.edits.*.identity", "lower", False, "distance from the person; 1: another one"),
    Metric("witness.edits.*.leakage", "lower", False, "change of what is not the attribute's own, SD"),
    Metric("witness.agreement.*", None, False, "rank correlation of witness and classifier"),
    Metric("witness.sliders.labels.*", None, False, "rank correlation of measured labels and the witness"),
    Metric("witness.sliders.*.correlation", "higher", False, "rank correlation of asked and achieved change"),
    Metric("witness.sliders.*.gain", None, False, "achieved over asked change of a measure; 1: all of it"),
    Metric("witness.sliders.*.leakage", "lower", False, "change of other measures, in their labels"),
    Metric("witness.sets.train_faces.*", None, False, "real faces against real faces"),
    Metric("witness.sets.*.faces", None, False, "faces in each set"),
    Metric("witness.sets.*_low", None, False, "lower end of an interval"),
    Metric("witness.sets.*_high", None, False, "upper end of an interval"),
    Metric("witness.sets.*.same_person", "higher", False, "reconstructions within the threshold"),
    Metric("witness.sets.*", "lower", False, "distance to real faces by identity"),
    Metric("guarantee.coverage.*", None, False, "test faces on which a promise holds: to be the level"),
    Metric("guarantee.ranges.*", None, False, "strength at an end of a promised range"),
    Metric("guarantee.promised", "higher", False, "edits that have a promised range"),
    Metric("guarantee.refusal.refused_test", None, False, "test faces that are refused by mistake"),
    Metric("guarantee.refusal.*", "higher", False, "how well pictures from elsewhere are told apart"),
    Metric("guarantee.*", None, False, "what a promise means"),
    Metric("classifiers_agree.*", None, False, "how far two classifiers say the same of edits"),
    Metric("classifier.*", None, False, "how good the classifier is, not the model"),
)


def of(key: str) -> Metric | None:
    """What is known about a dotted key; None where nothing is."""
    return next((metric for metric in METRICS if fnmatchcase(key, metric.pattern)), None)


def flatten(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, float | None]]:
    """Nested figures as (dotted key, number), in order; None is a figure that could not be had."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{above}{name}.")
        else:
            yield above + name, value


def gain(key: str, before: float, after: float) -> float | None:
    """By how much `after` is better, in the metric's own unit: negative where it is worse, None for a
    descriptive metric.
    """
    metric = of(key)
    if metric is None or metric.better is None:
        return None
    return after - before if metric.better == "higher" else before - after
