"""The stage over forty small faces: what it leaves, what it leaves out, and that it does the same twice."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from faces import checkpoints, models
from faces.core.params import parse
from faces.data.crops import read_geometry
from faces.edits.directions import Directions, components
from faces.edits.editor import LinearEditor
from faces.edits.exclusions import Exclusions
from faces.ingest import writer
from faces.priors import Priors, Settings
from faces.viz.config import Render
from faces.viz.grids import swept
from faces.viz.renderer import Studio
from stages import render
from tests.helpers import measures

ATTRIBUTES = ("Male", "Smiling")
SHOW = {
    "batch": 64,
    "rivals": 2,
    "tile": 32,
    "faces": 2,
    "attributes": ["Smiling?", "Bald?"],
    "strengths": [-1.0, 0.0, 1.0],
    "sigmas": [-1.0, 0.0, 1.0],
    "stepping": "relative",
    "components": 1,
    "native": 1.5,
    "gain": 3.0,
    "samples": 4,
    "asked": [["Smiling?", "-Male"], ["Bald?"]],
    "way": "line",
    "steps": 3,
    "interpolations": [{"name": "two_men", "first": ["Male"], "second": ["Male"]}],
    "animation": {"tile": 32, "frames": 4, "fps": 12, "hold": 600},
    "edits": [
        {"name": "smile", "attribute": "Smiling", "where": ["-Smiling"], "path": [0.0, 2.0]},
        {"name": "bald", "attribute": "Bald?", "where": [], "path": [0.0, 2.0]},
        {"name": "unmarked", "attribute": "Smiling", "where": ["-Hat?"], "path": [0.0, 2.0]},
        {"name": "nobody", "attribute": "Smiling", "where": ["Male", "Smiling"], "path": [0.0, 2.0]},
    ],
    "journeys": [{"name": "away", "first": ["Male"], "second": ["-Male"]}],
    "morphs": {"count": 1, "anchors": 3, "frames": 2},
}
SHEETS = (
    "data_correlation data_faces data_rates reconstructions samples means features_native features_edited "
    "edit_Smiling component_1 between_two_men"
)
FILMS = "smile away morph_1 training"


@pytest.fixture
def project(tmp_path, monkeypatch, params, rng):
    """Doors of all stages before, in a folder that is made the current one. No test face is a smiling man."""
    monkeypatch.chdir(tmp_path)
    folders = [tmp_path / name for name in ("crops", "model", "latents", "prior", "vectors", "flow")]
    for folder in folders:
        folder.mkdir()
    crops, weights, latents, prior, vectors, _ = folders
    folders.append(measures.none(tmp_path / "measures"))
    labels = np.where(rng.random((40, 2)) < 0.5, 1, -1)
    labels[30:] = [[1, -1], [-1, 1]] * 5
    table = pd.DataFrame(
        {"name": [f"{i}.jpg" for i in range(40)], "split": ["train"] * 24 + ["valid"] * 6 + ["test"] * 10}
    )
    writer.write_labels(crops / "table.parquet", table.assign(**dict(zip(ATTRIBUTES, labels.T, strict=True))))
    images = rng.integers(0, 256, (40, 32, 32, 3)).astype(np.uint8)
    np.save(crops / "images.npy", images)
    (crops / "geometry.json").write_text(json.dumps({"box": "square", "size": 32, "filter": "lanczos"}))
    config = models.config("vae", {"vae": {**params["models"]["vae"], "code_length": 16}})
    geometry = read_geometry(crops / "geometry.json")
    checkpoints.save(weights, "vae", config, geometry, models.find("vae").Model(config, 32))
    np.save(weights / "snapshots.npy", images[:12].reshape(3, 4, 32, 32, 3))
    codes = rng.normal(size=(40, 16)).astype(np.float32)
    np.save(latents / "latents.npy", codes)
    model = models.find("vae").Model(config, 32)
    settings = parse(Settings, params["prior"] | {"diffusion": 0, "components": 2})
    Priors.fit(model, codes[:24], codes[24:30], settings, 1, torch.device("cpu")).save(prior)
    np.savez(
        vectors / "vectors.npz",
        attributes=np.array(ATTRIBUTES),
        estimators=np.array(["mean_difference"]),
        vectors=rng.normal(size=(1, 2, 16)).astype(np.float32),
        sigma=np.ones((1, 2), np.float32),
        components=np.eye(2, 16, dtype=np.float32),
        component_sigma=np.array([2.0, 1.0], np.float32),
        mean=np.zeros(16, np.float32),
        std=np.ones(16, np.float32),
        covariance=np.eye(2, dtype=np.float32)[None],
        exclusive=np.zeros((0, 2), np.int8),
        exhaustive=np.zeros((0, 2), np.int8),
    )
    rows = "".join(f"mean_difference,{name},0.9\n" for name in ATTRIBUTES)
    (vectors / "vectors.csv").write_text(f"estimator,attribute,auroc\n{rows}")
    (tmp_path / "params.yaml").write_text(
        yaml.safe_dump(
            {
                "seed": 1,
                "vectors": {"primary": "mean_difference"},
                "edits": {"primary": "directions"},
                "detail": {"noise": 0.1, "reach": 1},
                "render": SHOW,
            }
        )
    )
    return tmp_path, folders


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_render_leaves_every_picture_twice_the_same(project, capfd):
    root, folders = project
    for name in ("first", "second"):
        render.main(*folders, root / name / "grids", root / name / "gifs")
    assert sorted(contents(root / "first/grids")) == sorted(f"{name}.png" for name in SHEETS.split())
    assert sorted(contents(root / "first/gifs")) == sorted(f"{name}.gif" for name in FILMS.split())
    for kind in ("grids", "gifs"):
        assert contents(root / "first" / kind) == contents(root / "second" / kind)
    said = capfd.readouterr().err
    for line in (
        "render: bald is left out: the data have no Bald",
        "render: unmarked is left out: the data have no Hat",
        "render: nobody is left out: no test face is Male, Smiling",
    ):
        assert said.count(line) == 2


def test_a_mistaken_attribute_is_one_line_before_any_work(project):
    root, folders = project
    (root / "params.yaml").write_text((root / "params.yaml").read_text().replace("Smiling?", "Smilling"))
    with pytest.raises(
        SystemExit,
        match=r"error: params\.yaml: render\.attributes = 'Smilling', did you mean 'Smiling'\?; "
        r"allowed: Male, Smiling",
    ):
        render.main(*folders, root / "grids", root / "gifs")
    assert not (root / "grids").exists()


def test_wanted_attributes_are_all_that_the_params_name():
    show = parse(
        render.Params,
        {
            "seed": 1,
            "vectors.primary": "x",
            "edits": {"primary": "flow"},
            "detail": {"noise": 0.1, "reach": 1},
            "render": SHOW,
        },
    )
    assert dict(render.wanted_attributes(show)) == {
        "render.attributes": ("Smiling?", "Bald?"),
        "render.asked": ("Smiling?", "Male", "Bald?"),
        "render.interpolations.two_men": ("Male", "Male"),
        "render.edits.smile": ("Smiling", "Smiling"),
        "render.edits.bald": ("Bald?",),
        "render.edits.unmarked": ("Smiling", "Hat?"),
        "render.edits.nobody": ("Smiling", "Male", "Smiling"),
        "render.journeys.away": ("Male", "Male"),
    }


@pytest.mark.parametrize(
    ("stepping", "landed"), [("relative", [[3.0, 7.0], [-1.0, 3.0]]), ("absolute", [[0.0, 4.0], [0.0, 4.0]])]
)
def test_relative_steps_start_at_the_face_and_absolute_ones_at_the_mean(stepping, landed):
    """Two codes at 5 and 1 along the direction, the mean at 2; strengths -1 and 1 of a sigma of 2."""
    codes = np.array([[5.0, 7.0], [1.0, 8.0]])
    seen = []

    class Studio:
        directions = type("Directions", (), {"mean": np.array([2.0, 0.0])})
        crops = type("Crops", (), {"images": np.zeros((2, 16, 16, 3), np.uint8)})

        def edit(self, rows, steps):
            seen.append(self.codes[rows][:, None] + steps)
            return np.zeros((2, 2, 2, 16, 16, 3), np.uint8)

    Studio.codes = codes
    show = parse(Render, SHOW | {"sigmas": [-1.0, 1.0], "stepping": stepping})
    swept(Studio(), show, np.arange(2), (), np.tile([2.0, 0.0], (2, 1)), "first")
    np.testing.assert_allclose(seen[0][..., 0], landed)
    np.testing.assert_allclose(seen[0][..., 1], [[7.0, 7.0], [8.0, 8.0]])


def test_strength_one_gives_the_attribute_and_minus_one_takes_it(project):
    """a and b shut each other out: where b is, a comes with -b. An unknown a counts as none."""
    vectors = np.eye(2, 3)
    pair = Exclusions(np.array([[1, 1]]), np.zeros((0, 2)))
    directions = Directions(ATTRIBUTES, vectors, np.ones(2), np.zeros(3), np.ones(3), np.eye(2), pair)
    crops = SimpleNamespace(attributes=ATTRIBUTES, labels=np.array([[-1, 1], [-1, -1], [1, -1], [0, 1]]))
    editor = LinearEditor.of(directions)
    studio = Studio(crops, np.zeros((4, 3)), None, None, directions, editor, None, None, 1, 1, 1)
    moved = studio.switched("Male", np.arange(4), np.array([1.0, -1.0, 0.0]))  # (4, 3, D)
    np.testing.assert_array_equal(moved[:, 0], [[1, -1, 0], [1, 0, 0], [1, 0, 0], [1, -1, 0]])
    np.testing.assert_array_equal(moved[:, 1], -moved[:, 0])
    np.testing.assert_array_equal(moved[:, 2], 0)


@pytest.mark.parametrize(("count", "faces"), [(1, [1]), (2, [1, 2]), (3, [0, 1, 2]), (4, [0, 1, 2])])
def test_an_edit_is_shown_on_faces_of_which_it_changes_nothing_else(count, faces):
    """a shuts b and c out. Faces without a: 1 and 2 have neither, 0 has b; as many come as are asked for."""
    labels = np.array([[-1, 1, -1], [-1, -1, -1], [-1, -1, 0], [1, -1, -1]])
    if count == 1:
        labels[2, 1] = 1
    names = ("a", "b", "c")
    shut = Exclusions(np.array([[1, 1, 0], [1, 0, 1]]), np.zeros((0, 3)))
    crops = SimpleNamespace(
        attributes=names,
        labels=labels,
        images=np.zeros((4, 8, 8, 3), np.uint8),
        rows=lambda split: np.arange(4),
    )
    directions = Directions(names, np.eye(3), np.ones(3), np.zeros(3), np.ones(3), np.eye(3), shut)
    model = SimpleNamespace(decode=lambda codes: torch.zeros(len(codes), 3, 8, 8))
    studio = Studio(
        crops,
        np.zeros((4, 3)),
        model,
        torch.device("cpu"),
        directions,
        LinearEditor.of(directions),
        None,
        None,
        8,
        1,
        1,
    )
    chosen = studio.cast("sheet", {"a": -1}, count, edited="a")
    np.testing.assert_array_equal(np.sort(chosen), faces)


def test_components_are_steps_of_one_sigma(project):
    _, folders = project
    np.testing.assert_array_equal(components(folders[4]), np.diag([2.0, 1.0]) @ np.eye(2, 16))
