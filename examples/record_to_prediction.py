# %% [markdown]
# # From a record to a prediction
#
# Synthesize a few children's ECGs, train a tiny model on them, and predict one record that the model has not seen.
# No Ray and no MLflow are needed. It takes about 20 seconds of one CPU core.
#
# Run it as a script, or cell by cell in an editor that knows the percent format:
#
#     .venv/bin/python examples/record_to_prediction.py runs/example
#
# **The records are synthetic and the model is tiny. Its probabilities say nothing about patients.**

# %%
import sys
from pathlib import Path

import numpy as np

from peace.config import load_config
from peace.data.cohorts.manifest import manifest_table
from peace.data.cohorts.outcome import index_tree
from peace.data.labels import load_label_set
from peace.data.shards import Recipe, build_part, finish
from peace.data.shards.partition import COLUMNS, OF_REPORTS, row_keys
from peace.data.signal import Conditioned
from peace.data.signal.units import to_mv
from peace.inference import Prediction, Predictor
from peace.reports.strip import ecg_strip
from peace.synthetic import synthesize
from peace.training.checkpoint_manager import CheckpointManager
from peace.training.plan import build_plan
from peace.training.train import train

out = Path(sys.argv[1] if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else "runs/example")
config = load_config(
    "debug", None, ["synthetic.mimic_records=0", "synthetic.ptbxl_records=0", "synthetic.zzu_records=120"]
)

# %% [markdown]
# ## 1. Records
#
# `synthesize` writes the layout of ZZU-pECG: WFDB files and the tables that describe them.

# %%
counts = synthesize(out / "data", config.synthetic, workers=1)
root = out / "data" / "zzu"
print(f"{counts['cohorts']['zzu']['records']} records in {root}")

# %% [markdown]
# ## 2. Index
#
# Read the tables, map each diagnosis to a label, and split by patient. Every excluded record has a reason.

# %%
label_set = load_label_set(config.labels.set)
outcome = index_tree("zzu", root, label_set, config)
manifest = manifest_table(outcome.index, label_set.labels, outcome.split).to_pandas()
manifest = manifest[manifest["excluded"].isna()].reset_index(drop=True)[[*COLUMNS, *OF_REPORTS]]
print(manifest["split"].value_counts().to_dict())

# %% [markdown]
# ## 3. Shards
#
# Read, check, filter and resample each record, and write int16 microvolts to Parquet. A record that cannot be read
# becomes a reject with a reason.

# %%
recipe = Recipe(config.signal, config.leads, config.quality)
keys = row_keys(manifest)
done = []
for split, rows in manifest.groupby("split"):
    done.append(
        build_part(f"part-{split}", str(split), rows.to_dict("records"), keys[rows.index].tolist(), recipe, out)
    )
print(finish(out, len(manifest), done, recipe, label_set)["splits"])

# %% [markdown]
# ## 4. Train
#
# `build_plan` checks that shards, labels and descriptors fit together. `train` resumes from the latest checkpoint when
# it is called again.

# %%
store = CheckpointManager(out.absolute() / "checkpoints")
train(build_plan(config, "pretrain", out.absolute()), store=store)
print(store.best())

# %% [markdown]
# ## 5. Predict
#
# The predictor takes a WFDB record and applies the signal recipe stored in the checkpoint. It needs the ECG alone.

# %%
predictor = Predictor.load(store.best())
record = Path(manifest.loc[manifest["split"] == "test", "path"].iloc[0]).with_suffix(".hea")
prediction = predictor.predict_file(record, "zzu")
assert isinstance(prediction, Prediction), prediction
for label, probability in sorted(prediction.probabilities.items(), key=lambda item: -item[1]):
    print(f"{label:6} {probability:.3f}  {predictor.full_names()[label]}")

# %% [markdown]
# ## 6. Draw the twelve leads
#
# This is the conditioned signal, as the model sees it.

# %%
conditioned = predictor.read(record, "zzu")
assert isinstance(conditioned, Conditioned), conditioned
signal_mv = to_mv(np.asarray(conditioned.signal))
figure = ecg_strip(signal_mv, predictor.signal.rate, conditioned.lead_mask, record.stem, out / "twelve_leads.png")
print(figure)
