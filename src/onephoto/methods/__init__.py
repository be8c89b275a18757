"""Every method of learning a person, ours and its peers, found by name."""

from importlib import import_module
from typing import TYPE_CHECKING

from onephoto.errors import SettingError

if TYPE_CHECKING:
    from onephoto.backbone.method import MethodSpec

# Modules by name, imported when asked for: a list of names must not cost the import of torch.
_MODULES = {
    "sefi": "onephoto.methods.sefi",
    "textual-inversion": "onephoto.methods.textual_inversion",
    "xti": "onephoto.methods.xti",
    "neti": "onephoto.methods.neti",
    "prospect": "onephoto.methods.prospect",
    "celeb-basis": "onephoto.methods.celeb_basis",
    "cross-initialization": "onephoto.methods.cross_initialization",
    "dreambooth": "onephoto.methods.dreambooth",
    "dreambooth-lora": "onephoto.methods.dreambooth_lora",
    "custom-diffusion": "onephoto.methods.custom_diffusion",
    "attndreambooth": "onephoto.methods.attndreambooth",
}


def method_names() -> tuple[str, ...]:
    """The names that `get_method` knows, ours first."""
    return tuple(_MODULES)


def get_method(name: str) -> "MethodSpec":
    """The method of that name; raises SettingError naming those that there are."""
    if name not in _MODULES:
        raise SettingError(f"there is no method {name!r}; choose one of {', '.join(_MODULES)}")
    spec: MethodSpec = import_module(_MODULES[name]).SPEC
    return spec
