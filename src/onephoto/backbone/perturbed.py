"""Guidance away from a model that has lost sight of the whole, too: clearer shapes in the same time.

After perturbed-attention guidance (Ahn 2024), which pays for another pass through the U-Net in every step. Here the
negative prompt's pass, which is there anyway, is the perturbed one in every other step.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from onephoto.backbone.hooks import hooked, uncompiled


@contextmanager
def perturbed_guidance(unet: nn.Module, *, within: str = "") -> Iterator[None]:
    """Within, in every other call from the first on, each place of the negative half of a batch sees but itself in
    self-attention, and guidance away from it is half as strong.

    Every batch must be doubled, its first half the negative one, as in guidance by diffusers; samplers that call twice
    a step, such as Heun's, are perturbed in each step's first call. within: part of the names of the layers that are
    perturbed, such as "mid_block"; all are unless given. All hooks are gone afterwards, also on error.
    """
    unet, perturbed = uncompiled(unet), False

    def begin(module: nn.Module, args: tuple) -> None:
        nonlocal perturbed
        perturbed = not perturbed

    def unseeing(module: Any, args: tuple, output: Tensor) -> Tensor | None:
        if not perturbed:
            return None
        negative = args[0][: len(output) // 2]
        return torch.cat([module.to_out[0](module.to_v(negative)), output[len(negative) :]])

    def end(module: nn.Module, args: tuple, output: Any) -> Any:
        if not perturbed:
            return None
        negative, prompted = output[0].chunk(2)
        # Guidance goes from here to the prompted half: from halfway, half as far.
        sample = torch.cat([(negative + prompted) / 2, prompted])
        return (sample, *output[1:]) if isinstance(output, tuple) else type(output)(sample=sample)

    layers = [layer for name, layer in unet.named_modules() if name.endswith("attn1") and within in name]
    handles = [unet.register_forward_pre_hook(begin), unet.register_forward_hook(end)]
    with hooked([*handles, *(layer.register_forward_hook(unseeing) for layer in layers)]):
        yield
