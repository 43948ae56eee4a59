"""Trees to measure on: seeded, kept between runs, and known by heart so that answers are checked.

A `Plan` is worked out from a seed and a number of files alone. `prepared` writes it to disk once,
with a manifest beside it, and later runs count the files on disk against the plan before use.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fustor_core.errors import FustorError

VERSION = 1  # another generator, another tree: counted up with every change of the plan
SEED = 20_240_601
NAME_BYTES_MIN, NAME_BYTES_MAX = 8, 30
FILES_PER_FOLDER = 100.0
FOLDER_SIGMA = 1.1
BARE_SHARE = 0.08  # directories that hold directories only
DEPTH_MAX = 16
SIZE_MU, SIZE_SIGMA, SIZE_MAX = 9.7, 2.6, 1 << 40  # median 16 KiB, a long tail
EMPTY_SHARE = 0.02
DAY_NS = 86_400 * 10**9
NEWEST_NS = 1_717_200_000 * 10**9  # 2024-06-01; nothing in the tree was modified later
AGE_DAYS_MEAN, AGE_DAYS_MAX = 550.0, 3000.0
# A file whose inode changed less than this ago may still be written: programs look at it again.
COOL_S = 40.0

PARTS = """
    render shot plate comp mesh matte grade track sample genome align reads trial cohort sensor
    station tide wind gauge flux raster tile scene orbit band survey core well fault invoice ledger
    batch order stock route fleet depot model epoch shard token vocab eval loss grad draft report
    memo minutes slides thesis figure table index backup export import audit archive north south
    upper lower final raw proof test clean alpha beta draft2 rev run set group unit box größe été
    niño señal flöde
""".split()
SUFFIXES = """
    exr jpg tif dat csv txt json parquet h5 nc bin log fastq bam vcf png pdf xml gz zst tar mp4 wav
    dpx abc obj usd npy npz pkl md html yaml toml sql db bak tmp cfg lock sha256 idx map
""".split()
SEPARATORS = "_-. "


class AnotherTree(FustorError):
    """A tree on disk is not the one that its plan says."""


@dataclass(slots=True)
class Folder:
    """One directory of the plan.

    Args:
        path: view path, ``/`` for the root. names: of its files, sorted. folders: names of the
        directories in it. mtime_ns: what is set on itself, after its last file.
    """

    path: bytes
    names: list[bytes] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    mtimes_ns: list[int] = field(default_factory=list)
    folders: list[bytes] = field(default_factory=list)
    mtime_ns: int = 0

    def below(self, name: bytes) -> bytes:
        """View path of a name in it."""
        return self.path.rstrip(b"/") + b"/" + name


@dataclass(slots=True)
class Totals:
    """Everything below a directory, itself not counted; `newest_mtime_ns` of its files."""

    files: int = 0
    dirs: int = 0
    bytes: int = 0
    newest_mtime_ns: int | None = None

    def add(self, other: Totals) -> None:
        """Takes the totals of a part in."""
        self.files += other.files
        self.dirs += other.dirs
        self.bytes += other.bytes
        stamps = [n for n in (self.newest_mtime_ns, other.newest_mtime_ns) if n is not None]
        self.newest_mtime_ns = max(stamps, default=None)


class Plan:
    """What a tree holds, directories before those below them.

    Args:
        files: how many. seed: the same seed gives the same tree.
    """

    def __init__(self, files: int, seed: int = SEED) -> None:
        self.seed = seed
        self.folders = list(_folders(files, random.Random(f"{seed}/{files}/{VERSION}")))
        self.totals = self._totals()
        self.whole = self.totals[b"/"]
        names = sum(len(n) for folder in self.folders for n in (*folder.names, *folder.folders))
        self.name_bytes = names / (self.whole.files + self.whole.dirs)

    def __repr__(self) -> str:
        return f"<Plan of {self.whole.files} files in {self.whole.dirs} directories>"

    def paths(self) -> Iterator[tuple[bytes, bytes, int, int]]:
        """Every file: view path, name, size and mtime in ns."""
        for folder in self.folders:
            rows = zip(folder.names, folder.sizes, folder.mtimes_ns, strict=True)
            for name, size, mtime_ns in rows:
                yield folder.below(name), name, size, mtime_ns

    def manifest(self) -> dict[str, object]:
        """What is written beside the tree; the digest covers every path, size and time."""
        digest = hashlib.blake2b(digest_size=16)
        for folder in self.folders:
            digest.update(repr((folder.path, folder.mtime_ns, folder.names)).encode())
            digest.update(repr((folder.sizes, folder.mtimes_ns)).encode())
        return {
            "version": VERSION,
            "seed": self.seed,
            "files": self.whole.files,
            "dirs": self.whole.dirs,
            "bytes": self.whole.bytes,
            "name_bytes_mean": round(self.name_bytes, 2),
            "digest": digest.hexdigest(),
        }

    def _totals(self) -> dict[bytes, Totals]:
        """Of every directory, children first."""
        found: dict[bytes, Totals] = {}
        for folder in reversed(self.folders):
            newest = max(folder.mtimes_ns, default=None)
            total = Totals(len(folder.names), len(folder.folders), sum(folder.sizes), newest)
            for name in folder.folders:
                total.add(found[folder.below(name)])
            found[folder.path] = total
        return found


@dataclass(slots=True)
class Corpus:
    """A plan and the directory that holds it."""

    plan: Plan
    root: Path

    def place(self, path: bytes) -> bytes:
        """Host path of a view path."""
        return os.fsencode(self.root) + (b"" if path == b"/" else path)


def prepared(cache: Path, files: int, seed: int = SEED) -> Corpus:
    """The tree of a plan below the cache folder, written when it is not there.

    Args:
        cache: folder that is kept between runs; on a local file system with sparse files.

    Raises:
        AnotherTree: what is on disk is not the plan; the remedy says what to remove.
    """
    plan = Plan(files, seed)
    place = written(cache, plan)
    manifest = place / "manifest.json"
    if json.loads(manifest.read_text("utf-8")) != plan.manifest():
        raise AnotherTree(f"{place} was made otherwise", remedy=f"remove it: rm -r {place}")
    corpus = Corpus(plan, place / "tree")
    _require_whole(corpus)
    _cool(manifest)
    return corpus


def written(cache: Path, plan: Plan) -> Path:
    """The folder of a plan's tree and manifest; both are made when they are not there."""
    place = cache / f"tree-{plan.whole.files}-{plan.seed}-v{VERSION}"
    if not (place / "manifest.json").exists():
        _write(plan, place)
    return place


