"""python -m web.ort: fetch the browser's ONNX Runtime, so that the page can run the model itself.

Three files of the npm package onnxruntime-web, its plain WebAssembly build, in the version and with the
checksum of web/package-lock.json, go to web/page/ort/. The server offers them when they are there; the static
site cannot do without.
"""

import shutil
from pathlib import Path

from web import npm

WEB = Path(__file__).parent
ORT = WEB / "page" / "ort"
# In the package -> in the page: many file servers do not know .mjs, and a browser takes no module from them
FILES = {
    "ort.wasm.min.mjs": "ort.wasm.min.js",
    "ort-wasm-simd-threaded.mjs": "ort-wasm-simd-threaded.js",
    "ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
}


def present() -> bool:
    """Whether ORT holds the pinned version, whole."""
    stamp = ORT / "version"
    wanted = npm.pinned(WEB, "onnxruntime-web")
    return (
        stamp.is_file()
        and stamp.read_text(encoding="utf-8").strip() == wanted
        and all((ORT / name).is_file() for name in FILES.values())
    )


def fetch() -> Path:
    """The folder with the runtime's files, fetched by npm where they are not there yet. Raises NoPackages."""
    if present():
        return ORT
    with npm.installed(WEB) as packages:
        ORT.mkdir(exist_ok=True)
        for source, name in FILES.items():
            shutil.copy(packages / "onnxruntime-web" / "dist" / source, ORT / name)
        (ORT / "version").write_text(npm.pinned(WEB, "onnxruntime-web") + "\n", encoding="utf-8")
    return ORT


if __name__ == "__main__":
    try:
        print(fetch())
    except npm.NoPackages as error:
        raise SystemExit(f"error: {error}") from None
