"""Runs side by side: what is read of a revision, how figures are held against each other, and the page; on a
small repository of two commits.
"""

import base64
import io
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo
from PIL import Image

from ops.experiments import compare, revisions
from ops.experiments.metric_table import flatten
from ops.experiments.revisions import BadRevision, Revision

pytestmark = pytest.mark.filterwarnings(
    "ignore:_NoneStep.value:DeprecationWarning"
)  # of a library, where DVC adds a file
RED = (200, 30, 30)
BLUE = (30, 30, 200)
GREEN = (30, 200, 30)
FIRST = {
    "auroc": {"mean": 0.9, "Smiling": 0.8},
    "generation": {"standard": {"frechet_lite0": 10.0, "frechet_lite0_low": 9.0, "frechet_lite0_high": 11.0}},
    "code": {"length": 16, "active_units": 16},
}
SECOND = {
    "auroc": {"mean": 0.85, "Smiling": 0.8},
    "generation": {"standard": {"frechet_lite0": 8.0, "frechet_lite0_low": 7.0, "frechet_lite0_high": 9.5}},
    "code": {"length": 8, "active_units": 8},
}


def run(place: Path, *command: str) -> None:
    names = {
        f"GIT_{who}_{what}": "test@example.com"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    subprocess.run(command, cwd=place, env={**os.environ, **names}, check=True, capture_output=True)


def fill(place: Path, figures: dict, length: int, color: tuple[int, int, int]) -> None:
    """Write the outputs of a run: params, figures, a sheet and a film that change, a sheet that does not."""
    (place / "params.yaml").write_text(
        f"model: vae\nmodels:\n  vae:\n    code_length: {length}\n    betas: [0.9, 0.99]\n"
    )
    (place / "reports/metrics.json").write_text(json.dumps(figures))
    for folder in ("grids", "gifs", "plots"):
        shutil.rmtree(place / "reports" / folder, ignore_errors=True)
        (place / "reports" / folder).mkdir()
    Image.new("RGB", (24, 16), color).save(place / "reports/grids/edit_Smiling.png")
    Image.new("RGB", (80, 20), GREEN).save(place / "reports/grids/data_faces.png")
    frames = [Image.new("RGB", (16, 16), color), Image.new("RGB", (16, 16), GREEN)]
    frames[0].save(place / "reports/gifs/smile.gif", save_all=True, append_images=frames[1:], duration=100)
    Image.new("RGB", (60, 20), color).save(place / "reports/plots/auroc.png")
    (place / "reports/plots/history.csv").write_text("images,train_loss,valid_psnr\n100,2.5,20.0\n200,1.5,\n")


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A repository with two commits of a run, `first` and `second`, its pictures tracked by DVC as the
    pipeline's are.
    """
    place = tmp_path_factory.mktemp("project")
    (place / "reports").mkdir()
    run(place, "git", "init", "-q", "-b", "main")
    Repo.init(str(place)).close()
    for name, figures, length, color in (("first", FIRST, 16, RED), ("second", SECOND, 8, BLUE)):
        fill(place, figures, length, color)
        with Repo(str(place)) as repo:
            repo.add([str(place / folder) for folder in revisions.PICTURES])
        run(place, "git", "add", "-A")
        run(place, "git", "commit", "-qm", name)
        run(place, "git", "tag", name)
    return place


def flat(values: dict) -> dict:
    return dict(flatten(values))


def revision(name: str, figures: dict, params: dict | None = None) -> Revision:
    return Revision(name, "0123456789abcdef", flat(params or {}), flat(figures), files=None)


def test_a_revision_is_read_from_git_and_the_cache(project):
    """The first commit is not what lies in the workspace; all of it comes back, byte for byte."""
    found = revisions.read(project, "first")
    assert found.params == {"model": "vae", "models.vae.code_length": 16, "models.vae.betas": [0.9, 0.99]}
    assert found.metrics["generation.standard.frechet_lite0_low"] == 9.0
    shown = revisions.pictures(found)
    assert sorted(shown) == [
        "reports/gifs/smile.gif",
        "reports/grids/data_faces.png",
        "reports/grids/edit_Smiling.png",
        "reports/plots/auroc.png",
    ]
    assert Image.open(io.BytesIO(shown["reports/grids/edit_Smiling.png"])).getpixel((0, 0)) == RED
    assert shown["reports/grids/data_faces.png"] == (project / "reports/grids/data_faces.png").read_bytes()


def test_the_workspace_is_a_revision_too(project):
    found = revisions.read(project, "workspace")
    assert (found.commit, found.metrics["auroc.mean"]) == (None, 0.85)
    assert (
        Image.open(io.BytesIO(revisions.pictures(found)["reports/grids/edit_Smiling.png"])).getpixel((0, 0))
        == BLUE
    )


def test_an_unknown_revision_is_named(project):
    with pytest.raises(BadRevision, match=r"^fisrt: neither a revision of Git nor an experiment"):
        revisions.read(project, "fisrt")


def test_a_revision_without_a_run_is_named(project, tmp_path):
    place = tmp_path / "copy"
    shutil.copytree(project, place)
    (place / "reports/metrics.json").unlink()
    run(place, "git", "commit", "-qam", "no figures")
    with pytest.raises(BadRevision, match=r"^HEAD: reports/metrics.json cannot be had"):
        revisions.read(place, "HEAD")


@pytest.mark.parametrize(
    ("key", "before", "value", "expected"),
    [
        ("auroc.mean", 0.9, 0.85, ("\N{MINUS SIGN}0.05", "worse")),
        ("auroc.mean", 0.85, 0.9, ("+0.05", "better")),
        ("generation.standard.frechet_lite0", 10.0, 8.0, ("\N{MINUS SIGN}2", "better")),
        ("code.length", 16, 8, ("\N{MINUS SIGN}8", "")),
        ("auroc.mean", 0.9, 0.9, ("", "")),
        ("auroc.mean", None, 0.9, ("", "")),
    ],
)
def test_a_figure_is_better_or_worse_as_its_metric_says(key, before, value, expected):
    found = compare.cell(key, {key: value}, {key: before})
    assert (found.change, found.verdict) == expected


@pytest.mark.parametrize(("low", "high", "sure"), [(7.0, 9.5, False), (7.0, 8.9, True), (9.0, 9.0, False)])
def test_overlapping_intervals_decide_nothing(low, high, sure):
    """The first has 10 (9 to 11)."""
    key = "generation.standard.frechet_lite0"
    ours = {key: 8.0, f"{key}_low": low, f"{key}_high": high}
    found = compare.cell(key, ours, flat(FIRST))
    assert (found.verdict, found.sure) == ("better", sure)
    assert found.value == f"8 ({low:g} to {high:g})"


def test_only_what_differs_is_shown_and_intervals_are_no_figures_of_their_own():
    pair = [revision("first", FIRST), revision("second", SECOND)]
    groups = compare.figures(pair)
    assert {name: [row.key for row in rows] for name, rows in groups.items()} == {
        "auroc": ["auroc.mean"],
        "code": ["code.active_units", "code.length"],
        "generation": ["generation.standard.frechet_lite0"],
    }
    assert compare.tally(groups, 1, critical=False) == {
        "better": 0,
        "worse": 1,
    }  # the Frechet distances' intervals overlap; code has no direction
    assert compare.tally(groups, 1, critical=True) == {
        "better": 0,
        "worse": 0,
    }  # the mean AUROC is not critical, that of each attribute is


def test_figures_of_one_meaning_stand_together():
    """Whatever the alphabet says: the leakages of all estimators, then their distances from the person; what
    nobody explained comes last.
    """
    names = (
        "edits.a.plain.identity",
        "edits.a.plain.leakage",
        "edits.b.plain.identity",
        "edits.b.plain.leakage",
        "new.figure",
    )
    rows = [
        row
        for group in compare.figures(
            [revision("x", dict.fromkeys(names, 1.0)), revision("y", dict.fromkeys(names, 2.0))]
        ).values()
        for row in group
    ]
    assert [
        (meaning.rpartition("; ")[2], [row.key for row in rows]) for meaning, rows in compare.blocks(rows)
    ] == [
        ("must not get worse", ["edits.a.plain.leakage", "edits.b.plain.leakage"]),
        ("1: another one", ["edits.a.plain.identity", "edits.b.plain.identity"]),
        ("", ["new.figure"]),
    ]


def test_params_that_differ():
    pair = [
        revision("a", {}, {"seed": 1, "crop": {"size": 64}}),
        revision("b", {}, {"seed": 1, "crop": {"size": 32, "filter": "box"}}),
    ]
    assert compare.settings(pair) == [("crop.filter", [compare.ABSENT, "box"]), ("crop.size", ["64", "32"])]


def images(page: str) -> dict[str, Image.Image]:
    """Alternative text -> picture, of every picture inside the page."""
    found = re.findall(r'<img src="data:image/webp;base64,([^"]+)"[^>]* alt="([^"]+)"', page)
    return {alt: Image.open(io.BytesIO(base64.b64decode(content))) for content, alt in found}


def test_the_page_holds_everything_and_loads_nothing(project, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(project)
    out = tmp_path / "page.html"
    assert compare.main(["first", "second", "--out", str(out)]) == 0
    page = out.read_text(encoding="utf-8")
    shown = images(page)
    what = (
        "Edit smiling",
        "Held-out AUROC of each attribute&#39;s direction, with its 95% interval",
        "Smile",
    )
    assert sorted(shown) == sorted(f"{caption}, {name}" for caption in what for name in ("first", "second"))
    for name, color in (("first", RED), ("second", BLUE)):
        pixel = shown[f"Edit smiling, {name}"].convert("RGB").getpixel((8, 8))
        assert max(abs(a - b) for a, b in zip(pixel, color, strict=True)) < 8
        assert shown[f"Smile, {name}"].n_frames == 2
    assert (
        "Some of the faces, as the model sees them" in page.partition('id="same"')[2]
    )  # the sheet that does not differ
    assert "<code>models.vae.code_length</code></th><td><code>16</code></td><td><code>8</code></td>" in page
    assert '0.85<small class="worse">\N{MINUS SIGN}0.05 worse</small>' in page
    assert '<small class="unsure">\N{MINUS SIGN}2 better, intervals overlap</small>' in page
    assert not re.findall(r"""(?:src|href)=["'](?!data:|\#)|@import|url\(|<script""", page)
    assert capsys.readouterr().out.startswith(f"{out}: first, second; ")


def test_the_markdown_says_the_same_in_tables(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    assert compare.main(["first", "second", "--md"]) == 0
    assert not (project / "compare.html").exists()
    text = capsys.readouterr().out
    assert text.startswith(
        "## Figures, held against `first`\n\n`second`: of the critical figures 0 better and 0 worse, "
        "of all figures 0 and 1."
    )
    assert "| `models.vae.code_length` | 16 | 8 |" in text
    assert "| `auroc.mean` | 0.9 | 0.85 (\N{MINUS SIGN}0.05, worse) |" in text
    assert "| 10 (9 to 11) | 8 (7 to 9.5) (\N{MINUS SIGN}2, better, intervals overlap) |" in text
    assert text.count("<details>") == text.count("</details>") == 2


def test_critical_figures_are_never_folded():
    """And a bar in a name does not end its cell."""
    text = compare.markdown(
        [revision("a", {"auroc": {"Gray|White": 0.9}}), revision("b", {"auroc": {"Gray|White": 0.8}})]
    )
    assert (
        "| `auroc.Gray\\|White` | 0.9 | 0.8 (\N{MINUS SIGN}0.1, worse) |" in text and "<details>" not in text
    )


def test_the_markdown_fits_into_a_comment():
    first, second = (
        {"new": {f"figure_{number}": float(number + by) for number in range(2000)}} for by in (0, 1)
    )
    text = compare.markdown([revision("a", first), revision("b", second)])
    assert len(text) < 65_536 and "`python -m ops.experiments.compare a b`" in text


def test_equal_runs_are_said_to_be_equal():
    assert compare.markdown([revision("a", FIRST), revision("b", FIRST)]).endswith("No figure differs.")


def test_without_the_cache_the_figures_are_still_compared(project, tmp_path, monkeypatch):
    place = tmp_path / "clone"
    run(tmp_path, "git", "clone", "-q", str(project), str(place))
    monkeypatch.chdir(place)
    assert compare.main(["first", "second", "--out", "page.html"]) == 0
    page = (place / "page.html").read_text(encoding="utf-8")
    assert page.count("No pictures of <code>") == 6  # three folders, two revisions
    assert "0.05 worse" in page


def test_an_error_is_one_line(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    assert compare.main(["nothing"]) == 1
    assert (
        capsys.readouterr().err == "error: nothing: neither a revision of Git nor an experiment; "
        "`dvc exp list` names the experiments\n"
    )
