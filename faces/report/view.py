"""The page and the model card: one view of what a run found, and two templates (report.html, model_card.md)
that say it.

A group of figures that the run lacks (no counterfactuals, no classifier, no sheet of an attribute) is left
out with a sentence that says so. Figures are shown to three digits, with units. Nothing here depends on the
day or the machine.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from faces.data.annotations import SPLITS
from faces.data.measured import Scale
from faces.export import bundle
from faces.export.attributes import describe

FEW_TRAIN = (
    200  # faces on the rarer side of an attribute below which its direction is noted as drawn from few
)
FEW_TEST = 50  # likewise of the test split, for its AUROC
CORRELATED = (
    0.3  # size of phi from which two labels count as going together: a medium effect, Cohen 1988, section 3.2
)
WEAK = 0.8  # AUROC below which a direction tells its attribute badly
ABSENT = "\N{EN DASH}"

KINDS = {"plain": "decoded", "detail": "detail-preserving", "truth": "true pictures"}
EDITORS = {  # rows of the table of edits that are no estimators -> their names
    "flow": "Flow of codes",
    "oracle": "Oracle: the best direction, taken from the truth",
    "floor": "Floor: the truth, one half against the other",
}
PRIORS = {
    "standard": "the model's own prior",
    "gaussian": "a Gaussian fitted to the train codes",
    "tempered": "the same Gaussian, narrowed",
    "mixture": "a mixture of Gaussians fitted to the train codes",
    "diffusion": "a diffusion model of the train codes",
    "flow": "the flow of codes, under the labels of train faces",
}
SETS = {
    "train_faces": "Train faces (real: the least that can be reached)",
    "reconstruction": "Reconstructions of test faces",
    **{name: f"New faces: {words}" for name, words in PRIORS.items()},
}
COMPARED = {  # metric of an editor's edits -> its heading, and its form: share, count or number
    "attributes": ("Attributes compared", "count"),
    "reached_visible": ("Reached, of those that a picture shows", "share"),
    "confounded": ("Moved along, correlated attributes", "share"),
    "confounded_ratio": ("That, against the first", "number"),
    "unrelated": ("Moved along, the others", "share"),
    "carried": ("Correlation carried along", "share"),
    "dependency": ("Attribute Dependency", "share"),
    "dependency_max": ("The same, largest", "share"),
    "leakage": ("Leakage, SD", "number"),
    "kept": ("Other attributes kept", "share"),
    "same_person": ("Still the same person", "share"),
    "error_reduction": ("Error removed", "share"),
    "error_reduction_nearest": ("Error removed, nearest truth", "share"),
    "mode_coverage": ("True forms drawn", "share"),
    "psnr_outside": ("PSNR of the rest, dB", "number"),
    "reversibility": ("PSNR after taking it back, dB", "number"),
}
WITNESSED = (
    "Smiling",
    "Mouth_Slightly_Open",
    "Eyes_Closed",
    "Narrow_Eyes",
    "Arched_Eyebrows",
)  # attributes that the witness can read too
NETWORKS = {
    "lite1": "Lite1",
    "lite0": "Lite0",
    "inception": "Inception",
}  # feature networks, the headline's first
DISTANCES = {"kernel": "KID", "frechet_inf": "FD, extrapolated"}  # start of a column of priors.csv -> heading
SUPPORT = {  # further columns of priors.csv -> heading; of the first network where they are of one
    "recall": "Recall",
    "coverage": "Coverage",
    "variance": "Variance of the codes",
    "nearest_01": "Nearest train face, 1% quantile",
    "sharpness": "Sharpness",
}
CAPTIONS = {  # of the pictures whose file names do not say enough
    "grids/data_faces.png": "Some of the faces, as the model sees them",
    "grids/data_rates.png": "Share of the faces with each attribute",
    "grids/data_correlation.png": "Which attributes go together in the data: correlation of the labels",
    "grids/reconstructions.png": "Test faces above, and what the model makes of them below",
    "grids/samples.png": "New faces from the best prior, and from the model's own, none of them chosen",
    "grids/asked.png": "New faces that were asked for by their labels, none of them chosen",
    "grids/means.png": "Mean face without and with each attribute, and the difference, amplified",
    "grids/features_native.png": "Every edit at once: a row is a face, a column an attribute",
    "grids/features_edited.png": (
        "Every edit at once: a row is a face, a column one label the other way round"
    ),
    "grids/forms.png": "Forms of labels that no label tells apart, found among the faces: a row for each",
    "plots/new_faces.png": "Real faces, reconstructions, new faces from each prior: the first of each set",
    "plots/history.png": "Loss on train and valid faces, and PSNR of valid faces, over the images seen",
    "plots/auroc.png": "Held-out AUROC of each attribute's direction, with its 95% interval",
    "plots/counterfactuals.png": "Edits against the truth: PSNR inside the region that really changes",
    "plots/guarantee.png": "Strengths that are promised, and how many test faces hold the promise",
    "plots/effect_leakage.png": "Change of all other attributes over the share of flipped faces, by editor",
    "plots/effect_identity.png": "Distance from the original face over the share of flipped faces, by editor",
    "plots/kernel_lite1.png": "Kernel distance (KID) of sets of faces to real test faces, with 95% intervals",
    "plots/frechet_inf_lite1.png": "Fréchet distance of the same sets, extrapolated to sets without end",
    "plots/kernel_lite0.png": "Kernel distance of the same sets, on the features of another network",
    "gifs/training.gif": "The same valid faces, reconstructed as training went on",
}
GALLERIES = (  # start of a file name -> heading; the first that fits
    ("training", "The training"),
    ("morph_", "Walks through the space of faces"),
    ("from_", "One face becoming another"),
    ("", "Edits, there and back"),
)


@dataclass(frozen=True)
class Evidence:
    """What a run found, as read from its files. A table that the run lacks has no rows."""

    seed: int
    images_seen: int
    primary: str
    source: dict[str, Any]  # source.json
    model: dict[str, Any]  # model.json
    weights: int  # numbers that were trained
    metrics: dict[str, Any]  # metrics.json
    vectors: pd.DataFrame
    phi: pd.DataFrame
    classifier: pd.DataFrame
    levels: pd.DataFrame
    identity: pd.DataFrame
    priors: pd.DataFrame
    missing: pd.DataFrame  # group of metrics that could not be measured, and the reason
    pictures: dict[str, tuple[int, int]]  # path beside the page -> width, height in pixels
    scales: tuple[Scale, ...] = ()  # of the attributes that were measured
    measured: pd.DataFrame = field(default_factory=pd.DataFrame)  # measured.csv: how they are read off codes

    def scale(self, attribute: str) -> Scale | None:
        """The scale of a measured attribute, None of another."""
        return next((scale for scale in self.scales if scale.name == attribute), None)

    def metric(self, *path: str) -> float | None:
        """The metric at `path`, None where the run has none."""
        value: Any = self.metrics
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def reason(self, group: str) -> str | None:
        """Why a group of metrics is missing; None where it is not."""
        rows = self.missing[self.missing["group"] == group] if len(self.missing) else self.missing
        return str(rows["reason"].iloc[0]) if len(rows) else None

    @property
    def level(self) -> float | None:
        """The share of flipped faces at which edits are compared."""
        return float(self.levels["level"].max()) if len(self.levels) else None


def known(value: Any) -> bool:
    return value is not None and math.isfinite(value)


def digits(value: Any, unit: str = "") -> str:
    """Three significant digits, thousands with commas: 28.8 dB, 0.0123, 1,234."""
    if not known(value):
        return ABSENT
    if abs(value) >= 999.5:
        return f"{value:,.0f}{unit}"
    decimals = 2 if value == 0 else max(0, 2 - math.floor(math.log10(abs(float(f"{value:.3g}")))))
    return f"{value:.{decimals}f}{unit}"


def percent(share: Any) -> str:
    """A share as a percentage with at most one decimal: 39.4%."""
    return f"{100 * share:.1f}".removesuffix(".0") + "%" if known(share) else ABSENT


def interval(value: Any, low: Any, high: Any, form: Any = digits) -> str:
    """A figure with its 95% interval, where there is one."""
    return f"{form(value)} ({form(low)} to {form(high)})" if known(low) and known(high) else form(value)


def area(value: Any) -> str:
    """An AUROC: always three decimals, so that a column lines up."""
    return f"{value:.3f}" if known(value) else ABSENT


def words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def picture(evidence: Evidence, path: str, caption: str = "") -> dict[str, Any] | None:
    """What a template needs to show a picture, None where the run left none."""
    if path not in evidence.pictures:
        return None
    width, height = evidence.pictures[path]
    return {
        "path": path,
        "width": width,
        "height": height,
        "caption": caption or CAPTIONS.get(path) or words(Path(path).stem),
    }


def pictures(evidence: Evidence, *paths: str) -> list[dict[str, Any]]:
    return [found for path in paths if (found := picture(evidence, path))]


def level_row(evidence: Evidence, attribute: str, kind: str) -> dict[str, Any]:
    """The line of levels.csv of the first classifier, the primary estimator and the last level; empty where
    there is none.
    """
    table = evidence.levels
    if table.empty:
        return {}
    chosen = (
        (table["classifier"] == 0)
        & (table["estimator"] == evidence.primary)
        & (table["level"] == evidence.level)
    )
    rows = table[chosen & (table["kind"] == kind) & (table["attribute"] == attribute)]
    return rows.iloc[0].to_dict() if len(rows) else {}


def same_person(evidence: Evidence, attribute: str) -> float | None:
    """The distance within which 95% of the pairs of pictures of one person lie, as the first classifier
    measures it.
    """
    table = evidence.identity
    rows = table[(table["classifier"] == 0) & (table["attribute"] == attribute)] if len(table) else table
    return float(rows["same_95"].iloc[0]) if len(rows) else None


def classifier_figures(evidence: Evidence, attribute: str) -> dict[str, Any]:
    """The first classifier's own figures on an attribute; empty where there is no classifier."""
    rows = evidence.classifier
    rows = (
        rows[(rows["width"] == rows["width"].iloc[0]) & (rows["attribute"] == attribute)]
        if len(rows)
        else rows
    )
    return rows.iloc[0].to_dict() if len(rows) else {}


