"""How well drawn faces follow a given pose, with the ControlNet and without it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from diffusers import StableDiffusionControlNetPipeline
from numpy.typing import NDArray
from PIL import Image

from onephoto.backbone.load import Backbone
from onephoto.generate.draw import DrawSettings, call_arguments, pictures
from onephoto.identity.faces import face_points
from onephoto.world.maps import hint, maps_of
from onephoto.world.people import DEVELOPMENT, person
from onephoto.world.picture import take_picture
from onephoto.world.prompts import FACE_PROMPT
from onephoto.world.shots import sample_shot

Floats = NDArray[np.float64]
Pose = tuple[Image.Image, Floats]
"""What the ControlNet is shown, and where the face's landmarks are on the picture that it is of."""


def landmark_error(given: Floats, drawn: Floats) -> float:
    """Mean distance of a face's landmarks (5, 2) from where they should be, in distances between the eyes."""
    return float(np.linalg.norm(drawn - given, axis=1).mean() / eye_distance(given))


def eye_distance(points: Floats) -> float:
    """From the middle of one eye to that of the other, of dlib's five points (both corners of each, and the nose)."""
    return float(np.linalg.norm(points[:2].mean(0) - points[2:4].mean(0)))


def poses(count: int, *, size: int, first: int = DEVELOPMENT.start) -> Iterator[Pose]:
    """Poses of people whom the model has never seen, of which dlib finds the face."""
    seed = first
    while count:
        somebody = person(seed)
        shot = sample_shot(np.random.default_rng([seed, 11]), somebody, hair=None, age=None, beard=None)
        picture, seed = take_picture(somebody, shot, size=size), seed + 1
        points = face_points(Image.fromarray(picture.image))
        if points is not None:
            count -= 1
            yield Image.fromarray(hint(maps_of(picture))), points


def pose_errors(paint: Callable[[Image.Image, int], Image.Image], given: Sequence[Pose]) -> list[float | None]:
    """For each pose the landmark error of what `paint(hint, seed)` draws, None where no face is found in it."""
    drawn = [face_points(paint(shown, seed)) for seed, (shown, _) in enumerate(given)]
    return [
        None if found is None else landmark_error(points, found)
        for found, (_, points) in zip(drawn, given, strict=True)
    ]


def error_ratio(steered: Sequence[float | None], free: Sequence[float | None]) -> float:
    """Mean error with the ControlNet against that without it, each over the pictures in which there is a face."""
    with_it, without = ([error for error in errors if error is not None] for errors in (steered, free))
    return float(np.mean(with_it) / np.mean(without)) if with_it and without else float("nan")


def control_painters(
    backbone: Backbone, control: Any, settings: DrawSettings
) -> tuple[Callable[[Image.Image, int], Image.Image], Callable[[Image.Image, int], Image.Image]]:
    """Two ways to draw a person by a hint and a seed: with the ControlNet, and without looking at the hint."""
    steered = StableDiffusionControlNetPipeline(
        **backbone.pipeline.components, controlnet=control, requires_safety_checker=False
    )
    steered.set_progress_bar_config(disable=True)
    text = {"prompt": FACE_PROMPT.format("a person"), "negative_prompt": settings.negative_prompt}

    def with_it(shown: Image.Image, seed: int) -> Image.Image:
        return pictures(steered, image=shown, **text, **call_arguments(backbone, settings, [seed]))[0]

    def without(shown: Image.Image, seed: int) -> Image.Image:
        return pictures(backbone.pipeline, **text, **call_arguments(backbone, settings, [seed]))[0]

    return with_it, without
