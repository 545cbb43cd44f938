"""Base64 where a URI is expected: an image whose `data:image/…;base64,` was left out."""

import re

from fanwise.storage import MAX_KEY_BYTES

_SHORTEST = 32  # of an image: the smallest GIF has 35 bytes, 48 characters
_ALPHABET = re.compile(r"[A-Za-z0-9+/_\s-]++=*+\s*+")
_ENCODED = re.compile(r"[a-z]++/[a-z0-9.+-]++;base64,", re.IGNORECASE)
# How the first bytes of an image look in base64. HEIC and AVIF begin with the length of their first box.
_IMAGES = {
    "iVBORw0KGgo": "png",
    "/9j/": "jpeg",
    "R0lGOD": "gif",
    "UklGR": "webp",
    "SUkqA": "tiff",
    "TU0AK": "tiff",
}
_BOX = re.compile(r"AAAA[A-Za-z0-9+/_-]{2}Z0eXB")


def why_no_uri(given: str) -> str | None:
    """What is wrong with a URI that is a payload, without the payload; None for any other text."""
    if len(given) < _SHORTEST or ":" in given:
        return None
    if _ENCODED.match(given):
        return "it has no data: before its media type; write data:image/…;base64,…"
    if not _ALPHABET.fullmatch(given):
        return None
    text = given.lstrip()
    kind = next((kind for magic, kind in _IMAGES.items() if text.startswith(magic)), None)
    if kind is None and not _BOX.match(text) and len(given) <= MAX_KEY_BYTES:
        return None
    return f"it looks like base64 without data:; write data:image/{kind or '…'};base64,…"
