"""A model of the hub that was fetched before, by its id, without a network: its cache is laid out as it would be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import tiny_pipeline

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CODE = """
from onephoto.backbone.load import load_backbone
backbone = load_backbone({model!r}, offline={offline})
print(backbone.family, backbone.model_id, sum(weight.numel() for weight in backbone.unet.parameters()))
"""


@pytest.mark.parametrize(("family", "offline"), [("sd1", True), ("sdxl", False)])
def test_a_fetched_model_is_loaded_by_its_id(family: str, offline: bool, tmp_path: Path) -> None:
    """With --offline's argument, and by the hub's own variable, which every command hears."""
    pipe, kept = tiny_pipeline(family), tmp_path / "models--somebody--dreamy"
    pipe.save_pretrained(kept / "snapshots" / COMMIT)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(COMMIT)
    env = {**os.environ, "HF_HUB_CACHE": str(tmp_path), **({} if offline else {"HF_HUB_OFFLINE": "1"})}
    code = CODE.format(model="somebody/dreamy", offline=offline)
    said = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    weights = sum(weight.numel() for weight in pipe.unet.parameters())
    assert said.stdout.split()[-3:] == [family, "somebody/dreamy", str(weights)], said.stderr[-2000:]
