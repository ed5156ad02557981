"""python -m ops.witnesses: fetch the weights of the networks that the stages `measure` and `witness` ask.

The npm package @vladmandic/face-api, in the version and with the checksum of package-lock.json beside this
file; four networks of it, 7 MB, go to FACES_CACHE (by default ~/.cache/facemorph). Where npm is missing,
copy that folder from another machine, or point witness.weights at the package's folder `model`.
"""

import shutil
from pathlib import Path

from faces.core.console import say
from faces.core.files import new_folder
from faces.witnesses import weights
from web import npm

PLACE = Path(__file__).parent
PACKAGE = "@vladmandic/face-api"


def fetch() -> Path:
    """The folder with the weights, fetched by npm where they are not there yet. Raises NoPackages."""
    home = weights.home()
    networks = (*weights.NETWORKS, weights.TINY)
    try:
        weights.digest(home, networks)
    except weights.WitnessError:
        with npm.installed(PLACE) as packages, new_folder(home) as folder:
            source = packages / PACKAGE / "model"
            for network in networks:
                for path in weights.files(source, network):
                    shutil.copy(path, folder)
            shutil.copy(packages / PACKAGE / "LICENSE", folder)
    return home


def main() -> None:
    try:
        say(f"witnesses: {fetch()}")
    except npm.NoPackages as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
