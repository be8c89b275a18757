"""Textual Inversion as diffusers' example trains it, written from its description with diffusers' own parts.

What makes it slow is kept: every step encodes the photo anew for each sample, runs the text encoder forward and back
for each sample with the whole table of tokens trainable, and puts all rows but the new one back after the optimiser.
Text encoders stay in float32 under autocast, the frozen parts are in the format asked for, as with mixed precision.
"""

import copy

import torch
from diffusers import DDPMScheduler
from PIL import Image
from torch import Tensor
from torch.nn import functional

from onephoto.backbone.load import Backbone
from onephoto.learn.data import photo_pixels, resized_to

WORD = "<v>"


class DiffusersRecipe:
    """A run of that recipe on the same model; its text encoders and tokenizers are copies."""

    def __init__(
        self, backbone: Backbone, photo: Image.Image, *, batch_size: int, size: int, prompt: str, subject: str,
        learning_rate: float = 5e-4, seed: int = 0,
    ) -> None:  # fmt: skip
        self.backbone, self.batch_size, self.size = backbone, batch_size, size
        pixels = resized_to(photo_pixels(photo), size).to(backbone.device, backbone.vae.dtype)
        self.pixels = pixels[None].repeat(batch_size, 1, 1, 1)
        self.scheduler = DDPMScheduler.from_config(backbone.pipeline.scheduler.config)
        self.generator = torch.Generator().manual_seed(seed)
        self.encoders = [copy.deepcopy(encoder).float() for encoder in backbone.text_encoders]
        self.ids = []
        for encoder, original in zip(self.encoders, backbone.tokenizers, strict=True):
            tokenizer = copy.deepcopy(original)
            start = tokenizer(subject, add_special_tokens=False).input_ids[0]
            tokenizer.add_tokens(WORD)
            encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
            table = encoder.get_input_embeddings().weight
            table.data[-1] = table.data[start]
            text = tokenizer(
                prompt.format(WORD), padding="max_length", truncation=True, max_length=tokenizer.model_max_length,
                return_tensors="pt",
            )  # fmt: skip
            self.ids.append(text.input_ids.to(backbone.device).repeat(batch_size, 1))
            encoder.requires_grad_(False)
            table.requires_grad_(True)
        self.tables = [encoder.get_input_embeddings().weight for encoder in self.encoders]
        self.originals = [table.detach().clone() for table in self.tables]
        self.optimizer = torch.optim.AdamW(self.tables, lr=learning_rate, weight_decay=1e-2)

    def step(self) -> float:
        """One update; its loss."""
        backbone = self.backbone
        latents = backbone.vae.encode(self.pixels).latent_dist.sample().detach() * backbone.vae.config.scaling_factor
        latents = latents.to(backbone.dtype)
        noise = torch.randn(latents.shape, generator=self.generator).to(latents)
        t = torch.randint(backbone.num_timesteps, (self.batch_size,), generator=self.generator).to(latents.device)
        contexts, added = self._encoded()
        noisy = self.scheduler.add_noise(latents, noise, t)
        prediction = backbone.unet(noisy, t, encoder_hidden_states=contexts, **added).sample
        target = noise if backbone.prediction_type == "epsilon" else self.scheduler.get_velocity(latents, noise, t)
        loss = functional.mse_loss(prediction.float(), target.float())
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._restore()
        return float(loss.detach())

    def _encoded(self) -> tuple[Tensor, dict[str, dict[str, Tensor]]]:
        """The prompt for each sample, (B, L, C), and SDXL's pooled one and sizes."""
        backbone, sdxl = self.backbone, self.backbone.family == "sdxl"
        with torch.autocast(backbone.device.type, backbone.dtype, enabled=backbone.dtype != torch.float32):
            outputs = [
                encoder(ids, output_hidden_states=sdxl) for encoder, ids in zip(self.encoders, self.ids, strict=True)
            ]
        if not sdxl:
            return outputs[0].last_hidden_state.to(backbone.dtype), {}
        contexts = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1).to(backbone.dtype)
        sizes = torch.tensor([self.size, self.size, 0, 0, self.size, self.size]).to(contexts)
        pooled = outputs[-1].text_embeds.to(backbone.dtype)
        return contexts, {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": sizes.repeat(self.batch_size, 1)}}

    @torch.no_grad()
    def _restore(self) -> None:
        for table, original in zip(self.tables, self.originals, strict=True):
            others = torch.ones(len(table), dtype=torch.bool, device=table.device)
            others[-1] = False
            table[others] = original[others]
