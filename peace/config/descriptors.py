"""How descriptors are generated: which model is asked, how, and how often."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from peace.config.base import Section


class DescriptorsConfig(Section):
    """Generation with Gemini (`peace describe --provider gemini`). The key is never configuration: GEMINI_API_KEY.

    Model, prompt, temperature, seed and max_tokens make the key of the cache; the rest is how politely it is asked.
    """

    model: str = Field("gemini-2.5-pro", min_length=1, description="name of the model")
    base_url: str | None = Field(None, description="another address of the service, such as a proxy's")
    prompt: str = Field("three_axes-1", description="a template of peace/descriptors/prompts, or a file")
    temperature: float = Field(0.2, ge=0, le=2)
    seed: int = Field(42, ge=0, description="of the first sample; each further one takes the next number")
    max_tokens: PositiveInt = Field(4096, description="of an answer; doubled where one was cut short")
    samples: int = Field(1, ge=1, le=20, description="answers a label, of which the medoid is taken")
    concurrency: int = Field(4, ge=1, le=64, description="requests at once")
    attempts: PositiveInt = Field(4, description="requests for one answer, the first included")
    backoff_seconds: PositiveFloat = Field(1.0, description="pause before the second; doubled up to a minute")
    timeout_seconds: PositiveFloat = Field(40.0, description="longest wait for an answer")
    budget_calls: PositiveInt = Field(400, description="requests of one call of the verb")
    budget_seconds: PositiveFloat = Field(3600.0, description="time of one call of the verb; a batch may take a day")
    poll_seconds: PositiveFloat = Field(20.0, description="between looks at a batch")
    agreement: float = Field(
        0.8, ge=-1, le=1, description="samples of an axis less alike than this (cosine) are flagged"
    )
    cache: str | None = Field(None, description="folder of the answers; default OUT/cache")

    @field_validator("base_url")
    @classmethod
    def _plain(cls, value: str | None) -> str | None:
        if value is None:
            return None
        from urllib.parse import urlsplit

        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("give http://host or https://host")
        if parts.username or parts.password or parts.query:
            raise ValueError("no key, name or password in the address: the key is read from GEMINI_API_KEY")
        return value
