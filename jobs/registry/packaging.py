"""The folder that MLflow registers: code, weights without pickle, model card, signature, input example."""

from __future__ import annotations

import logging
import warnings
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peace.core.files import read_json, write_text

if TYPE_CHECKING:
    import numpy as np
    from mlflow.models import ModelSignature

    from peace.inference import Predictor

SOURCE = Path(__file__).with_name("pyfunc_model.py")
TOLERANCE = 1e-5


def build_model(
    place: Path, run: Path, name: str, predictor: Predictor, metrics: dict[str, Any] | None, synthetic: bool
) -> Path:
    """Write the model as a folder that MLflow loads: code, checkpoint without the text side, card, signature, example.

    `place` is an empty folder; returns the model's folder in it.
    """
    import mlflow.pyfunc

    from peace.checkpoint import INFERENCE_FILES, copy_checkpoint, find_checkpoint
    from peace.evaluation.model_card import model_card

    copy_checkpoint(find_checkpoint(run), place / "checkpoint", INFERENCE_FILES)
    folder = place / "model"
    with _quiet():
        mlflow.pyfunc.save_model(
            path=folder,
            python_model=str(SOURCE),
            artifacts={"checkpoint": str(place / "checkpoint")},
            signature=signature(predictor),
            input_example=(example(predictor), {"cohort": "zzu"}),
            pip_requirements=_requirements(),
            metadata={"labels": list(predictor.labels), "rate_hz": predictor.signal.rate, "samples": predictor.length},
        )
    card = model_card(name, predictor.meta, predictor.full_names(), metrics, synthetic, _trained_on(run))
    write_text(folder / "README.md", card)
    return folder


def _trained_on(run: Path) -> int | None:
    result = run / "result.json"
    return read_json(result).get("trained_on") if result.exists() else None


def signature(predictor: Predictor) -> ModelSignature:
    """Input, output and parameters, for MLflow.

    MLflow checks input against one kind of schema, and numbers (n, 12, T) and a column of paths are two. A tensor of
    objects is the one schema that lets both pass; the model itself checks shape and values, with clearer messages.
    """
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    from peace.inference import DEFAULT_COHORT

    outputs = [ColSpec(DataType.double, label) for label in predictor.labels]
    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("O"), (-1,))]),
        outputs=Schema([*outputs, ColSpec(DataType.string, "refused", required=False)]),
        params=ParamSchema([ParamSpec("cohort", DataType.string, DEFAULT_COHORT)]),
    )


def example(predictor: Predictor) -> np.ndarray:
    """Two recordings (2, 12, T) in mV, with a beat each second and each three quarters of one: shape, not medicine."""
    import numpy as np

    seconds = np.arange(predictor.length) / predictor.signal.rate
    beats = [np.exp(-(((seconds % period) - 0.3) ** 2) / 0.0004) for period in (1.0, 0.75)]
    size_mv = np.linspace(-0.5, 1.0, 12)
    return np.round(np.stack([size_mv[:, None] * beat for beat in beats]), 3).astype(np.float32)


def check_model(folder: Path, predictor: Predictor) -> None:
    """Load the model as its users will, and compare what it says with the checkpoint. Raises RuntimeError."""
    import mlflow.pyfunc
    import numpy as np

    ecg_mv = example(predictor)
    with _quiet():
        said = mlflow.pyfunc.load_model(str(folder)).predict(ecg_mv)
    if not np.allclose(said[list(predictor.labels)], predictor.predict_array(ecg_mv), atol=TOLERANCE):
        raise RuntimeError(f"the model in {folder} does not say what its checkpoint says: not registered")


def _requirements() -> list[str]:
    return [f"{name}=={version(name)}" for name in ("peace-ray", "mlflow", "torch", "numpy", "pandas")]


def _quiet() -> ExitStack:
    """MLflow comments on type hints and on example schemas that it would rather infer; none of it is news here."""
    stack = ExitStack()
    caught = warnings.catch_warnings()
    stack.enter_context(caught)
    warnings.simplefilter("ignore")
    log = logging.getLogger("mlflow")
    stack.callback(log.setLevel, log.level)
    log.setLevel(logging.ERROR)
    return stack
