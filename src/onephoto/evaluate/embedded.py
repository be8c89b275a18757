"""How well the embedded model draws what it is asked for, and whom: the numbers of its model card."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from PIL import Image

from onephoto.backbone.load import Backbone
from onephoto.evaluate.control import control_painters, error_ratio, pose_errors, poses
from onephoto.evaluate.facts import shows
from onephoto.evaluate.judge import Judge
from onephoto.evaluate.metrics import area_under_curve
from onephoto.generate.draw import DrawSettings, draw
from onephoto.identity.faces import face_vector
from onephoto.look.sheet import contact_sheet, stacked
from onephoto.world.names import name_of
from onephoto.world.people import DEVELOPMENT, FINAL, person
from onephoto.world.phrases import EXPRESSION_PHRASES, HELD_PHRASES, SCENE_PHRASES, SEAT_PHRASES, WORN_PHRASES
from onephoto.world.picture import take_picture
from onephoto.world.prompts import FACE_PROMPT, Prompt
from onephoto.world.shots import sample_shot

Floats = NDArray[np.float64]
Meet = Callable[[Sequence[Image.Image], int], list[Image.Image]]
"""Learns somebody from pictures and draws their face some times."""
SITTERS = ("a person", "a man", "a woman")
HAIR = (
    *((f"with {colour} hair", {"hair_colour": colour}) for colour in ("black", "blond", "red", "white", "brown")),
    *((f"with {length} hair", {"hair_length": length}) for length in ("short", "long")),
    ("with a bald head", {"hair_length": "bald"}),
)
BEARD = ("with a full black beard", {"beard": "yes"})
FACES = {"view": "head", "worn": (), "held": None, "seated": None, "hair": None, "age": None, "beard": None}
"""Shots in which likeness is measured: head and shoulders, nothing worn, the person's own hair."""
TARGETS = {
    "face found, faces": 0.95, "face found, all": 0.90, "scene right": 0.95, "thing right": 0.85,
    "expression right": 0.80, "hair and beard right": 0.90, "named: AUC": 0.93, "autoencoder: dB": 30.0,
}  # fmt: skip
"""Least values wanted."""
LIMITS = {
    "named: distance against rendered": 1.15, "unseen: distance against rendered": 1.25,
    "autoencoder: distance against rendered": 1.10, "seconds alone": 1.5,
    "seconds in a batch": 0.5, "control: landmark error against without": 0.5,
}  # fmt: skip
"""Largest values wanted."""


@dataclass(frozen=True)
class Probe:
    """A prompt and the kind of fact that it asks for."""

    kind: str
    prompt: Prompt


@dataclass(frozen=True)
class Score:
    """One number of the model: what it is, the value, the value wanted, and over how many pictures it is taken."""

    name: str
    value: float
    wanted: float
    pictures: int

    @property
    def reached(self) -> bool:
        """Whether the value is as wanted."""
        return self.value <= self.wanted if self.name in LIMITS else self.value >= self.wanted


@dataclass(frozen=True)
class Drawn:
    """A picture and what was asked for."""

    probe: Probe
    image: Image.Image


def _plain(phrases: Sequence[str]) -> str:
    """The first phrase that needs no colour."""
    return next(phrase for phrase in phrases if "{" not in phrase)


def probes() -> list[Probe]:
    """Every scene, thing, expression, and some words for hair and beards, once."""
    scenes = [("scene", _plain(p), {"scene": name}) for name, p in SCENE_PHRASES.items()]
    worn = [("thing", f"wearing {_plain(p)}", {"thing": name}) for name, p in WORN_PHRASES.items()]
    held = [("thing", _plain(p), {"thing": name}) for name, p in HELD_PHRASES.items()]
    seat = [("thing", _plain(SEAT_PHRASES), {"thing": "chair"})]
    faces = [("expression", _plain(p), {"expression": name}) for name, p in EXPRESSION_PHRASES.items()]
    hair = [("hair and beard", phrase, facts) for phrase, facts in (*HAIR, BEARD)]
    return [
        Probe(kind, Prompt(f"{FACE_PROMPT if kind == 'expression' else 'a photo of {}'} {phrase}", facts))
        for kind, phrase, facts in (*scenes, *worn, *held, *seat, *faces, *hair)
    ]


