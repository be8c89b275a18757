"""Put one person, from one photo, into a text-to-image model.

    identity = onephoto.learn("mini", ["me.jpg"], "alice")
    onephoto.save_identity("alice.safetensors", identity)
    with onephoto.use(pipe, alice="alice.safetensors") as people:
        image = pipe(**people.prompt("<alice> in a park")).images[0]

Nothing heavy is imported until one of these names is asked for.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onephoto.api import generate, learn, look, use
    from onephoto.identity.file import load as load_identity
    from onephoto.identity.file import save as save_identity
    from onephoto.identity.share import pull, push

__version__ = "0.1.0"
__all__ = ["__version__", "generate", "learn", "load_identity", "look", "pull", "push", "save_identity", "use"]

_PLACES = {
    "generate": ("onephoto.api", "generate"),
    "learn": ("onephoto.api", "learn"),
    "load_identity": ("onephoto.identity.file", "load"),
    "look": ("onephoto.api", "look"),
    "pull": ("onephoto.identity.share", "pull"),
    "push": ("onephoto.identity.share", "push"),
    "save_identity": ("onephoto.identity.file", "save"),
    "use": ("onephoto.api", "use"),
}


def _loaded(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'onephoto' has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return getattr(import_module(module), attribute)


if not TYPE_CHECKING:  # a type checker that saw it would take any name for one of ours
    __getattr__ = _loaded


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Function:
    """One of the api's functions, whose name is a package's too: importing the package does not take its place."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, module: ModuleType | None, owner: type) -> Any:
        return self if module is None else _loaded(self.name)

    def __set__(self, module: ModuleType, value: object) -> None:
        """The import system's note of a package that it has loaded; `sys.modules` keeps it."""


class _Package(ModuleType):
    learn, generate, look = _Function(), _Function(), _Function()


sys.modules[__name__].__class__ = _Package
