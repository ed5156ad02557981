"""The page's arithmetic, run by Node.js and held against NumPy, Pillow, OpenCV and the server's own code."""

import base64
import dataclasses
import io
import json
import re
import shutil
import subprocess
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from facemorph import edges, own_sliders
from facemorph.detail import add_change, fade
from facemorph.export import PRIOR, Export
from facemorph.gaussian import LowRankGaussian
from facemorph.labels import Labels
from facemorph.likeness import Likeness, statistics
from faces.edits import detail
from faces.export import bundle
from tests.conftest import ROOT
from tests.helpers import exports, standin
from web import npm

JS = ROOT / "web" / "page" / "js"
DETAIL = {"noise": 0.12, "reach": 1}
PRELUDE = """
import {{ readFileSync }} from "node:fs";
const types = {{ uint8: Uint8ClampedArray, float32: Float32Array, float64: Float64Array }};
const input = JSON.parse(readFileSync(0, "utf8"), (_, value) => {{
  if (!value?.dtype) return value;
  const bytes = Uint8Array.from(Buffer.from(value.data, "base64"));
  return new types[value.dtype](bytes.buffer);
}});
const plain = (_, value) => (ArrayBuffer.isView(value) ? {{
  dtype: value.constructor.name.replace(/Clamped|Array/g, "").toLowerCase(),
  data: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64"),
}} : value);
const done = (result) => process.stdout.write(JSON.stringify(result, plain));
{imports}
done(await (async () => {{ {body} }})());
"""


def node(body: str, modules: dict[str, str], **values):
    """What the JavaScript `body` returns, run with `input` = `values` and the names that it takes from the
    page's modules. Arrays travel as bytes.
    """

    def packed(value):
        if isinstance(value, np.ndarray):
            return {
                "dtype": value.dtype.name,
                "data": base64.b64encode(np.ascontiguousarray(value).tobytes()).decode(),
            }
        raise TypeError(type(value))

    def unpacked(value: dict):
        return (
            np.frombuffer(base64.b64decode(value["data"]), value["dtype"])
            if value.keys() == {"dtype", "data"}
            else value
        )

    program = shutil.which("node")
    if program is None:
        pytest.skip("node is missing: install Node.js 20 or newer to test the page's JavaScript")
    imports = "\n".join(
        f'import {{ {names} }} from "{(JS / name).as_uri()}";' for name, names in modules.items()
    )
    script = PRELUDE.format(imports=imports, body=body)
    done = subprocess.run(
        [program, "--input-type=module", "--eval", script],
        input=json.dumps(values, default=packed),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout, object_hook=unpacked)


def picture(pixels: np.ndarray) -> dict:
    """uint8 (h, w, c) as the page holds pictures."""
    return {
        "data": np.ascontiguousarray(pixels),
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "channels": pixels.shape[2],
    }


