"""Strands on a surface: roots, guides that grow along a field of directions, and the many strands that follow them.

Each strand takes its course from the guides about its root and draws towards the nearest as it goes, so that locks
form and tips do not scatter. Lengths are decimetres; n strands, g guides.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from onephoto.world.body import load_body, vertex_normals
from onephoto.world.skin import smoothstep

Array = NDArray[np.floating]

POINTS = 14
"""Points of every strand."""
GUIDES = 560
CLEARANCE = 0.012
"""How far strands are kept off the skin."""


@dataclass(frozen=True)
class Surface:
    """A person's skin to grow hair on: positions and normals (V,3) and the middle of the upper head (3,)."""

    positions: NDArray[np.float32]
    normals: NDArray[np.float32]
    centre: NDArray[np.float32]

    @cached_property
    def near_head(self) -> NDArray[np.int64]:
        """Vertices that hair must not enter: skin of head, neck and shoulders."""
        body = load_body()
        x, y, _ = body.points.T
        return np.flatnonzero(body.skin & (y > 3.6) & (body.inner_mouth < 0.3) & (np.abs(x) < 2.2))

    @cached_property
    def tree(self) -> cKDTree:
        """Nearest-vertex search over `near_head`."""
        return cKDTree(self.positions[self.near_head])

    def pushed_out(self, points: Array, margin: Array | float) -> tuple[Array, Array, Array]:
        """Points (n,3) kept `margin` outside the skin; with them the normal and distance of the nearest vertex."""
        distance, index = self.tree.query(points)
        vertex = self.near_head[index]
        normal = self.normals[vertex]
        height = ((points - self.positions[vertex]) * normal).sum(1)
        lift = np.where((height < margin) & (distance < 0.6), margin - height, 0)
        return points + lift[:, None] * normal, normal, distance


@dataclass(frozen=True)
class Roots:
    """Where strands begin (n,3): on this person, on the mean body, and the skin's normals there."""

    positions: Array
    mean_positions: Array
    normals: Array

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True)
class Tips:
    """The growing ends of n strands: points and headings (n,3), and the share of the length grown so far."""

    points: Array
    heading: Array
    grown: float


Field = Callable[[Tips], Array]
"""Direction (n,3), of any length, in which strands go on growing."""


@dataclass(frozen=True)
class Growth:
    """How the guides of a style grow: lengths (g,), least height above the skin (g,), how far they must keep to the
    skin (`hug`, 0 to 1); how strongly strands gather to locks (`clump`, 0 to 1), how far they stray, how many they
    are, and whether a strand takes its course from one guide alone (curls, which would cancel in a mean).
    """

    lengths: Array
    field: Field
    margin: Array
    hug: float = 0.0
    clump: float = 0.5
    stray: float = 0.016
    strands: int = 4600
    one_guide: bool = False


Style = Callable[[Roots, np.random.Generator], Growth]
"""A hair style: how guides grow from their roots."""


def surface_of(positions: NDArray[np.float32]) -> Surface:
    """The surface of a shaped body (V,3)."""
    body = load_body()
    upper = positions[body.skin & (body.points[:, 1] > 7.3) & (body.ears < 0.2)]
    centre = (upper.max(0) + upper.min(0)) / 2
    centre[1] = upper[:, 1].max() - 1.15
    return Surface(positions, vertex_normals(positions, body.triangles), centre.astype(np.float32))


def unit(vectors: Array) -> Array:
    """Vectors (..., 3) scaled to length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def scatter(surface: Surface, density: NDArray[np.float32], count: int, rng: np.random.Generator) -> Roots:
    """Random roots on the skin, as dense as `density` (V,) says."""
    body = load_body()
    triangles = body.triangles[body.materials == 0]
    triangles = triangles[density[triangles].mean(1) > 0.15]
    corners = surface.positions[triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    odds = area * density[triangles].mean(1)
    chosen = triangles[rng.choice(len(triangles), count, p=odds / odds.sum())]
    share = rng.dirichlet([1.0, 1.0, 1.0], count)[:, :, None]
    positions, mean, normals = ((a[chosen] * share).sum(1) for a in (surface.positions, body.points, surface.normals))
    return Roots(positions, mean, unit(normals))


def grow(surface: Surface, roots: Roots, growth: Growth) -> Array:
    """Grow guides (g, POINTS, 3) along a field, step by step, outside the skin."""
    tips = Tips(roots.positions, roots.normals, 0.0)
    normal: Array
    distance: Array
    points = [roots.positions - 0.01 * roots.normals]
    normal, distance = roots.normals, np.zeros(len(roots))
    for k in range(1, POINTS):
        grown = k / (POINTS - 1)
        heading = unit(growth.field(Tips(tips.points, tips.heading, grown)))
        outward = np.maximum((heading * normal).sum(1), 0) * growth.hug * (distance < 0.5)
        heading = unit(heading - outward[:, None] * normal)
        moved: Array = tips.points + heading * (growth.lengths / (POINTS - 1))[:, None]
        for _ in range(2):
            moved, normal, distance = surface.pushed_out(moved, growth.margin * min(1.0, 0.3 + 2.5 * grown))
        tips = Tips(moved, heading, grown)
        points.append(moved)
    return np.stack(points, 1)


def follow(guides: Array, roots: Roots, growth: Growth, rng: np.random.Generator) -> Array:
    """Strands (n, POINTS, 3) from `roots` that take their course from the three nearest of the guides."""
    starts = guides[:, 0]
    distance, near = cKDTree(starts).query(roots.positions, k=3)
    # Guides that part ways (at a parting) must not be averaged: the nearest one decides there.
    together = np.linalg.norm(guides[near, -1] - guides[near[:, :1], -1], axis=2) < (0.0 if growth.one_guide else 0.3)
    together[:, 0] = True
    share = together / (distance + 0.03) ** 2
    share = (share / share.sum(1, keepdims=True))[:, :, None, None]
    course = ((guides[near] - starts[near][:, :, None]) * share).sum(1)
    free = roots.positions[:, None] + course * rng.uniform(0.92, 1.03, len(roots))[:, None, None]
    grown = np.linspace(0, 1, POINTS)[None, :, None]
    beside = (roots.positions - starts[near[:, 0]])[:, None]
    lock = guides[near[:, 0]] + beside * (1 - 0.7 * grown)
    pull = growth.clump * smoothstep(0.1, 1.0, grown)
    return free * (1 - pull) + lock * pull + rng.normal(size=(len(roots), 1, 3)) * growth.stray * grown


def strands_of(surface: Surface, density: NDArray[np.float32], style: Style, rng: np.random.Generator) -> Array:
    """Strands (n, POINTS, 3) of a style, on the skin where `density` (V,) allows."""
    guide_roots = scatter(surface, density, GUIDES, rng)
    growth = style(guide_roots, rng)
    guides = grow(surface, guide_roots, growth)
    strands = follow(guides, scatter(surface, density, growth.strands, rng), growth, rng)
    lifted, _, _ = surface.pushed_out(strands[:, 1:].reshape(-1, 3), CLEARANCE)
    return np.concatenate([strands[:, :1], lifted.reshape(len(strands), -1, 3)], 1)
