"""Training of the face judge on people whom the embedded models never see; calibrated on people held out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from onephoto.base.changes import Chance, changed
from onephoto.base.pictures import PictureSet
from onephoto.base.reading import ReadingProgress, ReadingSettings, as_shipped, learn_to_read
from onephoto.base.training import Trainer
from onephoto.errors import WorldError
from onephoto.evaluate.face_judge import FaceCalibration, FaceJudge, face_crop, pair_distances, save_face_judge
from onephoto.evaluate.face_network import FaceConfig, FaceNetwork
from onephoto.evaluate.judge import separation
from onephoto.identity.faces import detect_faces
from onephoto.world.people import DEVELOPMENT

LEARNED = range(30_000, 90_000)
"""Seeds of people from whom the face judge learns."""
HELD_OUT = 600
"""At most so many pictures of held-out people are read for the calibration."""
LOOSE = 1.1
"""Crops to learn from are so much wider, since zooming narrows them again: on average they are as in use."""
CHECKPOINT = "faces.safetensors"


@dataclass(frozen=True)
class FaceSettings(ReadingSettings):
    """Each batch shows `people` with `shots` each; `temperature` of the contrast between people."""

    zoom: int = 8
    people: int = 32
    shots: int = 3
    temperature: float = 0.1


@dataclass(frozen=True)
class FaceSet:
    """Crops (n, s, s, 3) and whose each is (n,)."""

    crops: NDArray[np.uint8]
    people: NDArray[np.int64]

    def draw(self, chance: Chance, settings: FaceSettings) -> tuple[Tensor, Tensor]:
        """Changed crops (B, 3, s, s) of some people, those of half of the people mirrored, and whose they are (B,)."""
        chosen = chance.single.permutation(np.unique(self.people))[: settings.people]
        rows = [chance.single.permutation(np.flatnonzero(self.people == one))[: settings.shots] for one in chosen]
        whose = np.arange(len(rows)).repeat([len(own) for own in rows])
        flip = chance.single.random(len(rows)) < 0.5
        drawn = (self.crops[np.concatenate(rows)], flip[whose], whose)
        crops, flips, numbers = (torch.from_numpy(part).to(chance.device) for part in drawn)
        return changed(crops, flips, chance, settings), numbers


def face_sets(pictures: PictureSet, config: FaceConfig) -> tuple[FaceSet, FaceSet]:
    """Crops to learn from, about the faces as the world knows them, and held out ones, about those that dlib finds.

    Raises WorldError where people to learn from, or held out, are missing.
    """
    chosen = [(row, record["facts"]) for row, record in enumerate(pictures.records()) if _alone(record["facts"])]
    learned = [(row, facts) for row, facts in chosen if facts["person"] in LEARNED and _face(facts) is not None]
    held_out = [(row, facts) for row, facts in chosen if facts["person"] in DEVELOPMENT][:HELD_OUT]
    for part, seeds in ((learned, LEARNED), (held_out, DEVELOPMENT)):
        if len({facts["person"] for _, facts in part}) < 2:
            raise WorldError(
                f"{pictures.folders[0]}: no people with seeds {seeds.start} to {seeds.stop - 1}; render some with "
                f"onephoto world render FOLDER --first {seeds.start}, and give both folders"
            )
    train = [(_world_crop(image, facts, config), facts["person"]) for image, facts in _opened(pictures, learned)]
    found = [(_found_crop(image, config), facts["person"]) for image, facts in _opened(pictures, held_out)]
    kept = [(crop, one) for crop, one in found if crop is not None]
    if not 1 < len({one for _, one in kept}) < len(kept):
        raise WorldError(
            f"dlib finds {len(kept)} of {len(found)} held-out faces, too few; render more shots a person, at 128 pixels"
        )
    return _face_set(train), _face_set(kept)


def _alone(facts: Mapping[str, Any]) -> bool:
    return "person" in facts and "beside" not in facts


def _face(facts: Mapping[str, Any]) -> Sequence[float] | None:
    """The face's box in shares of the picture, or None where it is not seen."""
    if "face" not in facts:
        raise WorldError("these pictures were rendered before faces were told of; render them into a new folder")
    return facts["face"]


