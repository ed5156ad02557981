"""Git, as the job uses it: the project's repository, and the clone in which challengers are trained."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ops.retrain.process import environment

QUIET = (
    "-c",
    "gc.auto=0",
    "-c",
    "maintenance.auto=false",
    "-c",
    "advice.detachedHead=false",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "commit.gpgSign=false",  # nobody is there to unlock a key
    "-c",
    "tag.gpgSign=false",
    "-c",
    "tag.forceSignAnnotated=false",
)
TELLING = ("remote: ", "fatal: ", "error: ", "! [")  # how lines begin in which Git gives its reason
EMPTY = ("error: failed to push some refs", "error: src refspec")  # and do not


class GitError(RuntimeError):
    """Git refused. The message holds the command and Git's own reason, `said` all that it printed."""

    def __init__(self, message: str, said: str = "") -> None:
        super().__init__(message)
        self.said = said


def reason(said: str) -> str:
    """Why Git refused, in one line, from all that it printed: what the server says, then its own errors, else
    its last line.
    """
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(TELLING) and not line.startswith(EMPTY)]
    way_out = [line for line in lines if "safe.directory" in line]
    return "; ".join(dict.fromkeys(telling[:3] + way_out)) or (lines[-1] if lines else "")


@dataclass(frozen=True)
class Repository:
    """A Git repository at `folder`. Its commands hold the job's `lock` while they run; commits and tags are
    by `author` (name, email).
    """

    folder: Path
    lock: int
    author: tuple[str, str]

    def git(self, *arguments: str) -> str:
        """Run one command; what it printed, stripped. Raises GitError."""
        name, email = self.author
        person = {
            f"GIT_{who}_{what}": value
            for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", name), ("EMAIL", email))
        }
        done = subprocess.run(
            ["git", *QUIET, *arguments],
            cwd=self.folder,
            env=_here(self.folder) | person,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            pass_fds=(self.lock,),
            check=False,
        )
        if done.returncode:
            words = reason(done.stderr) or f"exit code {done.returncode}"
            raise GitError(f"git {' '.join(arguments[:3])}: {words}", done.stderr)
        return done.stdout.strip()

    def find(self, revision: str) -> str | None:
        """The commit that `revision` names; None where there is none."""
        try:
            return self.git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        except GitError:
            return None

    def resolve(self, revision: str) -> str:
        """The commit that `revision` names. Raises GitError."""
        if (commit := self.find(revision)) is None:
            raise GitError(
                f"{self.folder}: no revision {revision!r}; "
                "set challenger.base in retrain.yaml to a branch, tag or commit"
            )
        return commit

    def checked_out(self, branch: str) -> bool:
        """Whether some working copy of this repository stands on `branch`."""
        return f"branch refs/heads/{branch}" in self.git("worktree", "list", "--porcelain").splitlines()


def _here(folder: Path) -> dict[str, str]:
    """An environment in which Git works on `folder` or not at all: never on a repository around it, nor on
    one that the environment names.
    """
    clean = {
        name: value
        for name, value in environment().items()
        if name not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR")
    }
    return clean | {"GIT_CEILING_DIRECTORIES": str(folder.resolve().parent), "GIT_TERMINAL_PROMPT": "0"}


def next_version(tags: list[str], model: str) -> str:
    """The version after the highest that is registered: v0.0.1, v0.0.2, ..."""
    found = [re.fullmatch(rf"{re.escape(model)}@v(\d+)\.(\d+)\.(\d+)", tag) for tag in tags]
    major, minor, patch = max(
        (tuple(map(int, match.groups())) for match in found if match), default=(0, 0, 0)
    )
    return f"v{major}.{minor}.{patch + 1}"


def register(repository: Repository, model: str, version: str, commit: str) -> str:
    """Tag `commit` as `version` of `model`, in GTO's format; nothing where that is done. Returns the tag.
    Raises GitError where it names another commit.
    """
    tag = f"{model}@{version}"
    if (there := repository.find(f"refs/tags/{tag}")) is None:
        repository.git("tag", "-a", tag, commit, "-m", f"Registering artifact {model} version {version}")
    elif there != commit:
        raise GitError(f"tag {tag} names {there[:12]}, not {commit[:12]}; remove it if it is not this job's")
    return tag


def assign(repository: Repository, model: str, stage: str, version: str) -> str:
    """Tag the commit of `version` as the one in `stage`, in GTO's format; nothing where it already is.
    Returns the tag.
    """
    commit = repository.resolve(f"refs/tags/{model}@{version}")
    numbers = [
        int(tag.rsplit("#", 1)[1])
        for tag in repository.git("tag", "--list", f"{model}#{stage}#*").split()
        if tag[-1].isdigit()
    ]
    last = max(numbers, default=0)
    if last and repository.resolve(f"refs/tags/{model}#{stage}#{last}") == commit:
        return f"{model}#{stage}#{last}"
    tag = f"{model}#{stage}#{last + 1}"
    repository.git(
        "tag", "-a", tag, commit, "-m", f"Assigning stage {stage} to artifact {model} version {version}"
    )
    return tag
