"""The backup tools that are compared: how each is told to do the same work.

A tool gets a `Run`: a folder of its own, fresh in every round. It answers with argument lists and never runs
anything itself; rounds.py does. Every tool encrypts; where it stores is told by stores.py.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass, field

from stores import Local

PASSWORD = "benchmark-only"
IDENTITY = ["--cluster", "bench", "--namespace", "bench", "--plan", "bench"]


@dataclass
class Run:
    """What one tool has to itself in one round."""

    folder: str
    images: list[str]
    store: object = field(default_factory=Local)
    target_folder: str | None = None  # to restore into, if not inside `folder`
    restored: dict[str, str] = field(default_factory=dict)  # image -> where the tool puts it, if it can be told

    @property
    def repo(self):
        return os.path.join(self.folder, "repo")

    @property
    def cache(self):
        return os.path.join(self.folder, "cache")

    @property
    def target(self):
        return self.target_folder or os.path.join(self.folder, "target")


class Tool:
    """What the tools have in common; `images` says which set of images it backs up."""

    label = ""
    program = ""
    images = "one"
    speaks_s3 = False
    memory = None  # the cap on peak resident memory that the tool was given, bytes

    def installed(self):
        """Says whether the tool can run here."""
        return shutil.which(self.program) is not None

    def version(self):
        """Returns the first line of what the tool says about itself."""
        done = subprocess.run(
            [self.program, self.version_argument], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        return (done.stdout.decode(errors="replace").strip().splitlines() or ["?"])[0]

    version_argument = "--version"

    def env(self, run):
        return {}


class Coffer(Tool):
    """Our own program, with one memory cap and over one set of images."""

    version_argument = "version"
    speaks_s3 = True

    def __init__(self, program, memory, images="one"):
        self.program = program
        self.memory = memory
        self.images = images
        self.label = f"coffer {memory >> 20} MiB" + (" x4" if images == "four" else "")

    def env(self, run):
        return run.store.env()

    def _common(self, run, key=True):
        return ["--repo", run.store.coffer(run), *(["--key", os.path.join(run.folder, "team.key")] if key else [])]

    def init(self, run):
        return [self.program, "init", *self._common(run, key=False), "--key-out", os.path.join(run.folder, "team.key")]

    def full(self, run):
        return self._backup(run, "--type", "full")

    def incremental(self, run):
        """The incremental that reads and compares the whole volume."""
        return self._backup(run, "--type", "incremental", "--changes", "hash")

    def incremental_skipping_holes(self, run):
        """The incremental that reads and compares the places where the volume holds data."""
        return self._backup(run, "--type", "incremental", "--changes", "auto")

    def _backup(self, run, *options):
        volumes = [f"{os.path.basename(image)}={image}" for image in run.images]
        memory = ["--memory", f"{self.memory >> 20}MiB"]
        return [
            self.program, "backup", *self._common(run), *IDENTITY, *options, *memory, "--quiet", "--json", *volumes
        ]  # fmt: skip

    def steps(self, image):
        """What the steps of a backup cost on this machine, each by itself."""
        return [self.program, "bench", "cpu", image, "--quiet", "--json"]

    def restore(self, run):
        run.restored = {image: os.path.join(run.target, os.path.basename(image)) for image in run.images}
        volumes = []
        for image, target in run.restored.items():
            volumes += ["--volume", f"{os.path.basename(image)}={target}"]
        return [
            self.program, "restore", *self._common(run), *IDENTITY, "--pick", "latest",
            *volumes, "--memory", f"{self.memory >> 20}MiB", "--quiet", "--json",
        ]  # fmt: skip


class Restic(Tool):
    """restic as it comes."""

    label = program = "restic"
    version_argument = "version"
    speaks_s3 = True

    def env(self, run):
        return {
            "RESTIC_PASSWORD": PASSWORD,
            "RESTIC_REPOSITORY": run.store.restic(run),
            "RESTIC_CACHE_DIR": run.cache,
            **run.store.env(),
        }

    def init(self, run):
        return ["restic", *run.store.restic_options, "init"]

    def full(self, run):
        return ["restic", *run.store.restic_options, "backup", *run.images]

    incremental = full

    def restore(self, run):
        return ["restic", *run.store.restic_options, "restore", "latest", "--target", run.target]


class Rustic(Tool):
    """rustic with blocks of 64 KiB: the strongest peer on devices."""

    label, program = "rustic fixed 64 KiB", "rustic"

    def env(self, run):
        return {
            "RUSTIC_PASSWORD": PASSWORD,
            "RUSTIC_REPOSITORY": run.repo,
            "RUSTIC_CACHE_DIR": run.cache,
            "RUSTIC_NO_PROGRESS": "true",
        }

    def init(self, run):
        return ["rustic", "init", "--set-chunker", "fixed_size", "--set-chunk-size", "64KiB"]

    def full(self, run):
        return ["rustic", "backup", *run.images]

    incremental = full

    def restore(self, run):
        return ["rustic", "restore", "latest", run.target]


class Borg(Tool):
    """borg with blocks of 64 KiB."""

    label, program = "borg fixed 64 KiB", "borg"

    def env(self, run):
        return {
            "BORG_PASSPHRASE": PASSWORD,
            "BORG_REPO": run.repo,
            "BORG_BASE_DIR": run.cache,
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        }

    def init(self, run):
        return ["borg", "init", "-e", "repokey-blake2"]

    def full(self, run):
        return ["borg", "create", "--chunker-params", "fixed,65536", "::{now:%s.%f}", *run.images]

    incremental = full

    def restore(self, run):
        newest = 'cd "$1" && exec borg extract "::$(borg list --last 1 --short)"'
        return ["sh", "-c", newest, "sh", run.target]


class Kopia(Tool):
    """kopia with its shortest fixed blocks, 128 KiB, and s2, the compression of its that is nearest to LZ4; as it comes it does not compress."""

    label, program = "kopia fixed 128 KiB", "kopia"
    speaks_s3 = True

    def env(self, run):
        return {
            "KOPIA_PASSWORD": PASSWORD,
            "KOPIA_CONFIG_PATH": os.path.join(run.cache, "kopia.json"),
            "KOPIA_CACHE_DIRECTORY": os.path.join(run.cache, "kopia"),
            "KOPIA_LOG_DIR": os.path.join(run.cache, "kopia-logs"),
            "KOPIA_CHECK_FOR_UPDATES": "false",
            **run.store.env(),
        }

    def init(self, run):
        create = ["kopia", "repository", "create", *run.store.kopia(run), "--object-splitter", "FIXED-128K"]
        return ["sh", "-c", '"$@" && exec kopia policy set --global --compression s2-default', "sh", *create]

    def full(self, run):
        return ["kopia", "snapshot", "create", "--no-progress", *run.images]

    incremental = full

    def restore(self, run):
        run.restored = {image: os.path.join(run.target, os.path.basename(image)) for image in run.images}
        [(image, target)] = run.restored.items()
        return ["kopia", "restore", "--no-progress", "--snapshot-time", "latest", image, target]


PEERS = {"restic": Restic, "rustic": Rustic, "borg": Borg, "kopia": Kopia}


def coffers(program, memories):
    """Returns our program in every form that is measured."""
    return [Coffer(program, memory, images) for images in ("one", "four") for memory in memories]
