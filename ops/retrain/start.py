"""Start of every job on the served model: the lock, then the ledger and the repository."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.retrain.ledger import Ledger
from ops.retrain.lock import exclusive
from ops.retrain.repository import Repository
from ops.retrain.settings import Settings


def ledger_of(project: Path, settings: Settings) -> Ledger:
    """The ledger of the repository at `project`."""
    return Ledger(project.resolve() / Path(settings.home).expanduser())


@contextmanager
def alone(project: Path, settings: Settings) -> Iterator[tuple[Ledger, Repository]]:
    """Context that keeps other jobs off the repository at `project`. Raises Busy."""
    ledger = ledger_of(project, settings)
    with exclusive(ledger.lock, settings.lock.wait) as lock:
        yield ledger, Repository(project.resolve(), lock, (settings.git.name, settings.git.email))
