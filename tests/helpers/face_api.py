"""Small weights in the format of face-api's package: a manifest and a file of bytes."""

import json
from pathlib import Path

import numpy as np

from faces.witnesses.networks import Identity


def write(folder: Path, network: str, tensors: dict[str, np.ndarray], quantised: bool = False) -> None:
    """NAME-weights_manifest.json and NAME.bin with tensors by name, as floats or as 8 bits each."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    content = b""
    for name, values in tensors.items():
        entry = {"name": name, "shape": list(values.shape), "dtype": "float32"}
        if quantised:
            low = float(values.min())
            scale = float(values.max() - low) / 255 or 1.0
            entry["quantization"] = {"dtype": "uint8", "scale": scale, "min": low}
            content += np.rint((values - low) / scale).astype(np.uint8).tobytes()
        else:
            content += values.astype(np.float32).tobytes()
        entries.append(entry)
    (folder / f"{network}.bin").write_bytes(content)
    manifest = [{"paths": [f"{network}.bin"], "weights": entries}]
    (folder / f"{network}-weights_manifest.json").write_text(json.dumps(manifest))


def centre(outputs: int, tap: float) -> np.ndarray:
    """A depthwise filter (3, 3, outputs, 1) that multiplies each pixel by `tap`."""
    found = np.zeros((3, 3, outputs, 1), np.float32)
    found[1, 1] = tap
    return found


def trunk(outputs: int, width: int = 3, tap: float = 0.5) -> dict[str, np.ndarray]:
    """Weights of a trunk whose convolutions multiply by `tap`, pixel by pixel, and leave channels apart."""
    first = np.zeros((3, 3, 3, width), np.float32)
    first[1, 1] = np.eye(3, width)
    found = {"dense0/conv0/filters": first, "dense0/conv0/bias": np.zeros(width)}
    for block in range(4):
        for layer in range(4):
            if (block, layer) != (0, 0):
                name = f"dense{block}/conv{layer}"
                found[f"{name}/depthwise_filter"] = centre(width, tap)
                found[f"{name}/pointwise_filter"] = np.eye(width)[None, None]
                found[f"{name}/bias"] = np.zeros(width)
    rng = np.random.default_rng(0)
    return found | {"fc/weights": rng.normal(size=(width, outputs)), "fc/bias": rng.normal(size=outputs)}


def identity(shift: float = 0.0) -> dict[str, np.ndarray]:
    """Weights of an identity network whose stem keeps the three colours and whose branches are zero, but for
    `shift` at the end of the last; its 128 numbers begin with the means of the colours.
    """
    found = {}

    def convolution(name: str, inputs: int, outputs: int, size: int = 3) -> None:
        found[f"{name}/conv/filters"] = np.zeros((size, size, inputs, outputs), np.float32)
        found[f"{name}/conv/bias"] = np.zeros(outputs)
        found[f"{name}/scale/weights"] = np.ones(outputs)
        found[f"{name}/scale/biases"] = np.zeros(outputs)

    convolution("conv32_down", 3, 32, 7)
    found["conv32_down/conv/filters"][3, 3] = np.eye(3, 32)
    before = 32
    for name, blocks in Identity.BLOCKS:
        width = int(name.removeprefix("conv"))
        if name != "conv32":
            convolution(f"{name}_down/conv1", before, width)
            convolution(f"{name}_down/conv2", width, width)
        for number in range(1, blocks + 1):
            convolution(f"{name}_{number}/conv1", width, width)
            convolution(f"{name}_{number}/conv2", width, width)
        before = width
    convolution("conv256_down_out/conv1", 256, 256)
    convolution("conv256_down_out/conv2", 256, 256)
    found["conv256_down_out/conv2/scale/biases"][:] = shift
    return found | {"fc": np.eye(256, 128)}


def package(folder: Path) -> Path:
    """A folder with all three networks."""
    write(folder, "face_expression_model", trunk(7))
    write(folder, "face_landmark_68_model", trunk(136))
    write(folder, "face_recognition_model", identity())
    return folder
