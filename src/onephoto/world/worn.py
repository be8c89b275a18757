"""Things worn on head and neck, fitted to the person: each maker returns solids in the person's rest pose."""

import numpy as np

from onephoto.world.body import load_body, rotation
from onephoto.world.figure import ShapedPerson
from onephoto.world.solids import Array, Solid, ball, joined, plate, surface, tube

LENS_SEGMENTS = 28
CAP_TILT = -0.10
"""Radians by which a cap is tipped back."""
CAP_CLEARANCE = 0.10
PRESSED = 0.90
"""Share of a cap's half axes within which it keeps the hair."""


def _lens_outline(shaped: ShapedPerson, side: int, size: tuple[float, float], squareness: float) -> Array:
    """The rim of one lens (n,3), a superellipse before the eye that bends back with the face."""
    marks = shaped.landmarks
    eye = marks.eyes[0 if side > 0 else 1]
    angle = np.linspace(0, 2 * np.pi, LENS_SEGMENTS, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    x = np.sign(cos) * np.abs(cos) ** (2 / squareness) * size[0] + _lens_middle(shaped, side, size[0])
    y = np.sign(sin) * np.abs(sin) ** (2 / squareness) * size[1] + eye[1] - 0.03
    return np.stack([x, y, _front(shaped) - 0.10 * x**2], 1)


def _lens_middle(shaped: ShapedPerson, side: int, width: float) -> float:
    """Lenses sit about the eyes, but leave room for the nose."""
    eye = shaped.landmarks.eyes[0 if side > 0 else 1]
    return side * max(abs(float(eye[0])) + 0.02, width + 0.06)


def _front(shaped: ShapedPerson) -> float:
    """How far forward the frame lies: clear of eyeballs and bridge."""
    marks = shaped.landmarks
    return max(float(marks.eyes[:, 2].max()) + 0.30, float(marks.bridge[2]) + 0.04)


def frame(shaped: ShapedPerson, size: tuple[float, float], *, squareness: float, radius: float) -> Solid:
    """The frame of glasses: two rims, a bridge over the nose, two arms to the ears."""
    parts, middle = [], _lens_middle(shaped, 1, size[0])
    front, height = _front(shaped), float(shaped.landmarks.eyes[:, 1].mean())
    for side in (1, -1):
        parts.append(tube(_lens_outline(shaped, side, size, squareness), radius, sides=6, closed=True))
        hinge = middle + size[0]
        ear = shaped.landmarks.ears[0 if side > 0 else 1]
        bend = [ear[0], height + 0.03, ear[2] + 0.1]
        path = [[side * hinge, height + 0.03, front - 0.1 * hinge**2], bend, [ear[0], height - 0.05, ear[2] - 0.2]]
        parts.append(tube(path, 0.8 * radius, sides=6))
    inner = middle - size[0]
    arc = [[-inner, height + 0.02, front], [0, height + 0.05, front + 0.02], [inner, height + 0.02, front]]
    return joined(*parts, tube(arc, radius, sides=6))


def lenses(shaped: ShapedPerson, size: tuple[float, float], *, squareness: float) -> Solid:
    """Two filled lenses."""
    rims = [_lens_outline(shaped, side, size, squareness) for side in (1, -1)]
    return joined(*(plate(rim, rim.mean(0) + np.array([0, 0, 0.03])) for rim in rims))


def _cap_frame(shaped: ShapedPerson) -> tuple[Array, Array, Array]:
    """Centre (3,), half axes (3,) and tilt (3,3) of a cap on this skull."""
    low, high = shaped.landmarks.skull
    centre = np.array([0, low[1] + 0.02, (low[2] + high[2]) / 2])
    radii = np.array([max(-low[0], high[0]), high[1] - low[1] + 0.01, (high[2] - low[2]) / 2]) + CAP_CLEARANCE
    return centre, radii, rotation((1, 0, 0), CAP_TILT)


def cap_dome(shaped: ShapedPerson) -> Solid:
    """The crown of a baseball cap with the button on top."""
    centre, radii, tilt = _cap_frame(shaped)

    def place(u: Array, v: Array) -> Array:
        angle, height = 2 * np.pi * u, 0.5 * np.pi * v
        out = np.sin(height) ** 0.8
        return radii * np.stack([np.sin(angle) * out, np.maximum(np.cos(height), 0) ** 0.75, np.cos(angle) * out], 1)

    button = ball((0, radii[1], 0), (0.07, 0.05, 0.07))
    return joined(surface(place, 32, 10), button).moved(tilt, centre)


def cap_visor(shaped: ShapedPerson) -> Solid:
    """The visor: curved across, dipping forward, with a little thickness."""
    centre, radii, tilt = _cap_frame(shaped)

    def place(u: Array, v: Array) -> Array:
        across = u - 0.5
        out = np.minimum(v / 0.48, 1) - np.maximum(v - 0.52, 0) / 0.48
        x = np.sin(1.94 * across) * radii[0] * (1 + 0.02 * out)
        y = -0.10 * out - 0.42 * across**2 * out - 0.025 * (v > 0.5)
        z = np.cos(1.9 * across) * radii[2] + 0.72 * out * np.cos(2.2 * across)
        return np.stack([x, y, z], 1)

    return surface(place, 17, 12, wrap=False).moved(tilt, centre)


def pressed_under_cap(shaped: ShapedPerson, points: Array) -> Array:
    """Points of hair (..., 3) of the rest pose, those above the rim pressed down until the crown hides them."""
    centre, radii, tilt = _cap_frame(shaped)
    local = (points - centre) @ tilt
    reach = np.linalg.norm(local / radii, axis=-1, keepdims=True)
    inside = np.minimum(1, PRESSED / np.maximum(reach, 1e-6))
    return np.where(local[..., 1:2] > -0.03, local * inside, local) @ tilt.T + centre


def earring_pair(shaped: ShapedPerson, length: float) -> Solid:
    """Drop earrings: a stud, a thin wire, a drop."""
    body = load_body()
    parts = []
    for side in (1, -1):
        ear = shaped.positions[(body.ears > 0.5) & (side * body.points[:, 0] > 0)]
        lobe = ear[ear[:, 1].argmin()] + np.array([0.06 * side, 0.04, 0.05])
        end = lobe - np.array([0, length, 0])
        parts += [ball(lobe, 0.045), tube([lobe, end], 0.016, sides=5), ball(end, (0.075, 0.12, 0.075))]
    return joined(*parts)


def scarf_roll(shaped: ShapedPerson, thickness: float) -> Solid:
    """A scarf wound about the neck, one end hanging before the chest."""
    neck = shaped.joints["neck01"]
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    high = neck[1] + 0.10 - 0.16 * np.cos(angle)
    loop = np.stack([0.74 * np.sin(angle), high, neck[2] + 0.22 + 0.70 * np.cos(angle)], 1)
    wound = tube(loop, thickness * (1 + 0.10 * np.sin(7 * angle)), sides=10, closed=True)
    top = loop[2] + np.array([0, 0, 0.06])
    drop = np.linspace(0, 1, 8)[:, None]
    end = top + drop * np.array([0.08, -1.7, 0.30]) + np.array([0, 0, 0.25]) * np.sin(np.pi * drop)
    return joined(wound, _flattened(tube(end, 0.9 * thickness, sides=10), 0.45, end[:, 2].mean()))


def _flattened(solid: Solid, share: float, depth: float) -> Solid:
    """The solid pressed flat along z about a depth."""
    points = solid.points.copy()
    points[:, 2] = depth + share * (points[:, 2] - depth)
    return Solid(points, solid.triangles)
