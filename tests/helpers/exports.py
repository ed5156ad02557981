"""A small export by the real stages from a few hundred drawn faces: what tests of the website serve."""

import functools
import io
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from PIL import Image, ImageDraw

import stages.encode
import stages.export
import stages.flow
import stages.vectors
from faces import checkpoints, models, priors
from faces.core.files import write_json
from faces.core.params import read
from faces.data import annotations
from faces.data.crops import Geometry
from faces.export import bundle
from faces.ingest import decode, writer
from faces.nn.device import to_device
from tests.conftest import ROOT
from tests.helpers import measures

FACES = 240
ATTRIBUTES = ("Smiling", "Eyeglasses", "Male")
POINTS = np.array([[69.745, 111.0], [107.237, 111.0], [88.432, 133.0], [73.0, 152.514], [104.0, 152.514]])
GEOMETRY = Geometry(box=(15, 35, 163, 183), size=32, filter="lanczos")
PARAMS = {
    "seed": 1,
    "encode": {"batch": 64, "mirror": False},
    "vectors": {
        **read(ROOT / "params.yaml")["vectors"],
        "estimators": ["mean_difference"],
        "primary": "mean_difference",
        "min_faces": 5,
        "bootstrap": 20,
        "components": 2,
    },
    "flow": {
        **read(ROOT / "params.yaml")["flow"],
        "steps": 100,
        "width": 32,
        "blocks": 1,
        "reports": 1,
        "forms": {"separation": 1.0, "min_faces": 20},
        "compensation": 40,
    },
    "edits": {"primary": "flow"},
    "detail": {"noise": 0.12, "reach": 1},
    "likeness": {"refuse": 0.01, "gradual": 0.1},
    "witness": {"enabled": False, "weights": "", "faces": 20},
    "export": {
        "prior": "train",
        "drawn": 16,
        "temperature": 0.8,
        "rank": 512,
        "telling": 2,
        "telling_auroc": 0.8,
        "presets": 4,
    },
}
PRIOR = priors.Settings(
    fit=160,
    axes=12,
    components=2,
    ridge=0.1,
    temperature=0.8,
    diffusion=0,
    guidance=1.0,
    flow=priors.FlowDraws(guidance=1.5, temperature=0.8),
)
VAE = {
    "code_length": 12,
    "width": 8,
    "encoder_blocks": 0,
    "decoder_blocks": 0,
    "linear_in": 32,
    "linear_out": 16,
    "finish": 0.0,
    "features": 0.0,
    "contrast": 0.0,
    "labels": 0.0,
    "critic": 0.0,
    "critic_share": 0.0,
    "batch": 8,
    "learning_rate": 1.0e-3,
    "betas": [0.9, 0.99],
    "decay": "cosine",
    "clip": 0.0,
}
RECONSTRUCTION = {"psnr": 24.5, "ssim": 0.8}
COUNTERFACTUALS = pd.DataFrame(
    [("partial", "plain", 0.25), ("flow", "plain", 0.625), ("flow", "detail", 0.5)],
    columns=["estimator", "kind", "error_reduction"],
).assign(attribute="Smiling")


def draw(smiling: bool, glasses: bool, male: bool, rng: np.random.Generator) -> Image.Image:
    """A face of few strokes, 178 x 218, its eyes and mouth at POINTS."""
    picture = Image.new("RGB", (178, 218), tuple(rng.integers(60, 220, 3).tolist()))
    pen = ImageDraw.Draw(picture)
    skin = int(rng.integers(170, 240))
    pen.ellipse((38, 60, 138, 196), fill=(skin, skin - 40, skin - 70))
    pen.rectangle((38, 52, 138, 84), fill=(60, 40, 20) if male else (200, 160, 60))
    for x, y in POINTS[:2]:
        pen.ellipse((x - 6, y - 4, x + 6, y + 4), fill="white")
        pen.ellipse((x - 2, y - 3, x + 2, y + 3), fill="black")
        if glasses:
            pen.ellipse((x - 15, y - 13, x + 15, y + 13), outline="black", width=4)
    pen.arc((70, 132, 107, 160), 20, 160, fill=(150, 20, 20), width=5) if smiling else pen.line(
        (73, 152, 104, 152), (150, 20, 20), 5
    )
    grain = rng.normal(0, 12, (218, 178, 3))  # as in photographs: every principal component has some width
    return Image.fromarray(np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8))


