"""Charts of the reports, by matplotlib: without a display, and without version and date in the PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

COLOURS = ("#2a6fdb", "#d9622b", "#3a9a5b", "#8a56b8")


def save(figure: Figure, path: Path) -> None:
    """Write and close; the same figure is the same bytes."""
    figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)


def history(table: pd.DataFrame, path: Path) -> None:
    """Loss curves, train and valid, beside the reconstruction of valid faces. `table` is history.csv."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
    losses = [
        name.removeprefix("train_") for name in table.columns if name.startswith("train_") and "loss" in name
    ]
    for colour, name in zip(COLOURS, losses, strict=False):
        left.plot(table["images"], table[f"train_{name}"], color=colour, label=f"{name}, train")
        left.plot(
            table["images"], table[f"valid_{name}"], color=colour, linestyle="--", label=f"{name}, valid"
        )
    left.set(xlabel="images seen", title="loss")
    left.legend()
    right.plot(table["images"], table["valid_psnr"], color=COLOURS[0])
    right.set(xlabel="images seen", title="PSNR of valid faces, dB")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def auroc(table: pd.DataFrame, path: Path) -> None:
    """Held-out AUROC of every attribute with its interval, best first. `table` holds rows of vectors.csv of
    one estimator.
    """
    table = table.sort_values("auroc")
    figure, axes = plt.subplots(figsize=(6, 0.26 * len(table) + 1))
    places = range(len(table))
    if table["auroc_low"].notna().any():
        axes.hlines(
            places, table["auroc_low"], table["auroc_high"], color=COLOURS[0], alpha=0.45, linewidth=3
        )
    axes.plot(table["auroc"], places, "o", color=COLOURS[0], markersize=4)
    axes.axvline(0.5, color="#999999", linewidth=1, linestyle="--")
    axes.set_yticks(places, table["attribute"])
    axes.set(
        xlabel="AUROC on the test split (bar: 95% bootstrap interval)",
        xlim=(min(0.45, table["auroc"].min() - 0.02), 1.01),
    )
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def counterfactuals(table: pd.DataFrame, primary: str, path: Path) -> None:
    """PSNR inside the truly changed region, by attribute: without an edit, of the primary editor, of the
    reconstructed truth.

    `table` is counterfactuals.csv. Edits that do not reach the level of flips are absent.
    """
    kinds = {
        "doing nothing": ("nothing", "picture", "#999999"),
        "edited": (primary, "plain", COLOURS[0]),
        "edited, details kept": (primary, "detail", COLOURS[2]),
        "the truth through the model": ("rebuilt", "picture", COLOURS[1]),
    }
    attributes = list(dict.fromkeys(table["attribute"]))
    figure, axes = plt.subplots(figsize=(7, 0.36 * len(attributes) + 1.2))
    for label, (estimator, kind, colour) in kinds.items():
        rows = table[(table["estimator"] == estimator) & (table["kind"] == kind)].set_index("attribute")
        values = rows["psnr_inside"].reindex(attributes)
        axes.plot(values, range(len(attributes)), "o", color=colour, label=label, markersize=5)
    axes.set_yticks(range(len(attributes)), attributes)
    axes.set(xlabel="PSNR against the true counterfactual, inside the changed region, dB")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def guarantee(table: pd.DataFrame, level: float, path: Path) -> None:
    """Guaranteed ranges of strength, to the right where the attribute is added, to the left where it is
    removed, with the share of test faces that hold them; nothing where none is promised.

    `table` is guarantee.csv.
    """
    attributes = list(dict.fromkeys(table["attribute"]))
    figure, axes = plt.subplots(figsize=(7, 0.36 * len(attributes) + 1.2))
    for value, label in ((1, "added to a face without it"), (-1, "taken from a face with it")):
        rows = table[(table["value"] == value) & table["low"].notna()]
        places = [attributes.index(name) for name in rows["attribute"]]
        ends = (value * rows["low"], value * rows["high"])
        colour = COLOURS[0] if value > 0 else COLOURS[1]
        axes.hlines(places, *ends, color=colour, linewidth=7, alpha=0.7, label=label)
        for place, row in zip(places, rows.itertuples(), strict=True):
            if row.tested > 0:
                words = f"{row.held / row.tested:.0%} of {row.tested:.0f}"
                axes.text(value * (row.low + row.high) / 2, place - 0.28, words, ha="center", fontsize=6)
    axes.axvline(0, color="0.6", linewidth=0.8)
    axes.set_yticks(range(len(attributes)), attributes)
    axes.invert_yaxis()
    axes.set(xlabel=f"changes of the label; promised for {level:.0%} of faces, held by so many test faces")
    axes.margins(y=0.02)
    axes.set_xlim(-2.1, 2.1)
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def rates(shares: Mapping[str, np.ndarray], attributes: Sequence[str], path: Path) -> None:
    """Rate of each attribute (A,) in each split: `shares` holds (A,) in 0 to 1, NaN where unknown."""
    figure, axes = plt.subplots(figsize=(7, 0.3 * len(attributes) + 1.2))
    places = np.arange(len(attributes))
    thick = 0.8 / len(shares)
    for number, (split, values) in enumerate(shares.items()):
        axes.barh(
            places + (number - (len(shares) - 1) / 2) * thick,
            100 * values,
            thick,
            color=COLOURS[number],
            label=split,
        )
    axes.set_yticks(places, attributes)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set(xlabel="faces that have it, %")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def correlation(values: np.ndarray, attributes: Sequence[str], path: Path) -> None:
    """Heat map of the attributes' correlations (A, A), in -1 to 1, written into the cells; NaN is
    left blank.
    """
    side = 0.4 * len(attributes) + 2
    figure, axes = plt.subplots(figsize=(side + 1, side))
    image = axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1)
    places = range(len(attributes))
    axes.set_xticks(places, attributes, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, attributes)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            axes.text(
                column,
                row,
                f"{round(100 * value)}",
                ha="center",
                va="center",
                size=7,
                color="w" if abs(value) > 0.6 else "k",
            )
    axes.set_title("correlation of the labels (phi), hundredths")
    figure.colorbar(image, shrink=0.8)
    save(figure, path)


