"""Two people side by side in one picture."""

from dataclasses import replace
from typing import Any

import numpy as np

from onephoto.world import phrases
from onephoto.world.captions import Scenery, features_of, scene_phrase, subject
from onephoto.world.drawing import Figure
from onephoto.world.dressing import figure_of, pose_of
from onephoto.world.figure import shape
from onephoto.world.people import Person
from onephoto.world.picture import (
    SMALL,
    THINNED,
    WALLS,
    Floats,
    Picture,
    aimed,
    exposure,
    facts_of,
    light_for,
    photograph,
    seen_in,
)
from onephoto.world.points import on_picture, points_of
from onephoto.world.scenes import backdrop
from onephoto.world.shots import Shot, sample_shot

Two = tuple[Person, Person]
Shots = tuple[Shot, Shot]

APART, BEHIND = 1.95, 0.3
"""How far each stands from the middle, and the second behind the first (decimetres)."""
EVENED = 0.6
"""Share of their difference in height that is taken away, so that both faces fit."""
HEIGHT, LOWERED = 6.1, 0.75
"""What the picture shows from bottom to top, and how far its middle lies below the heads (decimetres)."""
SCENE_SAID, FEATURE_SAID = 0.7, 0.35
"""How often a caption speaks of the scene, and of each person's features."""


def sample_pair(rng: np.random.Generator, people: Two, **fixed: Any) -> Shots:
    """Shots of two people in one place, the first on the left: arms down, nothing held; fields can be fixed."""
    free = {"view": "upper", "held": None, "seated": None, "arms": "down", "hair": None, "age": None, "beard": None}
    first = sample_shot(rng, people[0], **(free | fixed))
    camera = (0.5 * first.camera[0], first.camera[1])
    shared = {"scene": first.scene, "camera": camera}
    second = sample_shot(rng, people[1], **(free | fixed | shared))
    return replace(first, camera=camera), second


def _placed(figure: Figure, offset: Floats) -> Figure:
    """The figure somewhere else."""
    return replace(
        figure,
        mesh=replace(figure.mesh, positions=figure.mesh.positions + offset),
        strands=replace(figure.strands, points=figure.strands.points + offset),
        head_center=figure.head_center + offset,
    )


def _figure(person: Person, shot: Shot, *, every: int) -> tuple[Figure, Floats, Floats]:
    """One of the two, the middle of their head (3,), and their points (P,3)."""
    shaped = shape(person)
    figure = pose_of(shaped, shot, np.random.default_rng([shot.seed, 1]))
    dressed = figure_of(shaped, figure, shot, rng=np.random.default_rng([shot.seed, 2]), every=every)
    return dressed, figure.head(shaped.landmarks.head_box.mean(0)), points_of(figure)


def _side_by_side(stand: list[tuple[Figure, Floats, Floats]]) -> tuple[list[Figure], Floats, list[Floats]]:
    """Both figures where they stand, the point (3,) between their heads, and the points of each."""
    offsets = np.array([[-APART, 0, 0], [APART, 0, -BEHIND]], np.float32)
    heads = np.stack([head for _, head, _ in stand])
    offsets[:, 1] = EVENED * (heads[:, 1].mean() - heads[:, 1])
    figures = [_placed(figure, offset) for (figure, _, _), offset in zip(stand, offsets, strict=True)]
    points = [own + offset for (_, _, own), offset in zip(stand, offsets, strict=True)]
    return figures, (heads + offsets).mean(0), points


def pair_caption(people: Two, shots: Shots, scenery: Scenery, rng: np.random.Generator) -> str:
    """One caption of a picture of two people."""
    shared = {thing.kind for thing in shots[0].worn} & {thing.kind for thing in shots[1].worn}
    seen = replace(scenery, visible=scenery.visible - shared - {"eyes"})
    words = []
    for person, shot in zip(people, shots, strict=True):
        said = features_of(shot, seen, rng, 1) if rng.random() < FEATURE_SAID else []
        words.append(" ".join([subject(person, shot, seen, rng, detail="scene"), *said]))
    both = str(rng.choice(phrases.PAIRS[:-1])).format(left=words[0], right=words[1])
    if all(person.name is None for person in people) and rng.random() < 0.2:
        both = phrases.PAIRS[-1]
    opening = str(rng.choice(phrases.OPENINGS)).format(who=both)
    return " ".join([opening, scene_phrase(shots[0], scenery, rng)]) if rng.random() < SCENE_SAID else opening


def take_pair(people: Two, shots: Shots, *, size: int = 128, supersample: int = 2) -> Picture:
    """Take a picture of two people, the first on the left; scene, camera and seed are those of the first shot.

    The facts are the first person's, with the second's under "beside"; things are those that the id map shows.
    """
    scene_rng, word_rng = np.random.default_rng([shots[0].seed, 0]), np.random.default_rng([shots[0].seed, 4])
    pixels = size * supersample
    place = backdrop(shots[0].scene, scene_rng, pixels)
    every = THINNED["upper"] if size <= SMALL else 1
    stand = [_figure(person, shot, every=every) for person, shot in zip(people, shots, strict=True)]
    figures, between, points = _side_by_side(stand)
    camera = aimed(between - np.array([0, LOWERED, 0]), shots[0].camera, height=HEIGHT, size=pixels)
    factor = float(np.mean([exposure(place.light, shots[0].scene, person) for person in people]))
    image, ids, depth = photograph(
        figures,
        place,
        light_for(place.light, shots[0].camera[0], factor),
        camera,
        supersample=supersample,
        wall=shots[0].scene in WALLS,
    )
    scenery = Scenery(seen_in(ids), place.colour)
    first, second = (facts_of(person, shot, scenery) for person, shot in zip(people, shots, strict=True))
    strangers = (replace(people[0], name=None), replace(people[1], name=None))
    said = [pair_caption(who, shots, scenery, word_rng) for who in (*[people] * 4, strangers)]
    where = tuple(on_picture(own, camera, depth, supersample) for own in points)
    return Picture(image, ids, depth, said[0], tuple(said[1:]), first | {"beside": second}, where)