def companions(evidence: Evidence, attribute: str) -> list[str]:
    """Attributes whose labels go with this one's in the train split, the closest first, each with its phi."""
    if evidence.phi.empty or attribute not in evidence.phi.columns:
        return []
    others = evidence.phi.set_index("attribute")[attribute].drop(attribute).dropna()
    others = others[others.abs() >= CORRELATED].sort_values(key=lambda phi: -phi.abs(), kind="stable")
    return [f"{describe(name).label} (phi {phi:+.2f})" for name, phi in others.items()]


def caveats(evidence: Evidence, row: dict[str, Any], edit: dict[str, Any]) -> list[str]:
    """What to keep in mind about one attribute, one sentence each. `row` is its line of vectors.csv, `edit`
    its line of levels.csv.
    """
    name = row["attribute"]
    found = []
    if isinstance(row.get("note"), str) and row["note"]:
        found.append(f"{row['note'][0].upper()}{row['note'][1:]}.")
    if not known(row["length"]):
        return found
    rarer = min(row["positives"], row["negatives"])
    if rarer < FEW_TRAIN:
        found.append(f"Few faces: only {rarer:,.0f} train faces on the rarer side.")
    if known(row["auroc"]) and row["test_positives"] < FEW_TEST:
        those = "in the upper third of the scale" if evidence.scale(name) else "with the attribute"
        found.append(f"Its AUROC rests on {row['test_positives']:.0f} test faces {those}.")
    if known(row["auroc"]) and row["auroc"] < WEAK:
        found.append("Weak: the direction tells faces with it from faces without it badly.")
    if together := companions(evidence, name):
        found.append(
            f"Goes with {listed(together)} in the training faces; part of what is seen may be theirs."
        )
    labelled = evidence.scale(name) is None
    if labelled and "visible" in evidence.source and name not in evidence.source["visible"]:
        found.append("Draws nothing itself: an edit can only move what goes with it.")
    if describe(name).judgemental and evidence.source["source"] != "avatars":
        found.append("An annotator's judgement of looks, not a fact about a person.")
    if (classifier := classifier_figures(evidence, name)) and not classifier["usable"]:
        found.append(
            f"Not scored: the classifier itself reaches an AUROC of only {area(classifier['auroc'])} here, "
            "too low to score edits."
        )
    elif (
        classifier
        and len(evidence.levels)
        and not edit
        and evidence.primary in set(evidence.levels["estimator"])
    ):
        found.append("Not scored: the classifier reads too few test faces as labelled before the edit.")
    elif edit and not known(edit["strength"]):
        found.append(f"At no strength tried do {percent(evidence.level)} of the faces flip.")
    elif edit and known(limit := same_person(evidence, name)) and edit["identity"] > limit:
        found.append(
            f"Where {percent(evidence.level)} flip, the faces have gone further than 95% of the pairs of "
            "pictures of one person."
        )
    return found


