"""Render many pictures into a folder of shards: pixels as .npy, captions and facts as one JSON line a picture, and,
if wanted, maps of depth and pose.
"""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from onephoto.errors import WorldError
from onephoto.world.maps import maps_of
from onephoto.world.names import SOMEBODY
from onephoto.world.pair import sample_pair, take_pair
from onephoto.world.people import Person, person
from onephoto.world.picture import Picture, take_picture
from onephoto.world.shots import sample_shot
from onephoto.world.thing_picture import sample_view, take_thing
from onephoto.world.things import KINDS, thing

SHARD = 512
"""About how many pictures lie in a shard; a person's pictures always lie in one."""
PERSON = "person"
MAPS = "maps"
"""Folder, within that of the pictures, of `maps.maps_of` of each picture."""
THING_STREAM = 7
"""Sets the random numbers of things apart, so that people's pictures stay as they are whatever share shows things."""
SINGLE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Shard:
    """Seeds of one shard and how their people or things are taken; its number orders and names it.

    `subject` is PERSON or a kind of thing; `things` is the share of people's pictures that show a thing instead;
    people without a name are called SOMEBODY if `called`.
    """

    number: int
    people: range
    shots_per_person: int
    size: int
    seed: int
    pairs: float
    things: float = 0.0
    subject: str = PERSON
    called: bool = False

    def paths(self, folder: Path) -> tuple[Path, Path]:
        """The shard's files: pixels and records."""
        stem = folder / f"{self.number:05d}"
        return stem.with_suffix(".npy"), stem.with_suffix(".jsonl")

    def maps_path(self, folder: Path) -> Path:
        """The shard's maps."""
        return folder / MAPS / f"{self.number:05d}.npy"


