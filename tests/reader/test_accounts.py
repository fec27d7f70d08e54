"""The account of a row: named by a column, a key, or the user for all rows."""

from pathlib import Path
from typing import Any

import pytest

from bulkupdate.errors import ConfigError, InputError
from bulkupdate.models import Row
from bulkupdate.reader import Input, ReadOptions, RowFormat
from tests.support.books import text, xlsx

ACCOUNTS = ("acme", "globex")


def rows(tmp_path: Path, text: str, name: str = "edits.csv", **options: Any) -> list[Row]:
    """The rows of a file."""
    path = tmp_path / name
    path.write_text(text)
    options.setdefault("accounts", ACCOUNTS)
    with Input.open(path, options=ReadOptions(**options)) as source:
        return list(source.rows())


def test_column_names_the_account_of_each_row(tmp_path: Path) -> None:
    """Two rows with one id are of two tasks where their accounts differ."""
    found = rows(tmp_path, "account,id,title\nacme,opp_1,One\nglobex,opp_1,Two\n")
    assert [(row.account, row.id) for row in found] == [("acme", "opp_1"), ("globex", "opp_1")]
    assert found[0].task != found[1].task


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("", "is empty: enter the account"),
        ("Acme", "is no account: accounts does not name it: did you mean 'acme'?"),
        ("initech", "is no account: accounts does not name it"),
    ],
)
def test_blank_or_unknown_account_is_an_invalid_row(
    tmp_path: Path, cell: str, problem: str
) -> None:
    """A name is exact: another case is another name, which is suggested. Other rows are valid."""
    found = rows(tmp_path, f"id,account,title\nopp_1,{cell},One\nopp_2,acme,Two\n")
    assert found[0].update is None
    assert problem in found[0].error
    assert (found[0].account, found[1].account) == ("", "acme")
    as_json = rows(tmp_path, f'{{"id":"opp_1","account":"{cell}","title":"One"}}\n', "a.jsonl")
    assert problem in as_json[0].error


def test_error_of_a_spreadsheet_is_no_account(tmp_path: Path) -> None:
    """A cell that could not be computed says so, and not that there is no such account."""
    (tmp_path / "a.xlsx").write_bytes(
        xlsx(
            f"<row>{text('id')}{text('account')}{text('title')}</row>"
            f'<row>{text("opp_1")}<c t="e"><v>#REF!</v></c>{text("One")}</row>'
        )
    )
    with Input.open(tmp_path / "a.xlsx", options=ReadOptions(accounts=ACCOUNTS)) as source:
        (found,) = source.rows()
    assert "what a spreadsheet shows for an error: fix the cell" in found.error


def test_invalid_row_still_tells_its_account(tmp_path: Path) -> None:
    """So its result is counted where it belongs."""
    found = rows(tmp_path, "id,account,priority\nopp_1,globex,very\n")
    assert found[0].update is None
    assert found[0].account == "globex"


def test_account_option_is_for_all_rows(tmp_path: Path) -> None:
    """A file without the column may be of one account."""
    found = rows(tmp_path, "id,title\nopp_1,One\n", account="globex")
    assert [row.account for row in found] == ["globex"]
    found = rows(tmp_path, '{"id":"opp_1","title":"One"}\n', "a.jsonl", account="globex")
    assert [row.account for row in found] == ["globex"]


def test_both_at_once_are_refused(tmp_path: Path) -> None:
    """Which of them counts would be a guess."""
    with pytest.raises(InputError, match="both name the account of the rows: leave one out"):
        rows(tmp_path, "id,account,title\nopp_1,acme,One\n", account="acme")
    (found,) = rows(tmp_path, '{"id":"opp_1","account":"acme"}\n', "a.jsonl", account="acme")
    assert "both name the account of the rows" in found.error


def test_file_without_account_is_refused(tmp_path: Path) -> None:
    """The message names the column, and both ways to give it."""
    with pytest.raises(InputError, match=r"no column 'account'.*mapping.*set account"):
        rows(tmp_path, "id,title\nopp_1,One\n")
    (found,) = rows(tmp_path, '{"id":"opp_1","title":"One"}\n', "a.jsonl")
    assert "there is no key 'account'" in found.error