def both(plain: dict[str, Any], detail: dict[str, Any], key: str, form: Any) -> str:
    """A figure of the decoded edit, and of the detail-preserving one where it is known."""
    return form(plain.get(key)) + (
        f" (detail-preserving {form(detail[key])})" if known(detail.get(key)) else ""
    )


def attribute_view(evidence: Evidence, row: dict[str, Any]) -> dict[str, Any]:
    """All that is said of one attribute; `row` is its line of vectors.csv."""
    name = row["attribute"]
    about = describe(name)
    edits = {kind: level_row(evidence, name, kind) for kind in KINDS}
    plain = edits["plain"]
    detail = edits["detail"]
    scale = evidence.scale(name)
    facts = (
        measured_facts(evidence, row, scale)
        if scale
        else [("Train faces", f"{row['positives']:,.0f} with, {row['negatives']:,.0f} without")]
    )
    if known(row["auroc"]):
        title = "AUROC of its outer thirds, 95% interval" if scale else "AUROC, 95% interval"
        facts.append((title, interval(row["auroc"], row["auroc_low"], row["auroc_high"], area)))
    removed = {"plain": evidence.metric("counterfactual", "error_reduction", name)}
    detailed = {"plain": evidence.metric("counterfactual", "error_reduction_detail", name)}
    if known(removed["plain"]):
        facts.append(("Error removed, against the true picture", both(removed, detailed, "plain", percent)))
    if known(plain.get("strength")):
        share = percent(evidence.level)
        facts.append((f"Strength at which {share} flip, sigma", both(plain, detail, "strength", digits)))
        facts.append((f"Leakage at {share} flips, SD", both(plain, detail, "leakage", digits)))
        facts.append(("Attribute Dependency", both(plain, detail, "dependency", percent)))
        facts.append(("Other attributes read as before", both(plain, detail, "kept", percent)))
        limit = same_person(evidence, name)
        if known(limit):
            near = f"{digits(plain['identity'])} (same person: up to {digits(limit)})"
            facts.append(("Distance from the person", near))
        if known(plain.get("psnr_outside")):
            facts.append(
                ("PSNR where the truth did not change, dB", both(plain, detail, "psnr_outside", digits))
            )
    if classifier := classifier_figures(evidence, name):
        facts.append(("AUROC of the classifier itself", area(classifier["auroc"])))
    meaning = evidence.source.get("meanings", {}).get(name, about.meaning)
    return {
        "name": name,
        "label": about.label,
        "meaning": f"{meaning[0].upper()}{meaning[1:]}." if meaning else "",
        "facts": facts,
        "caveats": caveats(evidence, row, plain),
        "strip": picture(
            evidence,
            f"grids/edit_{name}.png",
            f"{about.label}, from one end of its scale to the other"
            if scale
            else f"{about.label}, taken away and added",
        ),
        "left_out": not known(row["length"]),
        "auroc": interval(row["auroc"], row["auroc_low"], row["auroc_high"], area)
        if known(row["auroc"])
        else "not measured",
        "removed": percent(removed["plain"])
        if known(removed["plain"])
        else "not reached"
        if name in (evidence.metric("counterfactual", "error_reduction") or {})
        else "no pairs",
        "strength": digits(plain["strength"])
        if known(plain.get("strength"))
        else "not reached"
        if plain
        else "not scored",
        "leakage": digits(plain.get("leakage")),
    }


