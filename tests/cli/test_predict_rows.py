"""A row's prediction depends on this row alone: what a column is was learnt in training."""

from __future__ import annotations

import io
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.cli.networks import trained
from typer.testing import Result

from thinned.study import StudyError, load
from thinned.study.data.overrule import WantedColumn
from thinned.study.data.source import open_data

Thinned = Callable[..., Result]
WANTED = ("grade=level", "seen=date")


def table(rows: int = 80) -> pd.DataFrame:
    """Columns that a reader of one row alone takes for something else, as text."""
    rng = np.random.default_rng(5)
    days = pd.Timestamp("2024-01-05") + pd.to_timedelta(rng.integers(0, 700, rows), unit="D")
    size = rng.normal(3, 1, rows)
    return pd.DataFrame({
        "zip": rng.choice(["01234", "02139", "K1A0B1", "99999"], rows),
        "code": rng.choice(["250.0", "401.9", "V57", "E849"], rows),
        "price": [f"$1,{n:03d}" if n % 3 else f"${n}" for n in rng.integers(1, 999, rows)],
        "share": [f"{n}%" for n in rng.integers(1, 99, rows)],
        "size": [f"{x:.2f}" if i % 9 else "?" for i, x in enumerate(size)],
        "seen": days.strftime("%d/%m/%Y"),
        "member": rng.choice(["True", "False", ""], rows),
        "grade": rng.choice(["1", "2", "3", ""], rows),
        "region": rng.choice(["NA", "EU", "None", ""], rows),
        "kind": np.where(size + rng.normal(0, 0.3, rows) > 3, "big", "small"),
    })  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    table().to_csv(folder / "data.csv", index=False)
    data = open_data(folder / "data.csv", "kind", wanted=[WantedColumn.of(text) for text in WANTED])
    kinds = {column.name: column.kind for column in data.columns}
    assert kinds == {
        "zip": "level", "code": "level", "price": "number", "share": "number", "size": "number", "seen": "date",
        "member": "number", "grade": "level", "region": "level", "kind": "level",
    }  # fmt: skip
    return trained(data, folder / "study", p=0.2, seeds=2, steps=30)


def answers(result: Result) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    assert result.exit_code == 0, result.output
    return pd.read_csv(io.StringIO(result.stdout))[["p_big", "p_small"]].to_numpy()


@pytest.mark.long
def test_each_row_alone_has_the_answer_that_it_has_among_all(thinned: Thinned, model: Path, tmp_path: Path) -> None:
    rows = table().drop(columns="kind")
    rows.to_csv(tmp_path / "all.csv", index=False)
    together = answers(thinned("predict", model, tmp_path / "all.csv", "--n", 2))
    assert len({tuple(row) for row in together}) > 70
    chosen = [rows.index[rows["zip"] == zip_][0] for zip_ in ("01234", "99999", "K1A0B1")]
    chosen += [0, rows.index[rows["member"] == ""][0], rows.index[rows["grade"] == ""][0]]
    for row in chosen:
        rows.iloc[[row]].to_csv(tmp_path / "one.csv", index=False)
        alone = answers(thinned("predict", model, tmp_path / "one.csv", "--n", 2))
        assert alone[0] == pytest.approx(together[row], rel=1e-6)


def test_a_file_of_another_form_has_the_same_answers(thinned: Thinned, model: Path, tmp_path: Path) -> None:
    rows = table().drop(columns="kind").head(12)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    expected = answers(thinned("predict", model, tmp_path / "rows.csv", "--n", 2))
    other = rows.assign(size=rows["size"].str.replace(".", ","))
    other["price"] = other["price"].str.replace(",", ".")
    other.to_csv(tmp_path / "rows.tsv", index=False, sep="\t", encoding="utf-16")
    result = thinned("predict", model, tmp_path / "rows.tsv", "--n", 2)
    assert result.exit_code == 2
    assert "must hold numbers with the decimal sign '.'" in result.output
    assert "--decimal ," in result.output
    result = thinned("predict", model, tmp_path / "rows.tsv", "--n", 2, "--decimal", ",")
    assert answers(result) == pytest.approx(expected, rel=1e-6)
    assert "Read as utf-16 with tab between fields." in result.stderr
    typed = rows.assign(
        size=pd.to_numeric(rows["size"], errors="coerce"), seen=pd.to_datetime(rows["seen"], format="%d/%m/%Y"),
        grade=pd.to_numeric(rows["grade"]), member=rows["member"].map({"True": True, "False": False, "": None}),
        price=[float(text.replace("$", "").replace(",", "")) for text in rows["price"]],
    )  # fmt: skip
    typed.to_parquet(tmp_path / "rows.parquet")
    assert answers(thinned("predict", model, tmp_path / "rows.parquet", "--n", 2)) == pytest.approx(expected, rel=1e-6)
    backwards = rows.iloc[::-1][rows.columns[::-1]]
    backwards.to_csv(tmp_path / "rows.csv")  # with an index in front, from 11 down to 0
    back = answers(thinned("predict", model, tmp_path / "rows.csv", "--n", 2))
    assert back == pytest.approx(expected[::-1], rel=1e-6)


