"""What the methods that change the U-Net's weights have in common: a marked class word, and differences of weights."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from onephoto.backbone.load import Backbone
from onephoto.backbone.method import Batch
from onephoto.backbone.prompts import Conditioning, encode
from onephoto.backbone.weights import own_weights, replaced
from onephoto.core.tokens import TokenTable, class_rows
from onephoto.errors import IdentityFileError
from onephoto.methods.embedding import single_table, token_tensors
from onephoto.methods.recipe import PSEUDO_WORD, WORD, Recipe, learning_prompt

PREFIX = "unet."
"""Before the names of U-Net parameters in an identity file, as diffusers has it in its own files."""


class Differences:
    """Trainable differences from a frozen U-Net's weights: for each parameter W named, W' = W + D with D = 0 at first.

    D is float32 whatever the model computes in, so that small steps are not lost. Weight decay pulls to the base.
    """

    def __init__(self, unet: nn.Module, names: Iterable[str]):
        own = own_weights(unet)
        self.own = {name: own[name] for name in names}
        self.trained = {
            name: nn.Parameter(torch.zeros_like(weight, dtype=torch.float32)) for name, weight in self.own.items()
        }

    def weights(self) -> dict[str, Tensor]:
        """W' by name, with gradients to D."""
        return {name: (weight + self.trained[name]).to(weight.dtype) for name, weight in self.own.items()}

    def kept(self) -> dict[str, Tensor]:
        """D by name as the identity file has it: float16, on the CPU."""
        return {f"{PREFIX}{name}": gain.detach().cpu().half() for name, gain in self.trained.items()}


class WeightMethod:
    """A person learned as changed weights and as a word of its own before the class word: "V* person".

    As it stands, marks that are parameters learn, and differences of the weights named. A method whose U-Net changes
    otherwise says what trains (`trained`), which parts are put in (`parts`), and what of them the file keeps (`kept`).
    """

    name: str

    def __init__(
        self, backbone: Backbone, *, subject: str, settings: Recipe, marks: Mapping[str, Tensor],
        weights: Iterable[str] = (),
    ):  # fmt: skip
        """marks: what stands before the class word for each text encoder, (n, width). weights: names in the U-Net."""
        self.backbone, self.subject, self.marks = backbone, subject, marks
        self.prompt = learning_prompt(settings, subject)
        self.words = {name: rows.float() for name, rows in backbone.class_vectors(subject).items()}
        self.differences = Differences(backbone.unet, weights)

    def trained(self) -> dict[str, nn.Parameter]:
        """All that trains, by name."""
        marks = {f"marks.{name}": rows for name, rows in self.marks.items() if isinstance(rows, nn.Parameter)}
        return marks | self.differences.trained

    def parts(self) -> Mapping[str, Tensor] | Mapping[str, nn.Module]:
        """Parameters or submodules of the U-Net, by name, as they stand, with gradients to what trains."""
        return self.differences.weights()

    def kept(self) -> dict[str, Tensor]:
        """What the file keeps of the weights, "unet.<parameter>": the differences in float16."""
        return self.differences.kept()

    def focus(self, latents: Tensor) -> Tensor | None:
        """All errors count alike."""

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Every method's own."""
        raise NotImplementedError

    def parameters(self) -> list[nn.Parameter] | list[dict[str, Any]]:
        """All that trains, at one rate."""
        return list(self.trained().values())

    def table(self) -> TokenTable:
        """The marked class word, the same for K and V everywhere."""
        return single_table({name: torch.cat([self.marks[name], rows]) for name, rows in self.words.items()})

    def conditioning(self) -> Conditioning:
        """The sentence of learning with the marked class word in it."""
        text = self.prompt.format(PSEUDO_WORD)
        return encode(self.backbone, text, {WORD: self.table()}, classes={WORD: self.subject})

    def stepped(self, step: int, steps: int) -> None:
        """Nothing is kept of a step."""

    def patched(self) -> AbstractContextManager[None]:
        """Within, the U-Net has the parts as they stand."""
        return replaced(self.backbone.unet, self.parts())

    def state_dict(self) -> dict[str, Tensor]:
        """All that trains."""
        return dict(self.trained())

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes up all that trains."""
        for name, parameter in self.trained().items():
            parameter.copy_(state[name])

    def tensors(self) -> dict[str, Tensor]:
        """The marked class word, "tokens.<encoder>" (n, width), and what is kept of the weights under "unet."."""
        words = {name: rows[0] for name, rows in self.table().vectors.items()}
        return token_tensors(words) | self.kept()


def fixed_marks(backbone: Backbone, identifier: str) -> dict[str, Tensor]:
    """The embeddings of a rare word for each text encoder, (n, width): they mark the class word and do not train."""
    return {name: rows.float() for name, rows in backbone.class_vectors(identifier).items()}


def learned_marks(start: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One trainable embedding V* for each text encoder, (1, width), begun at the mean of the rows given."""
    return {name: nn.Parameter(class_rows(rows, 1).float().clone()) for name, rows in start.items()}


def change(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> dict[str, Tensor]:
    """The differences of weights of an identity file; raises IdentityFileError when it holds none."""
    found = {name.removeprefix(PREFIX): gain for name, gain in tensors.items() if name.startswith(PREFIX)}
    if not found:
        raise IdentityFileError("the identity file holds no weights; learn it again with its method")
    return found
