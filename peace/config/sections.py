"""The sections of the configuration. Every number that shapes a run is here, with its unit and its source.

Defaults are the paper's where it states them (arXiv 2605.00647), the public defaults of KED (Tian et al. 2024,
on which PEACE is built) where it is silent, and our choice otherwise.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, field_validator, model_validator


class Section(BaseModel):
    """A part of the configuration: immutable, and strict about its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LabelsConfig(Section):
    """Which label set, and how strictly codes are read."""

    set: str = Field("peace12", description="name of an embedded label set, or a path to a YAML file")
    modified_codes: bool = Field(False, description="count AHA codes that carry a modifier, such as L145+Modifier362")
    code_columns: Literal["aha", "either"] = Field("aha", description="ZZU: the AHA column decides, or AHA or CHN")


class SplitConfig(Section):
    """Patient-level split (paper: 8:1:1, seed 42)."""

    ratios: tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat] = Field(
        (8, 1, 1), description="train : val : test"
    )
    seed: int = Field(42, ge=0)
    official_folds: bool = Field(False, description="PTB-XL only: strat_fold 1-8 / 9 / 10 instead of our own split")

    @field_validator("ratios")
    @classmethod
    def _something_to_train_on(cls, ratios: tuple[float, float, float]) -> tuple[float, float, float]:
        if not 0 < ratios[0] < math.inf or not math.isfinite(sum(ratios)):
            raise ValueError("the training part must be above 0")
        return ratios


class LeadsConfig(Section):
    """Which leads a record must have."""

    require: Literal[12, 9] = Field(12, description="9 admits records without V2, V4, V6, with a lead mask")


class SignalConfig(Section):
    """From bytes to a (12, rate * seconds) array in millivolts (method: 0.5 Hz high-pass, 100 Hz low-pass, notch)."""

    rate: int = Field(500, gt=0, description="samples per second after resampling")
    seconds: float = Field(10.0, gt=0, description="crop, or zero-pad with a mask, to this length")
    margin_seconds: float = Field(
        5.0, ge=0, description="filtered together with what is kept, so that the crop is no edge"
    )
    highpass_hz: float = Field(0.5, ge=0, description="zero-phase; 0 leaves it out")
    lowpass_hz: float = Field(100.0, gt=0, description="zero-phase; lowered to 0.45 x rate where rate asks for it")
    notch_hz: dict[str, float] = Field(
        {"mimic": 60.0, "zzu": 50.0, "ptbxl": 50.0}, description="mains frequency by cohort; 0 leaves it out"
    )


class QualityConfig(Section):
    """Limits beyond which a record is rejected, with the reason named (our choice)."""

    nan_share: float = Field(0.0, ge=0, le=1, description="largest share of missing samples in any lead")
    flat_leads: int = Field(0, ge=0, le=12, description="largest number of flat leads; such a lead is masked")
    flat_mv: float = Field(0.01, ge=0, description="a lead whose peak-to-peak stays under this is flat")
    rail_mv: float = Field(26.0, gt=0, description="samples beyond this many mV touch the rail (ZZU: near 26.6)")
    rail_share: float = Field(0.05, ge=0, le=1, description="largest share of samples at the rail in any lead")
    min_seconds: float = Field(2.0, ge=0, description="shortest record")
    min_rate: float = Field(100.0, gt=0, description="lowest sampling rate in Hz")


class PreprocessConfig(Section):
    """How shards are written."""

    shard_mb: float = Field(128.0, gt=0, description="aimed-at size of a shard before compression")
    min_tasks: int = Field(4, gt=0, description="smaller shards, so that at least so many tasks share the work")


class SyntheticConfig(Section):
    """Size and variety of the embedded synthetic cohorts (docs/synthetic.md)."""

    mimic_records: int = Field(20000, ge=0)
    zzu_records: int = Field(4000, ge=0)
    ptbxl_records: int = Field(4000, ge=0)
    seed: int = Field(42, ge=0)
    prior: Literal["published", "flat"] = Field(
        "published", description="how frequent labels are: as in each real cohort, or each abnormal one alike"
    )
    leadfield_spread: float = Field(1.0, ge=0, description="how far subjects' leads differ from Dower's; 0: not at all")
    noise: float = Field(1.0, ge=0, description="factor on wander, muscle, mains, motion and lost electrodes")


class EncoderConfig(Section):
    """1-D residual ECG encoder, xresnet1d family; the defaults are xresnet1d101 (method: KED's encoder)."""

    blocks: tuple[int, ...] = (3, 4, 23, 3)
    widths: tuple[int, ...] = (64, 128, 128, 192)
    expansion: int = Field(4, gt=0, description="output channels of a bottleneck = width x expansion; 1 = basic block")
    stem: tuple[int, ...] = (32, 32, 64)
    kernel: int = Field(5, gt=0, description="samples, odd")
    norm: Literal["batch", "group"] = Field("batch", description="group needs no statistics over the batch")

    @model_validator(mode="after")
    def _consistent(self) -> EncoderConfig:
        if len(self.blocks) != len(self.widths) or not self.blocks or not self.stem:
            raise ValueError("blocks and widths need one number a stage, and the stem at least one")
        if min(*self.blocks, *self.widths, *self.stem) < 1 or self.kernel % 2 == 0:
            raise ValueError("blocks, widths and stem must be positive, the kernel odd")
        return self


class TextConfig(Section):
    """Text encoder: training only."""

    name: str = Field(
        "emilyalsentzer/Bio_ClinicalBERT",
        description="hub id, local folder, 'minilm' (embedded sentence encoder) or 'tiny' (random, for tests)",
    )
    frozen_layers: int = Field(
        10, ge=0, description="embeddings and so many first layers stay frozen (paper: 10 of 12)"
    )
    max_tokens: int = Field(64, gt=0)
    pooling: Literal["pooler", "mean"] = Field("pooler", description="KED uses BERT's pooler; sentence encoders mean")


