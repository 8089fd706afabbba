"""Questions to Gemini through google-genai, and what its refusals mean.

The key comes from GEMINI_API_KEY, or the service account of Vertex AI from its own settings (GOOGLE_GENAI_USE_VERTEXAI,
GOOGLE_CLOUD_PROJECT, GOOGLE_CLOUD_LOCATION). It goes into the client and nowhere else; `without_key` takes it out of
whatever the service says.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from peace.config import DescriptorsConfig
from peace.core.errors import ConfigError
from peace.descriptors.answer import Answer

if TYPE_CHECKING:
    from peace.descriptors.cache import Question

KEY = "GEMINI_API_KEY"
LONGEST_WAIT = 300.0  # seconds; a service that asks for more has a quota of the day
_KEY_REFUSED = ("API_KEY_INVALID", "API key not valid", "API key expired", "API_KEY_SERVICE_BLOCKED")


class Trouble(Exception):
    """No answer. `again`: worth another try, after `wait` seconds where the service says so; `never`: not for this
    question; `stop`: not for any."""

    def __init__(self, reason: str, kind: Literal["again", "never", "stop"], wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.kind, self.wait = reason, kind, wait


@dataclass(frozen=True)
class Said:
    """The text of an answer; `cut` where it ended at the limit of tokens. `model` is what the service says it is."""

    text: str
    cut: bool
    model: str
    tokens: int | None


class Gemini:
    """An asynchronous client; close it with `aclose`. Raises ConfigError where no key is set."""

    def __init__(self, settings: DescriptorsConfig) -> None:
        from google import genai
        from google.genai import types

        self.settings = settings
        # attempts=1: retries, pauses and the budget are ours, since unfit answers count as well
        options = types.HttpOptions(
            base_url=settings.base_url,
            timeout=max(1, round(settings.timeout_seconds * 1000)),
            retry_options=types.HttpRetryOptions(attempts=1),
        )
        if os.environ.get("GOOGLE_GENAI_USE_VERTEXAI", "").lower() in ("1", "true"):
            try:
                self.client = genai.Client(vertexai=True, http_options=options)
            except Exception as error:  # no credentials, no project: the library and google-auth have many words for it
                reason = without_key(str(error)).splitlines()[0][:200]
                raise ConfigError(f"no access to Vertex AI ({type(error).__name__}): {reason}") from None
        elif key := os.environ.get(KEY, "").strip():
            self.client = genai.Client(api_key=key, vertexai=False, http_options=options)
        else:
            raise ConfigError(f"--provider gemini needs a key in the environment variable {KEY} (never in a file)")

    async def ask(self, question: Question, max_tokens: int) -> Said:
        """Ask one question. Raises Trouble."""
        try:
            answer = await self.client.aio.models.generate_content(
                model=self.settings.model, contents=question.prompt, config=_asked(question, max_tokens)
            )
        # the library raises its own errors, the transport's, and those of reading what is not an answer
        except Exception as error:
            raise trouble(error, self.settings.timeout_seconds) from None
        return said(answer)

    async def submit(self, questions: list[Question]) -> str:
        """Begin a batch and give its name. Raises Trouble."""
        from google.genai import types

        requests = [
            types.InlinedRequest(
                contents=question.prompt,
                config=_asked(question, self.settings.max_tokens),
                metadata={"key": question.key},
            )
            for question in questions
        ]
        try:
            batch = await self.client.aio.batches.create(
                model=self.settings.model, src=requests, config={"display_name": "peace-descriptors"}
            )
        except Exception as error:
            raise trouble(error, self.settings.timeout_seconds) from None
        return str(batch.name)

    async def look(self, name: str) -> list[Any] | None:
        """The responses of a batch, or None while it runs. Raises Trouble, `never` where the batch is no more."""
        try:
            batch = await self.client.aio.batches.get(name=name)
        except Exception as error:
            found = trouble(error, self.settings.timeout_seconds)
            raise Trouble(found.reason, "never" if "HTTP 404" in found.reason else found.kind, found.wait) from None
        state = getattr(batch.state, "name", str(batch.state)).removeprefix("JOB_STATE_").lower()
        if state in ("succeeded", "partially_succeeded"):
            return list((batch.dest.inlined_responses if batch.dest else None) or [])
        if state in ("failed", "cancelled", "expired"):
            raise Trouble(f"the batch has {state}", "never")
        return None

    async def aclose(self) -> None:
        """Close connections."""
        await self.client.aio.aclose()
        self.client.close()


def said(answer: Any) -> Said:
    """The text of a response. Raises Trouble where it was blocked or holds none."""
    feedback = answer.prompt_feedback
    if feedback is not None and feedback.block_reason is not None:
        raise Trouble(f"the prompt was blocked ({_name(feedback.block_reason)})", "again")
    candidates = answer.candidates or []
    if not candidates:
        raise Trouble("the answer holds no candidate", "again")
    reason = _name(candidates[0].finish_reason)
    if reason not in ("STOP", "MAX_TOKENS", "FINISH_REASON_UNSPECIFIED", "None"):
        raise Trouble(f"the answer was blocked ({reason})", "again")
    parts = (candidates[0].content.parts if candidates[0].content else None) or []
    text = "".join(part.text for part in parts if part.text and not part.thought)
    usage = answer.usage_metadata
    return Said(
        without_key(text),
        reason == "MAX_TOKENS",
        without_key(str(answer.model_version or "")),
        usage.total_token_count if usage else None,
    )


def trouble(error: Exception, timeout: float) -> Trouble:
    """What an exception of the library means: try again, give this question up, or stop."""
    from google.genai import errors

    if isinstance(error, errors.APIError):
        return _refused(error)
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return Trouble(f"no answer within {timeout:g} s", "again")
    if isinstance(error, OSError) or type(error).__module__.startswith(("aiohttp", "httpx")):
        return Trouble(f"the connection failed ({type(error).__name__})", "again")
    if "google.auth" in type(error).__module__:
        return Trouble(f"no access to Vertex AI ({type(error).__name__})", "stop")
    return Trouble(f"the service's answer cannot be read ({type(error).__name__})", "again")


def without_key(text: str) -> str:
    """A text without the key, should the service repeat it."""
    key = os.environ.get(KEY, "").strip()
    return text.replace(key, "***") if key else text


def _refused(error: Any) -> Trouble:
    """An HTTP status that is not 200."""
    message = " ".join(without_key(str(error.message or "")).split())[:200]
    reason = f"HTTP {error.code} {error.status or ''}".strip() + (f": {message}" if message else "")
    details = str(error.details)
    if error.code in (401, 403) or any(sign in details for sign in _KEY_REFUSED):
        return Trouble(f"the key was refused ({reason})", "stop")
    if error.code == 404:
        return Trouble(f"the service does not know the model ({reason})", "stop")
    if error.code in (408, 429) or error.code >= 500 or error.code < 400:
        wait = _wait(error, details)
        if wait is not None and wait > LONGEST_WAIT:
            return Trouble(f"{reason}; it asks to wait {wait:g} s: run the same command again then", "stop")
        return Trouble(reason, "again", wait)
    return Trouble(reason, "never")


def _wait(error: Any, details: str) -> float | None:
    """Seconds that the service asks for: RetryInfo in the body, or the Retry-After header."""
    found = re.search(r"retryDelay\W+([\d.]+)s", details)
    header = getattr(error.response, "headers", {}).get("Retry-After", "")
    if found:
        return float(found[1])
    return float(header) if re.fullmatch(r"[\d.]+", header) else None


def _asked(question: Question, max_tokens: int) -> Any:
    from google.genai import types

    sampling = question.asked["sampling"]
    return types.GenerateContentConfig(
        temperature=sampling["temperature"],
        seed=sampling["seed"],
        max_output_tokens=max_tokens,
        response_mime_type="application/json",
        response_schema=Answer,
    )


def _name(value: Any) -> str:
    return str(getattr(value, "name", value))
