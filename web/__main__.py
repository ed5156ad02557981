"""python -m web: serve the page and the API over data/export, to this machine alone unless told otherwise."""

import argparse
import logging
import warnings
from pathlib import Path

import uvicorn

from facemorph import BadExport, DetectorMissing
from web import guard, server
from web.shelf import Shelf

PAGE = Path(__file__).parent / "page"


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m web", description="Serve the face editor.")
    parser.add_argument(
        "--export",
        type=Path,
        default=Path("data/export"),
        help="an export folder, or a JSON file that points to one",
    )
    parser.add_argument(
        "--quality",
        type=Path,
        default=Path("reports/quality.json"),
        help="measured quality of the model, shown where it is about this export and none lies beside it",
    )
    parser.add_argument("--page", type=Path, default=PAGE, help="folder of the page's files")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; anything but this machine needs --allow-host",
    )
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name by which people may call the site; repeatable",
    )
    chosen = parser.parse_args(arguments)
    if not guard.is_local(chosen.host) and not chosen.allow_host:
        parser.error(
            f"--host {chosen.host} opens the site to other machines; say by which name they may call it: "
            "--allow-host faces.example.org"
        )
    return chosen


def main() -> None:
    chosen = options()
    if not (chosen.page / "index.html").is_file():
        raise SystemExit(
            f"error: {chosen.page / 'index.html'} is missing; --page names the folder of the page"
        )
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    warnings.filterwarnings(
        "ignore", module=r"PIL\."
    )  # a broken file is its sender's business, not the log's
    try:
        app = server.create(Shelf(chosen.export, chosen.quality), chosen.page, tuple(chosen.allow_host))
    except (BadExport, DetectorMissing) as error:
        raise SystemExit(f"error: {error}") from None
    name = f"[{chosen.host}]" if ":" in chosen.host else chosen.host
    print(f"http://{name}:{chosen.port}/   (Ctrl-C ends it)", flush=True)
    uvicorn.run(
        app,
        host=chosen.host,
        port=chosen.port,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=20,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=32768,
    )


if __name__ == "__main__":
    main()
