"""The registered model, as MLflow loads it: this file is copied into the model and run there, so nothing is pickled.

    model = mlflow.pyfunc.load_model("models:/peace12@candidate")
    model.predict(ecg_mv)                                     # (n, 12, T) in mV, conditioned, at the model's rate
    model.predict(pandas.DataFrame({"path": ["a.hea"]}))      # WFDB records that this machine can read

It needs the peace-ray package and the checkpoint beside it, which holds the weights as safetensors. This is the one
module that imports mlflow at its top, since MLflow wants a class of its own; only MLflow imports it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext

from peace.inference import DEFAULT_COHORT, Prediction, Predictor

REFUSED = "refused"


class PeaceModel(PythonModel):
    """Label probabilities from ECG arrays or from WFDB paths."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load weights, label set and signal recipe from the model's own checkpoint."""
        self.predictor = Predictor.load(Path(context.artifacts["checkpoint"]))

    # the hint is the one half of the truth that MLflow neither warns of nor enforces: paths come as an array of text
    def predict(
        self, context: PythonModelContext, model_input: np.ndarray, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """A data frame with a column of probabilities for each label.

        A path that cannot be read has NaN in all of them, and the reason in the further column `refused`. The
        parameter `cohort` names the mains frequency to filter out of WFDB records.
        """
        cohort = str((params or {}).get("cohort", DEFAULT_COHORT))
        paths = _paths_of(model_input)
        if paths is not None:
            return self._from_paths(paths, cohort)
        # through a signature or JSON, numbers arrive as objects
        ecg_mv = np.asarray(model_input, dtype=np.float32)
        return pd.DataFrame(self.predictor.predict_array(ecg_mv), columns=list(self.predictor.labels))

    def _from_paths(self, paths: list[str], cohort: str) -> pd.DataFrame:
        rows: list[dict[str, Any]] = []
        for answer in self.predictor.predict_files([Path(path) for path in paths], cohort):
            if isinstance(answer, Prediction):
                rows.append({**answer.probabilities, REFUSED: None})
            else:
                rows.append({REFUSED: f"{answer.reason}: {answer.detail}"})
        return pd.DataFrame(rows, columns=[*self.predictor.labels, REFUSED])


def _paths_of(model_input: Any) -> list[str] | None:
    """The WFDB paths that the input holds; None where it holds samples."""
    if isinstance(model_input, pd.DataFrame):
        return [str(path) for path in model_input["path"]]
    values = np.asarray(model_input)
    if values.ndim == 1 and values.size and all(isinstance(value, str) for value in values):
        return list(values)
    return None


mlflow.models.set_model(PeaceModel())
