"""What can go wrong in front of a user: each error is one plain line that names the cause and the way on."""


class OnephotoError(Exception):
    """Base of all errors that are the user's to mend; the command line prints it alone and exits with code 2."""


class PhotoError(OnephotoError):
    """A photo cannot be read, or the person in it cannot be found."""


class IdentityFileError(OnephotoError):
    """An identity file is damaged, of another format, or made for another model."""


class ModelError(OnephotoError):
    """A model is missing, gated, or of a family that is not supported."""


class PromptError(OnephotoError):
    """A prompt names somebody who is not known, or cannot be encoded."""


class SettingError(OnephotoError):
    """An option or a combination of options makes no sense."""


class ShareError(OnephotoError):
    """An identity cannot be given to, or had from, a place where identities are shared."""


class WorldError(OnephotoError):
    """The synthetic world cannot draw what was asked for."""
