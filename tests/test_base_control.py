import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline, StableDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file
from toy_base import TOY, toy_autoencoder, toy_pictures

from onephoto.backbone.control import build_control, is_own, load_control
from onephoto.backbone.load import load_backbone
from onephoto.base import stages
from onephoto.base.architecture import Architecture, build_scheduler, build_unet
from onephoto.base.control import ControlPainter, HintedSet
from onephoto.base.diffusion import diffusion_loss
from onephoto.base.latents import Batch
from onephoto.base.painters import load_painter
from onephoto.base.pictures import PictureSet
from onephoto.base.training import OptimiserSettings, Trainer
from onephoto.errors import ModelError, SettingError, WorldError
from onephoto.evaluate.control import control_painters
from onephoto.generate.draw import DrawSettings

PROMPT = "a photo of a man"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a model, and a ControlNet trained once."""
    folder = toy_autoencoder(tmp_path_factory.mktemp("work"))
    pictures = toy_pictures(folder / "pictures")
    list(stages.latents([pictures], folder))
    list(stages.diffusion([pictures], folder, 0.01, arch=TOY))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SettingError, match="diffusion and export"):
        patch.setattr(stages, "embedded_model", lambda: folder / "nothing shipped")
        list(stages.control([pictures], folder, 0.005))
    list(stages.export(folder, arch=TOY))
    with pytest.raises(WorldError, match="--maps"):
        list(stages.control([pictures], folder, 0.01))
    (pictures / "maps").mkdir()
    np.save(pictures / "maps" / "0000.npy", np.random.default_rng(1).integers(0, 255, (80, 64, 64, 4), np.uint8))
    list(stages.control([pictures], folder, 0.02))
    return folder


def shown() -> Image.Image:
    return Image.fromarray(np.random.default_rng(2).integers(0, 255, (64, 64, 3), np.uint8))


def test_the_stage_goes_on(work: Path) -> None:
    lines = [list(stages.control([work / "pictures"], work, minutes))[-1] for minutes in (0.0, 0.01)]
    before, after = (int(line.split()[1][:-1]) for line in lines)
    assert after > before > 0


def test_plain_diffusers_draws_with_it(work: Path) -> None:
    control = ControlNetModel.from_pretrained(work / "controlnet", torch_dtype=torch.float32)
    pipe = StableDiffusionControlNetPipeline.from_pretrained(work / "mini", controlnet=control)
    assert pipe(PROMPT, image=shown(), num_inference_steps=2).images[0].size == (64, 64)


def test_what_the_package_takes_becomes_the_same_controlnet(work: Path) -> None:
    unet = load_backbone(work / "mini").unet
    own, whole = load_control(unet, work / "control"), ControlNetModel.from_pretrained(work / "controlnet").float()
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(own.state_dict()[name], value)
    kept = load_file(work / "control" / "control.safetensors")
    assert kept.keys() < own.state_dict().keys()
    assert not any(parameter.requires_grad for parameter in own.parameters())


def test_an_untrained_one_changes_nothing(work: Path) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(work / "mini")
    steered = StableDiffusionControlNetPipeline(
        **pipe.components, controlnet=build_control(pipe.unet), requires_safety_checker=False
    )
    call = {"num_inference_steps": 2, "output_type": "np"}
    plain = pipe(PROMPT, generator=torch.Generator().manual_seed(0), **call).images
    same = steered(PROMPT, image=shown(), generator=torch.Generator().manual_seed(0), **call).images
    np.testing.assert_array_equal(plain, same)


def test_the_trained_one_is_drawn_with_beside_the_plain_model(work: Path) -> None:
    backbone = load_backbone(work / "mini")
    control = load_control(backbone.unet, work / "control")
    for layer in (control.controlnet_mid_block, backbone.unet.conv_out):
        torch.nn.init.normal_(layer.weight)
    steered, free = control_painters(backbone, control, DrawSettings(steps=1))
    assert steered(shown(), 0).size == free(shown(), 0).size == (64, 64)
    assert steered(shown(), 0) != free(shown(), 0)


def test_only_the_controlnet_learns(work: Path) -> None:
    painter = ControlPainter(load_painter(work / "mini"))
    torch.nn.init.normal_(painter.unet.conv_out.weight, std=0.1)
    before = {name: value.clone() for name, value in painter.state_dict().items()}
    trainer, generator = Trainer(painter, OptimiserSettings(warmup_steps=1)), torch.Generator().manual_seed(0)
    told = (torch.randint(0, 99, (2, 12)), torch.rand(2, 3, 64, 64))
    alphas = build_scheduler().alphas_cumprod
    for _ in range(2):
        batch = Batch(torch.randn(2, 4, 8, 8, generator=generator), told, torch.ones(2, 1, 8, 8))
        trainer.step(diffusion_loss(painter, batch, alphas, generator=generator, snr_limit=5.0))
    changed = {name for name, value in painter.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith("control.") and is_own(name) for name in changed)
    assert any("controlnet_down_blocks" in name for name in changed)
    assert any("controlnet_cond_embedding" in name for name in changed)


def test_hints_belong_to_their_pictures(work: Path) -> None:
    pictures, words = PictureSet(work / "pictures"), stages.tokenizer(work, TOY)
    data = HintedSet(pictures, work / "latents" / "64", words, size=64)
    (hints,) = data.beside(torch.arange(80), torch.Generator().manual_seed(0))
    maps = np.load(work / "pictures" / "maps" / "0000.npy")
    assert hints.shape == (80, 3, 64, 64) and hints.min() >= 0 and hints.max() <= 1
    depth = torch.from_numpy(maps[..., 3]).float() / 255
    pose = torch.from_numpy(maps[..., :3]).permute(0, 3, 1, 2).float() / 255
    kinds = [torch.equal(h, d.expand(3, -1, -1)) for h, d in zip(hints, depth, strict=True)]
    assert 4 < sum(kinds) < 35
    assert all(depth_alone or torch.equal(h, p) for depth_alone, h, p in zip(kinds, hints, pose, strict=True))
    _, (ids, drawn), _ = data.draw(torch.Generator().manual_seed(0), 3, empty_share=0.1, face_weight=4.0)
    assert ids.shape == (3, 12) and drawn.shape == (3, 3, 64, 64)


def test_missing_and_foreign_weights_are_told_in_one_line(work: Path, tmp_path: Path) -> None:
    unet = load_backbone(work / "mini").unet
    with pytest.raises(ModelError, match="base train control"):
        load_control(unet, tmp_path)
    with pytest.raises(ModelError, match="another model"):
        load_control(build_unet(Architecture()), work / "control")
    shutil.copytree(work / "control", tmp_path / "cut")
    (tmp_path / "cut" / "control.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot be read"):
        load_control(unet, tmp_path / "cut")


def test_it_keeps_its_budget() -> None:
    control = build_control(build_unet(Architecture()))
    own = sum(parameter.numel() for name, parameter in control.named_parameters() if is_own(name))
    assert 0.4e6 < own < 0.6e6
    assert own == sum(parameter.numel() for parameter in control.parameters() if parameter.requires_grad)