def shards_of(
    people: range, shots_per_person: int, *, size: int, seed: int, pairs: float = 0.0, things: float = 0.0,
    subject: str = PERSON, called: bool = False,
) -> list[Shard]:  # fmt: skip
    """Divide seeds into shards, independently of who renders them."""
    each = max(1, SHARD // shots_per_person)
    starts = range(0, len(people), each)
    return [
        Shard(k, people[first : first + each], shots_per_person, size, seed, pairs, things, subject, called)
        for k, first in enumerate(starts)
    ]


def pictures_of(shard: Shard) -> Iterator[Picture]:
    """The pictures of a shard; each depends on the shard's settings, the person and its own number alone."""
    for seed in shard.people:
        for number in range(shard.shots_per_person):
            rng = np.random.default_rng([shard.seed, seed, number, THING_STREAM])
            if shard.subject != PERSON:
                yield picture_of_thing(shard.subject, seed, rng, size=shard.size)
            elif shard.things and rng.random() < shard.things:
                yield picture_of_thing(str(rng.choice(list(KINDS))), seed, rng, size=shard.size)
            else:
                yield _picture(shard, seed, np.random.default_rng([shard.seed, seed, number]))


def picture_of_thing(kind: str, seed: int, rng: np.random.Generator, *, size: int) -> Picture:
    """A random picture of the thing of a kind and seed."""
    one = thing(kind, seed)
    return take_thing(one, sample_view(rng, one), size=size)


def _picture(shard: Shard, seed: int, rng: np.random.Generator) -> Picture:
    """A picture of one person, or of them and somebody else of the shard."""
    somebody = _person(shard, seed)
    if len(shard.people) > 1 and rng.random() < shard.pairs:
        other = _person(shard, int(rng.choice([s for s in shard.people if s != seed])))
        both = (somebody, other) if rng.random() < 0.5 else (other, somebody)
        return take_pair(both, sample_pair(rng, both), size=shard.size)
    return take_picture(somebody, sample_shot(rng, somebody), size=shard.size)


def _person(shard: Shard, seed: int) -> Person:
    """Somebody as captions call them."""
    one = person(seed)
    return replace(one, name=SOMEBODY) if shard.called and one.name is None else one


def record(picture: Picture) -> dict[str, Any]:
    """What is written beside a picture: its captions and the facts."""
    return {"captions": list(picture.captions), "facts": picture.facts}


def write_shard(shard: Shard, folder: Path, *, maps: bool = False) -> int:
    """Render a shard unless it is there; files appear only when they are whole. Returns the number of pictures.

    Maps may be added to pictures that are there, if this version renders the same ones; else raises WorldError.
    """
    pixels, records = shard.paths(folder)
    whole = pixels.exists() and records.exists()
    count = len(shard.people) * shard.shots_per_person
    if whole and not (maps and not shard.maps_path(folder).exists()):
        return count
    images = np.empty((count, shard.size, shard.size, 3), np.uint8)
    hints = np.empty((count if maps else 0, shard.size, shard.size, 4), np.uint8)
    lines = []
    for row, picture in enumerate(pictures_of(shard)):
        images[row] = picture.image
        lines.append(json.dumps(record(picture), separators=(",", ":")))
        if maps:
            hints[row] = maps_of(picture)
    if whole and not np.array_equal(np.load(pixels, mmap_mode="r"), images):
        raise WorldError(f"{pixels}: rendered by another version, so maps would not fit; choose another folder")
    if maps:
        _write_array(shard.maps_path(folder), hints)
    if not whole:
        _write_records(records, lines)
        # Records first: whoever sees the pixels may rely on their records, and on maps.
        _write_array(pixels, images)
    return count


def _write_array(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    part = path.with_suffix(".npy.part")
    with part.open("wb") as stream:
        np.save(stream, array)
    os.replace(part, path)


def _write_records(path: Path, lines: list[str]) -> None:
    part = path.with_suffix(".jsonl.part")
    part.write_text("\n".join(lines) + "\n")
    os.replace(part, path)


def _settled(folder: Path, settings: dict[str, Any]) -> None:
    """Write the settings, or refuse a folder that was begun with others."""
    path = folder / "settings.json"
    if not path.exists():
        path.write_text(json.dumps(settings, indent=1) + "\n")
    elif (known := json.loads(path.read_text())) != settings:
        raise WorldError(f"{folder}: begun with other settings ({known}); choose another folder or the same settings")


def render(
    folder: Path | str,
    people: range,
    shots_per_person: int,
    *,
    size: int = 128,
    workers: int = 1,
    seed: int = 0,
    pairs: float = 0.05,
    things: float = 0.0,
    subject: str = PERSON,
    called: bool = False,
    maps: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Render people x shots into a folder and return the number of pictures; finished shards are kept.

    `pairs` is the share of pictures that show somebody else of the shard too, `things` the share that shows a thing in
    place of a person (of the person's seed, and any kind); with a kind as `subject` all are of things of that kind and
    these seeds. `called` calls people without a name SOMEBODY in captions. `maps` adds depth and pose, also to pictures
    that are there. The result is the same for any number of workers. `progress(done, total)` is called after each
    shard.
    Raises WorldError for an empty range, an unknown subject, two people who would both be called SOMEBODY, or a folder
    begun with other settings.
    """
    if not len(people) or shots_per_person < 1:
        raise WorldError("nothing to render: give at least one person and one shot each")
    if subject not in (PERSON, *KINDS):
        raise WorldError(f"no subject {subject!r}; known: {', '.join((PERSON, *KINDS))}")
    if called and pairs:
        raise WorldError(f"two people in a picture cannot both be called {SOMEBODY}; give --pairs 0")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Settings at their defaults are left out, so that folders of earlier versions are gone on with.
    later = ({"things": things} if things else {}) | ({"subject": subject} if subject != PERSON else {})
    later |= {"called": True} if called else {}
    _settled(folder, {"people": [people.start, people.stop, people.step], "shots_per_person": shots_per_person,
                      "size": size, "seed": seed, "pairs": pairs} | later)  # fmt: skip
    shards = shards_of(
        people, shots_per_person, size=size, seed=seed, pairs=pairs, things=things, subject=subject, called=called
    )
    total, done = len(people) * shots_per_person, 0
    for count in _written(shards, folder, workers, maps):
        done += count
        if progress is not None:
            progress(done, total)
    return done


def _written(shards: list[Shard], folder: Path, workers: int, maps: bool) -> Iterator[int]:
    """Number of pictures of each shard as it is finished."""
    if workers <= 1:
        yield from (write_shard(shard, folder, maps=maps) for shard in shards)
        return
    os.environ.update({name: "1" for name in SINGLE_THREAD if name not in os.environ})
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(write_shard, shard, folder, maps=maps) for shard in shards]
        yield from (future.result() for future in as_completed(futures))
