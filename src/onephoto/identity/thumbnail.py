"""The small picture that an identity file holds if its owner wants one."""

import base64
import io

from PIL import Image, UnidentifiedImageError

from onephoto.errors import IdentityFileError

SIDE = 64
QUALITY = 80


def thumbnail_of(photo: Image.Image) -> str:
    """A square photo as a WebP of 64 x 64 pixels in base64, about 2 KB."""
    stream = io.BytesIO()
    small = photo.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    small.save(stream, format="WEBP", quality=QUALITY)
    return base64.b64encode(stream.getvalue()).decode()


def thumbnail_image(text: str) -> Image.Image:
    """The picture again; raises IdentityFileError when it is damaged."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text)), formats=("WEBP",)) as opened:
            return opened.convert("RGB")
    except (ValueError, OSError, UnidentifiedImageError) as error:
        raise IdentityFileError("the thumbnail in the identity file is damaged; learn it again") from error
