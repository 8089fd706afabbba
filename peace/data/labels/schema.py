"""The form of a label set file, checked strictly: an unknown key, label or pattern is named, with its nearest kin."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, Field, ValidationError, field_validator, model_validator

from peace.config import Section
from peace.core.errors import ConfigError, nearest

LABEL_NAME = r"^[A-Za-z][A-Za-z0-9_/+-]*$"


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"'{pattern}' is not a regular expression: {error}") from None
    return pattern


def _without_twins(values: tuple[str, ...]) -> tuple[str, ...]:
    twins = sorted({value for value in values if values.count(value) > 1})
    if twins:
        raise ValueError(f"{', '.join(twins)} stands twice")
    return values


Pattern = Annotated[str, Field(min_length=1), AfterValidator(_compiles)]
Codes = Annotated[tuple[str, ...], AfterValidator(_without_twins)]


class ScpRule(Section):
    """SCP statements of PTB-XL that mean a label."""

    subclasses: Codes = ()
    codes: Codes = ()
    except_: Codes = Field((), alias="except")


class Label(Section):
    """One label and the codes that mean it, by vocabulary."""

    full_name: str = Field(min_length=1)
    aha: Codes = ()
    chn: Codes = ()
    scp: ScpRule = ScpRule()


class LineRule(Section):
    """A pattern over a report line, and the name by which the audit calls it."""

    name: str = Field(min_length=1)
    when: Pattern


class Spelling(Section):
    """What a pattern matches is written another way, before any rule is tried; `put` may name groups."""

    when: Pattern
    put: str

    @model_validator(mode="after")
    def _groups_exist(self) -> Spelling:
        try:
            re.sub(self.when, self.put, "")
        except (re.error, IndexError) as error:
            raise ValueError(f"'{self.put}' does not fit '{self.when}': {error}") from None
        return self


class DoubtRule(LineRule):
    """A pattern that leaves the findings of its part of a sentence doubtful, or those of the whole sentence."""

    reach: Literal["part", "sentence"] = "part"


class CutRule(LineRule):
    """A pattern that ends what a sentence states; a finding behind it is not there, or left doubtful."""

    rest: Literal["nothing", "doubtful"] = "nothing"


class LeadRule(LineRule):
    """A pattern over a line that names leads, in its group `leads`, which the cart could not read."""

    @field_validator("when")
    @classmethod
    def _names_leads(cls, pattern: str) -> str:
        if "leads" not in re.compile(pattern).groupindex:
            raise ValueError(f"'{pattern}' has no group (?P<leads>...)")
        return pattern


class FindingRule(LineRule):
    """A pattern that means labels, unless another one matches as well."""

    labels: Codes = Field(min_length=1)
    unless: Pattern | None = None


class ReportRules(Section):
    """How the lines of a machine report are read, in the order of the fields."""

    spelling: tuple[Spelling, ...] = ()
    nothing: tuple[LineRule, ...] = ()
    doubt: tuple[DoubtRule, ...] = ()
    cut: tuple[CutRule, ...] = ()
    alternative: Pattern | None = None
    findings: tuple[FindingRule, ...] = ()
    none: tuple[LineRule, ...] = ()
    alone: Codes = ()
    leads: tuple[LeadRule, ...] = ()
    unusable: tuple[LineRule, ...] = ()


class LabelFile(Section):
    """A whole label set file."""

    name: str = Field(min_length=1)
    source: str = ""
    labels: dict[Annotated[str, Field(pattern=LABEL_NAME)], Label] = Field(min_length=1)
    report: ReportRules = ReportRules()

    @model_validator(mode="after")
    def _labels_exist(self) -> LabelFile:
        used = [label for rule in self.report.findings for label in rule.labels] + list(self.report.alone)
        for label in used:
            if label not in self.labels:
                raise ValueError(f"report names the label '{label}', which is not one{nearest(label, self.labels)}")
        return self


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a key that stands twice, or is no text, is an error: NO and ON read as false and true."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for position, key in enumerate(keys):
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, f"put the key {key} in quotes", node.start_mark)
            if key in keys[:position]:
                raise yaml.constructor.ConstructorError(None, None, f"'{key}' stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_label_file(path: Path) -> LabelFile:
    """Read and check a label set file. Raises ConfigError naming the file, the key and what is wrong with it."""
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except OSError as error:
        raise ConfigError(f"cannot read label set {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"label set {path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"label set {path} must hold keys and values: name, labels, report")
    try:
        return LabelFile.model_validate(values)
    except ValidationError as error:
        reasons = "; ".join(_explain(dict(item)) for item in error.errors())
        raise ConfigError(f"label set {path}: {reasons}") from None


def _explain(item: dict[str, Any]) -> str:
    place = [str(part) for part in item["loc"] if part != "[key]"]
    dotted = ".".join(place)
    if item["type"] == "extra_forbidden":
        return f"unknown key '{dotted}'{nearest(place[-1], _known_keys())}"
    if item["type"] == "string_pattern_mismatch":
        return f"'{item['input']}' cannot name a label: letters, digits and _ / + - only, a letter first"
    message = item["msg"].removeprefix("Value error, ")
    return f"{dotted}: {message}" if dotted else message


def _known_keys() -> list[str]:
    models: list[type[BaseModel]] = [LabelFile, Label, ScpRule, ReportRules, FindingRule, DoubtRule, CutRule, Spelling]
    return sorted({field.alias or name for model in models for name, field in model.model_fields.items()})