def test_without_accounts_the_column_is_as_any_other(tmp_path: Path) -> None:
    """It is unknown, and may be ignored."""
    text = "id,account,title\nopp_1,acme,One\n"
    with pytest.raises(InputError, match=r"unknown column 'account': .* set accounts; else"):
        rows(tmp_path, text, accounts=None)
    (found,) = rows(tmp_path, text, accounts=None, ignore_extra=True)
    assert found.account == ""


def test_column_may_have_another_name_and_other_values(tmp_path: Path) -> None:
    """`--map` and `--value-map` apply to it, and `--only` never drops it."""
    (tmp_path / "map.csv").write_text("column,from,to\nClient,ACME Inc.,acme\n")
    options: dict[str, Any] = {"mapping": {"Client": "account"}, "value_map": tmp_path / "map.csv"}
    text = "id,Client,title\nopp_1,ACME Inc.,One\nopp_2,Globex,Two\n"
    found = rows(tmp_path, text, only=("title",), **options)
    assert found[0].account == "acme"
    assert "is not in the 'from' column" in found[1].error


def test_value_map_with_an_unknown_account_is_refused(tmp_path: Path) -> None:
    """Its line is named."""
    (tmp_path / "map.csv").write_text("column,from,to\naccount,ACME Inc.,akme\n")
    with pytest.raises(InputError, match=r"map.csv, line 2: 'to'.*did you mean 'acme'"):
        rows(tmp_path, "id,account\nopp_1,acme\n", value_map=tmp_path / "map.csv")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"accounts": None, "account": "acme"}, "account needs accounts"),
        ({"account": "akme"}, "account 'akme' is no account: did you mean 'acme'?"),
        ({"constants": {"account": "acme"}}, "constants account: set account instead"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, options: dict[str, Any], why: str) -> None:
    """Each says what to do."""
    with pytest.raises(ConfigError) as refused:
        rows(tmp_path, "id,title\nopp_1,One\n", **options)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("edits.csv", "id,account,title,bulkupdate_accounts=yes\nopp_1,acme,One,\n"),
        ("edits.jsonl", '{"id":"opp_1","account":"acme","bulkupdate_accounts":"yes"}\n'),
    ],
)
def test_marked_file_is_refused_without_accounts(tmp_path: Path, name: str, text: str) -> None:
    """Its rows must never go to the one key of another run, whatever is ignored."""
    with pytest.raises(InputError, match="is of a run with accounts: set accounts"):
        rows(tmp_path, text, name, accounts=None, ignore_extra=True)
    assert [row.account for row in rows(tmp_path, text, name)] == ["acme"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("edits.csv", "id,account,title\nopp_1,acme,One\n"),
        ("edits.jsonl", '{"id":"opp_1","account":"acme","title":"One"}\n'),
    ],
)
def test_rows_written_out_are_marked(tmp_path: Path, name: str, text: str) -> None:
    """The file of failed rows keeps the account and carries the mark; written twice, once."""
    for _ in range(2):
        path = tmp_path / name
        path.write_text(text)
        with Input.open(path, options=ReadOptions(accounts=ACCOUNTS)) as source:
            written = RowFormat(source, ("row",))
            text = (
                written.head + b"".join(written.line(r.record, (r.number,)) for r in source.rows())
            ).decode()
        assert text.count("bulkupdate_accounts") == 1
    assert [row.account for row in rows(tmp_path, text, name)] == ["acme"]
    with pytest.raises(InputError, match="is of a run with accounts"):
        rows(tmp_path, text, name, accounts=None)


def test_other_accounts_read_the_input_in_another_way() -> None:
    """Which rows are valid depends on the names; their order does not matter."""
    said = [ReadOptions(accounts=names).said() for names in (ACCOUNTS, ACCOUNTS[::-1], ("acme",))]
    assert said[0] == said[1] != said[2]
    assert "accounts_sha256" not in ReadOptions().said()