def measured_facts(evidence: Evidence, row: dict[str, Any], scale: Scale) -> list[tuple[str, str]]:
    """What is said of a measured attribute instead of the faces with and without it."""
    facts = [
        ("Scale, 96% of the train faces", f"{scale.worded(scale.low)} to {scale.worded(scale.high)}"),
        (
            "Train faces in its outer thirds",
            f"{row['positives']:,.0f} in the upper, {row['negatives']:,.0f} in the lower",
        ),
    ]
    table = evidence.measured
    if len(table):
        rows = table[(table["estimator"] == evidence.primary) & (table["attribute"] == scale.name)]
        if len(rows) and known(rows["correlation"].iloc[0]):
            value = f"{rows['correlation'].iloc[0]:.2f} (on {rows['faces'].iloc[0]:,} test faces)"
            facts.append(("Correlation of the direction with the measure", value))
    for editor in ("flow", evidence.primary):
        found = evidence.metric("witness", "sliders", editor, scale.name)
        if found and known(found.get("gain")):
            facts.append(
                (
                    f"Share of the change asked for that the witness sees, {EDITORS.get(editor, editor)}",
                    f"{percent(found['gain'])} (rank correlation {digits(found.get('correlation'))})",
                )
            )
    return facts


def attributes(evidence: Evidence) -> list[dict[str, Any]]:
    """Every attribute of the data: the best told first, those without a direction last."""
    rows = evidence.vectors[evidence.vectors["estimator"] == evidence.primary]
    rows = rows.sort_values(
        ["auroc", "attribute"], ascending=[False, True], na_position="last", kind="stable"
    )
    return [attribute_view(evidence, row) for row in rows.to_dict("records")]


def tile(title: str, value: str, sentence: str) -> dict[str, str]:
    return {"title": title, "value": value, "words": sentence}


def model_figures(evidence: Evidence) -> tuple[list[dict[str, str]], list[str]]:
    """How well faces come back and how well directions tell faces apart; and a sentence for each of the two
    that is missing.
    """
    found = []
    missing = []
    metric = evidence.metric
    if known(metric("reconstruction", "psnr")):
        ssim = (
            f" SSIM {area(metric('reconstruction', 'ssim'))}, where 1 is identical."
            if known(metric("reconstruction", "ssim"))
            else ""
        )
        sentence = f"PSNR of test faces put through the model, on average.{ssim}"
        found.append(tile("Reconstruction", digits(metric("reconstruction", "psnr"), " dB"), sentence))
    else:
        missing.append("Reconstruction was not measured.")
    if known(metric("auroc", "mean")):
        count = len(evidence.metrics["auroc"]) - 1
        sentence = (
            f"Mean AUROC of {count} directions: how often, of two test faces, the one with the attribute "
            "lies further along. 0.5 is chance."
        )
        found.append(tile("Attributes told apart", area(metric("auroc", "mean")), sentence))
    elif not counted(evidence) and evidence.scales:
        missing.append("The data have no labels; each measured attribute has its figures below.")
    else:
        missing.append("No attribute has a direction and enough test faces to measure it.")
    return found, missing


def counted(evidence: Evidence) -> list[str]:
    """The attributes that the data label, as opposed to those that were measured."""
    names = evidence.vectors["attribute"].unique().tolist()
    return [name for name in names if evidence.scale(name) is None]


def edit_figures(evidence: Evidence) -> tuple[list[dict[str, str]], list[str]]:
    """What the classifier found of the primary estimator's decoded edits; a sentence instead where it found
    nothing.
    """
    edits = evidence.metric("edits", evidence.primary, "plain")
    share = percent(evidence.level)
    if evidence.scales and not counted(evidence):
        return [], ["Edits of measured attributes have no classifier that scores them; a witness does."]
    if reason := evidence.reason("edits"):
        return [], [f"Edits were not scored, so flips and leakage are not known: {reason}."]
    if not evidence.metrics.get("edits"):
        return [], ["No classifier scored the edits, so flips and leakage are not known."]
    if not edits:
        return [], [
            f"Edits by {evidence.primary} were not scored; "
            f"score.estimators names {listed(evidence.metrics['edits'])}."
        ]
    visible = edits.get("reached_visible")
    of = "of those that a picture shows" if known(visible) else "of those whose edits could be scored"
    sentence = f"{of}: {share} of the faces flip at one strength, in the eyes of the classifier."
    found = [
        tile(
            "Attributes that can be edited",
            percent(visible if known(visible) else edits.get("reached")),
            sentence,
        )
    ]
    for name, title, others in (
        (
            "confounded",
            "Correlated attributes, moved along",
            "an attribute that goes with it in the training faces",
        ),
        ("unrelated", "Other attributes, moved along", "an attribute that does not go with it"),
    ):
        if known(edits.get(name)):
            bounds = (edits.get(f"{name}_low"), edits.get(f"{name}_high"))
            sentence = (
                f"How far an edit moves {others}, as a share of what it does to its own, where {share} flip."
                f"{against(evidence, edits, name)}"
            )
            found.append(
                tile(
                    title,
                    percent(edits[name]),
                    sentence
                    + (
                        f" 95% interval: {percent(bounds[0])} to {percent(bounds[1])}."
                        if known(bounds[0])
                        else ""
                    ),
                )
            )
    if known(edits.get("same_person")):
        sentence = (
            "of the attributes that reach this leave a face nearer to itself than 95% of the pairs of "
            "pictures of one person."
        )
        found.append(tile("Still the same person", percent(edits["same_person"]), sentence))
    return found, []