def kept(cache: Path) -> set[Path]:
    """The folders of the trees that are there."""
    return set(cache.glob(f"tree-*-v{VERSION}"))


def remove(cache: Path, but: set[Path]) -> None:
    """Takes every tree away again, but for these."""
    for place in kept(cache) - but:
        shutil.rmtree(place)


def _folders(files: int, dice: random.Random) -> Iterator[Folder]:
    """Directories of a random tree with their files, parents first."""
    folders = [Folder(b"/")]
    depths = [0]
    mu = _mu()
    left = files
    while True:
        folder = folders[-1]
        if len(folders) > 1:  # the root of a large tree is rarely full of files
            bare = dice.random() < BARE_SHARE
            count = 0 if bare else round(dice.lognormvariate(mu, FOLDER_SIGMA))
            _fill(folder, min(left, count), dice)
            left -= len(folder.names)
        folder.mtime_ns = max(folder.mtimes_ns, default=NEWEST_NS - dice.randrange(1000 * DAY_NS))
        if left == 0:
            break
        at = dice.randrange(len(folders))
        while depths[at] >= DEPTH_MAX:
            at = dice.randrange(len(folders))
        name = _name(dice, dice.choice(PARTS), "")
        while name in folders[at].folders or name in folders[at].names:
            name = _name(dice, dice.choice(PARTS), "")
        folders[at].folders.append(name)
        folders.append(Folder(folders[at].below(name)))
        depths.append(depths[at] + 1)
    return iter(folders)


def _mu() -> float:
    """Of the log-normal number of files that gives the mean, bare directories counted in."""
    return math.log(FILES_PER_FOLDER / (1 - BARE_SHARE)) - FOLDER_SIGMA**2 / 2