@pytest.fixture(scope="module")
def export(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    standin.write_export(folder, *standin.faces(120, 3), standin.ATTRIBUTES, 16)
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


# How it is written


def test_the_linter_finds_nothing():
    """biome.json's rules over JavaScript and CSS, and its formatting."""
    try:
        with npm.installed(ROOT / "web" / "lint") as packages:
            command = [
                packages / ".bin" / "biome",
                "ci",
                "--error-on-warnings",
                "--config-path",
                ROOT / "biome.json",
                ROOT / "web" / "page",
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
    except npm.NoPackages as error:
        pytest.skip(str(error))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_names_its_modules():
    """All that the page itself loads are in its head, so that they load side by side; the rest are those of
    workers, which keeper.js names.
    """
    page = (JS.parent / "index.html").read_text("utf-8")
    named = set(re.findall(r'href="js/([\w-]+\.js)"', page)) | set(re.findall(r'src="js/([\w-]+\.js)"', page))
    workers = set(re.findall(r'"([\w-]+\.js)"', (JS / "keeper.js").read_text("utf-8").split("RUNTIME")[0]))
    assert named.isdisjoint(workers)
    assert named | workers == {path.name for path in JS.glob("*.js")}


def test_no_line_is_longer_than_110_columns():
    """What the formatter does not break: comments and texts."""
    files = [*JS.glob("*.js"), JS.parent / "style.css"]
    assert len(files) > 30
    lines = [
        (path.name, i)
        for path in files
        for i, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if len(line) > 110
    ]
    assert lines == []


# The bundle's arithmetic, against the server's


def test_both_backends_compute_alike(export, rng):
    """Samples, edits with locks and sliders of one's own, morphs, spreads and labels: what
    facemorph/export.py computes, to float32 rounding.
    """
    engine = pytest.importorskip("facemorph.export", reason="the server's packages are missing")
    server = engine.Export(export)
    codes = rng.normal(size=(2, 16)).astype(np.float32)
    unit = rng.normal(size=16).astype(np.float32)
    unit /= np.linalg.norm(unit)
    strengths = {"Smiling": 1.5, "Male": -2.0, "Pale_Skin": 0.7}
    locked = ["Male", "Long_Hair"]
    page = node(
        """
        const bundle = new Bundle(JSON.parse(input.json), input.arrays.buffer);
        const [a, b] = [input.codes.slice(0, 16), input.codes.slice(16)];
        const custom = [
          { direction: input.unit, sigma: 1.3, strength: 0.8, locked: false },
          { direction: input.unit, sigma: 1.3, strength: 0, locked: true },
        ];
        const edit = (made) => bundle.edited({
          code: a, strengths: input.strengths, locked: input.locked, custom: made,
        });
        return {
          samples: [0, 7, 4294967295].map((seed) => bundle.sample(seed)),
          cold: bundle.sample(7, 0),
          edited: await edit(custom.slice(0, 1)),
          lockedOwn: await edit(custom),
          arcs: [0, 0.3, 1].map((t) => arc(a, b, bundle.values.mean, t)),
          spread: bundle.spread(input.unit),
          labels: Object.fromEntries(bundle.labels(a)),
        };
        """,
        {"bundle.js": "Bundle", "vectors.js": "arc"},
        json=(export / "bundle.json").read_text(),
        arrays=np.frombuffer((export / "arrays.safetensors").read_bytes(), np.uint8),
        codes=codes,
        unit=unit,
        strengths=strengths,
        locked=locked,
    )
    for seed, code in zip((0, 7, 4294967295), page["samples"], strict=True):
        np.testing.assert_allclose(code, server.sample(seed, 0.8), atol=1e-6)
    np.testing.assert_allclose(page["cold"], server.arrays["prior_mean"], atol=1e-6)
    free = engine.Custom(unit, 1.3, 0.8, False)
    held = engine.Custom(unit, 1.3, 0.0, True)
    np.testing.assert_allclose(page["edited"], server.edit(codes[0], strengths, locked, [free]), atol=2e-6)
    np.testing.assert_allclose(
        page["lockedOwn"], server.edit(codes[0], strengths, locked, [free, held]), atol=2e-6
    )
    for t, code in zip((0, 0.3, 1), page["arcs"], strict=True):
        np.testing.assert_allclose(code, server.morph(codes[0], codes[1], t), atol=2e-6)
    factor = server.arrays["factor"]
    residual = server.arrays["residual"]
    assert page["spread"] == pytest.approx(
        np.sqrt(((factor @ unit) ** 2).sum() + ((residual * unit) ** 2).sum()), rel=1e-6
    )
    assert page["labels"] == pytest.approx(server.labels(codes[0]), abs=6e-5)  # there of four places


def test_a_seed_picks_the_same_of_the_faces_that_came_along(export, rng):
    """Where the prior is the best one: many seeds, at two temperatures."""
    engine = pytest.importorskip("facemorph.export", reason="the server's packages are missing")
    server = engine.Export(export)
    server.about["prior"]["source"] = "best"
    server.arrays["drawn"] = rng.normal(size=(37, server.length)).astype(np.float32)
    seeds = [0, 1, 2, 7, 2**31, 2**32 - 1, *rng.integers(0, 2**32, 40).tolist()]
    wanted = [{"Smiling": 1}, {"Smiling": -1, "Eyeglasses": 1}, {"Male": 1, "Smiling": 1, "Eyeglasses": 1}]
    page = node(
        """
        const about = JSON.parse(input.json);
        about.prior.source = "best";
        const bundle = new Bundle(about, input.arrays.buffer);
        bundle.values.drawn = input.drawn;
        bundle.rows = () => 37;
        const row = bundle.row.bind(bundle);
        const drawn = (i) => input.drawn.subarray(i * bundle.length, (i + 1) * bundle.length);
        bundle.row = (name, i) => (name === "drawn" ? drawn(i) : row(name, i));
        const wanted = JSON.parse(input.wanted);
        return {
          codes: input.seeds.flatMap((seed) => [bundle.sample(seed), bundle.sample(seed, 0.5)]),
          having: wanted.map((labels) => bundle.having(labels)),
          asked: input.seeds.map((seed) => bundle.sample(seed, 1, wanted[1])),
        };
        """,
        {"bundle.js": "Bundle"},
        json=(export / "bundle.json").read_text(),
        arrays=np.frombuffer((export / "arrays.safetensors").read_bytes(), np.uint8),
        drawn=server.arrays["drawn"].reshape(-1),
        seeds=seeds,
        wanted=json.dumps(wanted),
    )
    expected = [server.sample(seed, temperature) for seed in seeds for temperature in (None, 0.5)]
    np.testing.assert_allclose(page["codes"], expected, atol=1e-6)
    assert len({tuple(code) for code in page["codes"][::2]}) > 20
    having = [server.having(labels).tolist() for labels in wanted]
    assert page["having"] == having
    assert all(16 <= len(places) < 37 for places in having)
    expected = [server.drawn(seed, 1.0, wanted[1]) for seed in seeds]
    np.testing.assert_allclose(page["asked"], expected, atol=1e-6)


def test_both_backends_follow_a_flow_alike(rng):
    """200 states of sliders, locks and exclusions on 50 faces, to 1e-4, with networks that both can
    compute, conditions [l, t] and tanh(W [x, t, l, t]), with kinds of every label, and with forms.
    """
    export = Export(exports.shared() / "data/export")
    names = export.names
    about = json.loads((export.folder / "bundle.json").read_text())
    about["editor"]["exclusive"] = [["Smiling", "Eyeglasses"], ["Male", "-Eyeglasses"]]
    about["editor"]["exhaustive"] = [["Eyeglasses", "Smiling"], ["Male", "Smiling", "-Eyeglasses"]]
    pairs = Labels.of(
        about["editor"]["attributes"],
        export.editor.labels.normals,
        export.editor.labels.intercepts,
        about["editor"]["exclusive"],
        about["editor"]["exhaustive"],
    )
    axes, conditions = len(export.editor.inward), len(export.editor.label_mean)
    assert conditions == len(names) + len(export.editor.forms) > len(names)
    weights = rng.normal(size=(axes, axes + conditions + 2)).astype(np.float32) / 3

    class Modulation:
        def run(self, _, values):
            return [np.concatenate([values["labels"], values["times"][:, None]], 1)]

    class Velocity:
        def run(self, _, values):
            rows = np.concatenate([values["x"], values["times"][:, None], values["modulation"]], 1)
            return [np.tanh(rows @ weights.T)]

    kinds = np.linalg.qr(rng.normal(size=(2, conditions, axes, 4)))[0].swapaxes(2, 3).astype(np.float32)
    editor = dataclasses.replace(
        export.editor, labels=pairs, modulation=Modulation(), velocity=Velocity(), kinds=kinds
    )
    codes = np.stack([export.sample(seed, 1.0) for seed in range(50)])
    states = [
        {
            "face": number % 50,
            "strengths": {name: rng.uniform(-2, 2) for name in names if rng.random() < 0.7},
            "locked": [name for name in names if rng.random() < 0.2],
        }
        for number in range(200)
    ]
    found = node(
        """
        const bundle = new Bundle(JSON.parse(input.json), input.arrays.buffer);
        const arrays = Object.fromEntries(ARRAYS.map((name) => [name, bundle.values[`flow_${name}`]]));
        arrays.kinds = input.kinds;
        const axes = arrays.inward.length / bundle.length;
        const count = arrays.label_mean.length;
        const modulation = async (times, labels) =>
          Float32Array.from(
            Array.from(times).flatMap((t, row) => [...labels.subarray(count * row, count * (row + 1)), t]),
          );
        const velocity = async (x, times, told) => {
          const out = new Float32Array(x.length);
          times.forEach((time, row) => {
            const place = x.subarray(row * axes, (row + 1) * axes);
            const all = [...place, time, ...told.subarray((count + 1) * row, (count + 1) * (row + 1))];
            for (let k = 0; k < axes; k++) {
              out[row * axes + k] = Math.tanh(
                all.reduce((sum, value, i) => sum + value * input.weights[k * all.length + i], 0),
              );
            }
          });
          return out;
        };
        const flow = new Flow(arrays, bundle.editor, { modulation, velocity });
        const gain = (...asked) => flow.gain(...asked);
        const edited = [];
        for (const { face, strengths, locked } of input.states) {
          const code = input.codes.slice(face * bundle.length, (face + 1) * bundle.length);
          edited.push(await bundle.edited({ code, strengths, locked, custom: [] }, gain));
        }
        return edited;
        """,
        {"bundle.js": "Bundle", "flow.js": "ARRAYS, Flow"},
        json=json.dumps(about),
        arrays=np.frombuffer((export.folder / "arrays.safetensors").read_bytes(), np.uint8),
        weights=weights,
        kinds=kinds,
        codes=codes,
        states=states,
    )
    for state, code in zip(states, found, strict=True):
        expected = editor.edit(codes[state["face"]], state["strengths"], state["locked"])
        np.testing.assert_allclose(code, expected, atol=1e-4)


def test_both_take_out_of_a_slider_what_labels_say():
    """Five codes a side with a label that sets them apart, which stays; not where it is locked, nor of three
    codes.
    """
    export = Export(exports.shared() / "data/export")
    signs = (1, -1)
    sides = [
        np.stack([export.edit(export.sample(seed, 1.0), {"Eyeglasses": 2.0 * sign}) for seed in range(5)])
        for sign in signs
    ]
    labels = [np.mean([export.editor.labels.read(code) for code in side], 0) for side in sides]
    a = export.editor.labels.names.index("Eyeglasses")
    assert abs(labels[0][a] - labels[1][a]) > own_sliders.MEANT
    page = node(
        """
        const bundle = new Bundle(JSON.parse(input.json), input.arrays.buffer);
        const side = (codes, count) =>
          [...Array(count).keys()].map((i) => codes.slice(i * bundle.length, (i + 1) * bundle.length));
        const ask = (count, locked) => bundle.untold(input.sides.map((codes) => side(codes, count)), locked);
        return [ask(5, []), ask(3, []), ask(5, ["Eyeglasses"])].map((sides) => sides.flat());
        """,
        {"bundle.js": "Bundle"},
        json=(export.folder / "bundle.json").read_text(),
        arrays=np.frombuffer((export.folder / "arrays.safetensors").read_bytes(), np.uint8),
        sides=[side.astype(np.float32).ravel() for side in sides],
    )
    for found, count in zip(page, (5, 3), strict=False):
        expected = own_sliders.untold(export.editor, *(side[:count].astype(np.float64) for side in sides))
        np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-4)
    np.testing.assert_allclose(page[2][:3], page[1][:3], atol=1e-6)
    assert np.abs(np.subtract(page[0][:3], page[1][:3])).max() > 0.01


def test_the_page_tells_a_strange_picture_as_the_server_does(rng):
    """p-values of pictures near to the data and far from them, and the ranges that are left."""
    export = Export(exports.shared() / "data/export")
    about = json.loads((export.folder / "bundle.json").read_text())
    gaussian = LowRankGaussian(*(export.arrays[part].astype(np.float64) for part in PRIOR))
    crops = np.load(exports.shared() / "data/crops/images.npy")[160:220]
    crops = np.concatenate([crops, 255 - crops[:3], rng.integers(0, 256, (3, *crops.shape[1:]), np.uint8)])
    codes = np.stack([export.encode(crop) for crop in crops])
    drawn = export.decode(codes)
    found = statistics(gaussian, crops, codes, drawn)
    like = Likeness.of(found[:60], 0.05, 0.2)
    about["likeness"] = bundle.describe_likeness(like)
    # None of the odd ones up to 59: scores are theirs, and rounding decides whether one is at least its own.
    asked = [0, 2, 30, 58, 60, 62, 63, 65]
    page = node(
        """
        const bundle = new Bundle(JSON.parse(input.json), input.arrays.buffer, {
          guarantee: { level: 0.9, promised: 1, ranges: {
            Smiling: { add: { low: 0.6, high: 1.4 }, remove: { low: null, high: null } },
          } },
        });
        bundle.values.likeness_scores = input.scores;
        const side = bundle.size;
        return {
          found: input.faces.map(({ crop, drawn, code }) =>
            bundle.pValue({ data: crop, channels: 3, width: side, height: side }, drawn, code)),
          ranges: [null, 1, 0.125, 0.05].map((p) => bundle.promised("Smiling", -0.9, p)),
          none: [bundle.promised("Smiling", 0.9, 1), bundle.promised("Male", -1, 1)],
        };
        """,
        {"bundle.js": "Bundle"},
        json=json.dumps(about),
        arrays=np.frombuffer((export.folder / "arrays.safetensors").read_bytes(), np.uint8),
        scores=like.scores,
        faces=[{"crop": crops[i], "drawn": drawn[i], "code": codes[i]} for i in asked],
    )
    assert page["found"] == pytest.approx(like.p_values(found)[asked].tolist())
    assert max(page["found"][-2:]) < 0.05 < page["found"][2]
    assert page["ranges"][0] == page["ranges"][1] == [0.6, 1.4] and page["ranges"][3] is None
    assert page["ranges"][2] == pytest.approx([0.8, 1.2])
    assert page["none"] == [None, None]


def test_labels_are_asked_for_in_words(export):
    """As sliders are called, in any case, with "no" before; said again as they are called."""
    texts = ["Hat, no  smile", "glasses,not male", "black hair, without a hat", "", "wings"]
    found = node(
        """
        const bundle = new Bundle(JSON.parse(input.json), input.arrays.buffer);
        return input.texts.map((text) => {
          try {
            const wanted = bundle.wanted(text.replace(/ +/g, " "));
            return [wanted, bundle.worded(wanted)];
          } catch (error) {
            return error.message;
          }
        });
        """,
        {"bundle.js": "Bundle"},
        json=(export / "bundle.json").read_text(),
        arrays=np.frombuffer((export / "arrays.safetensors").read_bytes(), np.uint8),
        texts=texts,
    )
    assert found == [
        [{"Wearing_Hat": 1, "Smiling": -1}, "hat, no smile"],
        [{"Eyeglasses": 1, "Male": -1}, "glasses, no male"],
        [{"Black_Hair": 1, "Wearing_Hat": -1}, "black hair, no hat"],
        [{}, ""],
        "No slider is called “wings”: write it as they do, such as “glasses”.",
    ]


def test_the_model_sees_what_it_is_sure_of(export):
    """Judgements are left out, and what goes without saying beside something surer."""
    about = json.loads((export / "bundle.json").read_text())
    about["editor"]["exclusive"] = [["Black_Hair", "Wearing_Hat"], ["Long_Hair", "-Smiling"]]
    labels = {name: -0.9 for name in standin.ATTRIBUTES}
    labels |= {"Black_Hair": 0.6, "Wearing_Hat": 0.8, "Male": 0.9, "Eyeglasses": 0.2}
    said = node(
        """
        const bundle = new Bundle(JSON.parse(input.json), input.arrays.buffer);
        return bundle.sees(new Map(Object.entries(input.labels)));
        """,
        {"bundle.js": "Bundle"},
        json=json.dumps(about),
        arrays=np.frombuffer((export / "arrays.safetensors").read_bytes(), np.uint8),
        labels=labels,
    )
    assert said == "hat, no smile, no mouth open"


def test_a_measured_label_is_told_in_its_unit(export):
    """As a reading and as what else changed; the model is not said to see it."""
    about = json.loads((export / "bundle.json").read_text())
    for one in about["attributes"]:
        if one["name"] == "Smiling":
            one["measure"] = {"unit": "°", "low": -36.0, "high": 12.0}
    before = {one["name"]: -1.0 for one in about["attributes"]} | {"Smiling": 0.9}
    readings, sees, also = node(
        """
        const bundle = new Bundle(JSON.parse(input.json), input.arrays.buffer);
        const maps = [input.before, { ...input.before, Smiling: 0.4 }].map((one) =>
            new Map(Object.entries(one)));
        return [
            [-1, 0, 0.5, 1].map((label) => reading(bundle.byName.get("Smiling").measure, label)),
            bundle.sees(maps[0]),
            bundle.alsoChanged(...maps, []).map(({ words }) => words),
        ];
        """,
        {"bundle.js": "Bundle, reading"},
        json=json.dumps(about),
        arrays=np.frombuffer((export / "arrays.safetensors").read_bytes(), np.uint8),
        before=before,
    )
    assert readings == ["\N{MINUS SIGN}36°", "\N{MINUS SIGN}12°", "0°", "12°"]
    assert "smile" not in sees
    assert also == ["smile \N{MINUS SIGN}12°"]


def test_what_else_moved_is_said_in_words(export):
    """The largest three, judgements and the moved slider left out; opposed are two sliders that claim what an
    exclusion forbids; quality is one of three words.
    """
    about = json.loads((export / "bundle.json").read_text())
    about["editor"]["exclusive"] = [["Black_Hair", "Wearing_Hat"], ["Long_Hair", "-Smiling"]]
    about["attributes"][0]["label"] = "No beard"
    name = about["attributes"][0]["name"]
    before = {one["name"]: 0.0 for one in about["attributes"]}
    after = before | {"Black_Hair": -1.0, "Wearing_Hat": 0.6, "Male": 2.0, "Eyeglasses": 2.0, name: -1.6}
    changed, opposed, words, given = node(
        """
        const bundle = new Bundle(JSON.parse(input.json), input.arrays.buffer);
        const maps = [input.before, input.after].map((labels) => new Map(Object.entries(labels)));
        return [
            bundle.alsoChanged(...maps, ["Eyeglasses"]).map(({ words }) => words),
            input.strengths.map((strengths) => bundle.opposed(strengths)),
            [0.95, 0.8, 0.5, null].map(qualityOf),
            [bundle.given(input.name, -1), bundle.given("Black_Hair", -1), bundle.given("Black_Hair", 1)],
        ];
        """,
        {"bundle.js": "Bundle, qualityOf"},
        json=json.dumps(about),
        arrays=np.frombuffer((export / "arrays.safetensors").read_bytes(), np.uint8),
        before=before,
        after=after,
        name=name,
        strengths=[
            {"Black_Hair": 1, "Wearing_Hat": 0.2},
            {"Long_Hair": 1, "Smiling": -1},
            {"Long_Hair": 1, "Smiling": 1},
        ],
    )
    assert changed == ["much more beard", "less black hair", "more hat"]
    assert opposed == [[["Black_Hair", "Wearing_Hat"]], [["Long_Hair", "Smiling"]], []]
    assert words == ["clear", "fair", "faint", ""]
    assert given == ["beard", "less black hair", "black hair"]


def test_the_example_gives_what_a_face_lacks():
    """Of each group of the first sliders the surest that the face lacks; "no beard" is taken away."""
    attributes = [
        {
            "name": name,
            "label": label,
            "group": group,
            "auroc_low": sure,
            "telling": True,
            "judgemental": False,
        }
        for name, label, group, sure in (
            ("Smiling", "Smile", "Expression", 0.9),
            ("Open", "Open mouth", "Expression", 0.8),
            ("No_Beard", "No beard", "Facial hair", 0.9),
            ("Black", "Black hair", "Hair", 0.7),
            ("Blond", "Blond hair", "Hair", 0.95),
        )
    ]
    labels = {"Smiling": 0.9, "Open": -0.9, "No_Beard": 0.9, "Black": -1, "Blond": -0.2}
    shown = node(
        "return examples(input.bundle, new Map(Object.entries(input.labels)));",
        {"demo.js": "examples"},
        bundle={"attributes": attributes, "groups": ["Expression", "Hair", "Facial hair"]},
        labels=labels,
    )
    assert shown == [["Open", 1], ["Blond", 1], ["No_Beard", -1]]


def test_a_lock_keeps_what_it_locks(rng):
    """Three random axes in ten dimensions, one locked at 0.5 of its own: the edit moves exactly 0.5 along it,
    the others by what projection leaves.
    """
    axes = rng.normal(size=(3, 10))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    page = node(
        "return edited(new Float32Array(10), "
        "input.axes.map((unit, i) => ({ unit, size: [0.5, 2, -1][i], locked: i === 0 })));",
        {"vectors.js": "edited"},
        axes=[axis.astype(np.float64) for axis in axes],
    )
    free = 2 * axes[1] - axes[2]
    np.testing.assert_allclose(page, 0.5 * axes[0] + free - (free @ axes[0]) * axes[0], atol=1e-6)
    assert page @ axes[0] == pytest.approx(0.5, abs=1e-6)


# Sliders of one's own


def test_shrinkage_is_james_steins():
    """Ten dimensions used of twelve, two pictures a side: m = 1, so a standardised energy of 16 leaves 1 - 8
    / 16; one of 4 leaves nothing.
    """
    std = np.array([2.0] * 10 + [1e-6] * 2, np.float32)
    vector = np.array([2 * np.sqrt(1.6)] * 10 + [9.0] * 2, np.float32)
    kept = node(
        "return [shrinkage(input.vector, input.std, 2, 2), "
        "shrinkage(input.vector.map((v) => v / 2), input.std, 2, 2)];",
        {"direction.js": "shrinkage"},
        std=std,
        vector=vector,
    )
    assert kept == pytest.approx([0.5, 0.0], abs=1e-6)


def test_held_out_pairs_are_honest(rng):
    """Of pictures that do not differ it says one half on average, in spite of ten dimensions for eight
    pictures (one at a time held out it would say 0.41); of well separated ones, one; with one picture on a
    side, nothing.
    """
    body = """
        const codes = (set) => [...Array(8)].map((_, i) => set.slice(10 * i, 10 * i + 10));
        return input.sets.map((set) => leavePairOut(codes(set).slice(0, input.count), codes(set).slice(4)));
    """
    noise = rng.normal(size=(400, 8, 10)).astype(np.float32)
    scores = node(body, {"direction.js": "leavePairOut"}, sets=[codes.ravel() for codes in noise], count=4)
    assert np.mean(scores) == pytest.approx(0.5, abs=0.04)  # three standard errors
    apart = np.concatenate([noise[:5, :4] + np.float32(4), noise[:5, 4:] - np.float32(4)], axis=1)
    sets = [codes.ravel() for codes in apart]
    assert node(body, {"direction.js": "leavePairOut"}, sets=sets, count=4) == [1] * 5
    assert node(body, {"direction.js": "leavePairOut"}, sets=sets, count=1) == [None] * 5


def test_a_planted_direction_is_found_and_stays_clear_of_locks(rng):
    """40 codes a side, 6 apart along axis 0 and 3 along axis 1: the direction is (2, 1) / sqrt 5; with axis 1
    locked, axis 0 alone, and 6 apart.
    """
    codes = rng.normal(size=(80, 12))
    codes -= codes.reshape(2, 40, 12).mean(1).repeat(40, 0)  # so that the two means are exact
    codes[:40, 0] += 6
    codes[:40, 1] += 3
    axis = np.eye(12, dtype=np.float32)[1]
    free, clear = node(
        """
        const [a, b] = [input.codes.slice(0, 40), input.codes.slice(40)];
        const make = (locked) => newDirection(a, b, input.std, () => 1.5, locked);
        return [make([]), make([input.axis])];
        """,
        {"direction.js": "newDirection"},
        codes=[code.astype(np.float32) for code in codes],
        std=np.ones(12, np.float32),
        axis=axis,
    )
    np.testing.assert_allclose(free["unit"], np.array([2, 1] + [0] * 10) / np.sqrt(5), atol=1e-5)
    np.testing.assert_allclose(clear["unit"], np.eye(12)[0], atol=1e-5)
    assert clear["measured"] == pytest.approx(6 / 1.5, rel=1e-5)
    assert clear["kept"] == pytest.approx(1 - 10 * (2 / 40) / 36, rel=1e-5)
    assert clear["between"] == pytest.approx(clear["measured"] * clear["kept"])
    assert free["auroc"] > 0.99


def test_a_slider_file_comes_back_and_a_wrong_one_is_refused():
    results = node(
        """
        const unit = Float32Array.from([0.6, -0.8, 0]);
        const slider = {
          label: "freckles", unit, sigma: 1.2, measured: 2, kept: 0.5, between: 1, auroc: null,
          counts: [3, 2], apart: ["Male"],
        };
        const text = toFile(slider, "abc");
        const tried = (make) => { try { return make(); } catch (error) { return error.message; } };
        return {
          same: fromFile(text, "abc", 3),
          other: tried(() => fromFile(text, "abd", 3)),
          longer: tried(() => fromFile(text, "abc", 4)),
          nothing: tried(() => fromFile("[]", "abc", 3)),
          text: tried(() => fromFile("hello", "abc", 3)),
          infinite: tried(() => fromFile(text.replace(toBase64(unit), toBase64([Infinity, 0, 0])), "abc", 3)),
          negative: tried(() => fromFile(text.replace('"sigma": 1.2', '"sigma": -1'), "abc", 3)),
          long: tried(
            () => fromFile(text.replace('"freckles"', JSON.stringify("x".repeat(900))), "abc", 3),
          ).label.length,
        };
        """,
        {"direction.js": "toFile, fromFile, toBase64"},
    )
    np.testing.assert_allclose(results["same"].pop("unit"), [0.6, -0.8, 0], atol=1e-7)
    assert results["same"] == {
        "label": "freckles",
        "sigma": 1.2,
        "measured": 2,
        "kept": 0.5,
        "between": 1,
        "auroc": None,
        "counts": [3, 2],
        "apart": ["Male"],
    }
    assert "another model" in results["other"]
    assert results["longer"] == "Expected 4 numbers, found 3."
    assert results["nothing"] == results["text"] == "This file is not a saved slider."
    assert results["infinite"] == "A number is not finite."
    assert results["negative"] == "This slider file is damaged."
    assert results["long"] == 40


# Alignment and detection, against the server's


@pytest.fixture(scope="module")
def aligner():
    return pytest.importorskip("facemorph.align", reason="the server's packages are missing")


GEOMETRY = {
    "frame": [178, 218],
    "template": [[69.745, 111.0], [107.237, 111.0], [88.432, 152.514]],
    "box": [15, 35, 163, 183],
    "size": 64,
    "filter": "lanczos",
}


@pytest.mark.parametrize("scale", [0.22, 1.0, 2.7], ids=["enlarged", "about equal", "shrunk"])
def test_a_face_is_cut_as_the_server_cuts_it(aligner, scale):
    """The astronaut at three sizes, turned by 20 degrees and partly outside: the same matrix, and pixels that
    differ by rounding.
    """
    whole = Image.fromarray(skimage.data.astronaut())
    photo = np.asarray(whole.resize((round(512 * scale), round(512 * scale)), Image.Resampling.LANCZOS))
    turn = np.deg2rad(20)
    centre = np.array([225, 60]) * scale  # the crop reaches above the picture
    points = (
        np.array([[-19, 0], [19, 0], [0, 42]]) @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
    ) * scale + centre
    face, matrix = aligner.Geometry.of(GEOMETRY).by_points(photo, points)
    page = node(
        "return faceByPoints(input.photo, input.points, input.geometry);",
        {"align.js": "faceByPoints"},
        photo=picture(photo),
        points=points.tolist(),
        geometry=GEOMETRY,
    )
    a, b, x, y = page["matrix"]
    np.testing.assert_allclose([[a, -b, x], [b, a, y]], matrix, atol=1e-6)
    difference = np.abs(page["face"]["data"].reshape(64, 64, 3).astype(int) - face)
    assert difference.mean() < 0.5
    assert difference.max() <= 4  # OpenCV samples at 32nds of a pixel


@pytest.mark.parametrize("size", [(178, 218), (400, 300), (90, 260)], ids=str)
@pytest.mark.parametrize("name", ["bilinear", "bicubic", "lanczos"])
def test_without_a_face_the_picture_is_the_frame(aligner, size, name):
    """The largest centred part of the frame's shape, as Pillow's resize to rounding (which pass comes first
    is its choice), and the template's points in it.
    """
    photo = np.asarray(Image.fromarray(skimage.data.astronaut()).resize(size))
    opaque = np.dstack([photo, np.full(photo.shape[:2], 255, np.uint8)])  # as a canvas gives it
    geometry = GEOMETRY | {"filter": name}
    face, matrix = aligner.Geometry.of(geometry).by_frame(photo)
    page = node(
        "return faceByFrame(input.photo, input.geometry);",
        {"align.js": "faceByFrame"},
        photo=picture(opaque),
        geometry=geometry,
    )
    a, b, x, y = page["matrix"]
    np.testing.assert_allclose([[a, -b, x], [b, a, y]], matrix, atol=1e-9)
    difference = np.abs(page["face"]["data"].reshape(64, 64, 3).astype(int) - face)
    assert difference.mean() < 0.3
    assert difference.max() <= 3
    back = np.array(page["points"]) @ matrix[:, :2].T + matrix[:, 2]
    cut = (np.array(GEOMETRY["template"]) + 0.5 - [15, 35]) * 64 / 148 - 0.5
    np.testing.assert_allclose(back, cut, atol=1e-9)


def two_faces() -> np.ndarray:
    """uint8 (512, 1024, 3): the astronaut twice, the second smaller."""
    whole = Image.fromarray(skimage.data.astronaut())
    both = Image.new("RGB", (1024, 512), "gray")
    both.paste(whole, (0, 0))
    both.paste(whole.resize((320, 320), Image.Resampling.LANCZOS), (650, 120))
    return np.asarray(both)


@pytest.fixture(scope="module")
def yunet(aligner):
    """The detector's network by ONNX Runtime: (3 * 640 * 640,) float32 -> its twelve outputs, flat."""
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(aligner.detector_file()))
    names = [output.name for output in session.get_outputs()]

    def run(planes: np.ndarray) -> dict[str, np.ndarray]:
        return dict(
            zip(
                names,
                (values.ravel() for values in session.run(names, {"input": planes.reshape(1, 3, 640, 640)})),
                strict=True,
            )
        )

    return run


