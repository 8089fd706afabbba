"""A label set: which labels there are, and which codes, statements and report lines mean them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from peace.core.errors import ConfigError, nearest
from peace.core.files import digest
from peace.data.labels.lines import Reading, first, plain, read_line, unreadable_leads
from peace.data.labels.schema import LabelFile, read_label_file
from peace.data.signal.leads import LEADS

EMBEDDED = Path(__file__).parent
CODE = re.compile(r"^([A-Za-z]+(?:\d+|\(\d+(?:\+\d+)*\)))(?:\+(.+))?$")

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LabelSet:
    """Labels in output order, and the three vocabularies that mean them: AHA/CHN codes, SCP codes, report lines."""

    file: LabelFile

    @property
    def name(self) -> str:
        return self.file.name

    @cached_property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.file.labels)

    @cached_property
    def full_names(self) -> dict[str, str]:
        return {name: label.full_name for name, label in self.file.labels.items()}

    @cached_property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that change with any rule, and not with comments."""
        return digest(self.file.model_dump(mode="json"))

    def from_aha(self, codes: Sequence[str], modified: bool = False) -> list[str]:
        """Labels of the entries of ZZU-pECG's AHA_code column: exact codes; prose and unknown codes mean nothing.

        `modified` also counts a code that carries a modifier, such as L145+Modifier362.
        """
        return self._in_order(label for code in codes for label in self.read_code(code, "aha", modified).labels)

    def from_chn(self, codes: Sequence[str], modified: bool = False) -> list[str]:
        """The same for the CHN_code column, whose letters mean other things than AHA's in D, E and H."""
        return self._in_order(label for code in codes for label in self.read_code(code, "chn", modified).labels)

    def from_scp(self, codes: Mapping[str, float], statements: Mapping[str, str]) -> list[str]:
        """Labels of PTB-XL's scp_codes (code -> likelihood, 0 meaning that none was given, which counts as well).

        `statements` maps the codes of scp_statements.csv that are diagnostic = 1 to their diagnostic_subclass.
        """
        return self._in_order(label for code in codes for label in self.read_scp(code, statements).labels)

    def from_report(self, lines: Sequence[str]) -> list[str]:
        """Labels of a machine report, given its lines."""
        found = self.flags([label for line in lines for label in self.read_line(line).labels])
        return self.names(self.resolve_report(found[np.newaxis, :])[0])

    def read_code(self, code: str, vocabulary: str, modified: bool) -> Reading:
        """Meaning of one entry of a code column; `vocabulary` is 'aha' or 'chn'."""
        parts = CODE.match(re.sub(r"\s*\+\s*", "+", code.strip()))
        if parts is None:
            return Reading((), "prose")
        base, modifier = parts.groups()
        labels = self._code_labels[vocabulary].get(base, ())
        if not labels:
            return Reading((), "code outside the label set")
        if modifier is None:
            return Reading(labels, "bare code")
        if modified:
            return Reading(labels, "modified code, counted by labels.modified_codes")
        return Reading((), "modified code, not counted")

    def read_scp(self, code: str, statements: Mapping[str, str]) -> Reading:
        """Meaning of one SCP code."""
        subclass = statements.get(code, "")
        by_code = [name for name, label in self.file.labels.items() if code in label.scp.codes]
        by_subclass = [
            name
            for name, label in self.file.labels.items()
            if subclass in label.scp.subclasses and code not in label.scp.except_
        ]
        labels = tuple(self._in_order([*by_code, *by_subclass]))
        if by_code:
            return Reading(labels, "code")
        if subclass:
            return Reading(labels, f"subclass {subclass}" if labels else f"subclass {subclass} outside the label set")
        return Reading((), "no diagnostic statement")

    def read_line(self, line: str) -> Reading:
        """Meaning of one report line."""
        reading = read_line(self.file.report, line)
        return replace(
            reading, labels=tuple(self._in_order(reading.labels)), doubtful=tuple(self._in_order(reading.doubtful))
        )

    def unreadable_leads(self, line: str) -> tuple[str, ...]:
        """Leads that a report line says could not be read; none where it says so of the whole recording."""
        leads = unreadable_leads(self.file.report, line)
        return () if len(leads) == len(LEADS) else leads

    def unusable(self, line: str) -> str | None:
        """Name of the rule by which a report line says that the recording could not be read, or None."""
        return None if self.unreadable_leads(line) else first(self.file.report.unusable, plain(line))

    def resolve_report(self, flags: Flags) -> Flags:
        """Drop from (records, labels) flags the labels that count only alone, where another label is set."""
        return flags & ~self._beside_others(flags)

    def resolve_doubt(self, doubtful: Flags, flags: Flags) -> Flags:
        """Drop from (records, labels) flags of doubtful labels what another line of the report decides.

        `flags` are the labels stated: those are not doubtful, nor is one that counts only alone beside another.
        """
        return doubtful & ~flags & ~self._beside_others(flags)

    def _beside_others(self, flags: Flags) -> Flags:
        alone = self.flags(self.file.report.alone)
        return alone & (flags & ~alone).any(axis=1, keepdims=True)

    def flags(self, names: Iterable[str]) -> Flags:
        """(labels,) flags of label names."""
        wanted = set(names)
        return np.array([label in wanted for label in self.labels], dtype=bool)

    def names(self, flags: Flags) -> list[str]:
        """Label names of (labels,) flags, in label order."""
        return [label for label, flag in zip(self.labels, flags, strict=True) if flag]

    def _in_order(self, names: Iterable[str]) -> list[str]:
        return self.names(self.flags(names))

    @cached_property
    def _code_labels(self) -> dict[str, dict[str, tuple[str, ...]]]:
        tables: dict[str, dict[str, tuple[str, ...]]] = {"aha": {}, "chn": {}}
        for name, label in self.file.labels.items():
            for vocabulary, codes in (("aha", label.aha), ("chn", label.chn)):
                for code in codes:
                    tables[vocabulary][code] = (*tables[vocabulary].get(code, ()), name)
        return tables


def load_label_set(name_or_path: str) -> LabelSet:
    """An embedded label set by name, or one from a YAML file by path.

    Raises ConfigError where there is none of that name, or where the file is not a label set.
    """
    as_path = Path(name_or_path)
    if as_path.suffix in (".yaml", ".yml") or len(as_path.parts) > 1:
        return LabelSet(read_label_file(as_path))
    embedded = sorted(found.stem for found in EMBEDDED.glob("*.yaml"))
    if name_or_path not in embedded:
        raise ConfigError(
            f"unknown label set '{name_or_path}'{nearest(name_or_path, embedded)} "
            f"(embedded: {', '.join(embedded)}; or give the path of a YAML file)"
        )
    return LabelSet(read_label_file(EMBEDDED / f"{name_or_path}.yaml"))


def normalise(line: str) -> str:
    """A report line with single spaces and without a closing full stop."""
    return " ".join(line.split()).rstrip(".").rstrip()