def against(evidence: Evidence, edits: dict[str, Any], name: str) -> str:
    """A sentence on how many times as much a figure is as with the first estimator; empty where that is the
    primary one.
    """
    first = evidence.levels["estimator"].iloc[0]
    ratio = edits.get(f"{name}_ratio")
    return (
        f" That is {digits(ratio)} times as much as with {first}."
        if known(ratio) and first != evidence.primary
        else ""
    )


def truth_figures(evidence: Evidence) -> tuple[list[dict[str, str]], list[str]]:
    """Edits against the true counterfactuals."""
    removed = evidence.metric("counterfactual", "mean", "error_reduction_edit")
    if not known(removed):
        reason = evidence.reason("counterfactual") or (
            f"no edit by {evidence.primary} flips enough faces"
            if evidence.metrics.get("counterfactual")
            else "the data hold no true counterfactuals"
        )
        return [], [f"No edit was compared with the picture that it should have made: {reason}."]
    sentence = (
        "of the squared difference to the truth, inside the region that truly changes, is gone after a "
        "decoded edit. 100%: the true picture."
    )
    return [tile("Nearness to the truth", percent(removed), sentence)], []


def sample_figures(evidence: Evidence) -> tuple[list[dict[str, str]], list[str]]:
    """New faces against real ones: the best prior."""
    for network in NETWORKS:
        found = {name: evidence.metric("generation", name, f"kernel_{network}") for name in PRIORS}
        found = {name: value for name, value in found.items() if known(value)}
        if found:
            break
    else:
        reason = evidence.reason("generation")
        return [], ["New faces were not measured against real ones" + (f": {reason}." if reason else ".")]
    best = min(found, key=found.__getitem__)
    own = ""
    if best != "standard" and "standard" in found:
        own = f" With the model's own prior: {digits(found['standard'])}."
    sentence = (
        f"Kernel distance (KID) of new faces ({PRIORS[best]}) to real ones, on {NETWORKS[network]}'s "
        f"features; less is better.{own}"
    )
    return [tile("New faces", digits(found[best]), sentence)], []


def key_figures(evidence: Evidence) -> tuple[list[dict[str, str]], list[str]]:
    """The few numbers that tell how good the run is, and a sentence for each group of figures
    that it lacks.
    """
    groups = (model_figures, edit_figures, truth_figures, sample_figures, guarantee_figures)
    parts = [part(evidence) for part in groups]
    return [figure for figures, _ in parts for figure in figures], [
        sentence for _, sentences in parts for sentence in sentences
    ]


def guarantee_figures(evidence: Evidence) -> tuple[list[dict[str, str]], list[str]]:
    """Sliders with a guaranteed range, and pictures that are refused."""
    found = evidence.metrics.get("guarantee")
    if not found:
        return [], ["No range of strengths was calibrated, so no slider has a guarantee."]
    all_of_them = found["coverage"]["all"]
    sentence = (
        "Ways of a slider, adding or removing, that have a range of strengths in which "
        f"{percent(found['level'])} of faces like these are flipped with no other attribute changed by more "
        f"than {found['excess']:g} of a label"
    )
    if known(all_of_them["held"]):
        sentence += (
            f"; {percent(all_of_them['held'])} of the test faces hold it "
            f"({percent(all_of_them['held_low'])} to {percent(all_of_them['held_high'])})"
        )
    sentence += "." if found["truth"] else ", in the classifier's eyes: these data hold no truth."
    tiles = []
    missing = []
    if found["edits"]:
        tiles.append(tile("Sliders with a guarantee", f"{found['promised']} of {found['edits']}", sentence))
    else:
        missing.append("No slider has a guaranteed range: the classifier could score none.")
    area = found["refusal"]["auroc"]
    if known(area):
        words_of = (
            f"AUROC of telling test faces from pictures of elsewhere: {listed(refused_kinds(found))}. "
            f"{percent(found['refusal']['refused'])} of these are refused, and "
            f"{percent(found['refusal']['refused_test'])} of the test faces."
        )
        tiles.append(tile("Refusal of strange pictures", digits(area), words_of))
    return tiles, missing


def refused_kinds(found: dict[str, Any]) -> list[str]:
    """Each kind of pictures from elsewhere, with its AUROC."""
    kinds = {name: row for name, row in found["refusal"].items() if isinstance(row, dict)}
    return [f"{name.replace('_', ' ')} {digits(row['auroc'])}" for name, row in kinds.items()]


def promised(evidence: Evidence) -> dict[str, Any] | None:
    """The table of guaranteed ranges; None where none was calibrated."""
    found = evidence.metrics.get("guarantee")
    if not found or not found["ranges"]:
        return None
    rows = []
    for name, ways in found["ranges"].items():
        held = found["coverage"].get(name, {})
        interval = f"{percent(held['held_low'])} to {percent(held['held_high'])}" if held.get("faces") else ""
        cover = f"{percent(held['held'])} of {held['faces']} ({interval})" if interval else "-"
        rows.append([words(name), ends(ways.get("add")), ends(ways.get("remove")), cover])
    return {
        "caption": (
            f"Strengths at which {percent(found['level'])} of faces are flipped with nothing else changed, "
            "in changes of the label"
        ),
        "head": ["Attribute", "Added", "Removed", "Test faces that hold it (95% interval)"],
        "rows": rows,
    }