def test_yunets_outputs_are_read_as_opencv_reads_them(aligner, yunet):
    """The same 640 x 640 input through OpenCV's FaceDetectorYN and through JavaScript: boxes and points to a
    twentieth of a pixel, after suppression.
    """
    import cv2  # noqa: PLC0415

    square = np.zeros((640, 640, 3), np.uint8)
    square[:320] = np.asarray(Image.fromarray(two_faces()).resize((640, 320), Image.Resampling.LANCZOS))[
        :, :, ::-1
    ]
    detector = cv2.FaceDetectorYN.create(str(aligner.detector_file()), "", (640, 640), 0.6, 0.3)
    _, rows = detector.detect(square)
    faces = node(
        "return suppress(decode(input.outputs, 0.6), 0.3);",
        {"yunet.js": "decode, suppress"},
        outputs=yunet(np.ascontiguousarray(square.transpose(2, 0, 1), np.float32)),
    )
    assert len(faces) == len(rows) == 2
    for face, row in zip(faces, rows, strict=True):
        np.testing.assert_allclose(face["box"], row[:4], atol=0.05)
        np.testing.assert_allclose(np.ravel(face["points"]), row[4:14], atol=0.05)
        assert face["score"] == pytest.approx(row[14], abs=1e-3)


def looked(yunet, call: str, name: str, **values):
    """What `call` of align.js gives, and how often it looked: its looks are answered one after the other."""
    outputs = []
    while True:
        page = node(
            f"""
            let [look, asked] = [0, null];
            const run = async (planes) => (
              input.outputs[look++] ?? ((asked = planes), Promise.reject(new Error("another look")))
            );
            return {call}.catch(() => asked);
            """,
            {"align.js": name},
            outputs=outputs,
            **values,
        )
        if not isinstance(page, np.ndarray):
            return page, len(outputs)
        outputs.append(yunet(page))


