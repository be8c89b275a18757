"""Stable Diffusion XL's format out of a trained model of Stable Diffusion's: what it takes over, how the rest begins.

The trunk of the U-Net and the first text encoder are frozen. SDXL reads that encoder before its last layer, so keys and
values are the linear functions of those states that come nearest to the old ones; trained by noise they draw no better,
and attention maps get flatter (docs/LOG.md). The second encoder begins as a pupil of the first.
"""

from pathlib import Path
from shutil import copyfile, copytree
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from onephoto.backbone.grown import WEIGHTS, is_own, own_weights, save_own
from onephoto.base.architecture import XlArchitecture
from onephoto.base.latents import LatentSet
from onephoto.base.painters import XlPainter, build_painter
from onephoto.base.shipped import shipped_state, take_shipped, take_shipped_text
from onephoto.base.training import freeze

CAPTIONS = 2000
"""So many are enough for the map between layers."""
LESSONS, LESSON_SIZE, LESSON_RATE = 1000, 64, 3e-3
"""Steps, captions a step and learning rate of the second encoder's lessons: 3 minutes of a core."""
RIDGE = 1e-4
"""Of the mean square of the states, against directions that captions hardly vary in."""
KEYS_VALUES = (".attn2.to_k.weight", ".attn2.to_v.weight")
ADDED = "add_embedding."
SECOND_ALONE = 0.1
"""Share of the samples that the second encoder alone describes, so that it is not left idle beside a trained one."""


def taken_over(arch: XlArchitecture, mini: Path) -> tuple[XlPainter, CLIPTokenizer]:
    """A painter with a trained model's text encoder and trunk, and that model's vocabulary; what asks for gradients is
    the second encoder, and what adds pooled text and sizes.
    """
    words = CLIPTokenizer.from_pretrained(mini / "tokenizer")
    painter = build_painter(arch, words)
    assert isinstance(painter, XlPainter)
    take_shipped(painter.text_encoder, "text_encoder", folder=mini)
    trunk = {name: value for name, value in shipped_state(mini, "unet").items() if not is_own(name)}
    painter.unet.load_state_dict(trunk, strict=False)
    freeze([painter.text_encoder])
    for name, parameter in painter.unet.named_parameters():
        parameter.requires_grad_(name.startswith(ADDED))
    return painter, words


def begin_own(
    painter: XlPainter, mini: Path, ids: Tensor, *, lessons: int = LESSONS, goes_on: bool = False
) -> None:  # fmt: skip
    """Make what is the painter's own of a model's weights and captions' token ids (n, L).

    The second encoder learns the first one's output by heart; each brings half of keys and values. Pooled text and
    sizes change nothing yet, unless the painter goes on from one that was trained before.
    """
    old, own = shipped_state(mini, "unet"), painter.unet.state_dict()
    keys_values = torch.cat([old[name] for name in own if name.endswith(KEYS_VALUES)])
    teach(painter, ids, keys_values.T @ keys_values, lessons=lessons)
    halves = [nearest_map(painter.text_encoder, encoder, ids) for encoder in painter.text_encoders()]
    both = torch.cat(halves, dim=1).cpu() / 2
    for name in own:
        if name.endswith(KEYS_VALUES):
            own[name].copy_(old[name] @ both)
    if not goes_on:
        for end in painter.unet.add_embedding.linear_2.parameters():
            nn.init.zeros_(end)


def teach(painter: XlPainter, ids: Tensor, metric: Tensor, *, lessons: int) -> None:
    """Train the second encoder to say of captions (n, L) what the first does, and its pooled text the mean of that.

    Each through a linear map that is thrown away; errors (C,) count by `metric` (C, C). Beside a first encoder that
    says all, noise alone teaches it nothing within an hour (docs/LOG.md).
    """
    variances, directions = torch.linalg.eigh(metric.double().to(ids.device))
    root = ((directions * variances.clamp(min=0).sqrt()) @ directions.T).float()
    student = painter.text_encoder_2
    width = student.config.hidden_size
    heads = nn.ModuleList([nn.Linear(width, len(root)), nn.Linear(width, len(root))]).to(ids.device)
    optimiser = torch.optim.AdamW([*student.parameters(), *heads.parameters()], lr=LESSON_RATE, betas=(0.9, 0.99))
    warm_and_fall = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / 50, 2 * (1 - step / lessons))
    )
    generator = torch.Generator(ids.device).manual_seed(0)
    for _ in range(lessons):
        some = ids[torch.randint(len(ids), (LESSON_SIZE,), generator=generator, device=ids.device)]
        with torch.no_grad(), torch.autocast(ids.device.type, torch.bfloat16):
            wanted = painter.text_encoder(some).last_hidden_state
        wanted = wanted.float() @ root
        said = student(some, output_hidden_states=True)
        words, pooled = heads[0](said.hidden_states[-2]), heads[1](said.text_embeds)
        loss = (words - wanted).square().mean() + (pooled - wanted.mean(1)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        warm_and_fall.step()


@torch.no_grad()
def nearest_map(wanted: CLIPTextModel, encoder: CLIPTextModel, ids: Tensor) -> Tensor:
    """The map (C, c) of an encoder's last but one hidden states that comes nearest to the wanted one's output, in least
    squares over all tokens of CAPTIONS captions of (n, L).
    """
    width, target = encoder.config.hidden_size, wanted.config.hidden_size
    options: Any = {"dtype": torch.float64, "device": ids.device}
    squares, products = torch.zeros(width, width, **options), torch.zeros(width, target, **options)
    for some in ids[:: -(-len(ids) // CAPTIONS)].split(100):
        states = encoder(some, output_hidden_states=True).hidden_states[-2].flatten(0, 1).double()
        squares += states.T @ states
        products += states.T @ wanted(some).last_hidden_state.flatten(0, 1).double()
    squares += RIDGE * squares.diagonal().mean() * torch.eye(width, **options)
    return torch.linalg.solve(squares, products).T.float()


def take_own(unet: UNet2DConditionModel, folder: Path) -> bool:
    """Give a U-Net what `save_own` wrote; says whether it is there, and of these shapes."""
    if not (folder / WEIGHTS).exists():
        return False
    own, here = own_weights(folder), unet.state_dict()
    if {name: value.shape for name, value in own.items()} != {n: v.shape for n, v in here.items() if is_own(n)}:
        return False
    unet.load_state_dict(own, strict=False)
    return True


def take_shipped_xl(painter: XlPainter, words: CLIPTokenizer, folder: Path, mini: Path) -> bool:
    """Go on from the weights in a folder, shipped beside the model whose folder is `mini`; says whether they are there,
    and of these shapes.
    """
    return take_own(painter.unet, folder) and take_shipped_text(
        painter.text_encoder_2, words, part="text_encoder_2", folder=folder, vocabulary=mini / "tokenizer"
    )


class TwiceTold(LatentSet):
    """Latents with captions, and for which of them the first encoder is heard too."""

    def beside(self, chosen: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """False for SECOND_ALONE of the pictures (B,)."""
        return (torch.rand(len(chosen), generator=generator, device=self.device) >= SECOND_ALONE,)


def keep_own(painter: XlPainter, whole: Path, folder: Path) -> None:
    """Write what a painter's folder, as `save_pipeline` wrote it, does not share with the model it has grown out of."""
    copytree(whole / "text_encoder_2", folder / "text_encoder_2", dirs_exist_ok=True)
    copyfile(whole / "model_index.json", folder / "model_index.json")
    save_own(painter.unet, folder)