def ends(way: dict[str, float | None] | None) -> str:
    """A range in words."""
    if way is None:
        return "-"
    return f"{way['low']:.2f} to {way['high']:.2f}" if known(way["low"]) else "no guarantee"


def comparisons(evidence: Evidence) -> list[dict[str, Any]]:
    """A table per classifier: what each editor's edits cost at one share of flipped faces. Columns without
    figures go.
    """
    tables: list[dict[str, Any]] = []
    if evidence.reason("edits"):
        return tables
    order = list(evidence.levels["estimator"].unique()) if len(evidence.levels) else []
    for group in sorted(
        name for name in evidence.metrics if name == "edits" or name.startswith("edits_classifier_")
    ):
        rows = [
            (estimator, kind, figures)
            for estimator, kinds in evidence.metrics[group].items()
            for kind, figures in kinds.items()
        ]
        rows.sort(
            key=lambda row: (
                order.index(row[0]) if row[0] in order else len(order),
                list(KINDS).index(row[1]),
            )
        )
        columns = [key for key in COMPARED if any(known(figures.get(key)) for _, _, figures in rows)]
        tables.append(
            {
                "caption": (
                    f"Edits where {percent(evidence.level)} of the faces are flipped, on the attributes that "
                    "all editors reach; a dash where nothing is known"
                    + ("" if group == "edits" else f", in the eyes of classifier {group.rsplit('_', 1)[1]}")
                ),
                "head": ["Estimator", "Kind of edit", *(COMPARED[key][0] for key in columns)],
                "rows": [
                    [
                        EDITORS.get(estimator, words(estimator)),
                        KINDS.get(kind, kind),
                        *(compared(figures, key) for key in columns),
                    ]
                    for estimator, kind, figures in rows
                ],
            }
        )
    return tables


def compared(figures: dict[str, Any], key: str) -> str:
    """A cell of the table of estimators, with its interval where it has one."""
    form = {"share": percent, "number": digits, "count": "{:.0f}".format}[COMPARED[key][1]]
    if not known(figures.get(key)):
        return ABSENT
    return interval(figures[key], figures.get(f"{key}_low"), figures.get(f"{key}_high"), form)


def witnesses(evidence: Evidence) -> list[dict[str, Any]]:
    """Tables of what networks from elsewhere saw of edits and of sets of faces; none where none was asked."""
    found = evidence.metrics.get("witness")
    if not found:
        return []
    threshold = digits(found["identity"]["threshold"] / found["identity"]["unit"])
    edits = {
        "caption": (
            "The same edits in the eyes of networks that nobody here trained (face-api), on the attributes "
            "that all their editors reach. Leakage is the mean size of the change of what is not the "
            "attribute's own: pose, eyes, brows, mouth. Distance from the person: 1 as far as another one. "
            f"Same person: nearer than 99% of the pairs of two people, {threshold} on this scale. "
            f"{recognised(found['identity'])}"
        ),
        "head": ["Editor", "Kind of edit", "Attributes", "Leakage, SD", "Distance", "Same person"],
        "rows": [
            [
                EDITORS.get(editor, words(editor)),
                KINDS.get(kind, kind),
                str(figures["attributes"]),
                digits(figures["leakage"]),
                digits(figures["identity"]),
                percent(figures["same_person"]),
            ]
            for editor, kinds in found["edits"].items()
            for kind, figures in kinds.items()
        ],
    }
    agreement = {
        "caption": (
            "Rank correlation of these networks and the classifier over unedited test faces, with the 95% "
            "interval: two readings of one thing that know nothing of each other"
        ),
        "head": ["Measure", "Attribute", "Faces", "Rank correlation"],
        "rows": [
            [
                words(name.partition("_" + attribute)[0]),
                describe(attribute).label,
                f"{figures['faces']['faces']:.0f}",
                interval(*(figures["faces"][key] for key in ("correlation", "low", "high"))),
            ]
            for name, figures in found["agreement"].items()
            for attribute in WITNESSED
            if name.endswith("_" + attribute)
        ],
    }
    sets = {
        "caption": (
            "Sets of faces against real test faces by the identity network's features, with 95% intervals; "
            "less is better"
        ),
        "head": ["Set of faces", "Faces", "KID x 1,000", "FD x 1,000, extrapolated"],
        "rows": [
            [
                SETS[name],
                f"{figures['faces']:,.0f}",
                *(
                    interval(
                        *(
                            1000 * figures[f"{key}_identity{end}"]
                            if f"{key}_identity{end}" in figures
                            else None
                            for end in ("", "_low", "_high")
                        )
                    )
                    for key in ("kernel", "frechet_inf")
                ),
            ]
            for name, figures in found["sets"].items()
            if name in SETS
        ],
    }
    return [table for table in (edits, measured_sliders(evidence), agreement, sets) if table["rows"]]


def recognised(identity: dict[str, Any]) -> str:
    """How well the witness tells people apart, in a sentence."""
    if not known(identity.get("auroc")):
        return "How well it tells people apart is not known: these data have too few pictures of one person"
    auroc = interval(*(identity[f"auroc{end}"] for end in ("", "_low", "_high")))
    return (
        f"It tells {identity['pairs']:,.0f} pairs of one person from {identity['pairs_apart']:,.0f} of two "
        f"with AUROC {auroc}, and accepts {percent(identity['true_accept_1'])} of the former "
        "where it accepts 1% of the latter"
    )


