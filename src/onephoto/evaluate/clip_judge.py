"""CLIP as the judge of prompts for models of real photos, whose words the world's judge does not know."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTextModelWithProjection, CLIPTokenizer, CLIPVisionModelWithProjection

from onephoto.errors import ModelError, SettingError
from onephoto.evaluate.judge import BATCH, separation, token_ids

USUAL_CLIP = "openai/clip-vit-base-patch32"
"""The CLIP whose cosines published tables are of."""
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the pixels that CLIP learned from, by channel (Radford 2021, public code)."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ClipJudge:
    """A CLIP model and the similarity from which on a picture fits its text, None until `calibrated`."""

    source: str
    vision: Any
    text: Any
    tokenizer: Any
    threshold: float | None = None

    @property
    def name(self) -> str:
        """Tells this judge from another one."""
        return f"{self.source}, " + ("uncalibrated" if self.threshold is None else f"threshold {self.threshold:.4f}")

    def prompt_similarity(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Floats:
        """Cosine of each picture and its text (B,)."""
        return (self.image_vectors(images) * self.text_vectors(texts)).sum(1)

    def prompt_passes(self, images: Sequence[Image.Image], texts: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each picture fits its text (B,)."""
        if self.threshold is None:
            raise ModelError("this judge has no threshold yet; calibrate it on pictures of the base model")
        return self.prompt_similarity(images, texts) > self.threshold

    @torch.no_grad()
    def image_vectors(self, images: Sequence[Image.Image]) -> Floats:
        """Unit vectors (B, width)."""
        side = self.vision.config.image_size
        parts = torch.stack([clip_pixels(image, side) for image in images]).split(BATCH)
        device = self.vision.device
        found = [self.vision(pixel_values=part.to(device)).image_embeds.cpu() for part in parts]
        return functional.normalize(torch.cat(found), dim=1).numpy()

    @torch.no_grad()
    def text_vectors(self, texts: Sequence[str]) -> Floats:
        """Unit vectors (B, width)."""
        length = min(self.tokenizer.model_max_length, self.text.config.max_position_embeddings)
        ids, mask = token_ids(self.tokenizer, texts, length)
        parts = zip(ids.split(BATCH), mask.split(BATCH), strict=True)
        device = self.text.device
        found = [self.text(input_ids=i.to(device), attention_mask=m.to(device)).text_embeds.cpu() for i, m in parts]
        return functional.normalize(torch.cat(found), dim=1).numpy()

    def calibrated(self, images: Sequence[Image.Image], texts: Sequence[str]) -> "ClipJudge":
        """The judge with the threshold that parts pictures with their own texts from those with the others'.

        Raises SettingError where all texts are one.
        """
        similarity = self.image_vectors(images) @ self.text_vectors(texts).T
        own = np.array([[text == other for other in texts] for text in texts])
        if own.all():
            raise SettingError("a judge is calibrated on two different prompts at least; ask for more prompts")
        return replace(self, threshold=separation(np.diag(similarity), similarity[~own])[0])


def clip_pixels(image: Image.Image, side: int) -> Tensor:
    """A picture as CLIP sees it, (3, side, side): its middle square, bicubic, of CLIP's mean and deviation."""
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    square = image.convert("RGB").crop((left, top, left + short, top + short))
    pixels = np.asarray(square.resize((side, side), Image.Resampling.BICUBIC), np.float32) / 255
    normal = (pixels - np.array(MEAN, np.float32)) / np.array(DEVIATION, np.float32)
    return torch.from_numpy(normal).permute(2, 0, 1)


def load_clip_judge(source: str = USUAL_CLIP, *, device: str = "cpu") -> ClipJudge:
    """A CLIP model of a folder or a hub id; raises ModelError where none can be read."""
    try:
        vision = _tower(CLIPVisionModelWithProjection, source)
        text = _tower(CLIPTextModelWithProjection, source)
        tokenizer = CLIPTokenizer.from_pretrained(source)
        if len(tokenizer) != text.config.vocab_size:
            raise ValueError(f"{len(tokenizer)} tokens for {text.config.vocab_size} embeddings")
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{source}: no CLIP model can be read ({line}); give --judge a folder or a hub id") from error
    vision, text = (model.to(device).eval().requires_grad_(False) for model in (vision, text))
    return ClipJudge(source, vision, text, tokenizer)


def _tower(kind: Any, source: str) -> Any:
    """One half of a CLIP model; raises ValueError where a file lacks weights of it, which would be left to chance."""
    model, info = kind.from_pretrained(source, output_loading_info=True)
    if info["missing_keys"]:
        raise ValueError(f"{len(info['missing_keys'])} weights are missing")
    return model
