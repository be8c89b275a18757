"""What every method that learns from noise has in common: the settings of its learning, its prompt, its plain loss."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from torch import Tensor

from onephoto.backbone.load import Backbone
from onephoto.backbone.method import Batch
from onephoto.backbone.prompts import Conditioning
from onephoto.errors import IdentityFileError, SettingError
from onephoto.identity.subjects import is_person

FACE_PROMPT = "a photo of the face of {}"
THING_PROMPT = "a photo of a {}"

# What the learned word is called while it is learned; nobody else sees it.
WORD = "v"
PSEUDO_WORD = f"<{WORD}>"
ARTICLE = re.compile(r"\b(a|an|the) \{\}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a method learns.

    steps and batch_size count updates and samples in each; learning_rate and weight_decay are AdamW's, the rate
    reached over the first `warmup` steps and then held, but for the last share `decay` of all steps, in which it falls
    to zero; flip adds each photo's mirror image; prompt is the sentence to learn in, with {} where the word stands
    (None: by the kind of subject). Raises SettingError for what makes no sense.

    redraws, if not 0, is how many pictures that the model makes of it (`generate.redraw`) stand for a photo, so that
    what is learned is the person and not that it is a photo: of every photo, or of those alone that are stranger to the
    model than strange_above (`learn.strange`). Meant for models that were trained on other things than photos. strange
    holds settings, of those in may_be_strange, that stand for the others where all photos are redrawn: whoever comes
    from photos unlike the model's own pictures is farther from all whom it draws by itself.
    """

    may_be_strange: ClassVar[tuple[str, ...]] = ("steps", "learning_rate")

    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.0
    warmup: int = 0
    decay: float = 0.0
    flip: bool = True
    prompt: str | None = None
    redraws: int = 0
    strange_above: float = 0.0
    strange: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "learning_rate"):
            value = getattr(self, name)
            if value is None or value <= 0:
                raise SettingError(f"{name} is {value}; it must be above 0")
        for name in ("redraws", "strange_above"):
            if not getattr(self, name) >= 0:
                raise SettingError(f"{name} is {getattr(self, name)}; it must be 0 or more")
        if not 0 <= self.decay <= 1:
            raise SettingError(f"decay is {self.decay}; it must be a share of the steps, from 0 to 1")
        if not isinstance(self.strange, Mapping):
            raise SettingError(f"strange is {self.strange!r}; give settings by name")
        unknown = [name for name in self.strange if name not in self.may_be_strange]
        if unknown:
            raise SettingError(f"strange holds {', '.join(unknown)}; it may hold {', '.join(self.may_be_strange)}")
        if self.strange:
            self.for_strange()
        if self.prompt is not None and self.prompt.count("{}") != 1:
            raise SettingError(f"the prompt {self.prompt!r} must hold {{}} once, where the learned word stands")

    def for_strange(self) -> Self:
        """The settings where all photos were strange to the model and redrawn."""
        return replace(self, **self.strange, strange={})


def learning_prompt(recipe: Recipe, subject: str) -> str:
    """The sentence to learn in, with {} where the word stands: of the face for people, of the thing for all else."""
    if recipe.prompt is not None:
        return recipe.prompt
    return FACE_PROMPT if is_person(subject) else THING_PROMPT


def class_prompt(prompt: str, subject: str) -> str:
    """That sentence with the class word, or nothing, in the word's place, after an article as models are trained."""
    return (prompt if ARTICLE.search(prompt) else prompt.replace("{}", "a {}")).format(subject).strip()


def denoising(backbone: Backbone, batch: Batch, conditioning: Conditioning) -> Tensor:
    """L_denoise of a batch under a prompt, a float32 scalar: one pass through the U-Net."""
    return backbone.squared_errors(batch.latents, batch.noise, batch.timesteps, conditioning).mean()


def by_encoder(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors "tokens.<encoder>" of an identity file by encoder; raises IdentityFileError when there are none."""
    found = {name.removeprefix("tokens."): rows for name, rows in tensors.items() if name.startswith("tokens.")}
    if not found:
        raise IdentityFileError("the identity file holds no tokens; learn it again")
    return found