def _opened(
    pictures: PictureSet, chosen: Sequence[tuple[int, Mapping[str, Any]]]
) -> Iterator[tuple[Image.Image, Mapping[str, Any]]]:
    for row, facts in chosen:
        yield Image.fromarray(pictures.pictures(np.array([row]))[0]), facts


def _world_crop(image: Image.Image, facts: Mapping[str, Any], config: FaceConfig) -> NDArray[np.uint8]:
    left, top, right, bottom = (share * image.width for share in facts["face"])
    return face_crop(image, (left, top, right, bottom), size=config.image_size, margin=LOOSE * config.margin)


def _found_crop(image: Image.Image, config: FaceConfig) -> NDArray[np.uint8] | None:
    faces = detect_faces(image)
    return face_crop(image, faces[0].box, size=config.image_size, margin=config.margin) if faces else None


def _face_set(crops: Sequence[tuple[NDArray[np.uint8], int]]) -> FaceSet:
    return FaceSet(np.stack([crop for crop, _ in crops]), np.array([one for _, one in crops]))


def contrast(vectors: Tensor, whose: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss (Khosla 2020, equation 2) of unit vectors (B, width) of people (B,)."""
    own = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    logits = (vectors @ vectors.T / temperature).masked_fill(own, float("-inf"))
    same = (whose[:, None] == whose[None]) & ~own
    chance = logits - logits.logsumexp(dim=1, keepdim=True)
    each = chance.masked_fill(~same, 0).sum(1) / same.sum(1).clamp(min=1)
    return -each.sum() / same.any(1).sum().clamp(min=1)


def train_step(trainer: Trainer, data: FaceSet, settings: FaceSettings, *, progress: float = 0.0) -> Tensor:
    """One update; returns the loss."""
    network = trainer.module
    assert isinstance(network, FaceNetwork)
    weight = network.vector.weight
    pixels, whose = data.draw(settings.chance(trainer.step_count, weight.device), settings)
    loss = contrast(network(pixels.to(weight.dtype)), whose, settings.temperature)
    trainer.step(loss, progress=progress)
    return loss.detach()


def train_faces(
    pictures: PictureSet, folder: Path, settings: FaceSettings, *, device: str = "cpu",
    config: FaceConfig | None = None,
) -> Iterator[ReadingProgress]:  # fmt: skip
    """Train for the settings' minutes, going on from `folder/faces.safetensors`; the result lies in `folder/faces`.

    Yields a log line every 20 seconds; every 3 minutes and at the end one with the calibration.
    """
    torch.manual_seed(settings.seed)
    network = FaceNetwork(config or FaceConfig())
    train, held_out = face_sets(pictures, network.config)
    trainer = Trainer(network.to(device, torch.bfloat16).train(), settings.optimiser)
    if (folder / CHECKPOINT).exists():
        trainer.load(folder / CHECKPOINT)
    yield from learn_to_read(
        trainer, lambda progress: train_step(trainer, train, settings, progress=progress),
        lambda: told(keep(trainer, held_out, folder)), minutes=settings.minutes,
        pictures=settings.people * settings.shots,
    )  # fmt: skip


def told(found: FaceCalibration) -> str:
    """A calibration in a log line."""
    return f"AUC {found.auc:.4f}, threshold {found.threshold:.3f}"


def keep(trainer: Trainer, held_out: FaceSet, folder: Path) -> FaceCalibration:
    """Write the checkpoint, and the averaged weights as a calibrated face judge; returns the calibration."""
    folder.mkdir(parents=True, exist_ok=True)
    trainer.save(folder / CHECKPOINT)
    assert isinstance(trainer.module, FaceNetwork)
    network = as_shipped(FaceNetwork(trainer.module.config), trainer)
    calibration = calibrate(FaceJudge(network), held_out)
    save_face_judge(FaceJudge(network, calibration), folder / "faces")
    return calibration


def calibrate(judge: FaceJudge, data: FaceSet) -> FaceCalibration:
    """Measure a face judge on people from whom it has not learned."""
    same, different = pair_distances(judge.vectors(data.crops), data.people.tolist())
    threshold, auc = separation(-same, -different)
    return FaceCalibration(
        threshold=-threshold,
        auc=auc,
        same=(float(same.mean()), float(same.std())),
        different=(float(different.mean()), float(different.std())),
        people=len(np.unique(data.people)),
        pictures=len(data.people),
    )
