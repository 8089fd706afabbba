"""The typed, strict configuration: its sections, and how it is read. Unknown keys are errors."""

from peace.config.base import Section
from peace.config.data import (
    LabelsConfig,
    LeadsConfig,
    LinksConfig,
    PreprocessConfig,
    SignalConfig,
    SplitConfig,
    SyntheticConfig,
)
from peace.config.descriptors import DescriptorsConfig
from peace.config.fetch import BaseUrlConfig, FetchConfig
from peace.config.loading import build_config, dump_config, known_keys, load_config, merge, override_config
from peace.config.model import EncoderConfig, ModelConfig, QueryConfig, TextConfig
from peace.config.promotion import PromotionConfig
from peace.config.quality import QualityConfig
from peace.config.sections import Config, RayConfig, TrackingConfig
from peace.config.training import (
    AdaptConfig,
    AugmentConfig,
    EvaluationConfig,
    GateConfig,
    ObjectiveConfig,
    TrainingConfig,
)

__all__ = [
    "AdaptConfig",
    "AugmentConfig",
    "BaseUrlConfig",
    "Config",
    "DescriptorsConfig",
    "EncoderConfig",
    "EvaluationConfig",
    "FetchConfig",
    "GateConfig",
    "LabelsConfig",
    "LeadsConfig",
    "LinksConfig",
    "ModelConfig",
    "ObjectiveConfig",
    "PreprocessConfig",
    "PromotionConfig",
    "QualityConfig",
    "QueryConfig",
    "RayConfig",
    "Section",
    "SignalConfig",
    "SplitConfig",
    "SyntheticConfig",
    "TextConfig",
    "TrackingConfig",
    "TrainingConfig",
    "build_config",
    "dump_config",
    "known_keys",
    "load_config",
    "merge",
    "override_config",
]