@contextmanager
def inside(folder: Path):
    """Stages read params.yaml where they run."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def prepare(root: Path, redistributable: bool = True) -> None:
    """Everything under `root` that the export stage reads: raw, crops, a model that is the faces' principal
    components, latents, vectors, flow.
    """
    rng = np.random.default_rng(7)
    for name in ("raw", "crops", "model"):
        (root / "data" / name).mkdir(parents=True)
    labels = rng.random((FACES, 3)) < 0.5
    members = []
    for number, truth in enumerate(labels, 1):
        buffer = io.BytesIO()
        draw(*truth, rng).save(buffer, "JPEG", quality=95, subsampling=0)
        members.append((f"{number:06d}.jpg", buffer.getvalue()))
    writer.write_images(root / "data/raw/images.zip", members)
    places = pd.DataFrame(np.tile(POINTS.reshape(-1), (FACES, 1)), columns=annotations.LANDMARKS)
    split = ["train"] * 160 + ["valid"] * 20 + ["test"] * 60
    table = pd.concat(
        [
            pd.DataFrame({"name": [name for name, _ in members], "split": split}),
            places,
            pd.DataFrame(labels * 2 - 1, columns=ATTRIBUTES),
        ],
        axis=1,
    )
    writer.write_labels(root / "data/crops/table.parquet", table)
    write_json(
        root / "data/raw/source.json",
        {
            "source": "drawn",
            "description": "Drawn faces",
            "licence": "CC0",
            "redistributable": redistributable,
        },
    )
    write_json(root / "data/crops/geometry.json", GEOMETRY.model_dump(mode="json"))
    images = np.stack([decode.face(content, GEOMETRY) for _, content in members])
    np.save(root / "data/crops/images.npy", images)
    torch.manual_seed(0)
    config = models.config("vae", {"vae": VAE})
    model = models.find("vae").Model(config, GEOMETRY.size).eval()
    model.prepare(to_device(images[:160], torch.device("cpu")))
    checkpoints.save(root / "data/model", "vae", config, GEOMETRY, model)
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS), encoding="utf-8")
    measures.none(root / "data/measures")
    with inside(root):
        stages.encode.main(Path("data/crops"), Path("data/model"), Path("data/latents"))
        stages.vectors.main(
            Path("data/crops"),
            Path("data/latents"),
            Path("data/crops/table.parquet"),
            Path("data/measures"),
            Path("data/vectors"),
        )
        folders = ("crops", "model", "latents", "measures", "flow")
        stages.flow.main(*(Path("data") / name for name in folders))
    codes = np.load(root / "data/latents/latents.npy")
    (root / "data/prior").mkdir()
    priors.Priors.fit(model, codes[:160], codes[160:180], PRIOR, 0, torch.device("cpu")).save(
        root / "data/prior"
    )


def export(root: Path, out: str = "data/export") -> Path:
    """Run the stage; returns its folder."""
    with inside(root):
        paths = (
            "data/crops",
            "data/model",
            "data/latents",
            "data/vectors",
            "data/flow",
            "data/prior",
            "data/measures",
            "data/raw",
            out,
        )
        stages.export.main(*map(Path, paths))
    return root / out


def write_quality(root: Path, path: Path) -> None:
    """quality.json of these figures, as stage `report` writes it."""
    made_from = bundle.made_from(*(root / "data" / name for name in ("model", "vectors", "flow")))
    write_json(path, bundle.quality(RECONSTRUCTION, COUNTERFACTUALS, "flow", made_from, {}))


@functools.cache
def shared() -> Path:
    """The root of one prepared project with its export, made once for all tests of a run."""
    keeper = tempfile.TemporaryDirectory(prefix="facemorph-")
    KEEPERS.append(keeper)
    root = Path(keeper.name)
    prepare(root)
    export(root)
    return root


KEEPERS: list[
    tempfile.TemporaryDirectory
] = []  # a folder is removed when its keeper is: at the end of the run
