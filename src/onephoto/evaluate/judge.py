"""The embedded world's judge: how well a picture fits a text, and what the picture shows.

A small network of this project's own, trained on renders (`onephoto.base.judges`); it knows the world's words only.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTokenizer

from onephoto.errors import ModelError
from onephoto.evaluate.facts import record_of
from onephoto.evaluate.judge_network import JudgeConfig, JudgeNetwork

Images = NDArray[np.uint8] | Sequence[Image.Image]
Floats = NDArray[np.float32]
CONFIG, WEIGHTS, CALIBRATION = "config.json", "judge.safetensors", "calibration.json"
BATCH = 64
"""Pictures or texts that go through the network at once."""


@dataclass(frozen=True)
class Calibration:
    """What held-out renders said of a judge.

    `threshold` parts prompts that hold in a picture from others, `caption_threshold` captions from those of other
    pictures; `matched` and `shuffled` are mean and deviation of the prompts' similarity; `prompt_auc` and `caption_auc`
    the chance that a matched pair scores above a shuffled one; `accuracy` of each fact where it is visible, and
    `recall`, its mean over the fact's values.
    """

    threshold: float
    caption_threshold: float
    matched: tuple[float, float]
    shuffled: tuple[float, float]
    prompt_auc: float
    caption_auc: float
    accuracy: Mapping[str, float]
    recall: Mapping[str, float]
    pictures: int


@dataclass(frozen=True)
class Judge:
    """A trained judge; `calibration` is None while it is being made."""

    network: JudgeNetwork
    tokenizer: CLIPTokenizer
    calibration: Calibration | None = None

    @property
    def name(self) -> str:
        """Tells this judge from another one, by what calibration said of it."""
        kept = self.calibration
        return "uncalibrated" if kept is None else f"threshold {kept.threshold:.4f}, AUC {kept.prompt_auc:.4f}"

    def prompt_similarity(self, images: Images, texts: Sequence[str]) -> Floats:
        """Cosine of each picture, (B, H, W, 3) uint8 or a list, and its text: (B,). Say "a person", not a name."""
        return (self.image_vectors(images) * self.text_vectors(texts)).sum(1)

    def prompt_passes(self, images: Images, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each picture fits its text, by the calibrated threshold: (B,)."""
        if self.calibration is None:
            raise ModelError("this judge has no calibration; run onephoto base train judges to the end")
        return self.prompt_similarity(images, texts) > self.calibration.threshold

    def read(self, images: Images) -> list[dict[str, Any]]:
        """The facts of each picture as `facts.record_of` has them: scene, garment, expression, hair_colour,
        hair_length, beard, sex, age, things, arms, facing.
        """
        return [record_of(values) for values in self.values(images)]

    def values(self, images: Images) -> list[dict[str, str]]:
        """The most likely value of each fact of `facts.CHOICES`, by picture."""
        choices = self.network.config.choices
        indices = {name: logits.argmax(1).tolist() for name, logits in self._seen(images)[1].items()}
        return [{name: choices[name][column[k]] for name, column in indices.items()} for k in range(len(images))]

    def image_vectors(self, images: Images) -> Floats:
        """Unit vectors (B, joint)."""
        return self._seen(images)[0].numpy()

    @torch.no_grad()
    def text_vectors(self, texts: Sequence[str]) -> Floats:
        """Unit vectors (B, joint)."""
        ids, mask = token_ids(self.tokenizer, texts, self.network.config.max_length)
        device = self.network.log_scale.device
        batches = zip(ids.split(BATCH), mask.split(BATCH), strict=True)
        return torch.cat([self.network.hear(i.to(device), m.to(device)).cpu() for i, m in batches]).numpy()

    @torch.no_grad()
    def _seen(self, images: Images) -> tuple[Tensor, dict[str, Tensor]]:
        """Vectors (B, joint) and logits (B, values) of each fact, from batches."""
        pixels = to_pixels(torch.tensor(reduced(images, self.network.config.image_size)))
        parts = [self.network.see(part.to(self.network.log_scale.device)) for part in pixels.split(BATCH)]
        logits = {name: torch.cat([part.logits[name] for part in parts]).cpu() for name in self.network.config.choices}
        return torch.cat([part.vectors for part in parts]).cpu(), logits