@pytest.mark.parametrize("case", ["two", "small", "none", "on its side", "on its head"])
def test_faces_are_found_where_the_server_finds_them(aligner, yunet, case):
    """Both find the same faces, the largest first; points within 4% of the eye distance (the browser's input
    is padded to a square, the server's is not).
    """
    astronaut = skimage.data.astronaut()
    photo = {
        "two": two_faces(),
        "small": np.asarray(Image.fromarray(astronaut).resize((200, 200), Image.Resampling.LANCZOS)),
        "none": np.ascontiguousarray(skimage.data.coffee()[:300, :300]),
        "on its side": np.ascontiguousarray(np.rot90(astronaut[:320, :400])),
        "on its head": np.ascontiguousarray(np.rot90(astronaut[:320, :400], 2)),
    }[case]
    expected = aligner.Detector().find(photo)
    faces, _ = looked(yunet, "detectFaces(input.photo, run)", "detectFaces", photo=picture(photo))
    assert len(faces) == len(expected) == (2 if case == "two" else 0 if case == "none" else 1)
    for face, other in zip(faces, expected, strict=True):
        assert np.abs(np.array(face["points"]) - other.points).max() < 0.04 * other.eyes
        assert np.abs(np.array(face["box"]) - other.box).max() < 0.1 * other.eyes


