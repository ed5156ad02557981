"""Shards of an array on other disks or on a bucket, read from there through a cache on this host.

    python -m ops.shards push data/crops/images.npy s3://bucket/run /disk2/run   each to one of the places
    python -m ops.shards pull data/crops/images.npy                              all of them back

A push writes images.shards.json and then removes the files; `dvc commit -f crop` makes that the stage's
output, so that DVC keeps the list alone. What is at the places stays there after a pull. The environment says
who may: AWS_ACCESS_KEY_ID and so on, AWS_ENDPOINT_URL for a server of one's own (docs/distributed.md).
"""

import argparse
from itertools import cycle
from pathlib import Path

from faces.core.console import say, stop
from faces.core.files import read_json, write_json
from faces.data import shard_cache, sharded_array
from faces.data.shard_cache import ShardError


def push(path: Path, places: list[str]) -> None:
    """Store each shard of the array, in turn, at one of `places`, and leave the list of them. Raises
    ShardError.
    """
    if not path.is_file():
        raise ShardError(f"{path} is not here: nothing to push")
    here = sharded_array.files(path)
    entries = [shard_cache.store(file, place) for file, place in zip(here, cycle(places), strict=False)]
    write_json(shard_cache.list_of(path), {"shards": entries})
    for file in here:
        file.unlink()
    say(f"shards: {len(here)} of {path} are at {', '.join(places)}")


def pull(path: Path) -> None:
    """Bring the shards of a list back beside it. Raises ShardError."""
    listed = shard_cache.list_of(path)
    if not listed.is_file():
        raise ShardError(f"{listed} is not here: nothing to pull")
    for number, entry in enumerate(read_json(listed)["shards"]):
        place = entry["place"] if "://" in entry["place"] else str((listed.parent / entry["place"]).resolve())
        shard_cache.fetch(place, entry["sha256"], sharded_array.path_of(path, number))
    listed.unlink()
    say(f"shards: {path} is here again")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m ops.shards", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("push", "pull"))
    parser.add_argument("array", type=Path, help="the array's first file, such as data/crops/images.npy")
    parser.add_argument("places", nargs="*", help="push: addresses or folders")
    asked = parser.parse_args(arguments)
    if (asked.action == "push") != bool(asked.places):
        parser.error("push takes one place or more, pull takes none")
    try:
        if asked.action == "push":
            push(asked.array, asked.places)
        else:
            pull(asked.array)
    except (ShardError, OSError) as error:
        raise stop(error) from None


if __name__ == "__main__":
    main()
