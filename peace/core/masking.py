"""User information in addresses: masked wherever one is shown, logged, written or sent."""

from __future__ import annotations

import re

MASK = "***"
_USER = re.compile(
    r"(?<=://)(?:"
    r"[^\s/?#'\"<>\\]*"  # all before the last @ of the host part
    r"|[^\s/:@'\"<>\\]*:(?!\d+(?:/|\s|$))[^\s'\"<>\\]*"  # NAME:PASSWORD, where the password holds a slash
    r")@"
)
_SECRET = re.compile(
    r"([?&](?:user(?:name)?|[\w.-]*(?:passw|pwd|secret|token|key|sig|credential|auth)[\w.-]*)=)[^&\s'\"#<>\\]+",
    re.IGNORECASE,
)


def masked(text: str) -> str:
    """The text with *** in place of user information and of secrets in the query of every address in it."""
    if "://" not in text:
        return text
    return _SECRET.sub(rf"\g<1>{MASK}", _USER.sub(f"{MASK}@", text))
