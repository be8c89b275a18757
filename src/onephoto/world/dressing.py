"""From a person and a shot to the figure that is drawn: posed, dressed, with everything worn and held."""

import numpy as np
from numpy.typing import NDArray

from onephoto.world.drawing import Cloth, Eyes, Figure, Mesh, Skin, Strands
from onephoto.world.figure import ARM_POSES, EXPRESSIONS, Posed, ShapedPerson, posed
from onephoto.world.garment import garment_cover
from onephoto.world.held import HOLDING
from onephoto.world.props import Thing, joined_mesh, mesh_of, pieces_of
from onephoto.world.shots import Shot
from onephoto.world.skin import linear, smoothstep
from onephoto.world.visibility import vertex_normals
from onephoto.world.wardrobe import COLOUR_RGB, Clothes
from onephoto.world.worn import pressed_under_cap

Floats = NDArray[np.float32]

HIDDEN_COVER, HIDDEN_BELOW = 0.16, 5.95
"""Skin lies under cloth, and is left out, where the garment covers it by more than the first, below the second."""
COLLAR_TOP = 6.16
"""The garment's layer is cut off at this height, whatever the neckline."""
CLOSE_FIT, LOOSE_FIT = 0.045, 0.10
"""How far cloth stands off the skin at the shoulders, and how much more at the waist (decimetres)."""
EYE_LIMIT = np.radians((22, 9))
"""Furthest turn of the eyes to the side and up or down."""
READING = (0.0, 0.28)
"""Gaze of somebody who reads."""


def _gaze(shot: Shot, rng: np.random.Generator) -> tuple[float, float]:
    """Where the eyes turn against the head (yaw, pitch) in radians: to the camera, or somewhere ahead."""
    stray = np.radians(rng.normal(size=2) * (3.0, 2.0))
    if shot.held is not None and shot.held.kind == "book":
        return READING
    yaw, pitch, _ = np.radians(shot.head)
    camera_yaw, camera_pitch = np.radians(shot.camera)
    aim = np.array([camera_yaw - yaw, -camera_pitch - pitch]) if shot.eye_contact else np.array([0.0, 0.0])
    turned = np.clip(aim * 0.85 + stray, -EYE_LIMIT, EYE_LIMIT)
    return float(turned[0]), float(turned[1])


def pose_of(shaped: ShapedPerson, shot: Shot, rng: np.random.Generator) -> Posed:
    """The person in the shot's pose."""
    yaw, pitch, roll = (float(angle) for angle in np.radians(shot.head))
    arms = HOLDING[shot.held.kind] if shot.held is not None else ARM_POSES[shot.arms]
    return posed(
        shaped, expression=EXPRESSIONS[shot.expression], head=(yaw, pitch, roll), arms=arms, gaze=_gaze(shot, rng)
    )


def _body_mesh(shaped: ShapedPerson, figure: Posed, clothes: Clothes) -> Mesh:
    """Body and garment: cloth stands off the skin, skin under cloth is left out."""
    garment, rest = shaped.garment_vertices, shaped.paint_points
    cover = garment_cover(rest, clothes.neck, clothes.sleeve)
    positions = figure.positions.copy()
    normals = vertex_normals(positions, shaped.triangles)
    fit = CLOSE_FIT + LOOSE_FIT * smoothstep(5.2, 3.8, rest[garment, 1])
    if clothes.pattern == "jacket":
        fit = 1.4 * fit
    positions[garment] += normals[garment] * fit[:, None].astype(np.float32)
    visible = shaped.visible.copy()
    skin, nearest = shaped.garment_nearest.T
    visible[skin] = np.where((cover[nearest] > HIDDEN_COVER) & (rest[skin, 1] < HIDDEN_BELOW), -1, visible[skin])
    visible[garment] = np.where(rest[garment, 1] < COLLAR_TOP, cover[garment], -1)
    attributes = np.stack([visible, shaped.gloss, shaped.scalp - shaped.beard, shaped.lips], 1)
    return Mesh(
        positions=positions,
        paint_points=figure.paint_points,
        albedo=shaped.albedo,
        attributes=attributes.astype(np.float32),
        triangles=shaped.triangles,
        materials=shaped.materials,
    )


def _strands(shaped: ShapedPerson, figure: Posed, *, capped: bool, every: int) -> Strands:
    """Hair and beard, pressed down under a cap; `every` draws each n-th strand, thicker, for small pictures."""
    own, head = shaped.strands, figure.head
    points = figure.strand_points[::every]
    if capped:
        at_rest = (points - head.translation) @ head.rotation
        points = head(pressed_under_cap(shaped, at_rest).astype(np.float32))
    return Strands(
        points=points,
        colors=own.colours[::every],
        widths=own.widths[::every] * np.float32(1 + 0.55 * (every - 1)),
        kinds=own.kinds[::every],
    )


def _skin(shaped: ShapedPerson) -> Skin:
    person, brow = shaped.person, shaped.person.brow
    return Skin(
        brow_color=shaped.brow_colour,
        brow_thickness=brow.thickness,
        brow_density=brow.density,
        brow_inner=brow.inner,
        brow_outer=brow.outer,
        brow_height=brow.height,
        brow_arch=brow.arch,
        brow_tilt=brow.tilt,
        freckles=person.skin.freckles,
        scalp_color=shaped.scalp_colour,
        beard_color=shaped.beard_colour,
        shine=person.skin.gloss,
        age=shaped.age_lines,
        moles=shaped.moles,
        seed=0.37 * (person.seed % 17),
    )


def _cloth(clothes: Clothes, rng: np.random.Generator) -> Cloth:
    return Cloth(
        color=linear(COLOUR_RGB[clothes.colour]),
        second_color=linear(COLOUR_RGB[clothes.second]),
        pattern=clothes.pattern,
        scale=float(rng.uniform(7, 14)),
        neck=clothes.neck,
        sleeve=clothes.sleeve,
    )


def things_of(shot: Shot) -> tuple[Thing, ...]:
    """Everything worn, held and sat upon."""
    return (*shot.worn, *(thing for thing in (shot.held, shot.seated) if thing is not None))


def figure_of(shaped: ShapedPerson, figure: Posed, shot: Shot, *, rng: np.random.Generator, every: int = 1) -> Figure:
    """The dressed figure of a posed person; `every` thins the hair for small pictures."""
    meshes = [_body_mesh(shaped, figure, shot.clothes)]
    meshes += [mesh_of(thing, pieces_of(thing, shaped, figure, rng)) for thing in things_of(shot)]
    capped = any(thing.kind == "cap" for thing in shot.worn)
    return Figure(
        mesh=joined_mesh(meshes),
        strands=_strands(shaped, figure, capped=capped, every=every),
        skin=_skin(shaped),
        eyes=Eyes(iris=shaped.iris, iris_inner=shaped.iris_ring),
        cloth=_cloth(shot.clothes, rng),
        head_center=figure.head(shaped.landmarks.skull_centre),
    )
