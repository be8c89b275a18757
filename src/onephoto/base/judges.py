"""Training of the judge: pictures against captions, and facts, from rendered pictures; calibrated on held-out ones."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from transformers import CLIPTokenizer

from onephoto.base.changes import Chance, changed_with_boxes
from onephoto.base.pictures import PictureSet, face_boxes
from onephoto.base.reading import ReadingProgress, ReadingSettings, as_shipped, learn_to_read
from onephoto.base.training import Trainer
from onephoto.errors import WorldError
from onephoto.evaluate.facts import CHOICES, UNKNOWN, labels_of, mirrored, record_of, shows, visible_facts
from onephoto.evaluate.judge import Calibration, Judge, reduced, save_judge, separation, token_ids
from onephoto.evaluate.judge_network import JudgeConfig, JudgeNetwork
from onephoto.world.prompts import SETS, Prompt
from onephoto.world.props import HELD

Floats = NDArray[np.float32]
Shares = dict[str, float]

HELD_OUT = 2
"""Last shards, people of their own, that are kept for calibration."""
SIDED = re.compile(r"\b(left|right)\b")


@dataclass(frozen=True)
class JudgeSettings(ReadingSettings):
    """Rare values of a fact weigh 1 / frequency ** `balance`."""

    batch_size: int = 64
    facts_weight: float = 0.5
    faces_weight: float = 20.0
    balance: float = 0.5
    largest_scale: float = 4.0

    @classmethod
    def on(cls, device: str, minutes: float) -> "JudgeSettings":
        """Settings for a device: a GPU has nothing to do with small batches, and larger ones warm up longer."""
        settings = cls(minutes=minutes)
        if device == "cpu":
            return settings
        return replace(settings, batch_size=512, optimiser=replace(settings.optimiser, warmup_steps=100))


@dataclass(frozen=True)
class JudgeBatch:
    """Pixels (B, 3, H, W), token numbers and which are words (B, L), labels (B, facts), and faces' boxes (B, 4) in
    shares of the picture, NaN where none is known.
    """

    pixels: Tensor
    ids: Tensor
    mask: Tensor
    labels: Tensor
    boxes: Tensor


@dataclass(frozen=True)
class JudgeSet:
    """Reduced pictures (n, s, s, 3) uint8, their facts and captions, labels (n, facts) of the pictures and of their
    mirror images, faces' boxes (n, 4), and the captions' tokens in one table of which picture k owns rows starts[k] to
    starts[k] + counts[k], as long as its longest caption.
    """

    images: Tensor
    facts: Sequence[Mapping[str, str]]
    captions: Sequence[Sequence[str]]
    labels: Tensor
    mirrored_labels: Tensor
    boxes: Tensor
    starts: Tensor
    counts: Tensor
    ids: Tensor
    mask: Tensor
    sided: Tensor

    def to(self, device: str) -> "JudgeSet":
        """The same with all tensors there, where batches are drawn and changed too."""
        parts: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        moved = {name: part.to(device) for name, part in parts.items() if isinstance(part, Tensor)}
        return JudgeSet(**parts | moved)

    def draw(self, chance: Chance, settings: JudgeSettings) -> JudgeBatch:
        """A batch of changed pictures, half of them mirrored unless the caption speaks of left or right."""
        chosen = chance.below(len(self.images), settings.batch_size)
        rows = self._captions(chosen, chance)
        flip = (chance.uniform(len(chosen)) < 0.5) & ~self.sided[rows]
        labels = torch.where(flip.unsqueeze(1), self.mirrored_labels[chosen], self.labels[chosen])
        pixels, boxes = changed_with_boxes(self.images[chosen], self.boxes[chosen], flip, chance, settings)
        return JudgeBatch(pixels, self.ids[rows].long(), self.mask[rows], labels, boxes)

    def _captions(self, chosen: Tensor, chance: Chance) -> Tensor:
        """A row for each picture: the longer of two random captions, since short ones often say nothing."""
        rows = self.starts[chosen] + (chance.uniform(2, len(chosen)) * self.counts[chosen]).long()
        longer = self.mask[rows].sum(2).argmax(0)
        return rows.gather(0, longer.unsqueeze(0))[0]


def impersonal(caption: str, names: Sequence[str]) -> str:
    """The caption with a person in the place of names: a judge must not know anybody."""
    for name in names:
        caption = _named(name).sub(lambda found: f"{found[1] or 'a '}person", caption)
    return caption


@cache
def _named(name: str) -> re.Pattern[str]:
    """Compiled once: `re` itself remembers fewer patterns than there are names."""
    return re.compile(rf"(an old )?\b{name}\b")


def _names(facts: Mapping[str, Any]) -> list[str]:
    people = (facts, facts.get("beside") or {})
    return [person["name"] for person in people if person.get("name")]


def judge_sets(pictures: PictureSet, tokenizer: CLIPTokenizer, config: JudgeConfig) -> tuple[JudgeSet, JudgeSet]:
    """Training and held-out pictures, all in memory; raises WorldError where too few shards are there."""
    if len(pictures.shards) <= HELD_OUT:
        raise WorldError(
            f"{pictures.folders[0]}: {HELD_OUT + 1} shards are needed; run onephoto world render for more people"
        )
    records = list(pictures.records())
    split = int(pictures.ends[-HELD_OUT - 1])
    return (
        _judge_set(pictures.shards[:-HELD_OUT], records[:split], tokenizer, config),
        _judge_set(pictures.shards[-HELD_OUT:], records[split:], tokenizer, config),
    )


def _judge_set(
    shards: Sequence[NDArray[np.uint8]], records: Sequence[Mapping[str, Any]], tokenizer: CLIPTokenizer,
    config: JudgeConfig,
) -> JudgeSet:  # fmt: skip
    captions = [[impersonal(text, _names(record["facts"])) for text in record["captions"]] for record in records]
    flat = [text for variants in captions for text in variants]
    ids, mask = _tokens(flat, tokenizer, config.max_length)
    facts = [visible_facts(record["facts"]) for record in records]
    counts = torch.tensor([len(variants) for variants in captions])
    return JudgeSet(
        images=_images(shards, config.image_size),
        facts=facts,
        captions=captions,
        labels=torch.tensor([labels_of(one) for one in facts]),
        mirrored_labels=torch.tensor([labels_of(mirrored(one)) for one in facts]),
        boxes=face_boxes(records),
        starts=counts.cumsum(0) - counts,
        counts=counts,
        ids=ids,
        mask=mask,
        sided=torch.tensor([bool(SIDED.search(text)) for text in flat]),
    )


def _images(shards: Sequence[NDArray[np.uint8]], size: int) -> Tensor:
    """All pictures of the shards reduced, never in memory twice."""
    ends = np.cumsum([len(shard) for shard in shards])
    images = np.empty((ends[-1], size, size, 3), np.uint8)
    for end, shard in zip(ends, shards, strict=True):
        images[end - len(shard) : end] = reduced(shard, size)
    return torch.from_numpy(images)


def _tokens(texts: Sequence[str], tokenizer: CLIPTokenizer, max_length: int) -> tuple[Tensor, Tensor]:
    """`token_ids` as int16, of each distinct text once: without names many captions are the same."""
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    ids, mask = token_ids(tokenizer, list(numbers), max_length)
    rows = torch.tensor([numbers[text] for text in texts])
    return ids.to(torch.int16)[rows], mask[rows]


def value_weights(labels: Tensor, balance: float) -> dict[str, Tensor]:
    """Weight of each fact's values, from their frequency among labels (n, facts); 1 on average over the labels."""
    weights = {}
    for column, (name, values) in enumerate(CHOICES.items()):
        known = labels[:, column][labels[:, column] != UNKNOWN]
        counts = torch.bincount(known, minlength=len(values)).float().clamp(min=1)
        weight = (counts.mean() / counts) ** balance
        weights[name] = weight * counts.sum() / (weight * counts).sum()
    return weights


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Each picture has to find its text among the batch's, and each text its picture (Radford 2021); (B, C) each."""
    logits = scale * images @ texts.T
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def facts_loss(logits: Mapping[str, Tensor], labels: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """Sum over facts of the cross-entropy, each the mean over pictures that show the fact."""
    total = labels.new_zeros((), dtype=torch.float32)
    for column, (name, values) in enumerate(logits.items()):
        target = labels[:, column]
        error = F.cross_entropy(values, target, weight=weights[name], ignore_index=UNKNOWN, reduction="sum")
        total = total + error / (target != UNKNOWN).sum().clamp(min=1)
    return total


def faces_loss(found: Tensor, boxes: Tensor) -> Tensor:
    """How far the middles and sides found (B, 3) are from known boxes (B, 4), in shares of the picture."""
    known = ~boxes.isnan().any(1)
    # Unknown boxes are put in order before they count for nothing: NaN times nothing is NaN, in gradients too.
    left, top, right, bottom = boxes.nan_to_num().unbind(1)
    truth = torch.stack([(left + right) / 2, (top + bottom) / 2, bottom - top], dim=1)
    errors = F.smooth_l1_loss(found, truth, beta=0.05, reduction="none").sum(1)
    return (errors * known).sum() / known.sum().clamp(min=1)


def judge_loss(
    network: JudgeNetwork, batch: JudgeBatch, weights: Mapping[str, Tensor], settings: JudgeSettings
) -> Tensor:
    """All losses of a batch; it, the weights and the network lie on one device."""
    sight = network.see(batch.pixels.to(network.log_scale.dtype))
    texts = network.hear(batch.ids, batch.mask)
    scale = network.log_scale.float().clamp(max=settings.largest_scale).exp()
    facts = facts_loss(sight.logits, batch.labels, weights)
    faces = faces_loss(sight.faces, batch.boxes)
    return contrastive_loss(sight.vectors, texts, scale) + settings.facts_weight * facts + settings.faces_weight * faces


def train_step(
    trainer: Trainer, data: JudgeSet, weights: Mapping[str, Tensor], settings: JudgeSettings, *, progress: float = 0.0
) -> Tensor:
    """One update; returns the loss."""
    assert isinstance(trainer.module, JudgeNetwork)
    batch = data.draw(settings.chance(trainer.step_count, data.images.device), settings)
    loss = judge_loss(trainer.module, batch, weights, settings)
    trainer.step(loss, progress=progress)
    return loss.detach()


def train_judge(
    pictures: PictureSet, folder: Path, settings: JudgeSettings, *, tokenizer: CLIPTokenizer, device: str = "cpu",
    config: JudgeConfig | None = None,
) -> Iterator[ReadingProgress]:  # fmt: skip
    """Train for the settings' minutes, going on from `folder/judge.safetensors`; the result lies in `folder/judge`.

    Yields a log line every 20 seconds; every 3 minutes and at the end one with the calibration.
    """
    torch.manual_seed(settings.seed)
    network = JudgeNetwork(config or JudgeConfig(vocabulary=len(tokenizer), choices=dict(CHOICES)))
    train, held_out = judge_sets(pictures, tokenizer, network.config)
    train, network = train.to(device), network.to(device, torch.bfloat16).train()
    trainer, checkpoint = Trainer(network, settings.optimiser), folder / "judge.safetensors"
    if checkpoint.exists():
        trainer.load(checkpoint)
    weights = value_weights(train.labels, settings.balance)
    yield from learn_to_read(
        trainer, lambda progress: train_step(trainer, train, weights, settings, progress=progress),
        lambda: told(keep(trainer, held_out, tokenizer, folder)), minutes=settings.minutes,
        pictures=settings.batch_size,
    )  # fmt: skip


def told(found: Calibration) -> str:
    """A calibration in a log line."""
    shares = ", ".join(f"{name} {share:.3f}" for name, share in found.accuracy.items())
    return f"captions {found.caption_auc:.3f}, prompts {found.prompt_auc:.3f}, {shares}"


def keep(trainer: Trainer, held_out: JudgeSet, tokenizer: CLIPTokenizer, folder: Path) -> Calibration:
    """Write the checkpoint, and the averaged weights as a calibrated judge; returns the calibration."""
    folder.mkdir(parents=True, exist_ok=True)
    trainer.save(folder / "judge.safetensors")
    assert isinstance(trainer.module, JudgeNetwork)
    judge = Judge(as_shipped(JudgeNetwork(trainer.module.config), trainer), tokenizer)
    judge = replace(judge, calibration=calibrate(judge, held_out))
    save_judge(judge, folder / "judge")
    assert judge.calibration is not None
    return judge.calibration


def calibrate(judge: Judge, data: JudgeSet) -> Calibration:
    """Measure a judge on pictures that it was not trained on."""
    images = data.images.numpy()
    vectors, read = judge.image_vectors(images), judge.values(images)
    matched, shuffled = prompt_pairs(judge, vectors, data.facts)
    threshold, prompt_auc = separation(matched, shuffled)
    first = judge.text_vectors([variants[0] for variants in data.captions])
    # Half of the pictures on, it is somebody else's.
    other = np.roll(first, len(first) // 2, axis=0)
    caption_threshold, caption_auc = separation((vectors * first).sum(1), (vectors * other).sum(1))
    accuracy, recall = right_share(read, data.facts)
    return Calibration(
        threshold=threshold,
        caption_threshold=caption_threshold,
        matched=(float(matched.mean()), float(matched.std())),
        shuffled=(float(shuffled.mean()), float(shuffled.std())),
        prompt_auc=prompt_auc,
        caption_auc=caption_auc,
        accuracy=accuracy,
        recall=recall,
        pictures=len(data.images),
    )


def prompt_pairs(judge: Judge, vectors: Floats, facts: Sequence[Mapping[str, str]]) -> tuple[Floats, Floats]:
    """Similarities of pictures (n, joint) and the evaluation's prompts: where the prompt holds, and where not.

    Only pictures count of which it is known.
    """
    asked = [prompt for prompts in SETS.values() for prompt in prompts]
    similarity = vectors @ judge.text_vectors([prompt("a person") for prompt in asked]).T
    known = np.array([[holds(prompt, one) for prompt in asked] for one in facts])
    return similarity[known == 1], similarity[known == 0]


def holds(prompt: Prompt, facts: Mapping[str, str]) -> int:
    """1 where the facts fulfil a prompt, 0 where they do not, UNKNOWN where the picture does not tell."""
    kinds = {"thing": "held" if prompt.facts.get("thing") in HELD else prompt.facts.get("thing")}
    if any(kinds.get(name, name) not in facts for name in prompt.facts):
        return UNKNOWN
    return int(shows(prompt, record_of(facts)))


def right_share(read: Sequence[Mapping[str, str]], facts: Sequence[Mapping[str, str]]) -> tuple[Shares, Shares]:
    """Of each fact, where it is known: the share that was read rightly, and its mean over the fact's values."""
    accuracy, recall = {}, {}
    for name in CHOICES:
        truth = np.array([one[name] for one in facts if name in one])
        right = truth == np.array([seen[name] for seen, one in zip(read, facts, strict=True) if name in one])
        if len(truth):
            accuracy[name] = float(right.mean())
            recall[name] = float(np.mean([right[truth == value].mean() for value in np.unique(truth)]))
    return accuracy, recall
