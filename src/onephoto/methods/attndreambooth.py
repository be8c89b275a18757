"""AttnDreamBooth (Pang 2024): first a new word, then where it acts, then what it looks like."""

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from onephoto.backbone.hooks import recording
from onephoto.backbone.load import Backbone
from onephoto.backbone.method import Batch, MethodSpec
from onephoto.backbone.weights import own_weights, replaced
from onephoto.core.attention_loss import attention_probs
from onephoto.errors import SettingError
from onephoto.methods.embedding import read_single_table
from onephoto.methods.recipe import PSEUDO_WORD, Recipe, denoising
from onephoto.methods.weights import PREFIX, Differences, WeightMethod, change, learned_marks

WORD_PHASE, ATTENTION_PHASE, WHOLE_PHASE = range(3)


@dataclass(frozen=True, kw_only=True)
class AttnDreamBoothSettings(Recipe):
    """The public script's settings: 60, 100 and 500 steps of 8 samples, each phase at a rate of its own.

    steps counts all three phases, the last takes what word_steps and attention_steps leave, and learning_rate is the
    last one's. mean_weights and variance_weights are the regularisation's, by phase. The authors' fast variant has 200
    last steps of 4 samples at 1e-5. Photos are flipped in half of the samples here, in a quarter there.
    """

    steps: int = 660
    batch_size: int = 8
    learning_rate: float = 2e-6
    weight_decay: float = 1e-2
    word_steps: int = 60
    word_rate: float = 1e-3
    attention_steps: int = 100
    attention_rate: float = 2e-5
    mean_weights: tuple[float, float, float] = (0.1, 2.0, 2.0)
    variance_weights: tuple[float, float, float] = (0.0, 5.0, 5.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.word_steps, self.attention_steps) < 0 or min(self.word_rate, self.attention_rate) <= 0:
            raise SettingError("word_steps and attention_steps must be 0 or more, word_rate and attention_rate above 0")
        if any(len(weights) != 3 for weights in (self.mean_weights, self.variance_weights)):
            raise SettingError("mean_weights and variance_weights must hold three numbers, one for each phase")

    def phase(self, step: int) -> int:
        """The phase, from 0, of the step with this number."""
        return (step >= self.word_steps) + (step >= self.word_steps + self.attention_steps)


class AttnDreamBooth(WeightMethod):
    """One person, learned as V* in "V* person" and as differences of every weight of the U-Net, in three phases.

    V* begins at the class word and learns in the first phase alone, all of cross-attention in the second, every weight
    in the third: W' = W + D_attention + D_whole, so that each phase has an optimiser's state of its own. There are no
    class pictures; L = L_denoise + L_balance in every phase. The file keeps D_attention + D_whole in float16, two bytes
    a weight: 1.7 GB for Stable Diffusion 2.1, for which it is published.
    """

    name = "attndreambooth"

    def __init__(self, backbone: Backbone, *, subject: str, settings: AttnDreamBoothSettings, seed: int = 0):
        """Nothing is drawn at random, so the seed is of no account."""
        weights, marks = own_weights(backbone.unet), learned_marks(backbone.class_vectors(subject))
        super().__init__(backbone, subject=subject, settings=settings, marks=marks, weights=weights)
        self.settings = settings
        self.attention = Differences(backbone.unet, (name for name in weights if ".attn2." in name))

    def trained(self) -> dict[str, nn.Parameter]:
        """V*, D_attention and D_whole."""
        return super().trained() | {f"attention.{name}": gain for name, gain in self.attention.trained.items()}

    def parameters(self) -> list[dict[str, Any]]:
        """One group for each phase, at its rate; the last phase has the run's."""
        return [
            {"params": list(self.marks.values()), "lr": self.settings.word_rate},
            {"params": list(self.attention.trained.values()), "lr": self.settings.attention_rate},
            {"params": list(self.differences.trained.values())},
        ]

    def parts(self, phase: int | None = None) -> Mapping[str, Tensor]:
        """Every weight of the U-Net, W'; in a phase of learning with gradients to that phase's D alone."""
        attention = _held(self.attention, phase == ATTENTION_PHASE)
        whole = _held(self.differences, phase == WHOLE_PHASE)
        return {
            name: (own + attention.get(name, 0) + whole[name]).to(own.dtype)
            for name, own in self.differences.own.items()
        }

    def kept(self) -> dict[str, Tensor]:
        """What every weight gained in both phases: "unet.<parameter>", float16."""
        attention, whole = _held(self.attention, False), _held(self.differences, False)
        return {f"{PREFIX}{name}": (gain + attention.get(name, 0)).cpu().half() for name, gain in whole.items()}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """L_denoise + L_balance; gradients reach what learns in the step's phase and nothing else."""
        phase = self.settings.phase(batch.step)
        with nullcontext() if phase == WORD_PHASE else torch.no_grad():
            prompt = self.conditioning()
        layers = self.backbone.layers
        with replaced(self.backbone.unet, self.parts(phase)), recording(layers) as records:
            denoise = denoising(self.backbone, batch, prompt)
        mark, word = next(word.columns for word in prompt.words if word.text == PSEUDO_WORD)[:2]
        balance = attention_balance(
            (attention_probs(query, key) for query, key in zip(records.queries, records.keys, strict=True)),
            mark, word, mean_weight=self.settings.mean_weights[phase],
            variance_weight=self.settings.variance_weights[phase],
        )  # fmt: skip
        return {"loss": denoise + balance, "denoising": denoise, "balance": balance}


def attention_balance(
    layers: Iterable[Tensor], mark: int, word: int, *, mean_weight: float, variance_weight: float
) -> Tensor:
    """How unlike the maps of V* and of the class word's first token are, as two numbers each: a scalar, 0 for equals.

    Each layer's maps are (B, H, Q, L); mark and word are columns of L. With mean and variance over heads and positions,
    L_balance = mean over layers of the sum over samples of a (mean_V - mean_c)^2 + b (var_V - var_c)^2. The sum over
    samples is the public code's.
    """
    losses = []
    for probs in layers:
        own, other = probs[..., mark].flatten(1), probs[..., word].flatten(1)
        means, variances = own.mean(dim=1) - other.mean(dim=1), own.var(dim=1) - other.var(dim=1)
        losses.append((mean_weight * means.square() + variance_weight * variances.square()).sum())
    return torch.stack(losses).mean()


def _held(differences: Differences, learning: bool) -> dict[str, Tensor]:
    """Differences by name, as constants unless they learn."""
    return {name: gain if learning else gain.detach() for name, gain in differences.trained.items()}


SPEC = MethodSpec(AttnDreamBooth.name, AttnDreamBooth, read_single_table, AttnDreamBoothSettings, change)
