"""Odd tables, as they come from a laboratory: a clear line for each bad one, right numbers else."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from smoothray.cli import main
from smoothray.datasets import Dataset, from_frame, load_dataset, parse_spec, split
from smoothray.datasets.suspicions import row_numbers, suspicions
from smoothray.errors import DataError

N = 40
RNG = np.random.default_rng(0)
A, B, Y = (np.round(RNG.normal(5, 2, N), 3) for _ in range(3))


def rows(sign: str = ",", decimal: str = ".") -> list[str]:
    """The lines of a sound table with the columns a, b and y, its header first."""
    cells = [[f"{v}".replace(".", decimal) for v in row] for row in zip(A, B, Y, strict=True)]
    return [sign.join(row) for row in [["a", "b", "y"], *cells]]


def text(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def column(name: str, cell: Callable[[int], object], sign: str = ",") -> bytes:
    """The sound table with another column in front, its cells made from the row's place."""
    first = [name, *(str(cell(i)) for i in range(N))]
    return text([f"{cell}{sign}{rest}" for cell, rest in zip(first, rows(sign), strict=True)])


def put(place: int, cell: str) -> bytes:
    """The sound table with another a in one row."""
    lines = rows()
    lines[place + 1] = cell + "," + lines[place + 1].split(",", 1)[1]
    return text(lines)


def load(path: Path, content: bytes, target: str = "y", **keys: object) -> Dataset:
    path.write_bytes(content)
    return load_dataset(parse_spec({"file": str(path), "target": target, "name": "t", **keys}))


def workbook(path: Path, change: Callable[[openpyxl.Workbook], object] = lambda book: None) -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "data"
    sheet.append(["a", "b", "y"])
    for row in zip(A, B, Y, strict=True):
        sheet.append([float(v) for v in row])
    change(book)
    book.save(path)
    return path


def read(path: Path, target: str = "y", **keys: object) -> Dataset:
    return load_dataset(parse_spec({"file": str(path), "target": target, "name": "t", **keys}))


def same_numbers(data: Dataset) -> None:
    names = list(data.feature_names)
    np.testing.assert_allclose(data.X[:, [names.index("a"), names.index("b")]].T, [A, B])
    np.testing.assert_allclose(data.y, Y)


