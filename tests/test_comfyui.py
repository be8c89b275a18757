"""The ComfyUI nodes against a written stub of ComfyUI's node interface, not in ComfyUI itself."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import comfyui_stub as stub
import pytest
import torch
from adapters import somebody
from tiny import tiny_backbone

import onephoto
from onephoto.backbone.prompts import encode
from onephoto.core.packing import unpack
from onephoto.errors import PromptError, SettingError
from onephoto.methods import get_method

PLACE = Path(__file__).parents[1] / "comfyui" / "__init__.py"


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setitem(sys.modules, "folder_paths", ModuleType("folder_paths"))
    stub.install(tmp_path)
    spec = importlib.util.spec_from_file_location("comfyui_nodes", PLACE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nodes_have_what_comfyui_asks_of_them(nodes: ModuleType) -> None:
    assert set(nodes.NODE_CLASS_MAPPINGS) == set(nodes.NODE_DISPLAY_NAME_MAPPINGS)
    for node in nodes.NODE_CLASS_MAPPINGS.values():
        assert callable(getattr(node, node.FUNCTION)) and node.INPUT_TYPES()["required"]
        assert node.CATEGORY == "onephoto" and len(node.RETURN_TYPES) == len(node.RETURN_NAMES)


@torch.no_grad()
@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_each_stage_reads_the_k_and_v_that_it_reads_in_diffusers(
    family: str, nodes: ModuleType, tmp_path: Path
) -> None:
    backbone = tiny_backbone(family)
    identity = somebody(backbone.pipeline)
    onephoto.save_identity(tmp_path / "alice.safetensors", identity)
    assert nodes.LoadIdentity.INPUT_TYPES()["required"]["file"] == (["alice.safetensors"],)
    (person,) = nodes.LoadIdentity().load("alice.safetensors")
    model, text = stub.Model(), "a photo of <Alice> at the beach"
    patched, positive = nodes.PromptWithPerson().encode(model, stub.Clip(backbone), person, text)
    ((packed, extra),) = positive
    table = get_method("sefi").table(identity.tensors, identity.metadata)
    own = encode(backbone, text, {"alice": table}, classes={"alice": "person"})
    contexts = unpack(packed, 10, backbone.max_length)[0][0]
    for step, sigma in enumerate((999.0, 700.0, 500.5, 300.0, 0.0)):
        key, value = patched.attend(packed.expand(2, -1, -1), sigma)
        assert torch.allclose(key[1], own.contexts[own.routing.key[step, 0]], atol=1e-5)
        assert torch.allclose(value[0], own.contexts[own.routing.value[step, 0]], atol=1e-5)
    assert contexts.shape == own.contexts.shape and not model.patches
    if family == "sdxl":
        assert extra["pooled_output"].shape == (1, 32)
    plain = torch.randn(1, backbone.max_length, packed.shape[-1])
    assert all(side is plain for side in patched.attend(plain, 500.0))


def test_what_cannot_be_drawn_is_refused(nodes: ModuleType) -> None:
    backbone = tiny_backbone()
    person, clip = somebody(backbone.pipeline), stub.Clip(backbone)
    node = nodes.PromptWithPerson()
    with pytest.raises(PromptError, match="must name <alice>"):
        node.encode(stub.Model(), clip, person, "a photo of a dog")
    with pytest.raises(PromptError, match="too long"):
        node.encode(stub.Model(), clip, person, "a photo of a dog at the beach " * 4 + "<alice>")
    with pytest.raises(SettingError, match="changes the model's weights"):
        node.encode(stub.Model(), clip, replace(person, method="dreambooth"), "<alice>")