def test_from_python_text_and_typed_columns_say_the_same(model: Path) -> None:
    ensemble, rows = load(model), table().drop(columns="kind").head(6)
    expected = ensemble.predict_proba(rows)
    alone = np.concatenate([ensemble.predict_proba(rows.iloc[[i]]) for i in range(6)])
    assert alone == pytest.approx(expected, rel=1e-6)
    assert ensemble.predict_proba(rows.to_numpy(dtype=object)) == pytest.approx(expected, rel=1e-6)
    read = pd.read_csv(io.StringIO(rows.to_csv(index=False)), dtype={"zip": str, "code": str}, keep_default_na=False)
    assert ensemble.predict_proba(read) == pytest.approx(expected, rel=1e-6)


def test_types_of_parquet_in_training_and_text_at_prediction(thinned: Thinned, tmp_path: Path) -> None:
    """Truth values with gaps, decimals and categories, and a column called like an index that is none."""
    rows = table().assign(member=lambda t: t["member"].map({"True": True, "False": False}).astype("boolean"))
    rows["price"] = pd.Series([Decimal(n * 25) / 100 for n in range(len(rows))], dtype=object)
    rows = rows[["member", "price", "seen", "kind"]].assign(**{"Unnamed: 0": [n // 2 for n in range(len(rows))]})
    rows["seen"] = [text if n % 5 else None for n, text in enumerate(rows["seen"])]
    rows = rows[["Unnamed: 0", "member", "price", "seen", "kind"]]
    rows.to_parquet(tmp_path / "data.parquet")
    model = trained(open_data(tmp_path / "data.parquet", "kind"), tmp_path / "study", p=0.0, seeds=2, steps=10)
    assert load(model).columns == ("Unnamed: 0", "member", "price", "seen")
    together = answers(thinned("predict", model, tmp_path / "data.parquet"))
    for row in (0, 7, 10):
        rows.iloc[[row]].to_csv(tmp_path / "one.csv", index=False)
        alone = answers(thinned("predict", model, tmp_path / "one.csv"))
        assert alone[0] == pytest.approx(together[row], rel=1e-6)


def test_numbers_that_lost_their_zeros_are_no_level(model: Path) -> None:
    rows = table().drop(columns="kind").head(2).assign(zip=[1234, 99999])
    with pytest.raises(
        StudyError, match=r"column 'zip' must hold text, .* In row 1 it has .*1234.*dtype=\{'zip': str\}"
    ):
        load(model).predict(rows)
    mixed = rows.assign(zip=pd.Series(["K1A0B1", 99999], dtype=object))  # as pandas reads some files
    with pytest.raises(StudyError, match=r"column 'zip' must hold text, .* In row 2 it has 99999"):
        load(model).predict(mixed)


def test_numbers_that_networks_can_t_take_and_names_that_stand_twice_are_refused(model: Path) -> None:
    rows = table().drop(columns="kind").head(2)
    with pytest.raises(StudyError, match=r"values must be finite .* Column 'size' has inf in row 2"):
        load(model).predict(rows.assign(size=[1.0, np.inf]))
    with pytest.raises(StudyError, match=r"column names must differ. 'zip' is there twice"):
        load(model).predict(pd.concat([rows, rows[["zip"]]], axis=1))
    with pytest.raises(StudyError, match=r"'share' must hold numbers .* in %, as in training. In row 1 it has .*0.5"):
        load(model).predict(rows.assign(share=[0.5, 0.25]))


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("size", "big", "must hold numbers with the decimal sign '.', as in training. In row 2 (line 3) it has 'big'"),
        ("share", "0.5", "column 'share' must hold numbers with the decimal sign '.' in %, as in training"),
        ("price", "€5", "column 'price' must hold numbers"),
        ("seen", "2024-31-12", "must hold dates as 31/01/2026 (%d/%m/%Y), as in training. In row 2 (line 3)"),
        ("member", "perhaps", "column 'member' must hold true or false, as in training"),
    ],
)  # fmt: skip
def test_a_value_that_is_not_as_in_training_is_refused_with_its_line(
    thinned: Thinned, model: Path, tmp_path: Path, column: str, value: str, said: str
) -> None:
    rows = table().drop(columns="kind").head(3)
    rows.loc[1, column] = value
    rows.to_csv(tmp_path / "rows.csv", index=False)
    result = thinned("predict", model, tmp_path / "rows.csv")
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    rows.loc[1, column] = "n/a"  # missing, whatever the column
    rows.to_csv(tmp_path / "rows.csv", index=False)
    assert thinned("predict", model, tmp_path / "rows.csv", "--n", 2).exit_code == 0


def test_new_levels_and_new_names_are_no_error(thinned: Thinned, model: Path, tmp_path: Path) -> None:
    rows = table().drop(columns="kind").head(3).assign(zip="77777", region="", note="x")
    rows.to_csv(tmp_path / "rows.csv", index=False)
    assert thinned("predict", model, tmp_path / "rows.csv", "--n", 2).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sep", "ab"], "`--sep` must be one sign"),
        (["--encoding", "utf-9"], "`--encoding` must be an encoding"),
        (["--decimal", "x"], "`--decimal` must be . or ,"),
    ],
)
def test_a_wrong_form_is_refused(thinned: Thinned, model: Path, arguments: list[str], said: str) -> None:
    result = thinned("predict", model, model / "config.toml", *arguments)
    assert result.exit_code == 2
    assert said in result.output