def reduced(images: Images, size: int) -> NDArray[np.uint8]:
    """Pictures of any sizes as (B, size, size, 3) uint8, by the mean of what each pixel covers."""
    if isinstance(images, np.ndarray) and images.shape[1:3] == (size, size):
        return images
    pictures = (Image.fromarray(image) if isinstance(image, np.ndarray) else image.convert("RGB") for image in images)
    return np.stack([np.asarray(picture.resize((size, size), Image.Resampling.BOX)) for picture in pictures])


def to_pixels(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def token_ids(tokenizer: CLIPTokenizer, texts: Sequence[str], max_length: int) -> tuple[Tensor, Tensor]:
    """Token numbers, cut and then padded to the longest text's (B, L), and which are no padding (B, L) bool."""
    rows = tokenizer(list(texts), max_length=max_length, truncation=True).input_ids
    lengths = torch.tensor([len(row) for row in rows])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    # The tokenizer's own padding takes twice as long, which many captions feel.
    ids = torch.full(mask.shape, tokenizer.pad_token_id)
    ids[mask] = torch.tensor([number for row in rows for number in row])
    return ids, mask


def separation(matched: Floats, shuffled: Floats) -> tuple[float, float]:
    """The threshold that parts two samples with the fewest errors, each sample weighing the same; and their AUC."""
    matched, shuffled = np.sort(matched), np.sort(shuffled)
    levels = np.unique(np.concatenate([matched, shuffled]))
    middles = (levels[1:] + levels[:-1]) / 2 if len(levels) > 1 else levels
    passed = 1 - np.searchsorted(matched, middles, side="right") / len(matched)
    refused = np.searchsorted(shuffled, middles, side="right") / len(shuffled)
    below = np.searchsorted(shuffled, matched, side="left") + np.searchsorted(shuffled, matched, side="right")
    return float(middles[(passed + refused).argmax()]), float(below.mean() / (2 * len(shuffled)))


def save_judge(judge: Judge, folder: Path) -> None:
    """Write configuration, vocabulary, calibration, and the weights as fp16."""
    folder.mkdir(parents=True, exist_ok=True)
    judge.tokenizer.backend_tokenizer.model.save(str(folder))
    (folder / CONFIG).write_text(_json(asdict(judge.network.config)))
    if judge.calibration is not None:
        (folder / CALIBRATION).write_text(_json(_rounded(asdict(judge.calibration))))
    weights = {name: value.half().contiguous().cpu() for name, value in judge.network.state_dict().items()}
    save_file(weights, folder / WEIGHTS)


def load_judge(folder: Path | str | None = None, *, device: str = "cpu") -> Judge:
    """The judge of a folder, the package's own unless given; raises ModelError where files are missing or damaged."""
    folder = Path(str(resources.files("onephoto") / "weights" / "judge")) if folder is None else Path(folder)
    if not (folder / WEIGHTS).exists() or not (folder / CONFIG).exists():
        raise ModelError(f"{folder}: no judge here; make one with onephoto base train judges")
    try:
        return _loaded(folder, device)
    except (SafetensorError, RuntimeError, ValueError, TypeError, KeyError, OSError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{folder}: the judge cannot be read ({line}); make it again") from error


def _loaded(folder: Path, device: str) -> Judge:
    raw = _read(folder / CONFIG)
    config = JudgeConfig(**(raw | {"choices": {name: tuple(values) for name, values in raw["choices"].items()}}))
    network = JudgeNetwork(config)
    network.load_state_dict({name: value.float() for name, value in load_file(folder / WEIGHTS).items()})
    calibration = Calibration(**_read(folder / CALIBRATION)) if (folder / CALIBRATION).exists() else None
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    return Judge(network.to(device).eval().requires_grad_(False), tokenizer, calibration)


def _read(path: Path) -> dict[str, Any]:
    """A JSON object, its lists as tuples."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}


def _json(content: Any) -> str:
    return json.dumps(content, indent=1) + "\n"


def _rounded(value: Any) -> Any:
    """The same with every fraction cut to four places."""
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    return round(value, 4) if isinstance(value, float) else value
