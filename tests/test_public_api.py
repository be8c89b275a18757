import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_pipeline

import onephoto
from onephoto import api
from onephoto.backbone.load import wrap_pipeline
from onephoto.backbone.prompts import names_in
from onephoto.errors import IdentityFileError, SettingError
from onephoto.generate.draw import DrawSettings
from onephoto.methods import get_method

CALL = {"num_inference_steps": 2, "output_type": "np"}


def photo() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8))


@pytest.fixture
def alice(tmp_path: Path) -> Path:
    request = api.LearnRequest(name="alice", settings={"steps": 3, "heads": 4, "learning_rate": 0.05})
    onephoto.save_identity(str(tmp_path / "alice.safetensors"), onephoto.learn(tiny_pipeline(), [photo()], request))
    return tmp_path / "alice.safetensors"


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def in_a_new_process(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_the_public_names_are_these() -> None:
    assert onephoto.__all__ == [
        "__version__", "generate", "learn", "load_identity", "look", "pull", "push", "save_identity", "use",
    ]  # fmt: skip
    assert set(onephoto.__all__) <= set(dir(onephoto))
    with pytest.raises(AttributeError, match="no attribute 'dance'"):
        onephoto.dance  # noqa: B018


def test_importing_and_listing_load_nothing_heavy() -> None:
    heavy = "('torch', 'numba', 'dlib', 'diffusers', 'transformers', 'PIL')"
    code = f"import sys, onephoto; dir(onephoto); print([name for name in {heavy} if name in sys.modules])"
    assert in_a_new_process(code) == "[]"


def test_functions_keep_their_names_when_packages_of_the_same_name_are_imported() -> None:
    code = (
        "import onephoto.learn.log, onephoto.generate.save, onephoto.look.sheet, onephoto\n"
        "from onephoto.learn.log import append\n"
        "from onephoto.learn import log\n"
        "from onephoto import learn, generate, look\n"
        "assert append is log.append and learn is onephoto.learn\n"
        "print(*(f'{f.__module__}.{f.__name__}' for f in (learn, generate, look)))"
    )
    assert in_a_new_process(code) == "onephoto.api.learn onephoto.api.generate onephoto.api.look"


@pytest.mark.parametrize("kind", [str, Path, onephoto.load_identity])
def test_people_are_used_from_their_files_in_a_pipeline_of_ones_own(alice: Path, kind: type) -> None:
    pipe = tiny_pipeline()
    plain = pipe("a photo of person in a forest", generator=seeded(), **CALL).images
    with onephoto.use(pipe, alice=kind(alice), Bob=kind(alice)) as people:
        drawn = pipe(**people.prompt("a photo of <alice> in a forest"), generator=seeded(), **CALL).images
        other = pipe(**people.prompt("a photo of <Bob> in a forest"), generator=seeded(), **CALL).images
    assert drawn.shape == (1, 16, 16, 3) and not np.array_equal(drawn, plain)
    assert np.array_equal(other, drawn)
    assert np.array_equal(pipe("a photo of person in a forest", generator=seeded(), **CALL).images, plain)


def test_strength_reaches_a_pipeline_of_ones_own(alice: Path) -> None:
    pipe = tiny_pipeline()
    with onephoto.use(pipe, alice=alice, strengths={"alice": 0}) as people:
        contexts = people.prompt("a photo of <alice>")["prompt_embeds"]
    with onephoto.use(pipe, alice=alice) as people:
        assert not torch.equal(people.prompt("a photo of <alice>")["prompt_embeds"], contexts)
    with pytest.raises(SettingError, match="bob"), onephoto.use(pipe, alice=alice, strengths={"bob": 1}):
        pass


def test_a_file_that_is_not_there_leaves_no_hooks() -> None:
    pipe = tiny_pipeline()
    with pytest.raises(IdentityFileError, match="no such file"), onephoto.use(pipe, alice="/none/alice.safetensors"):
        pass
    assert not any(module._forward_pre_hooks for module in pipe.unet.modules())


def test_learn_generate_and_look_take_pipelines_folders_and_files(alice: Path, tmp_path: Path) -> None:
    pipe = tiny_pipeline()
    pipe.save_pretrained(tmp_path / "model")
    settings = DrawSettings(steps=2)
    drawn = [
        onephoto.generate(model, "a photo of <alice>", [alice], settings=settings)[0]
        for model in (pipe, tmp_path / "model", str(tmp_path / "model"))
    ]
    assert all(np.array_equal(image, drawn[0]) for image in drawn)
    seen = onephoto.look(pipe, "a photo of <alice>", [alice], settings=settings)
    assert np.array_equal(seen.image, drawn[0]) and len(seen.words) == 4


@pytest.mark.parametrize("name", ["", "a b", "1st", "élise", "a/b", "-a", "a>"])
def test_a_name_that_no_prompt_can_hold_is_refused(name: str) -> None:
    with pytest.raises(SettingError, match="cannot be a name"):
        api.LearnRequest(name=name)


@pytest.mark.parametrize("name", ["Alice", "anaïs", "mary-ann", "r2_d2"])
def test_a_name_that_a_prompt_can_hold_is_taken(name: str) -> None:
    assert names_in(f"a photo of <{name}>'s dog") == (api.LearnRequest(name=name).name.lower(),)


def test_learn_reads_photos_and_takes_a_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (80, 80, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "rex.png")
    request = api.LearnRequest(name="rex", subject="dog", settings={"steps": 1, "heads": 4})
    assert onephoto.learn(tiny_pipeline(), [tmp_path / "rex.png"], request).subject == "dog"
    monkeypatch.setattr(api, "Learning", lambda backbone, photos, request: _Nothing(request))
    assert onephoto.learn(tiny_pipeline(), [photo()], "Alice") == "Alice"


class _Nothing:
    """A run of no steps, whose identity is the name asked for."""

    def __init__(self, request: api.LearnRequest):
        self.name = request.name

    def __iter__(self) -> "_Nothing":
        return self

    def __next__(self) -> None:
        raise StopIteration

    def identity(self) -> str:
        return self.name


@pytest.mark.parametrize("preset", ["default", "paper", "fast"])
def test_every_setting_of_a_preset_is_learned_with(preset: str) -> None:
    sefi = get_method("sefi")
    asked = sefi.preset(preset)
    request = api.LearnRequest(name="alice", settings=asked)
    learning = api.Learning(wrap_pipeline(tiny_pipeline(), "tiny"), [Image.new("RGB", (16, 16))], request)
    assert learning.settings == sefi.settings(**asked)
