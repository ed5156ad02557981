"""python -m ops.publish FOLDER [--push OWNER/NAME]: the trained model as a folder for the Hugging Face hub.

in    data/model, data/export, data/vectors, data/raw/source.json, reports/metrics.json, reports/quality.json,
      reports/model_card.md, params.yaml
out   FOLDER/   README.md (the model card), config.json, and the files of FILES, with SHA256SUMS over all

Only outputs that fit the code and the params as they stand are taken (dvc status). Nothing is sent without
--push and a token in HF_TOKEN; the hub's client is an extra (pip install huggingface_hub), imported only
then.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from faces.core.files import new_folder, read_json, write_json

FILES = {  # name in the folder -> where it comes from, what it is
    "model.safetensors": ("data/model", "the weights"),
    "model.json": ("data/model", "which network they belong to, and how faces are cut for it"),
    "encoder.onnx": ("data/export", "a face to its code, for use without torch"),
    "decoder.onnx": ("data/export", "a code to a face"),
    "modulation.onnx": ("data/export", "labels to what the flow of codes does with them"),
    "velocity.onnx": ("data/export", "the flow of codes along which edits go"),
    "identity.onnx": ("data/export", "who is still the same person, by a network of face-api's (MIT)"),
    "arrays.safetensors": ("data/export", "directions, readouts of labels, moments and prior of the codes"),
    "bundle.json": ("data/export", "attributes, geometry, hashes: how to use the files of the export"),
    "quality.json": ("reports", "the figures that the website shows"),
    "vectors.npz": ("data/vectors", "the direction of every attribute by every estimator"),
    "vectors.csv": ("data/vectors", "counts, lengths and held-out AUROC of each direction"),
    "metrics.json": ("reports", "every figure of the card and more"),
    "params.yaml": (".", "the params of the run"),
}
# where the flow edits, and where witnesses are asked
NOT_ALWAYS = ("modulation.onnx", "velocity.onnx", "identity.onnx")
KIND = "facemorph"
PLACES = {  # words of the card that are about our folders -> the same about this one
    'Path("data/model")': 'Path(".")',
    'Path("data/vectors")': 'Path(".")',
    "`data/export` holds the same as ONNX files": "The ONNX files, `arrays.safetensors` and "
    "`bundle.json` hold the same",
}


class Refused(ValueError):
    """Publishing is refused. The message says why and what to do."""


def contents(root: Path) -> dict[str, tuple[str, str]]:
    """FILES, as far as this model has them."""
    missing = {name for name in NOT_ALWAYS if not (root / FILES[name][0] / name).is_file()}
    return {name: about for name, about in FILES.items() if name not in missing}


def card(text: str, files: dict[str, tuple[str, str]]) -> str:
    """The hub's README.md, from reports/model_card.md: with a link to the data's licence, other paths, and
    what the `files` are.
    """
    opening, head, body = text.split("---\n", 2)
    if opening:
        raise Refused("reports/model_card.md does not begin with its YAML block; dvc repro report")
    about = yaml.safe_load(head)
    about.pop("datasets", None)  # a name there is a link to a data set of the hub
    about |= {"license_link": "DATA_LICENCE.md", "tags": [*about["tags"], "onnx"]}
    for ours, theirs in PLACES.items():
        body = body.replace(ours, theirs)
    table = "\n".join(f"| `{name}` | {words} |" for name, (_, words) in files.items())
    front = yaml.safe_dump(about, sort_keys=False, allow_unicode=True, width=140)
    return f"---\n{front}---\n{body.rstrip()}\n\n## Files\n\n| file | content |\n|---|---|\n{table}\n"


def licence(source: dict[str, Any]) -> str:
    """DATA_LICENCE.md: where the faces came from and what may be done with them."""
    allowed = (
        "They may be passed on."
        if source.get("redistributable") is True
        else "Nothing says that they may be passed on; none of them is in this folder."
    )
    told = f"{source['description'].rstrip('.')}.\n\n" if source.get("description") else ""
    licence = source["licence"].rstrip(".")
    return f"# The training faces: {source['source']}\n\n{told}Licence: {licence}. {allowed}\n"


def config(root: Path, commit: str) -> dict[str, Any]:
    """config.json: a summary of the model, with the commit and outputs that it comes from."""
    bundle = read_json(root / "data/export/bundle.json")
    params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    return {
        "model_type": f"{KIND}-{bundle['model']['name']}",
        "image_size": bundle["model"]["size"],
        "code_length": bundle["model"]["code_length"],
        "attributes": [entry["name"] for entry in bundle["attributes"]],
        "estimator": params["vectors"]["primary"],
        "commit": commit,
        "dvc_lock_sha256": hashlib.sha256((root / "dvc.lock").read_bytes()).hexdigest(),
    }


def ours(folder: Path) -> bool:
    """Whether a folder was written by this command."""
    return (folder / "config.json").is_file() and read_json(folder / "config.json").get(
        "model_type", ""
    ).startswith(f"{KIND}-")


def prepare(root: Path, out: Path, commit: str) -> None:
    """Write the folder from the outputs under `root`, in place of an earlier one. Raises Refused."""
    if out.exists() and not ours(out):
        raise Refused(f"{out} exists and was not written by this command; name another folder")
    files = contents(root)
    needed = [
        *(f"{place}/{name}" for name, (place, _) in files.items()),
        "data/raw/source.json",
        "reports/model_card.md",
        "dvc.lock",
    ]
    if missing := next((path for path in needed if not (root / path).is_file()), None):
        raise Refused(f"{missing} is missing; dvc repro")
    with new_folder(out) as folder:
        for name, (place, _) in files.items():
            shutil.copyfile(root / place / name, folder / name)
        text = (root / "reports/model_card.md").read_text(encoding="utf-8")
        (folder / "README.md").write_text(card(text, files), encoding="utf-8")
        (folder / "DATA_LICENCE.md").write_text(
            licence(read_json(root / "data/raw/source.json")), encoding="utf-8"
        )
        write_json(folder / "config.json", config(root, commit))
        sums = [
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
            for path in sorted(folder.iterdir())
        ]
        (folder / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


def provenance(root: Path) -> str:
    """The commit, with -dirty where files differ from it. Raises Refused where outputs are out of date."""
    status = [sys.executable, "-m", "dvc", "status", "--json"]
    said = subprocess.run(status, cwd=root, capture_output=True, text=True, check=False)
    if said.returncode or any(why != ["always changed"] for why in json.loads(said.stdout).values()):
        raise Refused(
            "the outputs here are not those of the code and params here; "
            "dvc repro, or dvc checkout (dvc status says more)"
        )
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--match="]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def may_push(source: dict[str, Any], commit: str, token: str | None, allowed: bool) -> str:
    """The token, where nothing forbids sending. Raises Refused. `allowed`: a person has read the licence."""
    if not token:
        raise Refused(
            "--push needs a token with the right to write in HF_TOKEN (huggingface.co/settings/tokens)"
        )
    if commit.endswith("-dirty"):
        raise Refused("what is pushed must be a commit, and files here differ from it; git commit first")
    if source.get("redistributable") is not True and not allowed:
        raise Refused(
            f"the licence of the faces asks for care: {source['licence']!r}. "
            "If it lets a model made from them be passed on, say --licence-allows-it"
        )
    return token


def push(folder: Path, name: str, private: bool, token: str) -> str:
    """Make the hub's repository equal to the folder; its commit's address. Raises Refused."""
    try:
        from huggingface_hub import HfApi  # noqa: PLC0415 (an extra)
    except ImportError:
        raise Refused("huggingface_hub is not installed: pip install huggingface_hub") from None
    api = HfApi(token=token)
    api.create_repo(name, private=private, exist_ok=True)
    commit = read_json(folder / "config.json")["commit"]
    return api.upload_folder(
        repo_id=name, folder_path=folder, commit_message=f"facemorph {commit[:10]}", delete_patterns="*"
    ).commit_url


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ops.publish", description="The trained model as a folder for the Hugging Face hub."
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the folder to write")
    parser.add_argument(
        "--push", metavar="OWNER/NAME", help="send it to this repository of the hub; needs HF_TOKEN"
    )
    parser.add_argument(
        "--private", action="store_true", help="a repository that does not exist yet is made private"
    )
    parser.add_argument(
        "--licence-allows-it",
        action="store_true",
        help="you have read the licence of the faces, and a model made from them may be passed on",
    )
    chosen = parser.parse_args(arguments)
    root = Path.cwd()
    try:
        commit = provenance(root)
        prepare(root, chosen.folder, commit)
        size = sum(path.stat().st_size for path in chosen.folder.iterdir())
        print(f"{chosen.folder}: {size / 1e6:.1f} MB")
        if chosen.push:
            token = may_push(
                read_json(root / "data/raw/source.json"),
                commit,
                os.environ.get("HF_TOKEN"),
                chosen.licence_allows_it,
            )
            print(push(chosen.folder, chosen.push, chosen.private, token))
    except Refused as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
