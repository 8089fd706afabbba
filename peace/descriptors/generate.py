"""Asking for descriptors: what the cache lacks, several at once, again after a failure, within a budget."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from peace.config import DescriptorsConfig
from peace.core.errors import DataError
from peace.core.files import read_json, write_json
from peace.descriptors.answer import Unfit, read_answer
from peace.descriptors.cache import Cache, Kept, Question
from peace.descriptors.gemini import Gemini, Said, Trouble, said

LONGEST_PAUSE = 60.0


@dataclass
class Outcome:
    """Answers by question key, why others failed, and what it took. `fresh` are the keys asked for this time."""

    kept: dict[str, Kept] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)
    requests: int = 0
    troubles: list[str] = field(default_factory=list)


def generate(
    questions: Sequence[Question],
    settings: DescriptorsConfig,
    cache: Cache,
    batch: bool = False,
    on_done: Callable[[], None] = lambda: None,
) -> Outcome:
    """Answer every question from the cache or from Gemini. What fails is named in the outcome, what succeeds is kept.

    `on_done` is called for each question that is answered or given up. Raises ConfigError without a key, where one is
    needed.
    """
    found = Outcome()
    for question in questions:
        kept = cache.read(question)
        if kept is not None:
            found.kept[question.key] = kept
            on_done()
    missing = [question for question in questions if question.key not in found.kept]
    if missing:
        asyncio.run(_Session(settings, cache, found, on_done).run(missing, batch))
    return found


class _Session:
    """One connection to the service, its budget, and where answers go."""

    def __init__(self, settings: DescriptorsConfig, cache: Cache, found: Outcome, on_done: Callable[[], None]) -> None:
        self.settings, self.cache, self.found, self.on_done = settings, cache, found, on_done
        self.until = time.monotonic() + settings.budget_seconds
        self.stopped: str | None = None
        self.gemini = Gemini(settings)

    async def run(self, missing: list[Question], batch: bool) -> None:
        try:
            if batch:
                await self._in_batches(missing)
            else:
                limit = asyncio.Semaphore(self.settings.concurrency)
                await asyncio.gather(*(self._one(question, limit) for question in missing))
        finally:
            await self.gemini.aclose()

    async def _one(self, question: Question, limit: asyncio.Semaphore) -> None:
        async with limit:
            max_tokens = self.settings.max_tokens
            reason = "never asked"
            for attempt in range(1, self.settings.attempts + 1):
                if (end := self._end()) is not None:
                    reason = end if attempt == 1 else f"{reason}; {end}"
                    break
                try:
                    self.found.requests += 1
                    answer = await self._in_time(self.gemini.ask(question, max_tokens))
                    max_tokens *= 2 if answer.cut else 1
                    self._keep(question, answer)
                    break
                except Trouble as trouble:
                    reason = self._note(question, trouble)
                    if trouble.kind != "again":
                        break
                    if attempt < self.settings.attempts:
                        await self._pause(attempt, trouble.wait)
            if question.key not in self.found.kept:
                self.found.failed[question.key] = reason
            self.on_done()

    async def _in_time(self, asking: Any) -> Said:
        """The limit of a request holds even where a connection is fed one byte at a time."""
        try:
            return await asyncio.wait_for(asking, self.settings.timeout_seconds * 1.5 + 1)
        except TimeoutError:
            raise Trouble(f"no answer within {self.settings.timeout_seconds:g} s", "again") from None

    def _keep(self, question: Question, answer: Said) -> None:
        """Read and keep an answer. Raises Trouble where it is unfit."""
        try:
            read = read_answer(answer.text)
        except Unfit as unfit:
            why = f"the answer was cut short at the limit of tokens ({unfit})" if answer.cut else str(unfit)
            raise Trouble(why, "again") from None
        provenance = {
            "written_by": answer.model or self.settings.model,
            "written_on": datetime.now(UTC).isoformat(timespec="seconds"),
            "tokens": answer.tokens,
        }
        self.found.kept[question.key] = self.cache.write(question, read, provenance)
        self.found.fresh.add(question.key)

    def _note(self, question: Question, trouble: Trouble) -> str:
        self.found.troubles.append(f"{question.title}: {trouble.reason}")
        if trouble.kind == "stop":
            self.stopped = trouble.reason
        return trouble.reason

    def _end(self) -> str | None:
        """Why nothing more may be asked, if so."""
        if self.stopped is not None:
            return self.stopped
        if self.found.requests >= self.settings.budget_calls:
            return f"the budget of {self.settings.budget_calls} requests is spent (descriptors.budget_calls)"
        if time.monotonic() >= self.until:
            return f"the budget of {self.settings.budget_seconds:g} s is spent (descriptors.budget_seconds)"
        return None

    async def _pause(self, attempt: int, wait: float | None) -> None:
        seconds = min(LONGEST_PAUSE, self.settings.backoff_seconds * 2 ** (attempt - 1) * random.uniform(1, 1.5))
        seconds = min(max(seconds, wait or 0.0), max(0.0, self.until - time.monotonic()))
        await asyncio.sleep(seconds)

    async def _in_batches(self, missing: list[Question]) -> None:
        """All questions in one batch; those without a fit answer in a further one, as often as a request is tried."""
        reasons: dict[str, str] = {}
        for attempt in range(1, self.settings.attempts + 1):
            missing = [question for question in missing if question.key not in self.found.kept]
            end = self._end()
            if not missing or end is not None:
                reasons = {question.key: end or "" for question in missing} | reasons
                break
            try:
                reasons |= await self._batch(missing)
            except Trouble as trouble:
                reasons |= {question.key: trouble.reason for question in missing}
                self._note(missing[0], trouble)
                if trouble.kind != "again":
                    break
            if attempt < self.settings.attempts and any(item.key not in self.found.kept for item in missing):
                await self._pause(attempt, None)
        for question in missing:
            if question.key not in self.found.kept:
                self.found.failed[question.key] = reasons.get(question.key, "never asked")
            self.on_done()

    async def _batch(self, missing: list[Question]) -> dict[str, str]:
        """One batch to its end; returns why questions of it have no answer. A batch left behind is gone on with."""
        ticket = self.cache.folder / "batch.json"
        keys = [question.key for question in missing]
        name = _ticket(ticket, keys)
        if name is None:
            self.found.requests += 1
            name = await self.gemini.submit(missing)
            write_json(ticket, {"batch": name, "model": self.settings.model, "keys": keys})
        try:
            responses = await self._wait_for(name)
        except Trouble as trouble:
            if trouble.kind == "never":
                ticket.unlink(missing_ok=True)
                raise Trouble(trouble.reason, "again") from None
            raise
        ticket.unlink(missing_ok=True)
        return self._sort(missing, responses)

    async def _wait_for(self, name: str) -> list[Any]:
        failures = 0
        while True:
            if time.monotonic() >= self.until:
                raise Trouble(f"batch {name} still runs; run the same command again to continue with it", "stop")
            try:
                responses = await self.gemini.look(name)
                if responses is not None:
                    return responses
            except Trouble as trouble:
                failures += 1
                if trouble.kind != "again" or failures >= self.settings.attempts:
                    raise
            await asyncio.sleep(min(self.settings.poll_seconds, max(0.0, self.until - time.monotonic())))

    def _sort(self, missing: list[Question], responses: list[Any]) -> dict[str, str]:
        """Keep the fit answers of a batch; responses name their question, or stand in the order asked."""
        waiting = {question.key: question for question in missing}
        reasons = {question.key: "the batch holds no answer to it" for question in missing}
        for place, response in enumerate(responses):
            key = (response.metadata or {}).get("key") or (missing[place].key if place < len(missing) else "")
            if key not in waiting:
                continue
            try:
                if response.error is not None or response.response is None:
                    raise Trouble(f"refused in the batch: {getattr(response.error, 'message', 'no answer')}", "again")
                self._keep(waiting[key], said(response.response))
            except Trouble as trouble:
                reasons[key] = self._note(waiting[key], trouble)
        return {key: reason for key, reason in reasons.items() if key not in self.found.kept}


def _ticket(path: Path, keys: list[str]) -> str | None:
    """The batch that an earlier call left running, if it was asked the same."""
    try:
        values = read_json(path)
        return str(values["batch"]) if keys == values["keys"] else None
    except (DataError, KeyError, TypeError):
        return None