def measured_sliders(evidence: Evidence) -> dict[str, Any]:
    """The table of sliders of measured attributes in the eyes of the witness, best first within an editor."""
    rows = []
    for editor in ("flow", evidence.primary):
        found = evidence.metric("witness", "sliders", editor) or {}
        gains = {name: row for name, row in found.items() if known(row.get("gain"))}
        rows += [
            [
                EDITORS.get(editor, words(editor)),
                describe(name).label,
                percent(row["gain"]),
                digits(row.get("correlation")),
                digits(row.get("leakage")),
            ]
            for name, row in sorted(gains.items(), key=lambda pair: -pair[1]["gain"])
        ]
    return {
        "caption": (
            "Sliders of measured attributes in the eyes of these networks, none of which measured the "
            "labels: share of the change asked for that they see, rank correlation of the two, and how far "
            "other measures move, in shares of half their scale"
        ),
        "head": ["Editor", "Slider", "Share seen", "Rank correlation", "Leakage"],
        "rows": rows,
    }


def classifiers_agree(evidence: Evidence) -> str:
    """A sentence on how far two classifiers say the same; empty where there is one."""
    agree = evidence.metrics.get("classifiers_agree")
    if not agree or not known(agree["leakage"]):
        return ""
    order = (
        f" and put {percent(agree['order'])} of the pairs of estimators in the same order"
        if known(agree["order"])
        else ""
    )
    return (
        "Two classifiers of different shape and seed agree on the leakage of edits with a rank correlation "
        f"of {agree['leakage']:.2f}{order}."
    )


def networks(evidence: Evidence) -> list[str]:
    """The feature networks that sets of faces were compared by, the headline's first."""
    return [name for name in NETWORKS if f"kernel_{name}" in evidence.priors]


def distances(evidence: Evidence) -> dict[str, Any] | None:
    """The table of sets of faces against real ones."""
    if evidence.priors.empty:
        return None
    rows = [row for row in evidence.priors.to_dict("records") if row["set"] in SETS]
    found = networks(evidence)
    measures = {
        f"{kind}_{name}": f"{title}, {NETWORKS[name]}"
        for name in found
        for kind, title in DISTANCES.items()
        if f"{kind}_{name}" in evidence.priors
    }
    for key, title in SUPPORT.items():
        column = next((name for name in (f"{key}_{found[0]}", key) if name in evidence.priors), None)
        if column:
            measures[column] = title
    caution = "" if "inception" in found else " These are not Inception FID or KID."
    return {
        "caption": (
            "Sets of faces against real test faces, with 95% intervals. KID and FD: less is better. Recall "
            "and coverage: shares of the real faces that the set reaches. Variance, nearest train face and "
            f"sharpness: over those of real faces, 1 is right. Lite1, Lite0: on EfficientNet-Lite.{caution}"
        ),
        "head": ["Set of faces", "Faces", *measures.values()],
        "rows": [
            [
                SETS[row["set"]],
                f"{row['faces']:,.0f}",
                *(interval(row[key], row.get(f"{key}_low"), row.get(f"{key}_high")) for key in measures),
            ]
            for row in rows
        ],
    }


def galleries(evidence: Evidence) -> list[dict[str, Any]]:
    """Animations by heading, in the order of GALLERIES from the last to the first."""
    found: dict[str, list[dict[str, Any]]] = {heading: [] for _, heading in reversed(GALLERIES)}
    for path in sorted(path for path in evidence.pictures if path.startswith("gifs/")):
        stem = Path(path).stem
        heading = next(heading for start, heading in GALLERIES if stem.startswith(start))
        found[heading].append(picture(evidence, path))
    return [{"heading": heading, "pictures": shown} for heading, shown in found.items() if shown]


def settings(evidence: Evidence) -> list[tuple[str, str]]:
    """The params that decide most, as key and value."""
    name = evidence.model["model"]
    geometry = evidence.model["geometry"]
    rows = [
        ("data.source", evidence.source["source"]),
        ("model", name),
        ("seed", evidence.seed),
        ("train.images", evidence.images_seen),
    ]
    rows += [(f"crop.{key}", value) for key, value in sorted(geometry.items())] + [
        ("vectors.primary", evidence.primary)
    ]
    rows += [(f"models.{name}.{key}", value) for key, value in sorted(evidence.model["config"].items())]
    return [(key, '""' if value == "" else str(value)) for key, value in rows]


