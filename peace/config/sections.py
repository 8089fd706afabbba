"""The sections of the configuration. Every number that shapes a run is here, with its unit and its source.

Defaults are the paper's where it states them (arXiv 2605.00647), the public defaults of KED (Tian et al. 2024,
on which PEACE is built) where it is silent, and our choice otherwise.
"""

from __future__ import annotations

from pydantic import Field

from peace.config.ablation import AblateConfig
from peace.config.base import Section
from peace.config.data import (
    LabelsConfig,
    LeadsConfig,
    PreprocessConfig,
    ReportConfig,
    SignalConfig,
    SplitConfig,
    SyntheticConfig,
)
from peace.config.fetch import FetchConfig
from peace.config.model import ModelConfig
from peace.config.quality import QualityConfig
from peace.config.training import AdaptConfig, EvaluationConfig, ObjectiveConfig, TrainingConfig


class TrackingConfig(Section):
    """MLflow."""

    enabled: bool = True
    uri: str | None = Field(None, description="tracking server; default MLFLOW_TRACKING_URI, then sqlite ./mlflow.db")
    experiment: str = "peace"
    model_name: str = Field("peace12", description="name in the model registry")


class RayConfig(Section):
    """How much of which cluster."""

    address: str | None = Field(None, description="default RAY_ADDRESS, then a cluster of this machine's own")
    workers: int = Field(1, gt=0, description="training workers")
    gpu: bool = Field(False, description="one GPU a worker")
    cpus_per_worker: float | None = Field(
        None, gt=0, description="default: what the cluster has, shared, less one for data"
    )
    max_failures: int = Field(3, ge=0, description="worker crashes survived")
    in_memory_mb: float = Field(4096, ge=0, description="training sets up to this size are held by each worker")


class Config(Section):
    """Everything that shapes a run."""

    seed: int = 42
    labels: LabelsConfig = LabelsConfig()
    split: SplitConfig = SplitConfig()
    leads: LeadsConfig = LeadsConfig()
    signal: SignalConfig = SignalConfig()
    quality: QualityConfig = QualityConfig()
    preprocess: PreprocessConfig = PreprocessConfig()
    report: ReportConfig = ReportConfig()
    synthetic: SyntheticConfig = SyntheticConfig()
    fetch: FetchConfig = FetchConfig()
    model: ModelConfig = ModelConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    pretrain: TrainingConfig = TrainingConfig()
    adapt: AdaptConfig = AdaptConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    ablate: AblateConfig = AblateConfig()
    tracking: TrackingConfig = TrackingConfig()
    ray: RayConfig = RayConfig()
