"""Prompt templates: text with $name and $label, and lines that begin with @LABEL and are for that label alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from string import Template

from peace.core.errors import ConfigError, nearest
from peace.core.files import digest

FOLDER = Path(__file__).parent / "prompts"
_OWN = re.compile(r"^@(\S+)\s+(.*)$")


@dataclass(frozen=True)
class Prompt:
    """A template and where it came from."""

    source: str
    text: str

    @property
    def digest(self) -> str:
        """Of the whole template."""
        return digest(self.text)

    def render(self, label: str, name: str) -> str:
        """What is asked for one label; a change in another label's own line does not change it."""
        lines = []
        for line in self.text.splitlines():
            own = _OWN.match(line)
            if own is None:
                lines.append(line)
            elif own[1] == label:
                lines.append(own[2])
        return Template("\n".join(lines)).substitute(name=name, label=label).strip() + "\n"


def load_prompt(source: str) -> Prompt:
    """A template by name or as a file. Raises ConfigError where there is none, or it asks for other fields."""
    path = FOLDER / f"{source}.txt"
    if not path.is_file():
        path = Path(source)
    try:
        prompt = Prompt(source, path.read_text(encoding="utf-8"))
        prompt.render("LABEL", "name")
    except OSError:
        known = sorted(found.stem for found in FOLDER.glob("*.txt"))
        hint = nearest(source, known)
        raise ConfigError(f"no prompt template '{source}'{hint} (known: {', '.join(known)}; or give a file)") from None
    except (KeyError, ValueError) as error:
        raise ConfigError(f"prompt template {path}: only $name and $label are filled in ({error})") from None
    if "$name" not in prompt.text and "${name}" not in prompt.text:
        raise ConfigError(f"prompt template {path} never says $name: it would ask the same of every label")
    return prompt
