"""Things held in one hand or both, and furniture: each maker returns coloured solids in the pose's own space."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from onephoto.world.body import aligning_rotation, rotation
from onephoto.world.figure import ARM_POSES, Arms, Posed
from onephoto.world.skin import linear
from onephoto.world.solids import Array, Solid, ball, box, joined, surface, tube, turned

WOOD, PAPER, STEM, DARK = (linear(c) for c in ((140, 92, 52), (232, 226, 210), (60, 120, 50), (40, 36, 34)))


HOLDING: Mapping[str, Arms] = MappingProxyType(
    {
        "red ball": ARM_POSES["hold right"],
        "cup": ARM_POSES["hold right"],
        "umbrella": {"L": ARM_POSES["down"]["L"], "R": ((-0.45, -0.88, 0.20), (-0.02, 0.72, 0.70))},
        "book": ARM_POSES["hold both"],
        "flowers": ARM_POSES["hold right"],
        "guitar": {"L": ((0.60, -0.75, 0.30), (0.10, 0.55, 0.80)), "R": ((-0.60, -0.75, -0.05), (0.70, 0.05, 0.70))},
    }
)
"""How the arms hold each thing."""


@dataclass(frozen=True)
class Piece:
    """A solid of one colour (3,) in linear RGB; `roughness` of its highlights, 0.2 glazed to 0.8 dull."""

    solid: Solid
    colour: ArrayLike
    roughness: float = 0.5


def _grip(figure: Posed, side: int) -> tuple[Array, Array]:
    """Centre of a hand (0 left, 1 right) and the direction of its forearm, (3,) each."""
    name = "LR"[side]
    forearm = figure.joints[f"wrist.{name}"] - figure.joints[f"lowerarm01.{name}"]
    return figure.hands[side], forearm / np.linalg.norm(forearm)


def red_ball(figure: Posed, _: ArrayLike) -> tuple[Piece, ...]:
    """A shiny red ball on the right hand."""
    hand, _forearm = _grip(figure, 1)
    return (Piece(ball(hand + np.array([0.08, 0.38, 0.32]), 0.58), linear((200, 28, 30)), 0.35),)


def cup(figure: Posed, colour: ArrayLike) -> tuple[Piece, ...]:
    """A mug with its handle, held before the chest."""
    hand, _forearm = _grip(figure, 1)
    centre = hand + np.array([0.12, 0.12, 0.26])
    outside = turned([(0.0, -0.42), (0.29, -0.42), (0.31, -0.38), (0.36, 0.42), (0.32, 0.44), (0.31, 0.30)])
    angle = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 12)
    handle = tube(np.stack([0.32 + 0.24 * np.cos(angle), 0.24 * np.sin(angle), 0 * angle], 1), 0.055)
    drink = turned([(0.0, 0.30), (0.33, 0.30)])
    mug = joined(outside, handle).moved(np.eye(3), centre)
    return Piece(mug, colour, 0.3), Piece(drink.moved(np.eye(3), centre), linear((54, 30, 18)), 0.3)


def umbrella(figure: Posed, colour: ArrayLike) -> tuple[Piece, ...]:
    """An open umbrella whose pole goes through the right hand."""
    hand, _forearm = _grip(figure, 1)
    turn = rotation((0, 0, 1), -0.25)
    grip = hand + np.array([0.0, 0.1, 0.12])

    def place(u: Array, v: Array) -> Array:
        angle = 2 * np.pi * u
        edge = 1 - 0.07 * np.abs(np.sin(4 * angle)) * v
        out = 2.3 * np.sin(1.25 * v) / np.sin(1.25) * edge
        return np.stack([out * np.cos(angle), 1.25 * np.cos(1.25 * v) - 0.4, out * np.sin(angle)], 1)

    top = np.array([0.15, 3.35, -0.8])
    canopy = surface(place, 48, 10).moved(np.eye(3), top)
    pole = tube([(0, -0.7, 0.06), (0, 0.5, 0.0), top + np.array([0, 1.1, 0])], 0.055)
    return Piece(canopy.moved(turn, grip), colour, 0.6), Piece(pole.moved(turn, grip), DARK, 0.4)


def book(figure: Posed, colour: ArrayLike) -> tuple[Piece, ...]:
    """An open book in both hands, its covers towards the camera."""
    centre = figure.hands.mean(0) + np.array([0, 0.12, 0.20])
    covers, pages = [], []
    for side in (-1, 1):
        turn = rotation((0, 1, 0), side * 0.32) @ rotation((1, 0, 0), 0.35)
        covers.append(box((0.52, 0.68, 0.03)).moved(np.eye(3), (side * 0.52, 0, 0)).moved(turn, centre))
        pages.append(box((0.48, 0.64, 0.06)).moved(np.eye(3), (side * 0.49, 0.02, -0.09)).moved(turn, centre))
    return Piece(joined(*covers), colour, 0.6), Piece(joined(*pages), PAPER, 0.7)


def flowers(figure: Posed, colour: ArrayLike) -> tuple[Piece, ...]:
    """A bunch of flowers in the right hand."""
    hand, _forearm = _grip(figure, 1)
    foot = hand + np.array([0.05, -0.1, 0.18])
    angle = 2.4 * np.arange(9)
    spread = 0.17 * np.sqrt(np.arange(9))
    heads = foot + np.stack([spread * np.cos(angle), 1.1 - 0.35 * spread, spread * np.sin(angle)], 1)
    stems = joined(*(tube([foot, (foot + head) / 2 + np.array([0, 0.08, 0]), head], 0.03, sides=5) for head in heads))
    blossoms = joined(*(ball(head, (0.22, 0.15, 0.22)) for head in heads))
    hearts = joined(*(ball(head + np.array([0, 0.07, 0.13]), 0.09) for head in heads))
    return Piece(stems, STEM, 0.7), Piece(blossoms, colour, 0.7), Piece(hearts, linear((240, 200, 70)), 0.7)


def guitar(figure: Posed, colour: ArrayLike) -> tuple[Piece, ...]:
    """A guitar before the belly, its neck in the left hand."""
    right, left = figure.hands[1], figure.hands[0]
    body = right + np.array([-0.15, -0.10, 0.10])
    along = left + np.array([0, -0.05, 0.05]) - body
    reach = float(np.linalg.norm(along)) + 0.7
    turn = aligning_rotation(np.array([1.0, 0, 0]), along)

    def place(u: Array, v: Array) -> Array:
        angle = 2 * np.pi * u
        waist = 0.78 + 0.16 * np.cos(2 * angle) - 0.10 * np.cos(angle)
        rim = np.minimum(1.0, np.minimum(v, 1 - v) * 3)
        return np.stack([1.35 * waist * rim * np.cos(angle), 1.05 * waist * rim * np.sin(angle), 0.2 - 0.4 * v], 1)

    shell = surface(place, 40, 13)
    neck = box((reach / 2, 0.10, 0.06)).moved(np.eye(3), (reach / 2, 0, 0.14))
    head = box((0.22, 0.15, 0.06)).moved(np.eye(3), (reach + 0.2, 0, 0.10))
    hole = turned([(0.0, 0.0), (0.26, 0.0)]).moved(rotation((1, 0, 0), np.pi / 2), (0.35, 0, 0.22))
    bridge = box((0.07, 0.32, 0.03)).moved(np.eye(3), (-0.6, 0, 0.21))
    dark = joined(neck, head, hole, bridge)
    return Piece(shell.moved(turn, body), colour, 0.3), Piece(dark.moved(turn, body), DARK, 0.5)


def chair(figure: Posed, colour: ArrayLike) -> tuple[Piece, ...]:
    """The back of a chair behind the shoulders."""
    neck = figure.joints["neck01"]
    posts = [tube([(side * 1.75, -5, -1.1), (side * 1.75, 0.05, -1.35)], 0.13) for side in (-1, 1)]
    rails = [box((1.75, 0.20, 0.07)).moved(np.eye(3), (0, height, -1.28)) for height in (-0.25, -1.0, -1.75)]
    knobs = [ball((side * 1.75, 0.12, -1.35), 0.19) for side in (-1, 1)]
    return (Piece(joined(*posts, *rails, *knobs).moved(np.eye(3), neck), colour, 0.5),)
