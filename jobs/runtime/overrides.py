"""`key=value` on a command line: told from arguments, and refused where the verb does not read the key."""

from __future__ import annotations

import re
from collections.abc import Sequence

from peace.config import Config
from peace.core.errors import ConfigError

OVERRIDE = re.compile(r"^([a-z_][a-z0-9_]*|(--)?[a-z_][a-z0-9_]*(\.[a-z0-9_]+)+)=")
DOTTED_OPTION = re.compile(r"^--[a-z_][a-z0-9_]*(\.[a-z0-9_]+)+$")


def split_overrides(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part `a.b=c`, `--a.b=c` and `--a.b c` from the arguments. Returns (arguments, overrides as `a.b=c`)."""
    arguments: list[str] = []
    overrides: list[str] = []
    words = iter(argv)
    for word in words:
        if DOTTED_OPTION.match(word):
            value = next(words, None)
            if value is None:
                raise ConfigError(f"{word} wants a value")
            overrides.append(f"{word[2:]}={value}")
        elif OVERRIDE.match(word):
            overrides.append(word.removeprefix("--"))
        else:
            arguments.append(word)
    return arguments, overrides


def refuse_unread(verb: str, overrides: Sequence[str], read: Sequence[str]) -> None:
    """Raise ConfigError for the first override whose key lies outside the parts that the verb reads.

    `read` holds dotted keys, a section standing for all of its keys. A key that the configuration lacks is left to
    load_config, which names the nearest. A file given with --config may serve several verbs, so it is not looked at.
    """
    for override in overrides:
        key = override.partition("=")[0]
        if key.split(".")[0] in Config.model_fields and not any(_meet(key, part) for part in read):
            known = f"it reads {', '.join(read)}" if read else "it reads no configuration"
            raise ConfigError(f"`peace {verb}` does not read {key}: {known}")


def _meet(key: str, part: str) -> bool:
    """Whether one of two dotted keys is the other, or holds it."""
    shorter, longer = sorted((f"{key}.", f"{part}."), key=len)
    return longer.startswith(shorter)