def _fill(folder: Folder, count: int, dice: random.Random) -> None:
    """Gives a directory its files: a numbered series, or names that differ."""
    roll, taken = dice.random, set(folder.folders)
    series = roll() < 0.5
    stem, suffix = dice.choice(PARTS), _suffix(dice)
    newest = NEWEST_NS - int(min(dice.expovariate(1 / AGE_DAYS_MEAN), AGE_DAYS_MAX) * DAY_NS)
    start = dice.randrange(5000)
    files = []
    for number in range(count):
        if series:
            name = f"{stem}_{start + number:06d}.{suffix}".encode()
        else:
            name = _name(dice, PARTS[int(roll() * len(PARTS))], _suffix(dice))
        while name in taken:
            name = _name(dice, stem, suffix)
        taken.add(name)
        size = 0 if roll() < EMPTY_SHARE else int(dice.lognormvariate(SIZE_MU, SIZE_SIGMA))
        age_ns = int(min(dice.expovariate(1 / 30), AGE_DAYS_MAX) * DAY_NS)
        files.append((name, min(size, SIZE_MAX), newest - age_ns))
    files.sort()
    folder.names = [name for name, _, _ in files]
    folder.sizes = [size for _, size, _ in files]
    folder.mtimes_ns = [mtime_ns for _, _, mtime_ns in files]


def _suffix(dice: random.Random) -> str:
    """A few are common, most are rare."""
    return SUFFIXES[int(len(SUFFIXES) * dice.random() ** 2.5)]


def _name(dice: random.Random, stem: str, suffix: str) -> bytes:
    """Parts, a number and a suffix, between the shortest and the longest name."""
    number = str(int(10 ** (1 + 4 * dice.random())))
    tail = (number + (f".{suffix}" if suffix else "")).encode()
    head = stem.encode()
    for _ in range(dice.randrange(3)):
        mark = SEPARATORS[int(dice.random() * len(SEPARATORS))]
        more = head + mark.encode() + PARTS[int(dice.random() * len(PARTS))].encode()
        if len(more) + 1 + len(tail) > NAME_BYTES_MAX:
            break
        head = more
    name = head + b"_" + tail
    return name if len(name) >= NAME_BYTES_MIN else name.rjust(NAME_BYTES_MIN, b"0")


def _write(plan: Plan, place: Path) -> None:
    """Makes the tree beside its place and moves it there when it is whole."""
    print(f"writing a tree of {plan.whole.files:,} files to {place}", file=sys.stderr, flush=True)
    draft = place.with_name(place.name + ".draft")
    if draft.exists():
        shutil.rmtree(draft)
    root = os.fsencode(draft / "tree")
    os.makedirs(root)
    for folder in plan.folders:
        path = root + (b"" if folder.path == b"/" else folder.path)
        at = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        for name in folder.folders:
            os.mkdir(name, 0o755, dir_fd=at)
        rows = zip(folder.names, folder.sizes, folder.mtimes_ns, strict=True)
        for name, size, mtime_ns in rows:
            mode = (0o644, 0o640, 0o600, 0o755)[size % 4]
            file = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode, dir_fd=at)
            os.ftruncate(file, size)
            os.utime(file, ns=(mtime_ns, mtime_ns))
            os.close(file)
        os.utime(at, ns=(folder.mtime_ns, folder.mtime_ns))
        os.close(at)
    (draft / "manifest.json").write_text(json.dumps(plan.manifest(), indent=1), "utf-8")
    draft.rename(place)


def _require_whole(corpus: Corpus) -> None:
    """Counts what is on disk; the walk also warms the kernel's caches."""
    command = ["find", os.fspath(corpus.root), "-mindepth", "1", "-printf", "%y %s\n"]
    files = dirs = size = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE) as walk:
        assert walk.stdout is not None
        for line in walk.stdout:
            if line[:1] == b"f":
                files += 1
                size += int(line[2:])
            else:
                dirs += 1
    whole = corpus.plan.whole
    if (files, dirs, size) != (whole.files, whole.dirs, whole.bytes):
        place = corpus.root.parent
        raise AnotherTree(
            f"{corpus.root} holds {files} files, {dirs} directories, {size} bytes, which is not "
            "what its manifest says",
            remedy=f"remove it: rm -r {place}",
        )


def _cool(manifest: Path) -> None:
    """Waits until no inode of the tree is so young that it counts as being written."""
    left_s = COOL_S - (time.time() - manifest.stat().st_mtime)
    if left_s > 0:
        print(f"the tree is new: waiting {left_s:.0f} s", file=sys.stderr, flush=True)
        time.sleep(left_s)