def view(evidence: Evidence) -> dict[str, Any]:
    """All that the templates say."""
    source = evidence.source
    counts = evidence.source["counts"]
    size = evidence.model["geometry"]["size"]
    splits = {split: counts["splits"].get(split, 0) for split in SPLITS}
    entries = attributes(evidence)
    figures, missing = key_figures(evidence)
    length = int(evidence.metrics["code"]["length"])
    paths = sorted(evidence.pictures)
    leakage = f"plots/leakage_{evidence.primary}_plain.png"
    return {
        "model": evidence.model["model"],
        "primary": evidence.primary,
        "level": percent(evidence.level) if evidence.level else None,
        "source": source["source"],
        "description": source.get("description", "").rstrip("."),
        "licence": source["licence"].rstrip("."),
        "redistributable": source.get("redistributable") is True,
        "splits": splits,
        "facts": [
            ("Model", evidence.model["model"]),
            ("Weights", f"{evidence.weights:,} numbers"),
            (
                "Code",
                f"{length:,} numbers per face, {int(evidence.metrics['code']['active_units']):,} in use",
            ),
            ("Budget", f"{evidence.images_seen:,} images seen"),
            ("Data", source["source"]),
            (
                "Faces",
                f"{counts['images']:,}: "
                + ", ".join(f"{count:,} {split}" for split, count in splits.items()),
            ),
            ("Picture", f"{size} x {size} pixels"),
            (
                "Attributes",
                f"{len(entries)}"
                + (
                    f", {sum(e['left_out'] for e in entries)} left out"
                    if any(e["left_out"] for e in entries)
                    else ""
                ),
            ),
            ("Direction", f"{evidence.primary}, from the train split only"),
        ],
        "collapsed": bool(evidence.metric("code", "collapsed")),
        "figures": figures,
        "missing": missing,
        "comparisons": comparisons(evidence),
        "classifiers_agree": classifiers_agree(evidence),
        "witnesses": witnesses(evidence),
        "distances": distances(evidence),
        "promised": promised(evidence),
        "attributes": entries,
        "labelled": bool(counted(evidence)),
        "measured": bool(evidence.scales),
        "columns": {
            "removed": bool(evidence.metric("counterfactual", "error_reduction")),
            "edited": any(
                known(level_row(evidence, entry["name"], "plain").get("strength")) for entry in entries
            ),
        },
        "data_pictures": pictures(
            evidence, "grids/data_faces.png", "grids/data_rates.png", "grids/data_correlation.png"
        ),
        "quality_pictures": pictures(
            evidence,
            *("grids/reconstructions.png", "grids/samples.png", "grids/asked.png", "plots/new_faces.png"),
        ),
        "charts": pictures(
            evidence,
            *(path for path in CAPTIONS if path.startswith("plots/") and path != "plots/new_faces.png"),
        )
        + [
            shown
            for shown in [
                picture(evidence, leakage, "Leakage: what each edit (row) does to every attribute (column)")
            ]
            if shown
        ],
        "more": pictures(
            evidence,
            *(path for path in paths if path.startswith("grids/between_")),
            *("grids/features_edited.png", "grids/features_native.png", "grids/means.png", "grids/forms.png"),
        ),
        "galleries": galleries(evidence),
        "limits": bundle.notes(evidence.model, source, length, splits["train"], bool(evidence.scales))[
            "limits"
        ],
        "unread": [
            entry["label"]
            for entry in entries
            if not classifier_figures(evidence, entry["name"]).get("usable", True)
        ],
        "settings": settings(evidence),
        "images_seen": evidence.images_seen,
        "example": next((entry["name"] for entry in entries if not entry["left_out"]), None),
    }


def fill(template: str, **values: Any) -> str:
    """A template of this folder; HTML is escaped, and a name that is not given is an error."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=lambda name: name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "thousands": "{:,}".format,
        "listed": listed,
        "cell": lambda text: text.replace("|", r"\|"),
    }
    return environment.get_template(template).render(values)


def page(evidence: Evidence) -> str:
    """reports/index.html."""
    return fill("report.html", **view(evidence))


def front_matter(evidence: Evidence) -> dict[str, Any]:
    """The card's YAML: https://github.com/huggingface/hub-docs/blob/main/modelcard.md."""
    metrics = [
        ("psnr", "PSNR of reconstructions, dB", evidence.metric("reconstruction", "psnr")),
        ("ssim", "SSIM of reconstructions", evidence.metric("reconstruction", "ssim")),
        ("ms_ssim", "MS-SSIM of reconstructions", evidence.metric("reconstruction", "ms_ssim")),
        ("roc_auc", "Mean AUROC of the attributes' directions", evidence.metric("auroc", "mean")),
        (
            "error_reduction",
            "Share of the error against true counterfactuals removed",
            evidence.metric("counterfactual", "mean", "error_reduction_edit"),
        ),
        (
            "leakage",
            "Leakage of edits beyond the truth, SD",
            evidence.metric("edits", evidence.primary, "plain", "leakage"),
        ),
        (
            "kernel_lite1",
            "Kernel distance (KID) of reconstructions, EfficientNet-Lite1",
            evidence.metric("generation", "reconstruction", "kernel_lite1"),
        ),
    ]
    name = evidence.model["model"]
    return {
        "license": "other",
        "license_name": "see-training-data",
        "library_name": "pytorch",
        "pipeline_tag": "image-to-image",
        "tags": ["face-editing", "attribute-editing", "latent-directions", name],
        "datasets": [evidence.source["source"]],
        "model-index": [
            {
                "name": f"facemorph-{name}",
                "results": [
                    {
                        "task": {"type": "image-to-image", "name": "Editing of face attributes"},
                        "dataset": {
                            "name": evidence.source["source"],
                            "type": evidence.source["source"],
                            "split": "test",
                        },
                        "metrics": [
                            {"type": kind, "name": title, "value": value}
                            for kind, title, value in metrics
                            if known(value)
                        ],
                    }
                ],
            }
        ],
    }


def card(evidence: Evidence) -> str:
    """reports/model_card.md."""
    head = yaml.safe_dump(front_matter(evidence), sort_keys=False, allow_unicode=True, width=140)
    return fill("model_card.md", front_matter=head, size=evidence.model["geometry"]["size"], **view(evidence))