def test_a_face_is_looked_at_again_as_the_server_does(aligner, yunet):
    """Six rounds, each from where the one before saw it: points within 1% of the eye distance of the
    server's, which began 5% away.
    """
    photo = skimage.data.astronaut()
    detector = aligner.Detector()
    first = detector.find(photo)[0]
    expected = detector.look_again(photo, first)
    points, looks = looked(
        yunet,
        "lookAgain(input.photo, input.points, run)",
        "lookAgain",
        photo=picture(photo),
        points=first.points.tolist(),
    )
    assert looks == 6
    assert np.abs(np.array(points) - expected.points).max() < 0.01 * expected.eyes
    assert np.abs(first.points - expected.points).max() > 0.05 * expected.eyes


def test_a_face_drawn_back_six_decibels_worse_is_unlike():
    """Off by 16 levels everywhere is 24.05 dB, by 16.2 it is 23.94: less than a known 30 dB by more than 6.
    Nothing known, nothing said.
    """
    crop = picture(np.full((4, 4, 4), 100, np.uint8))
    said = node(
        """
        const drawn = (by) => new Float32Array(48).fill(100 + by);
        return [[16, 30], [16.2, 30], [99]].map(([by, known]) => unlike(input.crop, drawn(by), known));
        """,
        {"photo.js": "unlike"},
        crop=crop,
    )
    assert said == [False, True, False]


# The change added to a photograph


def test_small_changes_shrink_as_the_measured_edits_do(rng):
    """The page's weights equal those of faces/edits/detail.py with the export's params, to a thousandth of a
    level.
    """
    settings = {"noise": 0.2, "reach": 2}
    before = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    after = before + (rng.normal(0, 40, (16, 16, 3)) * np.linspace(0, 1, 16)[:, None]).astype(np.float32)
    found, whole = node(
        """
        const [before, after] = [input.before, input.after];
        return [input.detail, { noise: 0, reach: 1 }].map(
          (detail) => weighed(before, after, weights(before, after, 16, detail)),
        );
        """,
        {"detail.js": "weighed, weights"},
        before=before,
        after=after,
        detail=settings,
    )
    change = torch.from_numpy((after - before) / 127.5).permute(2, 0, 1)[None]
    counted = change * detail.weight(change, detail.Detail(**settings))
    expected = 127.5 * counted[0].permute(1, 2, 0).numpy()
    assert 0.2 < (expected == 0).mean() < 0.8
    np.testing.assert_allclose(found.reshape(16, 16, 3), expected, atol=1e-3)
    np.testing.assert_allclose(
        whole.reshape(16, 16, 3), after - before, atol=1e-3
    )  # no noise: every change counts


def test_a_picture_of_the_models_size_is_edited_as_it_is_measured(rng):
    """The page's edit that keeps the detail equals that of faces/edits/detail.py, to a thousandth of a
    level.
    """
    original, before = rng.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    after = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    after[:8] = before[:8]
    settings = {"noise": 0.5, "reach": 1}
    found = node(
        """
        const weight = weights(input.before, input.after, 16, input.detail);
        return keepDetail(input.original, input.after, weight);
        """,
        {"detail.js": "keepDetail, weights"},
        original=original,
        before=before,
        after=after,
        detail=settings,
    )
    pictures = [torch.from_numpy(one / 127.5 - 1).permute(2, 0, 1)[None] for one in (original, before, after)]
    kept = detail.keep_detail(*pictures, detail.Detail(**settings))[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found.reshape(16, 16, 3), (kept + 1) * 127.5, atol=1e-3)
    np.testing.assert_array_equal(found.reshape(16, 16, 3)[:7], original[:7])


