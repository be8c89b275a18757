"""Attention by its plain formula, where a step of learning on a CPU is faster by it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from torch import nn
from transformers import PreTrainedModel

if TYPE_CHECKING:
    from onephoto.backbone.load import Backbone

# One for all layers: it keeps nothing, and code compiled for it need not be compiled again.
PLAIN = AttnProcessor()
FUSED, FORMULA = "sdpa", "eager"
"""What transformers calls the two."""


def learning_attention(backbone: "Backbone") -> AbstractContextManager[None]:
    """Whichever attention has the faster way back, for the time of a step of learning.

    On a CPU the fused kernel's takes two to four times as long as plain attention's in bfloat16, and less in float32.
    """
    narrow = backbone.device.type == "cpu" and backbone.dtype != torch.float32
    return plain_attention(backbone.unet, *backbone.text_encoders) if narrow else nullcontext()


@contextmanager
def plain_attention(*parts: nn.Module) -> Iterator[None]:
    """Within, stock fused attention in these modules is softmax(Q K^T / sqrt(D)) V as written; results are equal but
    for rounding.

    Processors of others, such as IP-Adapter's, stay. Afterwards everything is as it was, also on error.
    """
    with ExitStack() as stack:
        for module in (module for part in parts for module in part.modules()):
            if isinstance(module, Attention) and type(module.processor) is AttnProcessor2_0:
                stack.callback(setattr, module, "processor", module.processor)
                module.processor = PLAIN
            elif isinstance(module, PreTrainedModel) and attention_of(module) == FUSED:
                stack.callback(module.set_attn_implementation, FUSED)
                module.set_attn_implementation(FORMULA)
        yield


def attention_of(encoder: Any) -> str:
    """Which attention a text encoder of transformers computes."""
    return str(encoder.config._attn_implementation)