def evaluate(
    backbone: Backbone, judge: Judge, *, control: Any = None, meet: Meet | None = None, each: int = 12, named: int = 20,
    unseen: int = 0, seed: int = 0, settings: DrawSettings | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[list[Score], list[Drawn]]:  # fmt: skip
    """All scores, and the pictures of the probes: `each` of every probe and five times as many plain faces.

    named counts people with names, four pictures each; a ControlNet is measured on twice as many poses, if given.
    unseen counts people that the model was not trained on, each learned by `meet`.
    """
    settings = settings or DrawSettings()

    def paint(text: str, first: int, count: int) -> list[Image.Image]:
        progress(text)
        return draw(backbone, text, {}, classes={}, seeds=range(first, first + count), settings=settings)

    faces = paint(FACE_PROMPT.format("a person"), seed, 5 * each)
    drawn = [
        Drawn(probe, image)
        for number, probe in enumerate(probes())
        for who in _sitters(probe)
        for image in paint(probe.prompt(who), seed + 1000 * number, max(1, each // len(_sitters(probe))))
    ]
    scores = [_found("face found, faces", faces), _found("face found, all", [*faces, *(one.image for one in drawn)])]
    scores += fact_scores(judge, drawn)
    scores += named_scores(lambda name, count: paint(FACE_PROMPT.format(name), seed, count), named)
    scores += autoencoder_scores(backbone.pipeline.vae)
    scores += speed_scores(paint)
    if meet is not None and unseen:
        scores.append(unseen_score(meet, unseen, progress=progress))
    if control is not None:
        progress("poses")
        scores.append(control_score(backbone, control, 2 * named, settings))
    return scores, drawn


def _sitters(probe: Probe) -> tuple[str, ...]:
    return ("a man",) if "beard" in probe.prompt.facts else SITTERS


def _score(name: str, value: float, pictures: int) -> Score:
    return Score(name, float(value), (LIMITS | TARGETS)[name], pictures)


def _found(name: str, images: Sequence[Image.Image]) -> Score:
    """The share of pictures in which dlib finds a face."""
    return _score(name, float(np.mean([face_vector(image) is not None for image in images])), len(images))


def fact_scores(judge: Judge, drawn: Sequence[Drawn]) -> Iterator[Score]:
    """By kind, the share of pictures that show what was asked for, as the judge reads them."""
    read = judge.read([one.image for one in drawn])
    right = [shows(one.probe.prompt, facts) for one, facts in zip(drawn, read, strict=True)]
    for kind in dict.fromkeys(one.probe.kind for one in drawn):
        own = [ok for one, ok in zip(drawn, right, strict=True) if one.probe.kind == kind]
        yield _score(f"{kind} right", float(np.mean(own)), len(own))


def rendered_faces(seed: int, count: int, *, size: int = 128) -> list[Image.Image]:
    """Pictures of a person of the world, the same ones at every call."""
    somebody = person(seed)
    shots = (sample_shot(np.random.default_rng([seed, 7, number]), somebody, **FACES) for number in range(count))
    return [Image.fromarray(take_picture(somebody, shot, size=size).image) for shot in shots]


def vectors_of(images: Sequence[Image.Image], seen: Callable[[Image.Image], Any] | None = None) -> Floats:
    """Vectors (n, width) of the pictures in which there is a face, dlib's unless another judge's `seen` is given."""
    found = [vector for image in images if (vector := (seen or face_vector)(image)) is not None]
    return np.stack(found) if found else np.zeros((0, 0))


def between(first: Floats, second: Floats) -> Floats:
    """All distances between two sets of vectors, flat; none where a set is empty."""
    if not len(first) or not len(second):
        return np.zeros(0)
    return np.linalg.norm(first[:, None] - second[None], axis=-1).ravel()


def within(vectors: Floats) -> Floats:
    """All distances between two different vectors of a set."""
    first, second = np.triu_indices(len(vectors), 1)
    return np.linalg.norm(vectors[first] - vectors[second], axis=-1)


def named_scores(paint: Callable[[str, int], list[Image.Image]], count: int, shots: int = 4) -> list[Score]:
    """Drawn against rendered pictures of people whose names the model learned."""
    drawn = [vectors_of(paint(name_of(seed) or "", shots)) for seed in range(count)]
    rendered = [vectors_of(rendered_faces(seed, shots)) for seed in range(count)]
    distance, auc = told_apart(drawn, rendered)
    return [
        _score("named: distance against rendered", distance, count * shots),
        _score("named: AUC", auc, count * shots),
    ]


def told_apart(drawn: Sequence[Floats], rendered: Sequence[Floats]) -> tuple[float, float]:
    """Vectors (n, width) of each person's drawn and rendered pictures, in one order: how far drawn ones are from the
    same person's rendered ones, against these among themselves; and the AUC of that against other people's.
    """
    pairs = product(range(len(drawn)), repeat=2)
    others = np.concatenate([between(drawn[a], rendered[b]) for a, b in pairs if a != b])
    own = own_distances(drawn, rendered)
    return against_rendered(own, rendered), area_under_curve(own, others)


def own_distances(drawn: Sequence[Floats], rendered: Sequence[Floats]) -> Floats:
    """All distances of people's drawn faces to their own rendered ones, flat."""
    return np.concatenate([between(a, b) for a, b in zip(drawn, rendered, strict=True)])


def against_rendered(own: Floats, rendered: Sequence[Floats]) -> float:
    """The mean of such distances in units of that between two rendered faces of one person."""
    return float(own.mean() / np.concatenate([within(vectors) for vectors in rendered]).mean())


def unseen_score(
    meet: Meet, count: int, *, photos: int = 20, shots: int = 4, progress: Callable[[str], None] = lambda line: None
) -> Score:
    """Drawn against rendered development people after fitting to `photos` renders: can the model say them at all?"""
    drawn, rendered = [], []
    for seed in DEVELOPMENT[:count]:
        progress(f"person {seed}")
        images = rendered_faces(seed, shots + photos)
        rendered.append(vectors_of(images[:shots]))
        drawn.append(vectors_of(meet(images[shots:], shots)))
    distance = against_rendered(own_distances(drawn, rendered), rendered)
    return _score("unseen: distance against rendered", distance, count * shots)


@torch.no_grad()
def autoencoder_scores(vae: AutoencoderKL, people: int = 64, shots: int = 4) -> list[Score]:
    """Sharpness of held-out renders through the autoencoder, and how much farther one person's pictures come apart."""
    images = [rendered_faces(FINAL.start + number, shots) for number in range(people)]
    again = [[_through(vae, image) for image in own] for own in images]
    errors = [
        np.mean((np.asarray(a, np.float64) - np.asarray(b, np.float64)) ** 2)
        for own, decoded in zip(images, again, strict=True)
        for a, b in zip(own, decoded, strict=True)
    ]
    before, after = (
        np.concatenate([within(vectors_of(own)) for own in pictures]).mean() for pictures in (images, again)
    )
    count = people * shots
    return [
        _score("autoencoder: dB", 10 * np.log10(255**2 / np.mean(errors)), count),
        _score("autoencoder: distance against rendered", after / before, count),
    ]


def _through(vae: AutoencoderKL, image: Image.Image) -> Image.Image:
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].to(vae.device, vae.dtype) / 127.5 - 1
    decoded = vae.decode(vae.encode(pixels).latent_dist.mean).sample[0].float().clamp(-1, 1)
    return Image.fromarray(((decoded + 1) * 127.5 + 0.5).byte().permute(1, 2, 0).cpu().numpy())


def speed_scores(paint: Callable[[str, int, int], list[Image.Image]], batch: int = 16) -> list[Score]:
    """Seconds a picture, alone and in a batch; the first is drawn once before, so that nothing is counted twice."""
    text, seconds = FACE_PROMPT.format("a person"), []
    paint(text, 0, 1)
    for count in (1, batch):
        started = time.perf_counter()
        paint(text, 0, count)
        seconds.append((time.perf_counter() - started) / count)
    return [_score("seconds alone", seconds[0], 1), _score("seconds in a batch", seconds[1], batch)]


def control_score(backbone: Backbone, control: Any, count: int, settings: DrawSettings) -> Score:
    """Landmark error of faces drawn by given poses with the ControlNet, against that without it."""
    given = list(poses(count, size=backbone.image_size))
    steered, free = (pose_errors(paint, given) for paint in control_painters(backbone, control, settings))
    return _score("control: landmark error against without", error_ratio(steered, free), count)


def probe_sheet(drawn: Sequence[Drawn], columns: int = 7) -> Image.Image:
    """The first picture of every probe, under what was asked for."""
    first = {one.probe.prompt("..."): one.image for one in reversed(drawn)}
    cells = list(reversed(first.items()))
    parts = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    return stacked([contact_sheet([[i for _, i in part]], titles=[_short(t) for t, _ in part]) for part in parts])


def _short(text: str) -> str:
    """What a probe's prompt asks for beyond a person."""
    return text.rpartition("... ")[2]
