"""How far a training is, epoch by epoch and step by step, and the checkpoints that it leaves on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from peace.checkpoint import CheckpointMeta, load_classifier, load_training, pack_checkpoint
from peace.config import Config
from peace.core.errors import DataError, PeaceError
from peace.training.checkpoint_manager import CheckpointManager, checkpoint_name
from peace.training.trainer import Trainer

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Hooks:
    """What a training tells its surroundings, and what it asks them.

    `on_step(steps done, steps in all)` and `on_epoch(metrics)` are called on every rank; `on_kept(metrics)` on the
    first, once the checkpoint of the epoch is safe, in a thread beside the training. `should_stop()` is asked on each
    rank after each step: above 0 the training takes a checkpoint and ends there. The highest of all ranks counts.
    """

    on_step: Callable[[int, int], None] = lambda done, total: None
    on_epoch: Callable[[dict[str, Any]], None] = lambda metrics: None
    on_kept: Callable[[dict[str, Any]], None] = lambda metrics: None
    should_stop: Callable[[], int] = lambda: 0


class StopTraining(Exception):
    """The training ends before its time, as it was asked to; its checkpoint is written."""

    def __init__(self, why: int) -> None:
        super().__init__(f"leaving ({why})")
        self.why = why


class TrainingRun:
    """The way of one training: whole epochs done and their figures, best validation AUC, epochs without a better one.

    The first rank writes to the store; all ranks read from it.
    """

    def __init__(
        self, trainer: Trainer, config: Config, meta: CheckpointMeta, hooks: Hooks, store: CheckpointManager | None
    ) -> None:
        self.trainer = trainer
        self.config = config
        self.meta = meta
        self.hooks = hooks
        self.store = store
        self.ranks = trainer.ranks
        self.epoch = 0
        self.best = -1.0
        self.stale = 0
        self.history: list[dict[str, Any]] = []

    def resume(self) -> None:
        """Resume from the latest valid checkpoint, the same on all ranks. Raises DataError."""
        if self.store is None:
            return
        found: str | PeaceError | None = None
        if self.ranks.rank == 0:
            try:
                self.store.sweep()
                newest = self.store.newest()
                found = newest.name if newest else None
            except PeaceError as error:
                found = error
        found = self.ranks.gather(found)[0]
        if isinstance(found, PeaceError):
            raise found
        if found is not None:
            self._restore(self.store.path / found)
            if self.ranks.rank == 0:
                for metrics in self.history:  # whoever was to hear of them may have been killed before
                    self.hooks.on_kept(metrics)

    def after_step(self, done: int, total: int) -> None:
        """To be called behind each step.

        Raises StopTraining where one of the ranks is to go, and DataError as the store.
        """
        self.hooks.on_step(done, total)
        why = self.ranks.most(self.hooks.should_stop(), self.trainer.device)
        writer = self.store if self.ranks.rank == 0 else None
        if writer is not None:
            writer.look()
            if why or writer.due():
                self._save(writer)
        if why:
            if writer is not None:
                writer.wait()
            self.ranks.gather(None)  # nobody goes before the checkpoint is written
            raise StopTraining(why)

    def close_epoch(self, metrics: dict[str, Any]) -> None:
        """Note an epoch that is done, with its validation AUC, and keep its checkpoint."""
        self.epoch += 1
        self.stale = 0 if metrics["val_auc"] > self.best else self.stale + 1
        self.best = max(self.best, metrics["val_auc"])
        metrics["epoch"] = self.epoch
        self.history.append(metrics)
        if self.store is not None and self.ranks.rank == 0:
            self._save(self.store, metrics)
        self.hooks.on_epoch(metrics)

    def last_good(self) -> str:
        """Where to resume from, for people."""
        if self.store is None:
            return "no checkpoints are kept"
        if self.ranks.rank == 0:
            self.store.wait()
        return self.store.last_good()

    def end(self) -> None:
        """Until the last checkpoint is written. Raises DataError where it was not."""
        if self.store is not None:
            self.store.wait()

    def _save(self, store: CheckpointManager, metrics: dict[str, Any] | None = None) -> None:
        """A checkpoint of this moment; `metrics` are those of the epoch that has just ended, if one has."""
        task, step = self.trainer.task, self.trainer.epoch.step
        meta = replace(self.meta, epoch=self.epoch, step=step, val_auc=metrics["val_auc"] if metrics else None)
        progress = {
            **self.trainer.state(),
            "epoch": self.epoch,
            "best": self.best,
            "stale": self.stale,
            "history": self.history,
            "seed": self.trainer.seed,
            "workers": self.ranks.world,
        }
        packed = pack_checkpoint(self.trainer.classifier, self.config, meta, task.training_state(), progress)
        kept = (lambda: self.hooks.on_kept(metrics)) if metrics else (lambda: None)
        store.save(checkpoint_name(self.epoch, step), packed, kept)

    def _restore(self, place: Path) -> None:
        task = self.trainer.task
        classifier, meta = load_classifier(place)
        if list(meta.labels) != list(self.meta.labels):
            raise DataError(f"checkpoint {place} has the labels {', '.join(meta.labels)}, this training has others")
        text, progress = load_training(place)
        if progress is None:
            raise DataError(f"{place} holds no training state to resume from")
        try:
            task.classifier.load_state_dict(classifier.state_dict())
            if text is not None:
                task.load_training_state(text)
            self.trainer.load_state(progress)
            self.epoch, self.best, self.stale = progress["epoch"], progress["best"], progress["stale"]
            self.history = progress["history"]
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            reason = (str(error).splitlines() or [""])[-1].strip()
            raise DataError(
                f"checkpoint {place} does not fit this training: {reason}; start over with --fresh"
            ) from None
