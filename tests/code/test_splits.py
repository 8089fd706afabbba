"""Splits: by patient, stratified over labels, the same whatever the process, hash seed or order of rows."""

import os
import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peace.config import SplitConfig, load_config
from peace.core.errors import ConfigError, DataError
from peace.data.splits import SPLITS, check_filled, check_patients, split_patients

Cohort = tuple[pd.Series, npt.NDArray[np.bool_]]


@st.composite
def cohorts(draw: st.DrawFn) -> Cohort:
    """Patients with one to nine records each, and up to five labels of different rarity."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    patients = draw(st.integers(1, 120))
    labels = draw(st.integers(1, 5))
    owner = np.repeat(np.arange(patients), rng.integers(1, draw(st.integers(2, 10)), patients))
    targets = rng.random((len(owner), labels)) < rng.choice([0.02, 0.1, 0.5, 1.0], labels)
    return pd.Series([f"p{number}" for number in owner]), targets


def in_split(split: pd.Series, name: str) -> npt.NDArray[np.bool_]:
    return (split == name).to_numpy(dtype=bool)


@given(cohort=cohorts(), seed=st.integers(0, 2**16))
@settings(deadline=None)
def test_every_record_has_a_split_and_every_patient_one(cohort: Cohort, seed: int) -> None:
    patients, targets = cohort
    split = split_patients(patients, targets, SplitConfig(seed=seed))
    assert set(split) <= set(SPLITS)
    assert len(split) == len(patients)
    assert split.groupby(patients).nunique().max() == 1
    check_patients(pd.DataFrame({"patient_id": patients, "split": split}))


@given(cohort=cohorts(), seed=st.integers(0, 2**16), order=st.integers(0, 2**16))
@settings(deadline=None)
def test_the_order_of_rows_changes_nothing(cohort: Cohort, seed: int, order: int) -> None:
    patients, targets = cohort
    split = split_patients(patients, targets, SplitConfig(seed=seed))
    shuffled = np.random.default_rng(order).permutation(len(patients))
    again = split_patients(patients.iloc[shuffled], targets[shuffled], SplitConfig(seed=seed))
    pd.testing.assert_series_equal(again.sort_index(), split)


@given(cohort=cohorts())
@settings(deadline=None)
def test_every_split_gets_a_label_that_patients_enough_have(cohort: Cohort) -> None:
    patients, targets = cohort
    split = split_patients(patients, targets, SplitConfig())
    # rarer labels can have settled three patients each; one more each is certainly free
    enough = 3 * targets.shape[1]
    for label in range(targets.shape[1]):
        having = targets[:, label]
        if patients[having].nunique() >= enough:
            assert set(split[having]) == set(SPLITS)


@given(cohort=cohorts(), extra=st.integers(1, 40))
@settings(deadline=None)
def test_settled_patients_stay(cohort: Cohort, extra: int) -> None:
    patients, targets = cohort
    earlier = split_patients(patients, targets, SplitConfig())
    settled = dict(zip(patients, earlier, strict=True))
    more = pd.concat([patients, pd.Series([f"new{n}" for n in range(extra)])], ignore_index=True)
    flags = np.vstack([targets, np.ones((extra, targets.shape[1]), dtype=bool)])
    later = split_patients(more, flags, SplitConfig(), settled)
    assert list(later[: len(patients)]) == list(earlier)
    assert later.notna().all()


def test_three_patients_of_a_rare_label_go_one_to_each_split() -> None:
    patients = pd.Series([f"p{number}" for number in range(300)])
    targets = np.zeros((300, 3), dtype=bool)
    targets[:, 0] = True
    targets[[10, 20, 30], 1] = True
    targets[[40, 50], 2] = True
    split = split_patients(patients, targets, SplitConfig())
    assert sorted(split[targets[:, 1]]) == ["test", "train", "val"]
    assert split[targets[:, 2]].nunique() <= 2
    assert split.value_counts().to_dict() == {"train": 240, "val": 30, "test": 30}


def test_records_and_labels_are_shared_out_by_the_ratios() -> None:
    """Patients with up to 200 records: parts are of records, in total and of each label."""
    rng = np.random.default_rng(7)
    owner = np.repeat(np.arange(5000), np.minimum(200, 1 + rng.pareto(1.1, 5000)).astype(int))
    habit = rng.random((5000, 12)) < np.array([0.4, 0.1, 0.05, 0.05, 0.05, 0.1, 0.02, 0.1, 0.01, 0.3, 0.2, 0.1])
    targets = habit[owner] | (rng.random((len(owner), 12)) < 0.01)
    split = split_patients(pd.Series(owner.astype(str)), targets, SplitConfig())
    for name, due in zip(SPLITS, (0.8, 0.1, 0.1), strict=True):
        here = in_split(split, name)
        assert abs(here.mean() - due) < 0.002
        assert np.abs(targets[here].sum(axis=0) / targets.sum(axis=0) - due).max() < 0.01
        assert abs(len(set(owner[here])) / 5000 - due) < 0.02, "many-record patients are in every part"


def test_other_ratios_and_an_empty_part() -> None:
    patients = pd.Series([f"p{number}" for number in range(100)])
    targets = np.ones((100, 1), dtype=bool)
    halves = split_patients(patients, targets, SplitConfig(ratios=(1, 1, 0)))
    assert halves.value_counts().to_dict() == {"train": 50, "val": 50}
    other = split_patients(patients, targets, SplitConfig(ratios=(1, 1, 0), seed=1))
    assert list(halves) != list(other), "the seed matters"


def test_no_records_at_all() -> None:
    assert len(split_patients(pd.Series([], dtype="str"), np.zeros((0, 2), dtype=bool), SplitConfig())) == 0


@pytest.mark.parametrize("ratios", ["[0, 1, 1]", "[8, -1, 1]", "[.inf, 1, 1]", "[8, 1]"])
def test_ratios_without_a_training_part_are_refused(ratios: str) -> None:
    with pytest.raises(ConfigError, match=r"split\.ratios"):
        load_config("debug", None, [f"split.ratios={ratios}"])


PROGRAM = """
import numpy as np, pandas as pd
from peace.config import SplitConfig
from peace.data.splits import split_patients
names = {f"patient-{n}" for n in range(400)}
patients = pd.Series(list(names))
targets = np.array([[hashed % 3 == 0, hashed % 7 == 0] for hashed in (int(name[8:]) for name in patients)])
split = split_patients(patients, targets, SplitConfig())
print(sorted(zip(patients, split)))
"""


def test_two_processes_with_different_hash_seeds_agree() -> None:
    """The rows come out of a set of strings, whose order follows the hash seed."""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4711")
    ]
    assert outputs[0] == outputs[1] == outputs[2]
    assert len(outputs[0]) > 400


AT_FULL_SIZE = """
import resource, time
import numpy as np, pandas as pd
from peace.config import SplitConfig
from peace.data.splits import SPLITS, split_patients
rng = np.random.default_rng(0)
patients, records = 161_352, 483_051
weight = np.minimum(260, 1 + rng.pareto(1.2, patients))
owner = np.concatenate([np.arange(patients), rng.choice(patients, records - patients, p=weight / weight.sum())])
often = np.array([0.4, 0.08, 0.03, 0.07, 0.05, 0.1, 0.02, 0.12, 0.006, 0.3, 0.2, 0.09])
habit = rng.random((patients, 12)) < often
targets = np.where(rng.random((records, 12)) < 0.8, habit[owner], rng.random((records, 12)) < often)
started = time.perf_counter()
split = split_patients(pd.Series(owner.astype(str)), targets, SplitConfig())
seconds = time.perf_counter() - started
shares = np.array([targets[(split == name).to_numpy()].sum(axis=0) / targets.sum(axis=0) for name in SPLITS])
off = np.abs(shares - np.array([[0.8], [0.1], [0.1]])).max()
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2, off)
"""


@pytest.mark.heavy
def test_the_size_of_mimic_takes_seconds_and_little_memory() -> None:
    done = subprocess.run([sys.executable, "-c", AT_FULL_SIZE], capture_output=True, text=True, check=True)
    seconds, gigabytes, off = map(float, done.stdout.split())
    assert seconds < 60
    assert gigabytes < 2
    assert off < 0.002


def test_a_patient_in_two_splits_is_named() -> None:
    manifest = pd.DataFrame(
        {
            "cohort": ["zzu", "zzu", "ptbxl", "zzu", "zzu", "zzu"],
            "patient_id": ["P1", "P1", "P1", "P2", "P2", "P3"],
            "split": ["train", "train", "test", "val", None, "test"],
        }
    )
    check_patients(manifest)  # the same id in another cohort is another patient; excluded records have no split
    manifest.loc[4, "split"] = "test"
    with pytest.raises(DataError, match="patient P2 is in test and val"):
        check_patients(manifest)
    manifest.loc[0, "split"] = "val"
    with pytest.raises(DataError, match=r"patient P1 is in train and val .and 1 more patients"):
        check_patients(manifest)
    with pytest.raises(DataError, match="patient P1 is in"):
        check_patients(manifest.drop(columns="cohort"))


@pytest.mark.parametrize("patients", [3, 4, 7])
def test_no_split_is_empty_where_there_are_three_patients(patients: int) -> None:
    """Each has a label of its own, so that no label asks for a patient in every split; one has most of the records."""
    names = pd.Series(["0"] * 20 + [str(number) for number in range(1, patients)])
    targets = np.eye(patients, dtype=bool)[names.astype(int)]
    split = split_patients(names, targets, SplitConfig())
    assert set(split) == set(SPLITS)
    check_filled(split, names, (8, 1, 1))
    two = names.where(names == "0", "1")
    with pytest.raises(DataError, match=r"no record is in .+: the \d+ kept records are of 2 patients, and each of"):
        check_filled(split_patients(two, targets, SplitConfig()), two, (8, 1, 1))
    check_filled(pd.Series(["train"]), pd.Series(["1"]), (1, 0, 0))
