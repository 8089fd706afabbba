"""Where the public cohorts are, and how politely they are downloaded."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt

from peace.config.base import Address, Section


class BaseUrlConfig(Section):
    """Folder of each PhysioNet project (the one with its SHA256SUMS.txt), and the figshare article's API address."""

    ptbxl: Address = "https://physionet.org/files/ptb-xl/1.0.3"
    mimic: Address = "https://physionet.org/files/mimic-iv-ecg/1.0"
    mimic_demo: Address = "https://physionet.org/files/mimic-iv-ecg-demo/0.1"
    zzu: Address = "https://api.figshare.com/v2/articles/27078763"


class FetchConfig(Section):
    """Downloads (our choice; a public archive is shared with others, so few connections at once)."""

    base_url: BaseUrlConfig = BaseUrlConfig()
    parallel: PositiveInt = Field(6, le=64, description="connections at once")
    retries: int = Field(6, ge=0, description="further tries of a request that brought nothing")
    backoff_seconds: PositiveFloat = Field(1.0, description="pause before the second try; doubled up to a minute")
    timeout_seconds: PositiveFloat = Field(30.0, description="longest silence of a server")
    records100: bool = Field(False, description="PTB-XL: the 100 Hz copies too, which no verb reads")
