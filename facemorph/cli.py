"""facemorph: edit photographs, make animations and strips, draw new faces, list attributes; from a shell.

Exit codes: 0 done, 1 something could not be done (one line says what), 2 the command cannot be read.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facemorph.align import DetectorMissing
from facemorph.code_editors import BadValue
from facemorph.export import BadExport
from facemorph.face_editor import Face, FaceEditor, open_editor
from facemorph.gif import enlarge, gif, strip
from facemorph.photos import MARK, BadPhoto, jpeg, png

TROUBLE = (BadExport, BadPhoto, BadValue, DetectorMissing)
PHOTOGRAPHS = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif")
MOST = 5  # changes of the label
LONGEST = 320  # pixels of the longer side of a photograph that is animated
NOTICES = {
    "none": "no face was found, so the middle of the picture was taken",
    "several": "several faces were found, the largest was taken (--face chooses)",
    "turned": "the face looks far to a side",
    "small": "the face is small, so it is coarse",
    "unlike": "this picture is too unlike the faces that the model knows, so no edit of it can be relied on; "
    "take a picture like those that it learnt from, or `facemorph sample`",
}


def change(text: str) -> tuple[str, float]:
    """NAME=STRENGTH of an option."""
    name, equals, number = text.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = float("nan")
    if not (name and equals and abs(value) <= MOST):
        raise argparse.ArgumentTypeError(
            f"{text!r}: write NAME=STRENGTH, from -{MOST} to {MOST}, such as Smiling=1"
        )
    return name, value


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number of an option, from `low` to `high`."""

    def read(text: str) -> int:
        if not (text.isdecimal() and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(f"{text!r}: a whole number from {low} to {high} is needed")
        return int(text)

    return read


SEED = whole(0, 2**32 - 1)


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    of_export = argparse.ArgumentParser(add_help=False)
    group = of_export.add_argument_group("the model")
    group.add_argument(
        "--export",
        default="data/export",
        metavar="PLACE",
        help="an export folder, a JSON file that points to one, or hf://OWNER/NAME; default: data/export",
    )
    group.add_argument(
        "--rev", help="take the export from this Git revision (through DVC) or revision of the hub"
    )

    of_edit = argparse.ArgumentParser(add_help=False)
    group = of_edit.add_argument_group("the edit")
    group.add_argument(
        "-s",
        "--set",
        dest="changes",
        type=change,
        action="append",
        default=[],
        metavar="NAME=STRENGTH",
        help="change an attribute: 1 gives it to a face without, -1 takes it away, more exaggerates; "
        "repeatable. `facemorph attributes` lists the names",
    )
    group.add_argument(
        "--lock", action="append", default=[], metavar="NAME", help="an attribute that is to stay; repeatable"
    )
    group.add_argument(
        "--face",
        type=whole(0, 31),
        metavar="N",
        help="the N-th face of a photograph, the largest is 0 and the default",
    )
    group.add_argument(
        "--drawn",
        action="store_true",
        help="the face as the model draws it, not the photograph with the change in it",
    )

    of_motion = argparse.ArgumentParser(add_help=False)
    of_motion.add_argument(
        "photo",
        type=Path,
        nargs="?",
        metavar="PHOTO",
        help="a JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF or HEIC file",
    )
    of_motion.add_argument("--seed", type=SEED, help="instead of a photograph: the new face of this seed")
    of_motion.add_argument(
        "--to", type=Path, metavar="PHOTO", help="end at the face of another photograph (drawn)"
    )

    outer = argparse.ArgumentParser(
        prog="facemorph",
        description="Edit faces with an exported model.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example:  facemorph edit me.jpg --set Smiling=1 --out smiling.jpg\n"
        "facemorph COMMAND --help says more of a command.",
    )
    commands = outer.add_subparsers(dest="command", required=True, metavar="COMMAND")

    one = command(commands, "edit", "edit a photograph, or every photograph of a folder", of_edit, of_export)
    one.add_argument("photos", type=Path, nargs="+", metavar="PHOTO", help="photographs, or folders of them")
    out(one, "a .jpg or .png file, or a folder for several photographs")

    one = command(commands, "gif", "an animation of an edit, there and back", of_motion, of_edit, of_export)
    one.add_argument("--frames", type=whole(2, 64), default=16, metavar="N", help="one way; default: 16")
    one.add_argument("--fps", type=whole(1, 30), default=20, metavar="N", help="frames a second; default: 20")
    one.add_argument("--once", action="store_true", help="there, and not back")
    out(one, "a .gif file")

    one = command(commands, "strip", "the steps of an edit side by side", of_motion, of_edit, of_export)
    one.add_argument("--frames", type=whole(2, 16), default=7, metavar="N", help="pictures; default: 7")
    out(one, "a .jpg or .png file")

    one = command(commands, "sample", "draw new faces", of_export)
    one.add_argument(
        "--seed", type=SEED, default=1, help="of the first face; one seed is one face; default: 1"
    )
    one.add_argument(
        "--count", type=whole(1, 10000), default=8, metavar="N", help="consecutive seeds; default: 8"
    )
    one.add_argument(
        "--temperature", type=float, metavar="T", help="0 plain to 2 varied; default: the export's"
    )
    out(one, "a .jpg or .png file for all side by side, or a folder")

    for option, words in (("--with", "has"), ("--without", "does not have")):
        one.add_argument(
            option,
            dest=option.removeprefix("--"),
            action="append",
            default=[],
            metavar="NAME",
            help=f"an attribute that the faces {words}; repeatable",
        )

    one = command(commands, "attributes", "list what can be changed", of_export)
    one.add_argument("--json", action="store_true", help="as JSON, for programs")
    return outer


def command(
    commands: Any, name: str, words: str, *parents: argparse.ArgumentParser
) -> argparse.ArgumentParser:
    """A command with its own help."""
    described = f"{words[0].upper()}{words[1:]}."
    return commands.add_parser(name, parents=parents, help=words, description=described)


def out(parser: argparse.ArgumentParser, words: str) -> None:
    """Where the result goes."""
    parser.add_argument("-o", "--out", type=Path, required=True, help=words)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit code."""
    chosen = parser().parse_args(arguments)
    commands = {"edit": edit, "gif": animate, "strip": animate, "sample": sample, "attributes": attributes}
    try:
        return commands[chosen.command](open_editor(chosen.export, chosen.rev), chosen)
    except TROUBLE as error:
        return failed(error)
    except BrokenPipeError:  # whoever reads the output, such as `head`, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return failed(f"{error.filename}: {error.strerror}" if error.filename else error)


def failed(error: object) -> int:
    print(f"error: {error}", file=sys.stderr)
    return 1


def edit(editor: FaceEditor, chosen: argparse.Namespace) -> int:
    """Photographs in, edited photographs out; one that cannot be read is named, and the others are done."""
    inputs = listed(chosen.photos)
    several = len(inputs) > 1 or any(path.is_dir() for path in chosen.photos)
    if several and chosen.out.suffix.lower() in PHOTOGRAPHS:
        raise BadValue(f"--out {chosen.out}: {len(inputs)} photographs need a folder")
    editor.edit(editor.sample(0), dict(chosen.changes), chosen.lock)  # a wrong name is said before any work
    code = 0
    for path in inputs:
        out = chosen.out if chosen.out.suffix else chosen.out / path.with_suffix(".jpg").name
        try:
            face = editor.edit(found(editor, path, chosen), dict(chosen.changes), chosen.lock)
            save(np.asarray(face.image if chosen.drawn else face.photograph), out, editor, inputs)
        except (BadPhoto, BadValue) as error:
            if not several:
                raise
            code = failed(error)
    return code


def listed(paths: list[Path]) -> list[Path]:
    """Photographs, and those of folders, by name. Raises BadValue where there are none or two of a name."""
    found = []
    for path in paths:
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        found += [one for one in inside if one == path or one.suffix.lower() in PHOTOGRAPHS]
    if not found:
        raise BadValue(f"{paths[0]}: no photographs ({', '.join(PHOTOGRAPHS)})")
    names = [path.stem for path in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadValue(
            f"{twice}: several photographs of this name would be written to one file; edit them apart"
        )
    return found


def found(editor: FaceEditor, path: Path, chosen: argparse.Namespace) -> Face:
    """The face of a photograph; what finding it had to say goes to standard error."""
    face = editor.encode(path, chosen.face)
    for notice in face.notices:
        if notice != "several" or chosen.face is None:
            print(f"{path}: {NOTICES[notice]}", file=sys.stderr)
    return face


def animate(editor: FaceEditor, chosen: argparse.Namespace) -> int:
    """A GIF, or a strip, from a face to its edit or to another face."""
    if (chosen.photo is None) == (chosen.seed is None):
        raise BadValue("PHOTO or --seed: one of the two is needed")
    start = editor.sample(chosen.seed) if chosen.photo is None else found(editor, chosen.photo, chosen)
    drawn = chosen.drawn or chosen.to is not None or chosen.photo is None
    faces = moved(editor, start, chosen)
    frames = [frame(face, drawn) for face in faces]
    inputs = [path for path in (chosen.photo, chosen.to) if path is not None]
    if chosen.command == "strip":
        save(strip(frames), chosen.out, editor, inputs)
        return 0
    if chosen.out.suffix.lower() != ".gif":
        raise BadValue(f"--out {chosen.out}: a .gif file is needed")
    back = [] if chosen.once else frames[-2:0:-1]
    write(gif(frames + back, chosen.fps, MARK + editor.export.id), chosen.out, inputs)
    return 0


def moved(editor: FaceEditor, start: Face, chosen: argparse.Namespace) -> list[Face]:
    """The faces of an animation: sliders that move, or the way to another photograph's face."""
    times = np.linspace(0, 1, chosen.frames)
    changes = dict(chosen.changes)
    if chosen.to is None:
        return [
            editor.edit(start, {name: t * value for name, value in changes.items()}, chosen.lock)
            for t in times
        ]
    goal = editor.edit(found(editor, chosen.to, chosen), changes, chosen.lock)
    return [editor.between(start, goal, t) for t in times]


def frame(face: Face, drawn: bool) -> np.ndarray:
    """A frame uint8 (h, w, 3) of about LONGEST pixels: the drawn face enlarged, or the photograph reduced."""
    if drawn:
        picture = np.asarray(face.image)
        return enlarge(picture, max(1, LONGEST // len(picture)))
    photograph = face.photograph
    photograph.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return np.asarray(photograph)


def sample(editor: FaceEditor, chosen: argparse.Namespace) -> int:
    """New faces of consecutive seeds."""
    if chosen.temperature is not None and not 0 <= chosen.temperature <= 2:
        raise BadValue(f"--temperature {chosen.temperature}: 0 to 2 are allowed")
    wanted = {name: 1.0 for name in vars(chosen)["with"]} | {name: -1.0 for name in chosen.without}
    faces = {
        seed: np.asarray(editor.sample(seed, chosen.temperature, wanted).image)
        for seed in range(chosen.seed, chosen.seed + chosen.count)
    }
    if chosen.out.suffix:
        save(strip(list(faces.values())), chosen.out, editor, [])
    else:
        for seed, picture in faces.items():
            save(picture, chosen.out / f"{seed}.png", editor, [])
    return 0


def attributes(editor: FaceEditor, chosen: argparse.Namespace) -> int:
    """The table of attributes on standard output."""
    if chosen.json:
        rows = [vars(attribute) for attribute in editor.attributes]
        print(json.dumps(rows, indent=2))
        return 0
    width = max(len(attribute.name) for attribute in editor.attributes)
    print(f"{'name':<{width}}  AUROC  label")
    for attribute in editor.attributes:
        auroc = "    -" if attribute.auroc is None else f"{attribute.auroc:.3f}"
        print(f"{attribute.name:<{width}}  {auroc}  {attribute.label}")
    return 0


def save(picture: np.ndarray, path: Path, editor: FaceEditor, inputs: list[Path]) -> None:
    """Write a picture uint8 (h, w, 3) as PNG or JPEG. Raises BadValue."""
    note = MARK + editor.export.id
    kind = path.suffix.lower()
    if kind not in (".png", ".jpg", ".jpeg"):
        raise BadValue(f"--out {path}: a .jpg or .png file is needed")
    write(png(picture, note) if kind == ".png" else jpeg(picture, note), path, inputs)


def write(content: bytes, path: Path, inputs: list[Path]) -> None:
    """Write a file and its folder. Raises BadValue where that would replace an input."""
    if any(path.resolve() == one.resolve() for one in inputs):
        raise BadValue(f"--out {path}: is the photograph itself; name another file")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    print(path)
