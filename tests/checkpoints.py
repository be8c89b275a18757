"""Weights of pipelines in Stable Diffusion's original layout: the way back of how diffusers reads checkpoints."""

import re
from typing import Any

import torch
from torch import Tensor

State = dict[str, Tensor]

RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection",
}  # fmt: skip
ENDS = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
}  # fmt: skip
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}  # fmt: skip


def original_layout(pipe: Any) -> State:
    """The weights of a pipeline of Stable Diffusion 1.x, 2.x (v-prediction) or XL under their original names."""
    state = {f"model.diffusion_model.{name}": value for name, value in _unet(pipe.unet).items()}
    state |= {f"first_stage_model.{name}": value for name, value in _autoencoder(pipe.vae).items()}
    first = {f"text_model.{name}": value for name, value in _own(pipe.text_encoder).items()}
    if getattr(pipe, "text_encoder_2", None) is not None:
        state |= {f"conditioner.embedders.0.transformer.{name}": value for name, value in first.items()}
        return state | {
            f"conditioner.embedders.1.model.{key}": rows for key, rows in _open(pipe.text_encoder_2).items()
        }
    if pipe.scheduler.config.prediction_type == "v_prediction":
        return state | {f"cond_stage_model.model.{key}": rows for key, rows in _open(pipe.text_encoder).items()}
    return state | {f"cond_stage_model.transformer.{name}": value for name, value in first.items()}


def _own(model: Any) -> State:
    """A text encoder's weights without the wrapping that some of its classes have."""
    return {name.removeprefix("text_model."): value for name, value in model.state_dict().items()}


def _unet(unet: Any) -> State:
    layers = unet.config.layers_per_block
    return _after_attention({_unet_name(name, layers): value for name, value in unet.state_dict().items()})


def _unet_name(name: str, layers: int) -> str:
    part, *rest = name.split(".")
    if part not in ("down_blocks", "mid_block", "up_blocks"):
        stem, last = name.rsplit(".", 1)
        return f"{ENDS[stem]}.{last}"
    block, kind, number = (0, rest[0], int(rest[1])) if part == "mid_block" else (int(rest[0]), rest[1], int(rest[2]))
    tail = ".".join(rest[2:] if part == "mid_block" else rest[3:])
    if kind == "resnets":
        first, last = tail.rsplit(".", 1)
        tail = f"{RESNET[first]}.{last}"
    if part == "mid_block":
        return f"middle_block.{2 * number if kind == 'resnets' else 1}.{tail}"
    place = block * (layers + 1) + number
    if part == "down_blocks":
        if kind == "downsamplers":
            return f"input_blocks.{(block + 1) * (layers + 1)}.0.op.{tail.removeprefix('conv.')}"
        return f"input_blocks.{1 + place}.{int(kind == 'attentions')}.{tail}"
    if kind == "upsamplers":
        return f"output_blocks.{block * (layers + 1) + layers}.UP.{tail}"
    return f"output_blocks.{place}.{int(kind == 'attentions')}.{tail}"


def _after_attention(state: State) -> State:
    """Upsamplers at their places: behind the attention of their block, where it has one."""
    named = {}
    for name, value in state.items():
        block = name.split(".UP.")[0]
        place = 2 if any(other.startswith(f"{block}.1.") for other in state) else 1
        named[name.replace(".UP.", f".{place}.")] = value
    return named


def _autoencoder(vae: Any) -> State:
    levels = len(vae.config.block_out_channels)
    state = {}
    for name, value in vae.state_dict().items():
        name = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", name)
        name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
        name = re.sub(r"up_blocks\.(\d+)\.resnets", lambda at: f"up.{levels - 1 - int(at[1])}.block", name)
        name = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda at: f"up.{levels - 1 - int(at[1])}.upsample", name)
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda at: f"mid.block_{int(at[1]) + 1}", name)
        name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        if "mid_block.attentions.0" in name:
            front, own = name.split("mid_block.attentions.0.")
            stem, last = own.rsplit(".", 1)
            name = f"{front}mid.attn_1.{ATTENTION[stem]}.{last}"
            value = value[:, :, None, None] if value.ndim == 2 else value
        state[name] = value
    return state


def _open(model: Any) -> State:
    """OpenCLIP's names, and its projections in one matrix."""
    own = _own(model)
    state = {
        "positional_embedding": own["embeddings.position_embedding.weight"],
        "token_embedding.weight": own["embeddings.token_embedding.weight"],
        "ln_final.weight": own["final_layer_norm.weight"], "ln_final.bias": own["final_layer_norm.bias"],
    }  # fmt: skip
    if "text_projection.weight" in own:
        state["text_projection"] = own["text_projection.weight"].T
    for number in range(model.config.num_hidden_layers):
        old, new = f"encoder.layers.{number}.", f"transformer.resblocks.{number}."
        for kind in ("weight", "bias"):
            joined = [own[f"{old}self_attn.{side}_proj.{kind}"] for side in "qkv"]
            state[f"{new}attn.in_proj_{kind}"] = torch.cat(joined)
            state |= {f"{new}{theirs}.{kind}": own[f"{old}{ours}.{kind}"] for ours, theirs in OPEN_CLIP.items()}
    return state
