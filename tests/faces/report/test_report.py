"""The page and the model card say what the numbers say, stay whole when numbers are missing, and open without
a network.
"""

import hashlib
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from safetensors.numpy import save_file

from faces.data.measured import Scale
from faces.report import view
from faces.report.view import Evidence, card, digits, page, percent
from stages import report as stage
from tests.conftest import ROOT
from tests.helpers import measures

EMPTY = pd.DataFrame()
VOID = {"meta", "link", "img", "br", "hr", "input"}


def vectors() -> pd.DataFrame:
    """Three attributes: one told well, one badly and by few faces, one left out."""
    known = {"estimator": "partial", "sigma": 1.0}
    return pd.DataFrame(
        [
            known | _row("Smiling", 2000, 1500, 3.0, 300, 0.9876, 0.98, 0.99, None),
            known | _row("Male", 150, 3350, 2.0, 20, 0.7123, 0.66, 0.76, None),
            known
            | _row(
                "Bald",
                9,
                3491,
                np.nan,
                np.nan,
                np.nan,
                np.nan,
                np.nan,
                "left out: fewer than 20 train faces on one side",
            ),
            {
                **_row("Smiling", 2000, 1500, 3.0, 300, 0.1111, 0.1, 0.12, None),
                "estimator": "mean_difference",
                "sigma": 1.0,
            },
        ]
    )


def _row(attribute, positives, negatives, length, test_positives, auroc, low, high, note) -> dict:
    return {
        "attribute": attribute,
        "positives": positives,
        "negatives": negatives,
        "length": length,
        "test_positives": test_positives,
        "auroc": auroc,
        "auroc_low": low,
        "auroc_high": high,
        "note": note,
    }


def level(attribute: str, kind: str, strength: float, leakage: float, identity: float) -> dict:
    shared = {
        "classifier": 0,
        "estimator": "partial",
        "kind": kind,
        "attribute": attribute,
        "faces": 90,
        "kept": 0.957,
    }
    return shared | {"level": 0.9, "strength": strength, "leakage": leakage, "identity": identity}


@pytest.fixture
def full() -> Evidence:
    edits = {
        "reached": 0.8421,
        "reached_visible": 0.8771,
        "attributes": 2,
        "leakage": 0.2341,
        "same_person": 0.9,
        "psnr_outside": None,
    }
    edits |= {
        "confounded": 0.0641,
        "confounded_low": 0.0512,
        "confounded_high": 0.0776,
        "confounded_ratio": 0.3543,
    }
    samples = {"standard": {"kernel_lite0": 39.71}, "mixture": {"kernel_lite0": 28.94}}
    return Evidence(
        seed=7,
        images_seen=80000,
        primary="partial",
        source={
            "source": "folder",
            "licence": "for <research> & teaching",
            "description": "Drawn faces",
            "visible": ["Smiling", "Bald"],
            "meanings": {"Smiling": "corners of the mouth up"},
            "counts": {"images": 4000, "splits": {"test": 300, "train": 3500, "valid": 200}},
        },
        model={
            "model": "vae",
            "config": {"width": 24},
            "geometry": {"box": [0, 0, 1, 1], "filter": "lanczos", "size": 64},
        },
        weights=3078227,
        metrics={
            "reconstruction": {"psnr": 28.8352, "ssim": 0.8761},
            "code": {"length": 160, "active_units": 150, "collapsed": 0},
            "auroc": {"mean": 0.8499, "Smiling": 0.9876, "Male": 0.7123},
            "counterfactual": {
                "mean": {"error_reduction_edit": 0.3937},
                "error_reduction": {"Smiling": 0.4321},
            },
            "edits": {"mean_difference": {"plain": edits | {"leakage": 0.5143}}, "partial": {"plain": edits}},
            "generation": samples,
        },
        vectors=vectors(),
        phi=pd.DataFrame(
            {
                "attribute": ["Smiling", "Male", "Bald"],
                "Smiling": [1, -0.45, 0.1],
                "Male": [-0.45, 1, 0.2],
                "Bald": [0.1, 0.2, 1],
            }
        ),
        classifier=pd.DataFrame(
            {
                "width": 16,
                "attribute": ["Smiling", "Male", "Bald"],
                "auroc": [0.99, 0.61, 0.93],
                "usable": [True, False, True],
            }
        ),
        levels=pd.DataFrame(
            [
                {**level("Smiling", "plain", 3.0, 0.5, 0.3), "estimator": "mean_difference"},
                level("Smiling", "plain", 2.125, 0.0789, 0.8),
                level("Smiling", "detail", 2.25, 0.0656, 0.3),
            ]
        ),
        identity=pd.DataFrame({"classifier": 0, "attribute": ["Smiling", "Male", "Bald"], "same_95": 0.7}),
        priors=pd.DataFrame(
            {
                "set": ["standard", "interpolation"],
                "faces": 500,
                "frechet_inf_lite0": [3674.2, np.nan],
                "frechet_inf_lite0_low": [3600.0, np.nan],
            }
            | {
                "frechet_inf_lite0_high": [3750.0, np.nan],
                "kernel_lite0": [39.71, np.nan],
                "kernel_lite0_low": [38.0, np.nan],
            }
            | {"kernel_lite0_high": [41.0, np.nan]}
        ),
        missing=EMPTY,
        pictures={
            path: (12, 8)
            for path in ("grids/edit_Smiling.png", "grids/samples.png", "plots/auroc.png", "gifs/smile.gif")
        },
    )


