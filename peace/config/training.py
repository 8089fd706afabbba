"""What is learned and how: objective, optimisation, adaptation, and how it is judged."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from peace.config.base import Section


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


Method = Literal["peace", "ecg_only", "early_fusion", "late_fusion", "dann", "mmd", "merl", "ked"]


class ObjectiveConfig(Section):
    """What is learned. Of peace:

    L = L_cls(ECG only) + knowledge_weight * L_cls(with axis tokens) + gate * contrastive_weight * L_LSBC

    Each method reads the keys that it has a use for (docs/method.md); dann and mmd align with unlabelled records of a
    second cohort in pretraining, merl and ked contrast with text, the fusions mix it in, ecg_only has none.
    """

    method: Method = "peace"
    knowledge_weight: float = Field(0.5, ge=0, description="0 leaves the knowledge pass out")
    axis_dropout: float = Field(0.2, ge=0, lt=1, description="chance of hiding an axis token in the knowledge pass")
    contrastive_weight: float = Field(1.0, ge=0, description="lambda; 0 is the ablation without LSBC")
    reading: Literal["label_specific", "label_set", "jaccard"] = Field("label_set", description="of LSBC, method 1.3")
    temperature: float = Field(0.1, gt=0, description="initial; learnable, clamped to 0.01 and above")
    axis_composition: Literal["mean", "sum", "attention"] = "mean"
    fusion: Literal["mlp", "mean"] = "mlp"
    descriptors: str = Field("curated", description="'curated', 'curated_by_age' or a descriptors.json")
    allow_findings: tuple[str, ...] = Field(
        (), description="errors of the descriptors' checks that do not stop a training, each as LABEL/check"
    )
    text_variant: Literal["three_axes", "single", "permuted"] = Field(
        "three_axes", description="ablations: one merged text a label, or texts of other labels"
    )
    name_queries: bool = Field(True, description="label queries start from the embedded label names, else at random")
    gate: GateConfig = GateConfig()
    text_dropout: float = Field(0.5, ge=0, lt=1, description="fusions: chance that a training record has no text")
    domain_weight: float = Field(1.0, ge=0, description="dann, mmd: weight of the alignment")
    ramp: float = Field(10.0, gt=0, description="dann, mmd: steepness of its rise over the training (Ganin et al.)")


class AugmentConfig(Section):
    """Random changes of a training batch; millivolt scale is kept within what devices differ by (our choice)."""

    lead_dropout: float = Field(0.0, ge=0, lt=1, description="chance that a lead is hidden")
    gain: float = Field(0.0, ge=0, description="standard deviation of a common log gain")
    noise_mv: float = Field(0.0, ge=0, description="largest standard deviation of white noise")
    shift: float = Field(0.0, ge=0, le=1, description="largest circular shift, as a share of the length")


class TrainingConfig(Section):
    """Optimisation (method 1.2: AdamW, 5e-5, weight decay 0.02, cosine with warm-up, best epoch by validation AUC)."""

    epochs: int = Field(10, gt=0)
    min_steps: int = Field(
        0, ge=0, description="of the whole training: a small set is gone over several times an epoch to reach it"
    )
    batch_size: int = Field(80, gt=0, description="records a step over all workers together")
    learning_rate: float = Field(5e-5, gt=0)
    text_learning_rate: float = Field(5e-5, gt=0)
    min_learning_rate: float = Field(1e-6, ge=0)
    warmup_steps: int = Field(500, ge=0)
    weight_decay: float = Field(0.02, ge=0)
    gradient_clip: float = Field(1.0, gt=0)
    micro_batch_size: int = Field(
        0, ge=0, description="records encoded at a time, the losses still over the whole batch; 0: all at once"
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="of the forward pass; fp16 on GPUs alone")
    tf32: bool = Field(False, description="GPUs: multiply float32 with 10 bits of mantissa")
    activation_checkpointing: bool = Field(False, description="less memory, one more forward pass of the ECG encoder")
    compile_encoder: bool = Field(False, description="torch.compile of the ECG encoder")
    ema_decay: float = Field(0.0, ge=0, lt=1, description="judge and keep a moving average of the weights; 0: none")
    patience: int = Field(0, ge=0, description="stop after so many epochs without a better validation AUC; 0: never")
    augment: AugmentConfig = AugmentConfig()


Protocol = Literal["zero-shot", "few-shot", "full", "linear-probe"]


class AdaptConfig(TrainingConfig):
    """Adaptation to another cohort (paper, section on protocols)."""

    protocol: Protocol = "full"
    shots: int = Field(50, gt=0, description="labelled records per label, or all where there are fewer")
    batch_size: int = Field(16, gt=0)
    min_steps: int = Field(200, ge=0, description="as in pretraining; a few shots make too few steps (our choice)")
    wise_ft_alpha: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="few-shot: how much of the pretrained weights is mixed into those judged and kept (after WiSE-FT)",
    )
    frozen_stages: int = Field(0, ge=0, description="first stages of the ECG encoder that stay frozen")
    calibrate_amplitude: bool = Field(
        True, description="scale the target's millivolts to the amplitudes trained on (method: ZZU relative to MIMIC)"
    )


class EvaluationConfig(Section):
    """Intervals and figures."""

    bootstrap: int = Field(1000, ge=0, description="resamples, by patient")
    level: float = Field(0.95, gt=0, lt=1)
    seed: int = Field(42, ge=0)
