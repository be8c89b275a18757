"""What users have in their pipelines beside a person: random adapters, none of them zero, and a random person."""

from typing import Any

import torch
from diffusers import ControlNetModel
from tiny import tiny_pipeline
from torch import Tensor

from onephoto import api
from onephoto.backbone.load import wrap_pipeline
from onephoto.identity.file import IdentityFile

PERSON, PLAIN = "a photo of <alice> at the beach", "a photo of person at the beach"
CALL = {"num_inference_steps": 2, "output_type": "np", "guidance_scale": 5.0}


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def somebody(pipe: Any, seed: int = 0, name: str = "alice") -> IdentityFile:
    """A person of five random pairs of tokens for this pipeline."""
    backbone = wrap_pipeline(pipe)
    tensors = {
        f"tokens.{encoder}": torch.randn(5, 2, rows.shape[1], generator=seeded(seed))
        for encoder, rows in backbone.class_vectors("person").items()
    }
    base = {"model_id": "tiny", "fingerprint": api.fingerprint(backbone)}
    return IdentityFile(name, "person", "sefi", tensors, {"base": base})


def picture(side: int = 16) -> Tensor:
    return torch.rand(1, 3, side, side, generator=seeded(9))


def control_net(pipe: Any, seed: int = 0) -> ControlNetModel:
    """A ControlNet of the pipeline's U-Net whose own layers, zero at the start of training, are random."""
    torch.manual_seed(seed)
    net = ControlNetModel.from_unet(pipe.unet, conditioning_channels=3)
    for part, size in ((net.controlnet_down_blocks, 0.1), (net.controlnet_mid_block, 0.1)):
        for weight in part.parameters():
            torch.nn.init.normal_(weight, std=size)
    torch.nn.init.normal_(net.controlnet_cond_embedding.conv_out.weight, std=5.0)
    # The tiny autoencoder halves pictures once, where the real one does so three times.
    for block in net.controlnet_cond_embedding.blocks[2:]:
        block.stride = (1, 1)
    return net.requires_grad_(False).eval()


def ip_adapter(pipe: Any, width: int = 12, seed: int = 0) -> dict[str, dict[str, Tensor]]:
    """A random IP-Adapter of four image tokens, as its files have it."""
    context = pipe.unet.config.cross_attention_dim
    layers = [module for name, module in pipe.unet.named_modules() if name.endswith("attn2")]
    generator = seeded(seed)
    weights = {}
    for number, name in enumerate(name for name in pipe.unet.attn_processors if "attn2" in name):
        out = pipe.unet.get_submodule(name.removesuffix(".processor")).inner_dim
        for side in ("k", "v"):
            weights[f"{2 * number + 1}.to_{side}_ip.weight"] = torch.randn(out, context, generator=generator)
    assert len(weights) == 2 * len(layers)
    projection = {
        "proj.weight": torch.randn(4 * context, width, generator=generator),
        "proj.bias": torch.zeros(4 * context),
        "norm.weight": torch.ones(context),
        "norm.bias": torch.zeros(context),
    }
    return {"image_proj": projection, "ip_adapter": weights}


def lora(pipe: Any, seed: int = 0, rank: int = 2) -> dict[str, Tensor]:
    """A random LoRA on every attention projection of the U-Net, as its files have it."""
    generator = seeded(seed)
    weights = {}
    for name, module in pipe.unet.named_modules():
        if name.rsplit(".", 1)[-1] in ("to_q", "to_k", "to_v"):
            rows, columns = module.weight.shape
            weights[f"unet.{name}.lora_A.weight"] = torch.randn(rank, columns, generator=generator)
            weights[f"unet.{name}.lora_B.weight"] = torch.randn(rows, rank, generator=generator)
    return weights


def pipeline(family: str = "sd1") -> Any:
    pipe = tiny_pipeline(family)
    pipe.unet.requires_grad_(False)
    return pipe
