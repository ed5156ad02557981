"""An export folder (web/API.md) with a model that needs no training: principal components of drawn faces, as
two ONNX files of one product each.

A linear model keeps the two backends honest: what the page shows can be computed in NumPy to the last
rounding.
"""

import base64
import hashlib
import io
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw
from safetensors.numpy import save_file

SIZE = 64
ATTRIBUTES = {  # name: label, group, judgemental, telling
    "Smiling": ("Smile", "Expression", False, True),
    "Mouth_Slightly_Open": ("Mouth open", "Expression", False, True),
    "Eyeglasses": ("Glasses", "Accessories", False, True),
    "Wearing_Hat": ("Hat", "Accessories", False, True),
    "Black_Hair": ("Black hair", "Hair", False, True),
    "Long_Hair": ("Long hair", "Hair", False, False),
    "Pale_Skin": ("Pale skin", "Face", True, False),
    "Male": ("Male", "Face", True, False),
}


def draw(labels: dict[str, bool], rng: np.random.Generator) -> np.ndarray:
    """One face, uint8 (SIZE, SIZE, 3): drawn four times as large where CelebA's 148-pixel crop has its eyes
    and mouth, and averaged down.
    """
    k = 4 * SIZE / 64
    picture = Image.new("RGB", (4 * SIZE, 4 * SIZE), tuple(int(v) for v in rng.integers(90, 230, 3)))
    pen = ImageDraw.Draw(picture)

    def box(x: float, y: float, w: float, h: float) -> list[float]:
        return [(x - w) * k, (y - h) * k, (x + w) * k, (y + h) * k]

    skin = (245, 218, 198) if labels["Pale_Skin"] else (198, 146, 110)
    hair = (
        (38, 32, 30)
        if labels["Black_Hair"]
        else tuple(int(v) for v in (rng.integers(140, 210), rng.integers(100, 140), rng.integers(40, 80)))
    )
    pen.ellipse(box(32, 30, 23, 26), fill=hair)
    if labels["Long_Hair"]:
        pen.rectangle(box(32, 48, 23, 18), fill=hair)
    pen.rectangle(box(32, 60, 7, 8), fill=tuple(int(0.85 * v) for v in skin))
    pen.ellipse(box(32, 36, 19 if labels["Male"] else 17, 25), fill=skin)
    for x in (23.7, 39.9):
        pen.ellipse(box(x, 32.9, 3.4, 2.2), fill=(250, 250, 250))
        pen.ellipse(box(x, 32.9, 1.6, 1.8), fill=(60, 45, 40))
        brow = 1.4 if labels["Male"] else 0.7
        pen.rectangle(box(x, 28, 4, brow), fill=hair)
        if labels["Eyeglasses"]:
            pen.ellipse(box(x, 32.9, 6, 5), outline=(30, 30, 34), width=int(1.2 * k))
    if labels["Eyeglasses"]:
        pen.line([29 * k, 32 * k, 35 * k, 32 * k], fill=(30, 30, 34), width=int(1.2 * k))
    pen.line(
        [32 * k, 36 * k, 30.6 * k, 43 * k, 33 * k, 43 * k],
        fill=tuple(int(0.8 * v) for v in skin),
        width=int(0.8 * k),
    )
    lips = (176, 74, 74)
    if labels["Mouth_Slightly_Open"]:
        pen.ellipse(box(31.8, 51, 5, 2.6), fill=(92, 28, 30), outline=lips, width=int(k))
    if labels["Smiling"]:
        pen.arc(box(31.8, 46.5, 8.5, 6), 20, 160, fill=lips, width=int(1.4 * k))
    elif not labels["Mouth_Slightly_Open"]:
        pen.line([26 * k, 51 * k, 37.6 * k, 51 * k], fill=lips, width=int(1.4 * k))
    if labels["Wearing_Hat"]:
        pen.rectangle(box(32, 10, 18, 10), fill=(70, 84, 120))
        pen.rectangle(box(32, 19, 26, 2.2), fill=(54, 66, 98))
    return np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BOX))


