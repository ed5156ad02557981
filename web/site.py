"""python -m web.site data/export OUT: write the website as a folder that any plain file server can serve.

in    data/export/           bundle.json, the files that it lists, maybe quality.json
      reports/quality.json   otherwise, if it is there; --quality names another file
out   OUT/                   the page, ort/ (ONNX Runtime for the browser), export/ (the above, face detector)

The page then runs the model in the browser; no Python and no photograph ever reaches the server. Every link
is relative, so OUT may lie under any path.
"""

import argparse
import shutil
from pathlib import Path

from facemorph import BadExport, DetectorMissing
from facemorph.align import detector_file
from facemorph.export import Export, quality
from faces.core.files import new_folder, write_json
from web import npm, ort

PAGE = Path(__file__).parent / "page"
ROOT = '<html lang="en">'


def build(export: Path, out: Path, quality_file: Path | None = None) -> None:
    """Write the site over an earlier one. Raises BadExport, FileExistsError, NoPackages, DetectorMissing."""
    if out.exists() and not (out / "export" / "bundle.json").is_file():
        raise FileExistsError(f"{out} exists and is no site written by this command; name another folder")
    checked = Export(export)
    measured = quality(checked, export / "quality.json", *([quality_file] if quality_file else []))
    detector = detector_file()
    runtime = ort.fetch()
    page = (PAGE / "index.html").read_text(encoding="utf-8")
    if page.count(ROOT) != 1:
        raise ValueError(f"{PAGE / 'index.html'}: expected one {ROOT}")
    with new_folder(out) as folder:
        shutil.copytree(PAGE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("ort"))
        (folder / "index.html").write_text(
            page.replace(ROOT, '<html lang="en" data-backend="local">'), encoding="utf-8"
        )
        shutil.copytree(runtime, folder / "ort")
        (folder / "export").mkdir()
        for name, content in checked.files.items():
            (folder / "export" / name).write_bytes(content)
        write_json(folder / "export" / "quality.json", measured)
        (folder / "export" / "first.png").write_bytes(checked.first_picture)
        shutil.copy(detector, folder / "export" / "yunet.onnx")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m web.site", description="The website as a folder of plain files."
    )
    parser.add_argument("export", type=Path, help="an export folder")
    parser.add_argument("out", type=Path, help="the folder to write")
    parser.add_argument(
        "--quality",
        type=Path,
        default=Path("reports/quality.json"),
        help="measured quality of the model, shown where it is about this export and none lies beside it",
    )
    chosen = parser.parse_args(arguments)
    try:
        build(chosen.export, chosen.out, chosen.quality)
    except (BadExport, FileExistsError, npm.NoPackages, DetectorMissing) as error:
        raise SystemExit(f"error: {error}") from None
    size = sum(path.stat().st_size for path in chosen.out.rglob("*") if path.is_file())
    print(
        f"{chosen.out}: {size / 1e6:.1f} MB; look at it with  "
        f"python -m http.server --directory {chosen.out} --bind 127.0.0.1"
    )


if __name__ == "__main__":
    main()