def leakage(matrix: pd.DataFrame, path: Path) -> None:
    """Heat map of one editor: row, the edited attribute; column, the change of each attribute, at equal
    effect.
    """
    side = 0.3 * len(matrix.columns) + 2
    figure, axes = plt.subplots(figsize=(side + 0.8, 0.3 * len(matrix) + 1.6))
    image = axes.imshow(matrix.to_numpy(), cmap="RdBu_r", vmin=-2, vmax=2, aspect="auto")
    axes.set_xticks(range(len(matrix.columns)), matrix.columns, rotation=90)
    axes.set_yticks(range(len(matrix)), matrix.index)
    axes.set(xlabel="changed", ylabel="edited")
    figure.colorbar(
        image, ax=axes, label="change of the classifier's evidence, standard deviations", shrink=0.8
    )
    save(figure, path)


def trade(table: pd.DataFrame, cost: str, label: str, path: Path) -> None:
    """Cost of edits over the share of faces that flip, a line for each editor; the kinds of edit side by
    side.

    `table` has columns estimator, kind, flips, and `cost` (faces/evaluation/summary.trade).
    """
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
    colours = {name: f"C{place}" for place, name in enumerate(dict.fromkeys(table["estimator"]))}
    for axes, (kind, title) in zip(panels, (("plain", "decoded"), ("detail", "details kept")), strict=True):
        for editor, rows in table[table["kind"] == kind].groupby("estimator", sort=False):
            axes.plot(
                rows["flips"], rows[cost], marker="o", markersize=4, color=colours[editor], label=editor
            )
        axes.set(xlabel="share of faces that flip", title=title, xlim=(0, 1))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel(label)
    drawn = [axes for axes in panels if axes.lines]
    if drawn:
        drawn[0].legend(fontsize=8)
    save(figure, path)


def distances(table: pd.DataFrame, distance: str, path: Path) -> None:
    """Distance of each set of faces to real ones with its interval. `table` is priors.csv without the sets
    that have none.
    """
    figure, axes = plt.subplots(figsize=(6, 0.4 * len(table) + 1))
    places = range(len(table))
    axes.hlines(
        places, table[f"{distance}_low"], table[f"{distance}_high"], color=COLOURS[0], alpha=0.45, linewidth=3
    )
    axes.plot(table[distance], places, "o", color=COLOURS[0], markersize=5)
    axes.set_yticks(places, table["set"].str.replace("_", " "))
    axes.invert_yaxis()
    axes.set(xlabel=f"{distance} to real test faces (bar: 95% interval)")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)