def faces(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Drawn faces (N, SIZE, SIZE, 3) uint8 and their labels (N, A) of True and False, independent coins."""
    rng = np.random.default_rng(seed)
    labels = rng.random((count, len(ATTRIBUTES))) < 0.4
    return np.stack([draw(dict(zip(ATTRIBUTES, row, strict=True)), rng) for row in labels]), labels


def network(path: Path, source: tuple, target: tuple, nodes: list, constants: dict[str, np.ndarray]) -> None:
    """One ONNX file of opset 17 with a batch axis."""
    initial = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info(*source)],
        [helper.make_tensor_value_info(*target)],
        initial,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def write_export(
    folder: Path, images: np.ndarray, labels: np.ndarray, attributes: dict, length: int, presets: int = 8
) -> None:
    """The export of a model that keeps the first `length` principal components of `images` (N, S, S, 3)
    uint8.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = images.shape[1]
    flat = images.reshape(len(images), -1).astype(np.float32)
    middle = flat.mean(0)
    power, mixing = np.linalg.eigh(
        (flat - middle) @ (flat - middle).T
    )  # of few pictures in many pixels: their products are enough
    power = power[: -length - 1 : -1]
    mixing = mixing[:, : -length - 1 : -1]
    axes = (mixing.T @ (flat - middle)) / np.sqrt(power)[:, None]
    scale = np.sqrt(power / len(flat))  # one unit of code: one standard deviation
    to_code = (axes / scale[:, None]).T.astype(np.float32)
    to_pixels = (axes * scale[:, None]).astype(np.float32)
    codes = (flat - middle) @ to_code

    rows = np.array([-1, size * size * 3])
    network(
        folder / "encoder.onnx",
        ("images", TensorProto.UINT8, ["batch", size, size, 3]),
        ("codes", TensorProto.FLOAT, ["batch", length]),
        [
            helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["float", "rows"], ["flat"]),
            helper.make_node("Sub", ["flat", "middle"], ["centred"]),
            helper.make_node("MatMul", ["centred", "matrix"], ["codes"]),
        ],
        {"rows": rows, "middle": middle, "matrix": to_code},
    )
    network(
        folder / "decoder.onnx",
        ("codes", TensorProto.FLOAT, ["batch", length]),
        ("images", TensorProto.FLOAT, ["batch", size, size, 3]),
        [
            helper.make_node("MatMul", ["codes", "matrix"], ["product"]),
            helper.make_node("Add", ["product", "middle"], ["flat"]),
            helper.make_node("Clip", ["flat", "black", "white"], ["clipped"]),
            helper.make_node("Reshape", ["clipped", "picture"], ["images"]),
        ],
        {
            "matrix": to_pixels,
            "middle": middle,
            "black": np.float32(0),
            "white": np.float32(255),
            "picture": np.array([-1, size, size, 3]),
        },
    )

    difference = np.stack([codes[has].mean(0) - codes[~has].mean(0) for has in labels.T])
    lengths = np.linalg.norm(difference, axis=1)
    directions = difference / lengths[:, None]
    readouts = difference / (lengths / 3)[:, None] ** 2  # -4.5 at one mean, 4.5 at the other
    middles = np.stack([(codes[has].mean(0) + codes[~has].mean(0)) / 2 for has in labels.T])
    centred = codes - codes.mean(0)
    factor = np.linalg.cholesky(centred.T @ centred / len(codes) + 1e-6 * np.eye(length)).T
    nothing = np.zeros(length)
    arrays = {
        "mean": codes.mean(0),
        "std": codes.std(0),
        "directions": directions,
        "readout_normals": readouts,
        "readout_intercepts": -(readouts * middles).sum(1),
        "factor": factor,
        "residual": nothing,
        "presets": codes[:presets],
    }
    stored = {name: np.ascontiguousarray(value, "<f4") for name, value in arrays.items()}
    save_file(stored, folder / "arrays.safetensors")

    def thumbnail(picture: np.ndarray) -> str:
        Image.fromarray(picture).save(buffer := io.BytesIO(), "PNG")
        return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()

    def described(row: int, name: str) -> dict:
        label, group, judgemental, telling = attributes[name]
        return {
            "name": name,
            "label": label,
            "group": group,
            "meaning": "",
            "judgemental": judgemental,
            "telling": telling,
            "length": float(lengths[row]),
            "auroc": 0.97 - 0.03 * row,
            "auroc_low": 0.95 - 0.03 * row,
            "auroc_high": 0.98 - 0.03 * row,
            "positives": int(labels[:, row].sum()),
            "negatives": int((~labels[:, row]).sum()),
        }

    bundle = {
        "format": 5,
        "made_from": {"model": "0" * 64, "vectors": "0" * 64, "flow": "0" * 64},
        "model": {"name": "components", "code_length": length, "size": size, "config": {}},
        "geometry": {
            "frame": [178, 218],
            "template": [[69.745, 111.0], [107.237, 111.0], [88.432, 152.514]],
            "box": [15, 35, 163, 183],
            "size": size,
            "filter": "lanczos",
            "guessed": False,
        },
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for name in ("encoder.onnx", "decoder.onnx", "arrays.safetensors")
            if (data := (folder / name).read_bytes())
        },
        "editor": {
            "kind": "directions",
            "attributes": list(attributes),
            "forms": [],
            "steps": 4,
            "coupling": 0.9,
            "exclusive": [],
            "exhaustive": [],
        },
        "attributes": [described(row, name) for row, name in enumerate(attributes)],
        "groups": list(dict.fromkeys(group for _, group, _, _ in attributes.values())),
        "detail": {"noise": 0.12, "reach": 1},
        "prior": {"source": "train", "temperature": 0.8},
        "presets": [{"label": f"Face {i + 1}", "picture": thumbnail(images[i])} for i in range(presets)],
        "presets_from": "test",
        "data": {
            "source": "drawn",
            "licence": "no rights reserved",
            "redistributable": True,
            "faces": {"train": len(images), "valid": 0, "test": 0},
        },
        "notes": {
            "model": "Principal components of drawn faces: a stand-in that needs no training.",
            "data": "Faces drawn from ellipses.",
            "limits": ["It knows no face but those that ellipses make."],
        },
    }
    (folder / "bundle.json").write_text(json.dumps(bundle, indent=1), encoding="utf-8")
    quality = {
        "made_from": bundle["made_from"],
        "reconstruction": {"psnr": 24.0},
        "error_reduction": dict.fromkeys(attributes),
    }
    (folder / "quality.json").write_text(json.dumps(quality), encoding="utf-8")
