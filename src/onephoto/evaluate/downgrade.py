"""What is lost when a learned word becomes an ordinary embedding: nearness of predictions, and ID and Prompt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from onephoto.backbone.load import Backbone
from onephoto.backbone.prompts import encode
from onephoto.core.denoising import add_noise, clean_and_noise
from onephoto.core.plain import Vectors, embedding_table
from onephoto.core.tokens import TokenTable
from onephoto.evaluate.metrics import distances, likeness

Paint = Callable[[str, Any, int], Image.Image]
"""From a prompt with "<name>" in it, an identity and a seed, a picture."""
TEXT = "a photo of <v>"


@dataclass(frozen=True)
class Loss:
    """Mean ID (likeness, 0 where no face is found) and Prompt of the full file and of the plain embedding."""

    full_id: float
    plain_id: float
    full_prompt: float
    plain_prompt: float

    def __str__(self) -> str:
        return (
            f"ID {self.full_id:.3f} in full, {self.plain_id:.3f} as an embedding; "
            f"Prompt {self.full_prompt:.3f} and {self.plain_prompt:.3f}"
        )


@torch.no_grad()
def nearness(
    backbone: Backbone, table: TokenTable, ways: Mapping[str, Vectors], *, subject: str, steps: int = 10, seed: int = 0,
    samples: int = 2,
) -> dict[str, float]:  # fmt: skip
    """How far the model's predictions move when the word is said each way instead of in full: 0 not at all, 1 as far as
    the class word is.

    Mean squared differences along the way from noise to picture that the full word takes (DDIM, no guidance).
    """
    said = {way: embedding_table(vectors) for way, vectors in ways.items()} | {
        "": embedding_table(backbone.class_vectors(subject))
    }
    full = encode(backbone, TEXT, {"v": table}, classes={"v": subject})
    others = {way: encode(backbone, TEXT, {"v": plain}, classes={"v": subject}) for way, plain in said.items()}
    times = torch.linspace(backbone.num_timesteps - 1, 0, steps).long().to(backbone.device)
    shape = (samples, backbone.unet.config.in_channels, backbone.latent_size, backbone.latent_size)
    noisy = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(backbone.device)
    moved = dict.fromkeys(others, 0.0)
    for now, following in zip(times, [*times[1:], None], strict=True):
        t = now.expand(samples)
        prediction = backbone.predict(noisy, t, full).float()
        for way, conditioning in others.items():
            moved[way] += float((backbone.predict(noisy, t, conditioning).float() - prediction).square().mean())
        if following is not None:
            parts = clean_and_noise(prediction, noisy, backbone.alphas_cumprod, t, backbone.prediction_type)
            noisy = add_noise(*parts, backbone.alphas_cumprod, following.expand(samples))
    return {way: amount / max(moved[""], 1e-12) for way, amount in moved.items() if way}


def loss_of(
    full: Any, plain: Any, *, texts: Sequence[str], subject: str, paint: Paint, judge: Any, photo_vector: NDArray
) -> Loss:  # fmt: skip
    """ID and Prompt of both, over the same prompts, "{}" where the person stands, and seeds.

    full and plain are identities as paint takes them, named alike; photo_vector is the face vector of the person's
    photo; judge gives Prompt, of the prompt with the class word in the person's place.
    """
    ids, fits = [], []
    for identity in (full, plain):
        images = [paint(text.format(f"<{full.name}>"), identity, seed) for seed, text in enumerate(texts)]
        ids.append(float(np.mean([nearest_likeness(image, photo_vector) for image in images])))
        fits.append(float(np.mean(judge.prompt_similarity(images, [text.format(f"a {subject}") for text in texts]))))
    return Loss(ids[0], ids[1], fits[0], fits[1])


def nearest_likeness(image: Image.Image, photo_vector: NDArray) -> float:
    """ID of the likest of a picture's faces; 0 without a face."""
    from onephoto.identity.faces import face_vectors

    vectors = face_vectors(image)
    return float(likeness(distances(photo_vector, vectors)).max()) if len(vectors) else 0.0