UNITS = [rows()[0], "K,bar,mol/l", *rows()[1:]]
BLANK = [*rows()[:5], "", ",,", *rows()[5:], "", ""]
CELLS = [[i * (j % 90 + 1) % 97 + j for j in range(497)] for i in range(1, N + 1)]
WIDE = [
    f"{row},{','.join(map(str, cells))}"
    for row, cells in zip(rows(), [[f"c{j}" for j in range(497)], *CELLS], strict=True)
]
GOOD = {
    "utf8-bom.csv": (b"\xef\xbb\xbf" + text(rows()), ""),
    "utf16.csv": ("\n".join(rows("\t")).encode("utf-16"), ""),
    "windows-lines.csv": ("\r\n".join(rows()).encode(), ""),
    "old-mac-lines.csv": ("\r".join(rows()).encode(), ""),
    "sep-line.csv": (text(["sep=;", *rows(";")]), ""),
    "leading-blank-lines.csv": (text(["", "", *rows()]), ""),
    "blank-rows.csv": (text(BLANK), "2 empty rows dropped"),
    "empty-columns-at-end.csv": (text([line + ",,," for line in rows()]), ""),
    "empty-column.csv": (column("void", lambda i: ""), "column 'void' is empty and was dropped"),
    "only-na.csv": (column("void", lambda i: "n/a"), "column 'void' is empty and was dropped"),
    "quoted.csv": (text([",".join(f'"{c}"' for c in r.split(",")) for r in rows()]), ""),
    "spaces-after-commas.csv": (text([line.replace(",", ",  ") for line in rows()]), ""),
    "spaces-in-header.csv": (text([" a , b , y ", *rows()[1:]]), ""),
    "units.csv": (text(UNITS), "row 2 looks like units (K, bar, mol/l): it was left out"),
    "semicolons.csv": (text(rows(";")), ""),
    "semicolon-decimal-comma.csv": (text(rows(";", ",")), "read with a decimal comma"),
    "tab-decimal-comma.tsv": (text(rows("\t", ",")), "read with a decimal comma"),
    "units-decimal-comma.csv": (text([rows()[0].replace(",", ";"), "K;bar;mol", *rows(";", ",")[1:]]),
                                "units (K, bar, mol)"),
    "commas.txt": (text(rows()), ""),
    "tabs.txt": (text(rows("\t")), ""),
    "spaces.txt": (text(["   " + line for line in rows("    ")]), ""),
    "unnamed-index.csv": (column("", lambda i: i), "counts the rows: it was dropped"),
    "yes-no.csv": (column("wet", lambda i: "yes" if i % 2 else "no"), "into 1 column: wet=yes"),
    "truths.csv": (column("wet", lambda i: bool(i % 2)), ""),
    "grades.csv": (column("k", lambda i: "ABC"[i % 3]), "into 3 columns"),
    "constant.csv": (column("k", lambda i: 7), "column 'k' is constant and was dropped"),
    "latin-1.csv": (column("T/\u00b0C", lambda i: i).decode().encode("latin-1"), "Windows-1252"),
    "emoji.csv": (column("\U0001f9ea [x], {y}".replace(",", ""), lambda i: i * i), ""),
    "comma-in-name.csv": (column('"c, total"', lambda i: i * i), ""),
    "newline-in-name.csv": (column('"Fly ash\n(kg)"', lambda i: i * i), ""),
    "big-integers.csv": (column("k", lambda i: 10**25 + i * 10**20), ""),
    "footer.csv": (text([*rows(), "Total,,", ",,"]), "1 row with gaps was dropped"),
    "many-columns.csv": (text(WIDE), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_an_odd_table_gives_the_right_numbers(tmp_path, name):
    content, notice = GOOD[name]
    data = load(tmp_path / name, content)
    same_numbers(data)
    assert notice in "\n".join(data.notices)
    if not notice:
        assert data.notices == ()


BAD: dict[str, tuple[bytes, str]] = {
    "thousands.csv": (put(3, '"1,197.1"'), "such as '1,197.1'; take thousands separators out"),
    "thousands-all.csv": (column("k", lambda i: f'"{i + 1},500"'), "take thousands separators out, or say"),
    "thousands-space.csv": (put(3, "1 197.1"), "such as '1 197.1'; take thousands separators out"),
    "thousands-semicolons.csv": (column("k", lambda i: f"{i + 1},500", ";"), "--decimal ,"),
    "comma-in-quotes.csv": (column("k", lambda i: f'"{i},5"'), "say --decimal ,"),
    "percent.csv": (column("k", lambda i: f"{i}%"), "take percent signs out"),
    "limit.csv": (put(3, "<0.01"), "such as '<0.01'; put a number there, such as half the limit"),
    "dash.csv": (put(3, "-"), "such as '-'; mend them or leave their cells empty"),
    "unit-in-cells.csv": (column("k", lambda i: f"{i} mg"), "too many for categories"),
    "excel-error.csv": (put(3, "#DIV/0!"), "such as '#DIV/0!'"),
    "dates.csv": (column("day", lambda i: f"{i % 28 + 1}.3.2024"), "holds dates or times"),
    "iso-dates.csv": (column("day", lambda i: f"2024-03-{i % 28 + 1:02}"), "holds dates or times"),
    "names.csv": (column("who", lambda i: f"sample {i}"), "40 different values in 40 rows"),
    "doubled.csv": (text(["a,a,y", *rows()[1:]]), "more than one column is named 'a'"),
    "one-row.csv": (text(rows()[:2]), "1 usable row, but at least 30 are needed"),
    "no-row.csv": (text(rows()[:1]), "the table has no rows"),
    "only-empty-rows.csv": (text([rows()[0], ",,", ",,"]), "the table has no values"),
    "no-header.csv": (text(rows()[1:]), "there is no column 'y'; the columns are"),
    "title.csv": (text(["Our data of 2024", "", *rows()]), "names seem to stand in row 3"),
    "title-wide.csv": (text(["Our data,,", *rows()]), "names seem to stand in row 2"),
    "infinite.csv": (put(3, "1e400"), "has 1 infinite value"),
    "longer-row.csv": (text([*rows()[:9], "1,2,3,4", *rows()[9:]]), "line 10 has 4 cells, more than the 3"),
    "open-quote.csv": (text([*rows(), '"1,2']), "cannot be read"),
    "target-yes-no.csv": (text(["a,y", *(f"{i},{'yes' if i % 2 else 'no'}" for i in range(N))]),
                          "does not hold numbers, but values such as 'no'"),
    "target-culprit.csv": (text(["a,y", *(f'{i},"{691.5 if i % 3 else "1,197.1"}"' for i in range(N))]),
                           "such as '1,197.1'"),
    "target-words.csv": (text(["a,y", *(f"{i},{691.5 if i % 3 else 'high'}" for i in range(N))]),
                         "such as 'high'"),
    "target-constant.csv": (text(["a,y", *(f"{i},3" for i in range(N))]), "the same in every row (3)"),
    "target-missing.csv": (text(["a,b,y", *(f"{i},1,{i if i % 3 else ''}" for i in range(N))]),
                           "most are in column 'y' (14)"),
    "binary.csv": (bytes(range(256)) * 4, "save it as CSV in UTF-8"),
    "really-excel.csv": (b"PK\x03\x04" + b"x" * 99, "this is no text"),
    "none.csv.gz": (text(rows()), "cannot be read"),
    "cut.csv.gz": (gzip.compress(text(rows()))[:-20], "cannot be read"),
    "empty.csv": (b"", "the file is empty"),
    "old.xls": (b"\xd0\xcf\x11\xe0", "save it as .xlsx or .csv"),
    "renamed.xlsx": (b"\xd0\xcf\x11\xe0" * 200, "an old .xls file, or one with a password"),
    "really-csv.xlsx": (text(rows()), "no Excel workbook; if it is text, end its name in .csv"),
    "broken.xlsx": (b"PK\x03\x04" + b"x" * 99, "a damaged Excel workbook"),
    "broken.feather": (b"x" * 99, "cannot be read"),
    "notes.docx": (b"PK\x03\x04", "cannot read this kind; use one of .csv"),
    "mixed-decimals.csv": (text([*rows(";", ",")[:20], *rows(";")[20:]]), "--decimal ,"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_table_is_refused_in_one_line(tmp_path, name):
    content, said = BAD[name]
    with pytest.raises(DataError) as caught:
        load(tmp_path / name, content)
    message = str(caught.value)
    assert said in message and "\n" not in message


def test_a_folder_is_no_table(tmp_path):
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(DataError, match="is a folder; name a file in it"):
        read(tmp_path / "x.csv")


def test_decimal_commas_can_be_said_and_points_among_them_are_found(tmp_path):
    quoted = [",".join(f'"{c}"' for c in line.split(";")) for line in rows(";", ",")]
    same_numbers(load(tmp_path / "a.csv", text(quoted), decimal=","))
    lines = rows(";", ",")
    lines[7] = "1.234,5;" + lines[7].split(";", 1)[1]
    with pytest.raises(DataError, match=r"column 'a', row 8: '1.234,5' has a point"):
        load(tmp_path / "b.csv", text(lines), decimal=",")
    with pytest.raises(DataError, match="'decimal' is '.' or ','"):
        parse_spec({"file": "b.csv", "target": "y", "decimal": ";"})


def test_a_target_of_two_values_and_gaps_in_some_rows(tmp_path):
    lines = ["a,y", *(f"{i},{'' if i == 4 else i % 2}" for i in range(N))]
    data = load(tmp_path / "a.csv", text(lines))
    assert sorted(set(data.y)) == [0, 1] and len(data.y) == N - 1
    assert row_numbers(data, np.array([3, 4])).tolist() == [5, 7]


@pytest.mark.parametrize(
    ("lines", "first"), [(rows(), 2), (UNITS, 3), (BLANK, 2), (["", "", *rows()], 4)]
)
def test_rows_are_called_as_in_the_file(tmp_path, lines, first):
    data = load(tmp_path / "a.csv", text(lines))
    for place, number in enumerate(row_numbers(data, np.arange(N))):
        assert lines[number - 1] == rows()[place + 1]
    assert data.first_row == first


# ---- compressed, Feather, Excel


def test_compressed_and_feather_files(tmp_path):
    same_numbers(load(tmp_path / "a.csv.gz", gzip.compress(text(rows()))))
    same_numbers(load(tmp_path / "a.tsv.gz", gzip.compress(text(rows("\t")))))
    pd.DataFrame({"a": A, "b": B, "y": Y}).to_feather(tmp_path / "a.feather")
    same_numbers(read(tmp_path / "a.feather"))
    assert parse_spec({"file": "x/a.b.csv.gz", "target": "y"}).name == "a.b"
    with pytest.raises(DataError, match="only an Excel file has sheets"):
        read(tmp_path / "a.feather", sheet=1)


def _other(book: openpyxl.Workbook) -> None:
    hidden = book.create_sheet("hidden", 0)
    hidden.append(["nothing"])
    hidden.sheet_state = "hidden"
    book.create_sheet("notes").append(["words"])


def _untidy(book: openpyxl.Workbook) -> None:
    sheet = book["data"]
    sheet["F60"] = "  "
    sheet.cell(1, 4).value = "grade"
    for row in range(2, N + 2):
        sheet.cell(row, 4).value = "high" if row % 2 else "low"
        sheet.cell(row, 1).value = str(A[row - 2])  # a number as text


def _commas(book: openpyxl.Workbook) -> None:
    for row in range(2, N + 2):
        book["data"].cell(row, 1).value = str(A[row - 2]).replace(".", ",")


def _offset(book: openpyxl.Workbook) -> None:
    book["data"].insert_rows(1, 2)


@pytest.mark.parametrize("change", [lambda book: None, _other, _untidy, _commas, _offset])
def test_excel_gives_the_right_numbers(tmp_path, change):
    data = read(workbook(tmp_path / "a.xlsx", change))
    same_numbers(data)
    assert data.first_row == (4 if change is _offset else 2)
    if change is _other:
        assert "the sheet 'data' was read, of hidden, data, notes" in data.notices[0]


def test_a_sheet_is_chosen_by_name_or_number(tmp_path):
    file = workbook(tmp_path / "a.xlsx", _other)
    for sheet in ("data", 2, "2"):
        same_numbers(read(file, sheet=sheet))
    with pytest.raises(DataError, match="no sheet 'dta'; the sheets are hidden, data, notes; did"):
        read(file, sheet="dta")
    spec = parse_spec({"file": "a.xlsx", "target": "y", "sheet": 2, "decimal": ","})
    assert str(spec) == "{file: a.xlsx, target: y, sheet: 2, decimal: ',', name: a}"


def _title(book: openpyxl.Workbook) -> None:
    book["data"].insert_rows(1)
    book["data"]["A1"] = "Our data"
    book["data"].merge_cells("A1:C1")


def _plain_title(book: openpyxl.Workbook) -> None:
    book["data"].insert_rows(1)
    book["data"]["A1"] = "Our data"


def _formula(book: openpyxl.Workbook) -> None:
    book["data"]["A5"] = "=B5*2"


def _merged(book: openpyxl.Workbook) -> None:
    book["data"].merge_cells("A2:A20")


def _date(book: openpyxl.Workbook) -> None:
    for row in range(2, N + 2):
        book["data"].cell(row, 1).value = pd.Timestamp("2024-01-01") + pd.Timedelta(days=row)


def _empty(book: openpyxl.Workbook) -> None:
    book["data"].delete_rows(1, N + 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_title, "the cells A1:C1 are merged, as in a title"),
        (_plain_title, "names seem to stand in row 2"),
        (_formula, "the cell A5 holds a formula without a value"),
        (_merged, "18 of 40 rows have gaps"),
        (_date, "holds dates or times"),
        (_empty, "the sheet 'data' is empty"),
    ],
)
def test_bad_workbooks_are_refused(tmp_path, change, said):
    with pytest.raises(DataError) as caught:
        read(workbook(tmp_path / "a.xlsx", change))
    assert said in str(caught.value) and "\n" not in str(caught.value)


# ---- what is odd


def odd(**columns: object) -> list[str]:
    frame = pd.DataFrame({"a": A, "b": B, "y": Y} | columns)
    data = from_frame(frame, "y")
    parts = split(len(data.y), "table", 0)
    return suspicions(data, np.sort(np.r_[parts.train, parts.val]), parts.test)


def test_a_sound_table_raises_no_suspicion():
    assert odd() == []
    assert odd(k=np.exp(A), y=np.exp(Y / 2), year=2000 + np.arange(N)) == []


def test_outliers_of_the_target_are_named_with_their_rows():
    y = Y.copy()
    y[[3, 17]] = 4712, -999
    (said,) = odd(y=y)
    assert said.startswith(
        "2 values of 'y' lie far from all others: 4712 in row 5, -999 in row 19;"
    )


def test_twins_across_the_split_identifiers_and_leaks_are_named():
    parts = split(N, "table", 0)
    (test, train), copies = (parts.test[0], parts.train[0]), {}
    for name, values in {"a": A, "b": B, "y": Y}.items():
        copies[name] = values.copy()
        copies[name][test] = copies[name][train]
    many = pd.DataFrame({k: np.r_[v, v + 0.001 * np.arange(N)] for k, v in copies.items()})
    data = from_frame(many, "y")
    (said,) = suspicions(data, parts.train, parts.test)
    assert said.startswith(
        f"1 of 10 test row stands among the training rows, too, such as row {test + 2}"
    )
    assert odd(k=np.arange(N)) == ["column 'k' looks like a row number; leave it out if it is one"]
    (said,) = odd(**{"sample id": 7000 + 13 * RNG.permutation(N)})
    assert said == "column 'sample id' looks like an identifier; leave it out if it is one"
    (said,) = odd(y2=np.exp(Y))
    assert said.startswith("column 'y2' alone gives nearly all of 'y' (R² 1.000)")
    (said,) = odd(**{f"c{i}": RNG.normal(size=N) for i in range(6)})
    assert said.startswith("30 rows to learn 8 columns from are few")


# ---- through the command


def command(*arguments: object, monkeypatch: pytest.MonkeyPatch) -> int:
    """`smoothray ARGUMENTS` in this process; its exit status."""
    monkeypatch.setattr("sys.argv", ["smoothray", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_name_of_a_file_changes_nothing_and_what_is_odd_is_said(tmp_path, monkeypatch, capsys):
    y = 2 * A + B
    y[3] = 9999
    results = []
    for name, sign, decimal in (("a", ",", "."), ("other name", ";", ",")):
        cells = [[str(v).replace(".", decimal) for v in row] for row in zip(A, B, y, strict=True)]
        file = tmp_path / f"{name}.csv"
        file.write_bytes(text([sign.join(row) for row in ["aby", *cells]]))
        options = (
            "--penalty",
            "none",
            "--budget",
            "quick",
            "--jobs",
            1,
            "--test-size",
            0.4,
            "--json",
        )
        assert command("distill", file, "--target", "y", *options, monkeypatch=monkeypatch) == 0
        printed = capsys.readouterr()
        assert "1 value of 'y' lies far from all others: 9999 in row 5" in printed.err
        assert ("read with a decimal comma" in printed.err) == (decimal == ",")
        results.append(printed.out)
    assert results[0] == results[1]  # the formula, and its scores to the last digit
    assert json.loads(results[0])["n_test"] == 16


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--test-size", 1.5), "a test size of 1.5 cannot be"),
        (("--test-size", 0.99), "leaves at least 2 of 40 rows"),
        (("--sheet", "data"), "only an Excel file has sheets"),
    ],
)
def test_bad_options_are_refused_in_one_line(tmp_path, monkeypatch, capsys, options, said):
    (tmp_path / "a.csv").write_bytes(text(rows()))
    file = tmp_path / "a.csv"
    assert command("distill", file, "--target", "y", *options, monkeypatch=monkeypatch) == 2
    printed = capsys.readouterr().err
    assert said in printed and printed.count("\n") == 1