@pytest.mark.parametrize("side", [32, 256, 512])
def test_an_edit_keeps_to_the_outlines_as_in_python(rng, side):
    """The page's mask equals facemorph/edges.py's, to 1e-4, on photographs with and without noise."""
    for blur in (1, side / 16):
        crop = cv2.GaussianBlur(rng.integers(0, 256, (side, side, 3), dtype=np.uint8), (0, 0), blur)
        field = cv2.GaussianBlur(rng.normal(size=(side, side, 3)), (0, 0), side / 32) * 900
        shares = fade(side)
        found = node(
            """
            const crop = { data: input.crop, width: input.side, height: input.side, channels: 3 };
            return maskOf(input.field, edgesOf(crop), input.shares);
            """,
            {"edges.js": "edgesOf, maskOf"},
            crop=crop,
            field=field,
            shares=shares,
            side=side,
        )
        expected = edges.mask(field, crop, shares)
        assert np.ptp(expected) > 0.5
        np.testing.assert_allclose(found.reshape(side, side), expected, atol=1e-4)


def test_an_edited_photograph_is_the_same_in_python(rng):
    """The whole way, outlines too: a strong change in a photograph of 600 pixels, to one level of 255 but for
    one pixel in ten thousand.
    """
    photo = cv2.GaussianBlur(rng.integers(0, 256, (600, 600, 4), dtype=np.uint8), (0, 0), 9)
    photo = cv2.normalize(photo, None, 0, 255, cv2.NORM_MINMAX)
    photo[..., 3] = 255
    change = cv2.GaussianBlur(rng.normal(size=(64, 64, 3)), (0, 0), 2).astype(np.float32) * 300
    a, b, x, y = matrix = [64 / 400, 0.01, -20.0, -14.0]
    found = node(
        """
        const part = { picture: input.photo, toModel: input.matrix };
        return withChange(part, { change: input.change, share: 0 }, null, 64).data;
        """,
        {"paint.js": "withChange"},
        photo=picture(photo),
        change=change,
        matrix=matrix,
    ).reshape(photo.shape)
    rgb = np.ascontiguousarray(photo[..., :3])
    expected = add_change(rgb, change, np.array([[a, -b, x], [b, a, y]]))
    assert np.abs(expected.astype(int) - rgb).max() > 50
    apart = np.abs(found[..., :3].astype(int) - expected)
    assert (apart > 1).mean() < 1e-4


CHANGED = """
const changed = (after) => {
  const weight = weights(input.before, after, 64, input.detail);
  return addChange(input.photo, enlargedChange(weighed(input.before, after, weight), 64), input.matrix, 64);
};
"""


def test_a_morph_gives_way_to_the_other_photograph(rng):
    """All the way, the middle of the crop is the other photograph's, shifted and turned as the two alignments
    say; half way, the mean of both.
    """
    photos = rng.integers(0, 256, (2, 200, 200, 4), dtype=np.uint8)
    scale = 64 / 160
    first = [
        scale,
        0,
        scale * (0.5 - 20) - 0.5,
        scale * (0.5 - 20) - 0.5,
    ]  # the crop is the square from 20 to 180
    second = [
        0,
        scale,
        64 - scale * (0.5 - 20) - 0.5,
        scale * (0.5 - 20) - 0.5,
    ]  # the same square, a quarter turned
    whole, half = node(
        """
        const none = enlargedChange(new Float32Array(64 * 64 * 3), 64);
        const other = { picture: input.other, toModel: input.second };
        return [1, 0.5].map((share) => addChange(input.photo, none, input.first, 64, { share, ...other }));
        """,
        {"detail.js": "addChange, enlargedChange"},
        photo=picture(photos[0]),
        other=picture(photos[1]),
        first=first,
        second=second,
    )
    middle = slice(70, 130)
    turned = np.rot90(photos[1], -1)[middle, middle, :3]
    np.testing.assert_allclose(whole.reshape(photos[0].shape)[middle, middle, :3], turned, atol=1)
    mean = (turned.astype(float) + photos[0][middle, middle, :3]) / 2
    np.testing.assert_allclose(half.reshape(photos[0].shape)[middle, middle, :3], mean, atol=1)
    assert (whole.reshape(photos[0].shape)[:20] == photos[0][:20]).all()


def test_a_change_lands_where_the_alignment_says(rng):
    """A patch of model pixels changed: the photograph's change has its centre of mass at the inverse of the
    map, within a twentieth of a model pixel.
    """
    before = np.full((64, 64, 3), 100, np.uint8)
    after = before.astype(np.float32)
    after[26:35, 36:45] += 120
    matrix = [0.3, 0.1, -20.0, -9.0]  # about 3.2 photograph pixels to one of the model
    photo = rng.integers(20, 130, (260, 260, 4), dtype=np.uint8)
    photo[..., 3] = 255
    result = node(
        CHANGED + "return changed(input.after);",
        {"detail.js": "addChange, enlargedChange, weighed, weights"},
        photo=picture(photo),
        before=before,
        after=after,
        matrix=matrix,
        detail=DETAIL,
    ).reshape(photo.shape)
    added = result.astype(float) - photo
    assert (added[..., 3] == 0).all()
    weight = added[..., 0]
    rows, columns = np.mgrid[:260, :260]
    x = (weight * columns).sum() / weight.sum()
    y = (weight * rows).sum() / weight.sum()
    assert [0.3 * x - 0.1 * y - 20, 0.1 * x + 0.3 * y - 9] == pytest.approx([40, 30], abs=0.05)
    assert weight.sum() == pytest.approx(
        81 * 120 / (0.3**2 + 0.1**2), rel=0.02
    )  # smoothing moves light, it makes none


def test_a_photograph_keeps_its_detail(rng):
    """A flat change of 50 adds 50 to every pixel of the crop's middle, noise and all, and nothing outside the
    crop; no change changes nothing.
    """
    before = np.full((64, 64, 3), 100, np.uint8)
    photo = rng.integers(40, 200, (400, 400, 4), dtype=np.uint8)
    scale = 64 / 200  # the crop is the square from 100 to 300
    matrix = [scale, 0, scale * (0.5 - 100) - 0.5, scale * (0.5 - 100) - 0.5]
    same, lighter = node(
        CHANGED + "return [changed(input.before), changed(input.before.map((v) => v + 50))];",
        {"detail.js": "addChange, enlargedChange, weighed, weights"},
        photo=picture(photo),
        before=before,
        matrix=matrix,
        detail=DETAIL,
    )
    assert (same.reshape(photo.shape) == photo).all()
    added = lighter.reshape(photo.shape).astype(int)[..., :3] - photo[..., :3]
    assert (added[150:250, 150:250] == 50).all()
    outside = np.ones((400, 400), bool)
    outside[100:300, 100:300] = False
    assert (added[outside] == 0).all()
    assert np.abs(added[100:300, 100]).max() <= 1  # no seam


def test_there_is_no_seam_in_a_photograph_of_2000_pixels(rng):
    """The strongest change there is, white for black over the whole crop: nothing beyond the crop, and from
    pixel to pixel it grows by no more than two levels.
    """
    photo = np.full((2000, 2000, 4), 20, np.uint8)
    scale = 64 / 1000  # the crop is the square from 500 to 1500
    matrix = [scale, 0, scale * (0.5 - 500) - 0.5, scale * (0.5 - 500) - 0.5]
    changed = node(
        """
        const part = { picture: input.photo, toModel: input.matrix };
        const change = new Float32Array(64 * 64 * 3).fill(235);
        return withChange(part, { change, share: 0 }, null, 64).data;
        """,
        {"paint.js": "withChange"},
        photo=picture(photo),
        matrix=matrix,
    )
    red = changed.reshape(photo.shape)[..., 0].astype(int)
    assert red[1000, 1000] == 255
    inside = np.zeros_like(red, bool)
    inside[500:1500, 500:1500] = True
    assert (red[~inside] == 20).all()
    assert max(np.abs(np.diff(red, axis=axis)).max() for axis in (0, 1)) <= 3