class QueryConfig(Section):
    """Label query network: one query a label, cross-attending over ECG tokens."""

    depth: int = Field(7, gt=0)
    heads: int = Field(4, gt=0)
    feedforward: int = 1024
    dropout: float = Field(0.1, ge=0, lt=1)
    head: int = Field(2048, description="hidden width of the logit head")


class ModelConfig(Section):
    """Sizes of the network. `width` is the common width of tokens, queries and text."""

    width: int = 768
    encoder: EncoderConfig = EncoderConfig()
    text: TextConfig = TextConfig()
    query: QueryConfig = QueryConfig()

    @model_validator(mode="after")
    def _divisible(self) -> ModelConfig:
        if self.width < 1 or self.query.heads < 1 or self.width % self.query.heads:
            raise ValueError(f"width {self.width} must be a multiple of query.heads {self.query.heads}")
        return self


class GateConfig(Section):
    """Curriculum gate on the contrastive loss (method 1.4: inputs and direction are the paper's, the form is ours).

    power:   p^gamma * exp(-beta * L / L0);  sigmoid: sigmoid(slope * (p - midpoint)) * clip(1 - floor * L / L0, 0, 1)
    fixed:   a constant, 1 being the ablation without gate.
    p is the progress in [0, 1], L the smoothed classification loss, L0 its value at the end of the warm-up.
    """

    form: Literal["power", "sigmoid", "fixed"] = "power"
    gamma: float = 1.0
    beta: float = 1.0
    slope: float = 10.0
    midpoint: float = 0.3
    floor: float = 0.5
    value: float = Field(1.0, ge=0, le=1, description="of the fixed form")
    decay: float = Field(0.99, gt=0, lt=1, description="of the smoothed loss, per step")
    warmup: float = Field(0.05, ge=0, lt=1, description="share of the training after which L0 is taken")


class ObjectiveConfig(Section):
    """L = L_cls(ECG only) + knowledge_weight * L_cls(with axis tokens) + gate * contrastive_weight * L_LSBC."""

    knowledge_weight: float = Field(0.5, ge=0, description="0 leaves the knowledge pass out")
    axis_dropout: float = Field(0.2, ge=0, lt=1, description="chance of hiding an axis token in the knowledge pass")
    contrastive_weight: float = Field(1.0, ge=0, description="lambda; 0 is the ablation without LSBC")
    reading: Literal["label_specific", "label_set", "jaccard"] = Field("label_set", description="of LSBC, method 1.3")
    temperature: float = Field(0.1, gt=0, description="initial; learnable, clamped to 0.01 and above")
    axis_composition: Literal["mean", "sum", "attention"] = "mean"
    fusion: Literal["mlp", "mean"] = "mlp"
    descriptors: str = Field("curated", description="'curated' or a descriptors.json")
    text_variant: Literal["three_axes", "single", "permuted"] = Field(
        "three_axes", description="ablations: one merged text a label, or texts of other labels"
    )
    gate: GateConfig = GateConfig()


class AugmentConfig(Section):
    """Random changes of a training batch; millivolt scale is kept within what devices differ by (our choice)."""

    lead_dropout: float = Field(0.0, ge=0, lt=1, description="chance that a lead is hidden")
    gain: float = Field(0.0, ge=0, description="standard deviation of a common log gain")
    noise_mv: float = Field(0.0, ge=0, description="largest standard deviation of white noise")
    shift: float = Field(0.0, ge=0, le=1, description="largest circular shift, as a share of the length")


class TrainingConfig(Section):
    """Optimisation (method 1.2: AdamW, 5e-5, weight decay 0.02, cosine with warm-up, best epoch by validation AUC)."""

    epochs: int = Field(10, gt=0)
    batch_size: int = Field(80, gt=0, description="records a step over all workers together")
    learning_rate: float = Field(5e-5, gt=0)
    text_learning_rate: float = Field(5e-5, gt=0)
    min_learning_rate: float = Field(1e-6, ge=0)
    warmup_steps: int = Field(500, ge=0)
    weight_decay: float = Field(0.02, ge=0)
    gradient_clip: float = Field(1.0, gt=0)
    precision: Literal["fp32", "bf16"] = "fp32"
    patience: int = Field(0, ge=0, description="stop after so many epochs without a better validation AUC; 0: never")
    augment: AugmentConfig = AugmentConfig()


class AdaptConfig(TrainingConfig):
    """Adaptation to another cohort (paper, section on protocols)."""

    protocol: Literal["zero-shot", "few-shot", "full"] = "full"
    shots: int = Field(50, gt=0, description="labelled records per label, or all where there are fewer")
    batch_size: int = Field(16, gt=0)
    frozen_stages: int = Field(0, ge=0, description="first stages of the ECG encoder that stay frozen")
    calibrate_amplitude: bool = Field(
        True, description="scale the target's millivolts to the amplitudes trained on (method: ZZU relative to MIMIC)"
    )


class EvaluationConfig(Section):
    """Intervals and figures."""

    bootstrap: int = Field(1000, ge=0, description="resamples, by patient")
    level: float = Field(0.95, gt=0, lt=1)
    seed: int = Field(42, ge=0)


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
    synthetic: SyntheticConfig = SyntheticConfig()
    model: ModelConfig = ModelConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    pretrain: TrainingConfig = TrainingConfig()
    adapt: AdaptConfig = AdaptConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    tracking: TrackingConfig = TrackingConfig()
    ray: RayConfig = RayConfig()