@pytest.fixture
def bare(full) -> Evidence:
    """A run without counterfactuals, classifier, samples and pictures."""
    metrics = {key: full.metrics[key] for key in ("code", "auroc", "reconstruction")}
    tables = dict.fromkeys(("phi", "classifier", "levels", "identity", "priors"), EMPTY)
    return replace(full, metrics=metrics, pictures={}, **tables)


class Reader(HTMLParser):
    """Elements must close in the order in which they opened; what a browser would fetch is collected."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open = []
        self.addresses = []
        self.pictures = []
        self.headings = []
        self.ids = []
        self.text = ""
        self.scopes = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.addresses += [attrs[key] for key in ("src", "href", "srcset", "poster", "data") if key in attrs]
        self.ids += [attrs["id"]] if "id" in attrs else []
        if tag == "img":
            self.pictures.append(attrs)
        if tag == "th":
            self.scopes.append(attrs.get("scope"))
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("run", ["full", "bare"])
def test_page_is_well_formed_and_fetches_nothing(run, request):
    evidence = request.getfixturevalue(run)
    text = page(evidence)
    read = Reader(text)
    assert "<script" not in text and "@import" not in text and "url(" not in text
    outside = [address for address in read.addresses if not address.startswith(("#", "data:"))]
    assert set(outside) <= set(evidence.pictures)
    assert {address[1:] for address in read.addresses if address.startswith("#")} <= set(read.ids)
    assert len(read.ids) == len(set(read.ids))
    assert all(
        picture["alt"] and (picture["width"], picture["height"]) == ("12", "8") for picture in read.pictures
    )
    assert {picture["src"] for picture in read.pictures} == set(evidence.pictures)
    assert read.headings[0] == 1 and read.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(read.headings, read.headings[1:], strict=False))
    assert read.scopes and set(read.scopes) <= {"row", "col"}


def test_without_a_truth_all_attributes_count(full):
    for visible in (None, np.nan):
        for kinds in full.metrics["edits"].values():
            kinds["plain"]["reached_visible"] = visible
        assert "84.2%" in Reader(page(full)).text


def test_two_classifiers_are_compared_where_there_are_two(full):
    assert "Two classifiers" not in page(full)
    metrics = full.metrics | {"classifiers_agree": {"strength": 0.9, "leakage": 0.876, "order": 0.8333}}
    found = "rank correlation of 0.88 and put 83.3% of the pairs of estimators in the same order"
    assert found in page(replace(full, metrics=metrics)) and found in card(replace(full, metrics=metrics))


def test_inception_has_columns_of_its_own_where_it_was_asked(full):
    assert "These are not Inception FID or KID" in page(full)
    bounds = {
        f"{kind}_inception{end}": [value, np.nan]
        for kind, value in (("frechet_inf", 77.7), ("kernel", 0.0456))
        for end in ("", "_low", "_high")
    }
    text = Reader(page(replace(full, priors=full.priors.assign(**bounds)))).text
    assert (
        "These are not" not in text
        and "FD, extrapolated, Inception" in text
        and "77.7 (77.7 to 77.7)" in text
    )


def test_what_witnesses_saw_has_tables_of_its_own(full):
    """In the page and in the card; without them the page says that none was asked."""
    assert "No network from elsewhere was asked" in page(full)
    bounds = {"correlation": 0.61, "low": 0.52, "high": 0.69, "faces": 500}
    distance = {"faces": 500, "kernel_identity": 0.0123, "kernel_identity_low": 0.01}
    witness = {
        "identity": {"unit": 0.8, "threshold": 0.44},
        "edits": {
            "flow": {"plain": {"attributes": 4, "leakage": 0.123, "identity": 0.31, "same_person": 0.875}}
        },
        "agreement": {"mouth_width_Smiling": {"faces": bounds, "flow_plain": bounds}},
        "sets": {"reconstruction": distance | {"kernel_identity_high": 0.0146, "frechet_inf_identity": 0.2}},
    }
    seen = replace(full, metrics=full.metrics | {"witness": witness})
    text = page(seen)
    assert "No network from elsewhere was asked" not in text
    assert "0.550 on this scale" in text and "87.5%" in text and "0.123" in text
    assert "Mouth width" in text and "0.610 (0.520 to 0.690)" in text
    assert "12.3 (10.0 to 14.6)" in text and "200" in text
    assert "How well it tells people apart is not known" in text
    figures = {"pairs": 120, "pairs_apart": 7020, "true_accept_1": 0.42}
    area = {"auroc": 0.91, "auroc_low": 0.88, "auroc_high": 0.93}
    witness["identity"] |= figures | area
    text = page(seen)
    assert "tells 120 pairs of one person from 7,020 of two with AUROC 0.910 (0.880 to 0.930)" in text
    assert "accepts 42% of the former where it accepts 1% of the latter" in text
    assert "| Mouth width | Smile | 500 | 0.610 (0.520 to 0.690) |" in card(seen)


def test_page_says_the_numbers(full):
    text = Reader(page(full)).text
    for expected in (
        *(
            "28.8 dB",
            "0.876",
            "0.850",
            "87.7%",
            "6.4% (5.1% to 7.8%)",
            "0.354 times as much as with mean_difference",
            "90%",
            "39.4%",
            "28.9",
        ),
        *(
            "0.988 (0.980 to 0.990)",
            "43.2%",
            "2.12 (detail-preserving 2.25)",
            "0.0789 (detail-preserving 0.0656)",
            "95.7%",
        ),
        *(
            "3,078,227 numbers",
            "4,000: 3,500 train, 200 valid, 300 test",
            "for <research> & teaching",
            "3,674 (3,600 to 3,750)",
        ),
    ):
        assert expected in text, expected
    assert "0.111" not in text  # another estimator's


def test_caveats(full):
    shown = {entry["name"]: entry for entry in view.attributes(full)}
    assert list(shown) == ["Smiling", "Male", "Bald"]
    assert shown["Smiling"]["caveats"] == [
        "Goes with Male (phi -0.45) in the training faces; part of what is seen may be theirs.",
        "Where 90% flip, the faces have gone further than 95% of the pairs of pictures of one person.",
    ]
    male = " ".join(shown["Male"]["caveats"])
    for expected in (
        "only 150 train faces",
        "rests on 20 test faces",
        "Weak",
        "Goes with Smile",
        "Draws nothing",
        "AUROC of only 0.610",
    ):
        assert expected in male
    assert shown["Bald"]["left_out"]
    assert shown["Bald"]["caveats"] == ["Left out: fewer than 20 train faces on one side."]


def test_an_edit_that_never_gets_there_is_told_from_one_that_is_not_measured(full):
    never = replace(full, levels=pd.DataFrame([level("Smiling", "plain", np.inf, np.nan, np.nan)]))
    shown = {entry["name"]: entry for entry in view.attributes(never)}
    assert shown["Smiling"]["strength"] == "not reached"
    assert "At no strength tried do 90% of the faces flip." in shown["Smiling"]["caveats"]
    assert shown["Male"]["strength"] == "not scored"


def test_missing_groups_are_said(bare):
    text = Reader(page(bare)).text
    for expected in (
        "no true counterfactuals",
        "No classifier scored the edits",
        "New faces were not measured",
        "No strip was drawn",
    ):
        assert expected in text
    for absent in ("Leakage", "Error removed", "Moving pictures", "nan", "None", view.ABSENT):
        assert absent not in text, absent
    assert "No classifier scored the edits" in card(bare)


def test_reasons_are_said_where_they_are_known(bare):
    reasons = [("edits", "no attribute can be read"), ("generation", "too few faces")]
    unscored = {"partial": {"plain": {"attributes": 0, "reached": None}}}
    evidence = replace(
        bare,
        metrics=bare.metrics | {"edits": unscored},
        missing=pd.DataFrame(reasons, columns=["group", "reason"]),
    )
    text = Reader(page(evidence)).text
    assert "Edits were not scored, so flips and leakage are not known: no attribute can be read." in text
    assert "New faces were not measured against real ones: too few faces." in text
    assert "Attributes that can be edited" not in text


def test_a_primary_that_was_not_scored_borrows_no_figures(full):
    metrics = full.metrics | {"edits": {"mean_difference": {"plain": {"reached": 0.1234, "leakage": 0.5143}}}}
    found, missing = view.key_figures(replace(full, metrics=metrics))
    assert "Edits by partial were not scored; score.estimators names mean_difference." in missing
    assert "12.3%" not in [figure["value"] for figure in found]


def test_front_matter_of_the_card(full):
    text = card(full)
    _, head, body = text.split("---\n", 2)
    about = yaml.safe_load(head)
    assert (about["license"], about["datasets"], about["model-index"][0]["name"]) == (
        "other",
        ["folder"],
        "facemorph-vae",
    )
    values = {metric["type"]: metric["value"] for metric in about["model-index"][0]["results"][0]["metrics"]}
    assert values == {
        "psnr": 28.8352,
        "ssim": 0.8761,
        "roc_auc": 0.8499,
        "error_reduction": 0.3937,
        "leakage": 0.2341,
    }
    for title in (
        "Model details",
        "Intended use",
        "Out-of-scope use",
        "Training data",
        "Evaluation",
        "Limits and biases",
        "How to use",
    ):
        assert f"\n## {title}\n" in body
    assert "| Smile | 0.988 (0.980 to 0.990) | 43.2% | 2.12 | 0.0789 |" in body
    assert "for <research> & teaching" in body


def test_rows_of_the_cards_tables_have_as_many_cells_as_their_heads(full, bare):
    for evidence in (full, bare):
        widths = []
        for line in card(evidence).splitlines():
            widths = [*widths, line.count("|")] if line.startswith("|") else []
            assert len(set(widths)) <= 1, line


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (28.8352, "28.8"),
        (0.0, "0.00"),
        (1, "1.00"),
        (0.09996, "0.100"),
        (999.4, "999"),
        (1286.47, "1,286"),
        (-0.04567, "-0.0457"),
        (None, view.ABSENT),
    ],
)
def test_digits(value, shown):
    assert digits(value) == shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.3937, "39.4%"), (1.0, "100%"), (0.9999, "100%"), (0.0004, "0%"), (float("nan"), view.ABSENT)],
)
def test_percent(share, shown):
    assert percent(share) == shown


def test_stage_writes_the_same_bytes_twice_and_pictures_lie_beside_the_page(full, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    raw, weights, tables, reports = (tmp_path / name for name in ("raw", "model", "vectors", "reports"))
    for folder in (raw, weights, tables, *(reports / name for name in ("plots", "grids", "gifs"))):
        folder.mkdir(parents=True)
    for path, values in (
        (raw / "source.json", full.source),
        (weights / "model.json", full.model),
        (reports / "metrics.json", full.metrics),
    ):
        path.write_text(json.dumps(values), encoding="utf-8")
    save_file(
        {"a": np.zeros((3, 4), np.float32), "b": np.zeros(5, np.float32)}, weights / "model.safetensors"
    )
    (tables / "vectors.npz").write_bytes(b"directions")  # only its checksum is read
    flow = tmp_path / "flow"
    flow.mkdir()
    (flow / "flow.safetensors").write_bytes(b"flow")
    edits = {"estimator": ["partial", "flow"], "kind": "plain", "attribute": "Smiling"}
    pd.DataFrame(edits | {"error_reduction": [0.25, 0.4321]}).to_csv(
        reports / "plots/counterfactuals.csv", index=False
    )
    full.vectors.to_csv(tables / "vectors.csv", index=False)
    full.phi.to_csv(tables / "phi.csv", index=False)
    for name in ("classifier", "levels", "identity", "priors"):
        getattr(full, name).to_csv(reports / "plots" / f"{name}.csv", index=False)
    for path in full.pictures:
        Image.new("RGB", (12, 8)).save(reports / path)
    written = []
    for _ in range(2):
        out = [reports / "index.html", reports / "model_card.md", reports / "quality.json"]
        stage.main(
            raw,
            weights,
            tables,
            flow,
            measures.none(tmp_path / "measures"),
            reports / "metrics.json",
            *(reports / name for name in ("plots", "grids", "gifs")),
            *out,
        )
        written.append([path.read_bytes() for path in out])
    assert written[0] == written[1]
    quality = json.loads(written[0][2])
    assert quality["error_reduction"] == {"Smiling": 0.4321}
    assert quality["reconstruction"] == full.metrics["reconstruction"]
    assert quality["editor"] == "flow"
    assert quality["made_from"]["flow"] == hashlib.sha256(b"flow").hexdigest()
    assert quality["made_from"]["vectors"] == hashlib.sha256(b"directions").hexdigest()
    read = Reader(written[0][0].decode())
    assert "17 numbers" in read.text and "87.7%" in read.text
    assert len(read.pictures) == 4
    assert all((reports / Path(picture["src"])).is_file() for picture in read.pictures)


def test_a_promise_is_told_with_its_coverage_and_so_is_none(full):
    """90 of 100 test faces hold it: 82.4% to 95.1% by the exact interval."""
    coverage = {"faces": 100, "held": 0.9, "held_low": 0.8238, "held_high": 0.951}
    found = {
        "level": 0.9,
        "excess": 0.5,
        "truth": True,
        "edits": 2,
        "promised": 1,
        "ranges": {"Smiling": {"add": {"low": 0.6, "high": 1.25}, "remove": {"low": None, "high": None}}},
        "coverage": {"all": coverage, "Smiling": coverage},
        "refusal": {
            "auroc": 0.98,
            "refused": 0.9,
            "refused_test": 0.01,
            "noise": {"auroc": 1.0, "refused": 1.0},
            "upside_down": {"auroc": 0.96, "refused": 0.8},
        },
    }
    evidence = replace(full, metrics=full.metrics | {"guarantee": found})
    assert view.promised(evidence)["rows"] == [
        ["Smiling", "0.60 to 1.25", "no guarantee", "90% of 100 (82.4% to 95.1%)"]
    ]
    (promise, refusal), missing = view.guarantee_figures(evidence)
    assert (
        promise["value"] == "1 of 2" and "90% of the test faces hold it (82.4% to 95.1%)." in promise["words"]
    )
    assert refusal["value"] == "0.980" and "noise 1.00 and upside down 0.960" in refusal["words"]
    assert missing == [] and view.promised(full) is None
    assert "0.60 to 1.25" in view.page(evidence) and "no guarantee" in view.card(evidence)


def test_a_measured_attribute_is_told_by_its_scale_and_by_what_the_witness_sees(full):
    found = full
    sliders = {"flow": {"Smiling": {"gain": 0.4514, "correlation": 0.684, "leakage": 0.06}}}
    found = replace(
        found,
        scales=(Scale("Smiling", "%", 43.52, 97.34, 1),),
        metrics=found.metrics | {"witness": {"sliders": sliders}},
    )
    row = found.vectors[found.vectors["attribute"] == "Smiling"].iloc[0].to_dict()
    facts = view.measured_facts(found, row, found.scale("Smiling"))
    assert facts[0] == ("Scale, 96% of the train faces", "44% to 97%")
    assert facts[1][0] == "Train faces in its outer thirds" and " in the upper, " in facts[1][1]
    assert facts[2] == (
        "Share of the change asked for that the witness sees, Flow of codes",
        "45.1% (rank correlation 0.684)",
    )
    assert found.scale("Male") is None
    assert view.measured_sliders(found)["rows"] == [["Flow of codes", "Smile", "45.1%", "0.684", "0.0600"]]
    assert view.measured_sliders(full)["rows"] == []


def test_where_all_is_measured_the_page_says_nothing_of_labels(full):
    """No attribute that draws nothing, none taken away; what the direction reads, and what cannot be seen."""
    names = full.vectors["attribute"].unique()
    table = pd.DataFrame({"estimator": full.primary, "attribute": names, "faces": 1234, "correlation": 0.774})
    held = {"faces": 0, "held": None, "held_low": None, "held_high": None}
    guarantee = {"level": 0.9, "excess": 0.5, "truth": False, "edits": 0, "promised": 0, "ranges": {}}
    guarantee |= {"coverage": {"all": held}, "refusal": {"auroc": None}}
    found = replace(
        full,
        scales=tuple(Scale(name, "%", 0.0, 50.0, 1) for name in names),
        measured=table,
        source=full.source | {"visible": []},
        metrics=full.metrics | {"auroc": {"mean": None}, "guarantee": guarantee},
    )
    text = view.page(found)
    assert "Draws nothing itself" not in text and "Draws nothing itself" in view.page(
        replace(found, scales=())
    )
    assert "taken away" not in text and "set to values of its own scale" in text
    assert "0.77 (on 1,234 test faces)" in text and "AUROC of its outer thirds, 95% interval" in text
    assert "where they look cannot be seen" in text and "0 of 0" not in text
    assert "The data have no labels; each measured attribute has its figures below." in text
    assert "No slider has a guaranteed range: the classifier could score none." in text