def test_a_grey_photograph_stays_grey(rng):
    """Yellow hair in a grey photograph is lighter hair; in one with colour it is yellow."""
    grey = np.repeat(rng.integers(60, 160, (64, 64, 1), dtype=np.uint8), 4, axis=2)
    coloured = grey.copy()
    coloured[..., 0] += 40
    out = node(
        """
        const change = Float32Array.from({ length: 64 * 64 * 3 }, (_, i) => [60, 40, 0][i % 3]);
        return [input.grey, input.coloured].map((picture) =>
            withChange({ picture, toModel: [1, 0, 0, 0] }, { change, share: 0 }, null, 64).data);
        """,
        {"paint.js": "withChange"},
        grey=picture(grey),
        coloured=picture(coloured),
    )
    stays, turns = (np.asarray(data).reshape(64, 64, 4)[..., :3].astype(int) for data in out)
    assert np.ptp(stays, axis=2).max() <= 1
    assert stays[32, 32, 0] - grey[32, 32, 0] == pytest.approx(0.299 * 60 + 0.587 * 40, abs=1)
    assert turns[32, 32, 0] - coloured[32, 32, 0] == 60 and turns[32, 32, 2] == coloured[32, 32, 2]


def test_a_part_is_enlarged_about_a_point():
    """Twice in the middle, and at the edge, which it does not leave."""
    found = node(
        "return [[2, 0.5, 0.5], [4, 0, 1], [1, 0.2, 0.9]].map((zoom) => zoomed([100, 50, 800, 400], zoom));",
        {"stage.js": "zoomed"},
    )
    assert found == [[300, 150, 400, 200], [100, 350, 200, 100], [100, 50, 800, 400]]


def test_larger_models_are_enlarged_less():
    """The pixels to compute stay those of 128 x 128 enlarged four times."""
    assert node("return [64, 128, 256, 512].map(timesOf);", {"detail.js": "timesOf"}) == [4, 4, 2, 1]


# Files


def decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def test_a_face_in_a_film_does_not_tremble(rng):
    """Means over pictures around take most tremor and follow what moves; where no face was, none is."""
    there = np.linspace(0, 60, 31)[:, None, None] + np.array([[0, 0], [40, 0], [20, 20], [5, 40], [35, 40]])
    seen = there + rng.normal(0, 1, there.shape)
    places = node("return smoothed(input.seen);", {"film.js": "smoothed"}, seen=seen.tolist())
    inner = slice(9, 22)
    tremor = np.diff(np.array(places) - there, axis=0)[inner].std()
    assert tremor < 0.25 * np.diff(seen - there, axis=0)[inner].std()
    assert np.abs(np.array(places) - there)[inner].max() < 1.5
    gap = [None if i == 15 else five for i, five in enumerate(seen.tolist())]
    found = node("return smoothed(input.seen);", {"film.js": "smoothed"}, seen=gap)
    assert found[15] is None and np.abs(np.array(found[14]) - there[14]).max() < 1.5


def test_a_gif_opens_with_its_frames_and_its_mark():
    """216 well-separated colours in noise, long enough to fill LZW's table many times over: every pixel of
    every frame comes back.
    """
    rng = np.random.default_rng(0)
    frames = [(rng.integers(0, 6, (120, 150, 3)) * 51).astype(np.uint8) for _ in range(3)]
    data = node(
        'return encodeGif(input.frames, 150, 120, [60, 5, 7], "a mark");',
        {"gif.js": "encodeGif"},
        frames=[frame.ravel() for frame in frames],
    ).tobytes()
    image = decoded(data)
    assert (image.n_frames, image.size, image.info["loop"], image.info["comment"]) == (
        3,
        (150, 120),
        0,
        b"a mark",
    )
    for i, (frame, pause) in enumerate(zip(frames, (600, 50, 70), strict=True)):
        image.seek(i)
        assert image.info["duration"] == pause
        assert (np.asarray(image.convert("RGB")) == frame).all()


def test_a_gif_of_a_photograph_is_close():
    """A face in 256 colours: off by less than 5 levels on average, dither and all."""
    face = np.asarray(Image.fromarray(skimage.data.astronaut()).crop((130, 0, 330, 200)))
    data = node(
        'return encodeGif([input.frame], 200, 200, 5, "");', {"gif.js": "encodeGif"}, frame=face.ravel()
    ).tobytes()
    assert np.abs(np.asarray(decoded(data).convert("RGB")).astype(int) - face).mean() < 5


