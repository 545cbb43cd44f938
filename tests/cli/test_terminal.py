"""The doors to the terminal: whatever a user's file holds, a terminal shows it and does nothing else."""

import io
import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.progress import Progress, TextColumn
from rich.table import Table
from rich.text import Text

from fanwise_cli.printable import printable, printable_json
from fanwise_cli.terminal import JobConsole, print_document, print_json_lines, say

HOSTILE = (
    "a\x1b[31mred\x1b]0;title\x07 \x9b2J \x7f \u202egnp.exe\u2066 b\u2028c\u2029 d\x00\x08e\ufeff ä 日 😀"
)
SHOWN = ("\\x1b[31mred\\x1b]0;title", "\\x9b2J", "\\u202egnp.exe\\u2066", "b\\u2028c\\u2029", "ä 日 😀")
_ORDINARY = {"\n", "\t"}

texts = st.text(
    st.characters(exclude_categories=["Cs"])
    | st.sampled_from("\x1b\x07\x7f\x85\x9b\u200e\u202e\u2028\u2066\ufeff\r\n"),
    max_size=60,
)


def check_harmless(shown: str) -> None:
    for character in shown:
        is_control = unicodedata.category(character) in ("Cc", "Zl", "Zp")
        reorders = unicodedata.bidirectional(character) in (
            *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"),
        )
        assert character in _ORDINARY or not (is_control or reorders), repr(shown)


def console(width: int = 200) -> tuple[JobConsole, io.StringIO]:
    """A console whose own colours are off: each control character that comes out was in the text."""
    file = io.StringIO()
    return JobConsole(file=file, width=width, no_color=True, highlight=False), file


@given(texts, st.integers(5, 100))
def test_nothing_but_text_comes_out_of_a_console(text: str, width: int) -> None:
    out, file = console(width)
    out.tell(text, "dim")
    out.tell(text, wrap=True)
    out.tell(Text.assemble((text, "red"), "x", (text, "bold")))
    out.print(text, markup=False)
    table = Table(title=Text(text))
    table.add_column(Text(text))
    table.add_row(Text(text), Text(text, "red"))
    out.print(table)
    check_harmless(file.getvalue())


def test_what_is_hostile_is_shown_as_its_escapes() -> None:
    out, file = console()
    out.tell(HOSTILE)
    out.tell(Text(HOSTILE))
    table = Table()
    table.add_column("id")
    table.add_row(Text(HOSTILE))
    out.print(table)
    assert all(file.getvalue().count(part) >= 2 for part in SHOWN)  # the table has cut it into lines
    assert file.getvalue().count("\\x1b[31mred") == 3
    check_harmless(file.getvalue())


def test_a_bar_shows_hostile_names_too() -> None:
    out, file = console()
    with Progress(TextColumn("{task.description}", markup=False), console=out) as progress:
        progress.add_task(HOSTILE, total=1)
    check_harmless(file.getvalue())
    assert SHOWN[0] in file.getvalue()


def test_styles_stay_where_they_were() -> None:
    file = io.StringIO()
    out = JobConsole(file=file, width=80, force_terminal=True, color_system="standard", highlight=False)
    out.tell(Text.assemble("a\x9b", ("b\x1bc", "red"), "d"))
    same_style = "\x1b[0m\x1b[31m"
    assert file.getvalue().replace(same_style, "") == "a\\x9b\x1b[31mb\\x1bc\x1b[0md\n"


def test_an_error_is_one_harmless_line(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"{HOSTILE}\nforged: all is well\r\x85x")
    shown = capsys.readouterr().err
    check_harmless(shown)
    assert shown.count("\n") == 1
    assert "\\x1b[31mred" in shown


def test_json_has_the_same_values_and_no_such_character(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    value = {HOSTILE: [HOSTILE, "\U000e0041"]}
    print_document(value)
    print_json_lines([json.dumps(value, ensure_ascii=False).encode() + b"\n"])
    shown = capsys.readouterr().out
    check_harmless(shown)
    document, _, line = shown.rstrip("\n").rpartition("\n")
    assert (json.loads(document), json.loads(line)) == (value, value)
    monkeypatch.setattr(sys, "stdout", None)
    print_document(value)
    print_json_lines([b"{}\n"])


@given(texts)
def test_escapes_of_json_are_its_own(text: str) -> None:
    whole = json.dumps({text: text}, ensure_ascii=False)
    check_harmless(printable_json(whole))
    assert json.loads(printable_json(whole)) == {text: text}


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_ordinary_text_stays(text: str) -> None:
    assert printable(text) == text
