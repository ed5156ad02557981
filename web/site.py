"""python -m web.site data/export OUT: write the website as a folder that any plain file server can serve.

in    data/export/   bundle.json, arrays.bin, encoder.onnx, decoder.onnx
out   OUT/           the page, ort/ (the browser's ONNX Runtime), export/ (the above and the face detector)

The page then runs the model in the browser; no Python and no photograph ever reaches the server. Every link is relative, so OUT may lie under any path.
"""

import shutil
import sys
from pathlib import Path

from faces.core.files import new_folder
from web import align, npm, ort

PAGE = Path(__file__).parent / "page"
EXPORT = ("bundle.json", "arrays.bin", "encoder.onnx", "decoder.onnx")
ROOT = '<html lang="en">'


def build(export: Path, out: Path) -> None:
    """Write the site, in place of an earlier one. Raises FileNotFoundError naming what the export lacks, FileExistsError, NoPackages, DetectorMissing."""
    if out.exists() and not (out / "export" / "bundle.json").is_file():
        raise FileExistsError(f"{out} exists and is no site written by this command; name another folder")
    for name in EXPORT:
        if not (export / name).is_file():
            raise FileNotFoundError(f"{export / name} is missing; dvc repro export")
    detector, runtime = align.detector_file(), ort.fetch()
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
        for name in EXPORT:
            shutil.copy(export / name, folder / "export" / name)
        shutil.copy(detector, folder / "export" / "yunet.onnx")


def main(export: Path, out: Path) -> None:
    try:
        build(export, out)
    except (FileNotFoundError, FileExistsError, npm.NoPackages, align.DetectorMissing) as error:
        raise SystemExit(f"error: {error}") from None
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(
        f"{out}: {size / 1e6:.1f} MB; look at it with  python -m http.server --directory {out} --bind 127.0.0.1"
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