def test_lzw_of_any_number_of_colours():
    """Flat, striped and counted-up pictures, whose codes end just where the width of a code grows."""
    cases = [(count, length) for count in (1, 2, 3, 255) for length in (1, 2, 5, 250, 256, 511, 513, 4097)]
    frames = [
        np.repeat((np.arange(length) % count * (255 // count))[:, None], 3, axis=1).astype(np.uint8)
        for count, length in cases
    ]
    made = node(
        "return input.frames.map((frame) => encodeGif([frame], frame.length / 3, 1, 5, ''));",
        {"gif.js": "encodeGif"},
        frames=[frame.ravel() for frame in frames],
    )
    for (count, _), frame, data in zip(cases, frames, made, strict=True):
        shown = np.asarray(decoded(data.tobytes()).convert("RGB"))[0].astype(int)
        assert np.abs(shown - frame).max() <= (0 if count < 20 else 8)


@pytest.mark.parametrize(
    ("origin", "source"),
    [("sample", "trainedAlgorithmicMedia"), ("photo", "compositeWithTrainedAlgorithmicMedia")],
)
def test_a_png_carries_its_mark_and_keeps_its_pixels(origin, source):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer := io.BytesIO(), "PNG")
    data = node(
        "return markPng(input.bytes, input.origin);",
        {"marks.js": "markPng"},
        bytes=np.frombuffer(buffer.getvalue(), np.uint8),
        origin=origin,
    )
    image = Image.open(io.BytesIO(data.tobytes()))
    image.load()
    assert (np.asarray(image) == pixels).all()
    assert image.text["Software"] == "Facemorph"
    assert "generative model" in image.text["Description"]
    assert f"digitalsourcetype/{source}" in image.text["XML:com.adobe.xmp"]
    Image.open(io.BytesIO(data.tobytes())).verify()  # the checksums of all chunks
    assert node(
        "return crc32(input.bytes);", {"marks.js": "crc32"}, bytes=np.frombuffer(b"IEND", np.uint8)
    ) == zlib.crc32(b"IEND")


def test_a_jpeg_carries_its_mark_and_opens_its_state():
    """Pillow reads comment and XMP, the pixels stay; the link comes back from JPEG and PNG, none from a
    photograph's.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    files = {}
    for kind in ("JPEG", "PNG"):
        Image.fromarray(pixels).save(buffer := io.BytesIO(), kind)
        files[kind.lower()] = np.frombuffer(buffer.getvalue(), np.uint8)
    link = "#seed=5&Smiling=1.2&model=4.0a"
    jpeg, *links = node(
        """
        const jpeg = markJpeg(input.jpeg, "sample", input.link);
        const files = [jpeg, markPng(input.png, "sample", input.link), markPng(input.png, "photo")];
        return [jpeg, ...(await Promise.all(files.map((bytes) => readState(new Blob([bytes])))))];
        """,
        {"marks.js": "markJpeg, markPng, readState"},
        **files,
        link=link,
    )
    image = Image.open(io.BytesIO(jpeg.tobytes()))
    assert (np.asarray(image) == np.asarray(Image.open(io.BytesIO(files["jpeg"].tobytes())))).all()
    assert b"generative model" in image.info["comment"]
    assert b"digitalsourcetype/trainedAlgorithmicMedia" in image.info["xmp"]
    assert links == [link, link, None]


def test_videos_carry_their_mark():
    """MP4: a last box "uuid" of its stated length; WebM: tags after the last cluster, by EBML's lengths."""
    mp4, webm = node(
        "return [markMp4(input.bytes, 'photo'), markWebm(input.bytes, 'photo')];",
        {"marks.js": "markMp4, markWebm"},
        bytes=np.frombuffer(b"video", np.uint8),
    )
    box = mp4.tobytes()[5:]
    assert int.from_bytes(box[:4], "big") == len(box)
    assert box[4:8] == b"uuid" and b"compositeWithTrainedAlgorithmicMedia" in box
    tags = webm.tobytes()[5:]
    assert tags[:5] == bytes.fromhex("1254c36701") and int.from_bytes(tags[5:12], "big") == len(tags) - 12
    assert tags[12:15] == bytes.fromhex("737301") and int.from_bytes(tags[15:22], "big") == len(tags) - 22
    assert b"generative model" in tags


def test_an_archive_opens():
    data = node(
        "return new Uint8Array(await zip(input.files).arrayBuffer());",
        {"zip.js": "zip"},
        files=[
            {"name": "01-Zoë.jpg", "bytes": np.arange(5, dtype=np.uint8)},
            {"name": "02.jpg", "bytes": np.zeros(0, np.uint8)},
        ],
    )
    with zipfile.ZipFile(io.BytesIO(data.tobytes())) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["01-Zoë.jpg", "02.jpg"]
        assert archive.read("01-Zoë.jpg") == bytes(range(5))


# Requests, links, history


def test_the_latest_request_wins():
    """Ten requests while the first is under way: the first and the last are worked on and shown, the eight
    between never; after a failure work goes on.
    """
    shown = node(
        """
        const log = [];
        const finish = [];
        const queue = latestWins(
          (item) => {
            log.push(`work ${item}`);
            return new Promise((resolve, reject) => finish.push({ resolve, reject }));
          },
          (result, item) => log.push(`show ${item}`),
          (error, item) => log.push(`fail ${item}`),
        );
        const settle = () => new Promise((resolve) => setTimeout(resolve, 1));
        for (let i = 1; i <= 10; i++) queue.request(i);
        finish[0].resolve(); await settle();
        finish[1].resolve(); await settle();
        queue.request(11); queue.request(12); finish[2].reject(new Error()); await settle();
        queue.request(13); queue.cancel(); finish[3].resolve(); await settle();
        queue.request(14); finish[4].resolve(); await settle();
        return log;
        """,
        {"queue.js": "latestWins"},
    )
    assert shown == "work 1,show 1,work 10,show 10,work 11,fail 11,work 12,work 14,show 14".split(",")


def test_a_link_comes_back_and_says_what_it_leaves_out():
    bundle = {
        "attributes": [
            {"name": "Smiling", "reach": 2},
            {"name": "Male", "reach": 2},
        ],
        "mark": "4.abcdef",
    }
    result = node(
        """
        const other = { kind: "preset", index: 3 };
        const plain = {
          base: { kind: "seed", seed: 42 }, other, mix: 0.25,
          strengths: { Smiling: 1.2 }, locked: ["Male"], own: [],
        };
        const own = {
          ...plain, strengths: { Smiling: 1.2, "own:1": 2 }, locked: ["Male", "own:1"], own: ["own:1"],
        };
        const photo = { ...plain, base: { kind: "photo", id: 1 }, other: { kind: "photo", id: 2 } };
        const read = (hash) => fromHash(hash, input.bundle);
        return {
          links: [plain, own, photo].map((state) => toHash(state, input.bundle)),
          left: [plain, own, photo].map(leftOut),
          back: read(toHash(own, input.bundle)),
          asked: read("#seed=3&of=Smiling,-Male,Nose").base,
          foreign: read("#seed=1&model=4.abcdee").foreign,
          older: ["3.abcdef", "123456"].map((model) => read(`#seed=1&Smiling=1.2&model=${model}`)),
          newer: read("#seed=1&Smiling=1.2&model=5.abcdef"),
          empty: read(""),
          hostile: read(
            "#seed=99999999999&Smiling=1e9&Male=NaN&__proto__=1&mix=-4&with=preset3"
              + "&lock=Smiling,x,,constructor&Nose=2",
          ),
        };
        """,
        {"share.js": "toHash, fromHash, leftOut"},
        bundle=bundle,
    )
    link = "#seed=42&Smiling=1.2&lock=Male&with=preset3&mix=0.25&model=4.abcdef"
    assert result["links"] == [link, link, "#Smiling=1.2&lock=Male&model=4.abcdef"]
    assert result["left"] == [[], ["sliders of your own"], ["the photograph", "the morph to a photograph"]]
    assert result["back"] == {
        "base": {"kind": "seed", "seed": 42},
        "other": {"kind": "preset", "index": 3},
        "mix": 0.25,
        "strengths": {"Smiling": 1.2},
        "locked": ["Male"],
        "foreign": False,
        "older": False,
    }
    assert result["asked"] == {"kind": "seed", "seed": 3, "labels": {"Smiling": 1, "Male": -1}}
    assert result["foreign"] is True
    assert all(one["older"] is True and one["strengths"] == {} for one in result["older"])
    assert result["newer"]["older"] is False and result["newer"]["strengths"] == {"Smiling": 1.2}
    assert result["hostile"] == {
        "base": None,
        "other": {"kind": "preset", "index": 3},
        "mix": 0,
        "strengths": {"Smiling": 2},
        "locked": ["Smiling"],
        "foreign": False,
        "older": False,
    }
    assert result["empty"] == {
        "base": None,
        "other": None,
        "mix": 0,
        "strengths": {},
        "locked": [],
        "foreign": False,
        "older": False,
    }


def test_numbers_are_read_as_people_type_them():
    texts = ["1.5", " +2 ", "\N{MINUS SIGN}0,25", "-.5", "\N{EN DASH}1", "", "abc", "1e9", "--1", "1.2.3"]
    numbers = node("return input.texts.map(typed);", {"sliders.js": "typed"}, texts=texts)
    assert numbers == [1.5, 2, -0.25, -0.5, -1, None, None, None, None, None]


def test_a_photograph_is_kept_while_a_step_leads_to_it_and_its_pixels_while_it_is_shown():
    kept = node(
        """
        const session = new Session({ bundle: { byName: new Map() } });
        const photo = () => ({ pixels: true, release() { this.pixels = false; } });
        const [a, b] = [photo(), photo()];
        const bases = [a, b, a].map((one, i) => session.addPhoto(one, { code: i }));
        const states = bases.map((base) => ({ ...START, base }));
        const seen = () => [bases.map((base) => session.photoOf(base) !== undefined), a.pixels, b.pixels];
        session.own.set("own:1", {});
        session.keep([...states, { ...START, own: ["own:1"] }], states[2]);
        const first = [seen(), session.own.has("own:1")];
        session.keep(states.slice(1), { ...START, other: bases[1] });
        return [first, [seen(), session.own.has("own:1")]];
        """,
        {"session.js": "Session, START"},
    )
    assert kept == [[[[True, True, True], True, False], True], [[[False, True, True], False, False], False]]


def test_undo_and_redo():
    """A drag is one step from where it began; a step back and another change forget what was undone; equal
    states are no step.
    """
    steps = node(
        """
        const history = new History({ v: 0 });
        history.now = { v: 5 }; history.commit({ v: 6 }, { v: 0 });
        history.commit({ v: 6 });
        history.commit({ v: 7 });
        const seen = [history.now.v];
        history.goTo(1); seen.push(history.now.v);
        history.goTo(0); seen.push(history.now.v, history.canUndo);
        history.goTo(1); seen.push(history.now.v, history.canRedo);
        const { states, place } = history.all;
        seen.push(states.map(({ v }) => v).join(), place);
        history.commit({ v: 9 }); seen.push(history.canRedo);
        for (let v = 0; v < 300; v++) history.commit({ v: 10 + v });
        seen.push(history.all.states.length);
        return seen;
        """,
        {"session.js": "History"},
    )
    assert steps == [7, 6, 0, False, 6, True, "0,6,7", 1, False, 101]


def test_a_drag_hurries_when_three_pictures_came_late_until_it_ends():
    """50 ms are not late; one or two late ones, as of a machine busy for a moment, change nothing."""
    seen = node(
        """
        const pace = new Pace();
        const after = (times) => { for (const time of times) pace.took(time); return pace.hurries; };
        const found = [after([50, 12, 50]), after([51, 400]), after([30]), after([51]), after([10])];
        pace.end();
        return [...found, pace.hurries];
        """,
        {"queue.js": "Pace"},
    )
    assert seen == [False, False, False, True, True, False]


def test_the_first_picture_is_asked_for_before_the_program():
    """Its bytes are few, and on a slow line they would come after all of the page's program."""
    page = (JS.parent / "index.html").read_text(encoding="utf-8")
    asked = page.index('<link rel="preload" href="export/first.png" as="image" fetchpriority="high">')
    assert asked < page.index('rel="stylesheet"') < page.index("modulepreload")
    assert 'src="export/first.png" fetchpriority="high"' in page
