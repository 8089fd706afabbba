"""The sections of the configuration. Every number that shapes a run is here, with its unit and its source.

Defaults are the paper's where it states them (arXiv 2605.00647), the public defaults of KED (Tian et al. 2024,
on which PEACE is built) where it is silent, and our choice otherwise.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from peace.config.ablation import AblateConfig
from peace.config.base import Address, Section
from peace.config.data import (
    IndexConfig,
    LabelsConfig,
    LeadsConfig,
    LinksConfig,
    PreprocessConfig,
    ReportConfig,
    SignalConfig,
    SplitConfig,
    SyntheticConfig,
)
from peace.config.descriptors import DescriptorsConfig
from peace.config.fetch import FetchConfig
from peace.config.model import ModelConfig
from peace.config.promotion import PromotionConfig
from peace.config.quality import QualityConfig
from peace.config.training import AdaptConfig, EvaluationConfig, ObjectiveConfig, TrainingConfig


class TrackingConfig(Section):
    """MLflow."""

    enabled: bool = True
    uri: Address | None = Field(
        None, description="tracking server; default MLFLOW_TRACKING_URI, then sqlite ./mlflow.db"
    )
    experiment: str = "peace"
    model_name: str = Field("peace12", description="name in the model registry")
    system_metrics_seconds: float = Field(
        10.0, ge=0, description="between two samples of each node's processors, memory, disk and network; 0: none"
    )


class RayConfig(Section):
    """How much of which cluster."""

    address: Address | None = Field(None, description="default RAY_ADDRESS, then a cluster of this machine's own")
    workers: int = Field(1, gt=0, description="training workers; with min_workers the most of them")
    min_workers: int | None = Field(
        None, gt=0, description="elastic training: continues with so few, and grows to `workers` when machines join"
    )
    gpu: bool = Field(False, description="one GPU a worker")
    cpus_per_worker: float | None = Field(None, gt=0, description="default: what the machines have, shared out")
    resources: dict[str, float] = Field({}, description="what else a worker reserves, by Ray's names")
    max_failures: int = Field(3, ge=0, description="worker crashes survived")
    in_memory_mb: float = Field(4096, ge=0, description="training sets up to this size are held by each worker")
    storage: Address | None = Field(
        None, description="folder or s3:// address of a training's checkpoints; default: checkpoints/ in its --out"
    )
    keep_last: int = Field(2, ge=2, description="newest checkpoints kept; a damaged one needs one before it")
    keep_best: int = Field(1, ge=1, description="checkpoints kept of the epochs with the best validation AUC")
    checkpoint_minutes: float = Field(
        15.0, ge=0, description="a checkpoint within an epoch after so long; 0: at the end of epochs only"
    )
    grace_seconds: float = Field(
        25.0, ge=0, description="after SIGTERM or Ctrl-C: time for a checkpoint (Kubernetes kills after 30)"
    )
    resize_seconds: float = Field(60.0, gt=0, description="elastic: how often the cluster is looked at for more room")

    @model_validator(mode="after")
    def _elastic(self) -> RayConfig:
        if self.min_workers is not None:
            if self.min_workers > self.workers:
                raise ValueError("min_workers is above workers")
            if self.cpus_per_worker is None and not self.gpu:
                raise ValueError(
                    "min_workers wants cpus_per_worker or gpu: what a worker takes on machines yet to come"
                )
        return self


class Config(Section):
    """Everything that shapes a run."""

    seed: int = 42
    labels: LabelsConfig = LabelsConfig()
    split: SplitConfig = SplitConfig()
    index: IndexConfig = IndexConfig()
    leads: LeadsConfig = LeadsConfig()
    links: LinksConfig = LinksConfig()
    signal: SignalConfig = SignalConfig()
    quality: QualityConfig = QualityConfig()
    preprocess: PreprocessConfig = PreprocessConfig()
    report: ReportConfig = ReportConfig()
    synthetic: SyntheticConfig = SyntheticConfig()
    fetch: FetchConfig = FetchConfig()
    descriptors: DescriptorsConfig = DescriptorsConfig()
    model: ModelConfig = ModelConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    pretrain: TrainingConfig = TrainingConfig()
    adapt: AdaptConfig = AdaptConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    ablate: AblateConfig = AblateConfig()
    promotion: PromotionConfig = PromotionConfig()
    tracking: TrackingConfig = TrackingConfig()
    ray: RayConfig = RayConfig()
