"""python -m web.ort: fetch the browser's ONNX Runtime, so that the page can run the model itself.

Three files of the npm package onnxruntime-web, its plain WebAssembly build, in the version and with the checksum of web/package-lock.json, go to web/page/ort/.
The server offers them when they are there; the static site cannot do without.
"""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

WEB = Path(__file__).parent
ORT = WEB / "page" / "ort"
FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


class NoRuntime(RuntimeError):
    """The runtime could not be fetched. The message says why and what to do."""


def pinned() -> str:
    """The version that web/package-lock.json asks for."""
    return json.loads((WEB / "package-lock.json").read_text(encoding="utf-8"))["packages"]["node_modules/onnxruntime-web"]["version"]


def present() -> bool:
    """Whether ORT holds the pinned version, whole."""
    stamp = ORT / "version"
    return stamp.is_file() and stamp.read_text(encoding="utf-8").strip() == pinned() and all((ORT / name).is_file() for name in FILES)


def fetch() -> Path:
    """The folder with the runtime's files, fetched by npm where they are not there yet. Raises NoRuntime."""
    if present():
        return ORT
    npm = shutil.which("npm")
    if npm is None:
        raise NoRuntime("npm is missing; install Node.js 20 or newer (nodejs.org, or your system's package nodejs), then run this again")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(WEB / name, folder)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoRuntime(f"npm ci failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
        package = Path(folder, "node_modules", "onnxruntime-web")
        ORT.mkdir(exist_ok=True)
        for name in FILES:
            shutil.copy(package / "dist" / name, ORT / name)
        (ORT / "version").write_text(pinned() + "\n", encoding="utf-8")
    return ORT


if __name__ == "__main__":
    try:
        print(fetch())
    except NoRuntime as error:
        raise SystemExit(f"error: {error}") from None
