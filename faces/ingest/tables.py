"""Reader of label tables as spreadsheets, pandas and people write them: text to fields to values.

Unambiguous tables are read, and `notes` lists what was assumed. All else raises RawError with place, row and
column; rows are counted from 1, the header included.
"""

import codecs
import csv
import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from faces.data.annotations import FIXED, RawError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
NAMES = (
    "name",
    "image_id",
    "filename",
    "file_name",
    "image",
    "file",
    "path",
    "image_path",
    "image_name",
    "img",
)
SPLIT_COLUMNS = ("split", "partition", "subset")
INDEXES = ("", "index", "unnamed: 0", "#", "no", "nr", "id")
YES = ("1", "true", "yes", "y", "t", "on", "wahr", "ja", "vrai", "oui", "verdadero", "verdadeiro", "vero")
NO = ("0", "false", "no", "n", "f", "off", "falsch", "nein", "faux", "non", "falso")
UNKNOWN = (
    *("", "nan", "na", "n/a", "#n/a", "null", "none", "?", "-", "unknown", "<na>"),
    *(".", "--", "n.a.", "\\n", "nil", "missing"),  # the first by Stata, \N by MySQL
)
MAX_NUMBER = 2.0**63  # of an identity or a landmark: what an int64 holds; infinity is beyond it
SPLITS = {
    **dict.fromkeys(("train", "training", "0"), "train"),
    **dict.fromkeys(("valid", "val", "validation", "1"), "valid"),
    **dict.fromkeys(("test", "testing", "2"), "test"),
}


@dataclass(frozen=True)
class Table:
    """Fields of a table with a name for every column."""

    place: Path  # for messages
    header: list[str]
    rows: dict[int, list[str]]  # number of the row -> its fields, stripped, as many as the header has
    notes: list[str] = field(default_factory=list)  # what was assumed

    def column(self, name: str) -> dict[int, str]:
        """One column, by number of the row."""
        place = self.header.index(name)
        return {number: row[place] for number, row in self.rows.items()}

    def wrong(self, number: int, column: str, value: str, allowed: str) -> RawError:
        """The error for a field that cannot be read."""
        return RawError(f"{self.place}: row {number}, column {column!r}: {value!r}; allowed: {allowed}")


def read(place: Path, content: bytes) -> Table:
    """The table in `content`. Raises RawError where it is no text, has no column for the pictures' names, or
    a row is too long.
    """
    notes: list[str] = []
    text = decoded(place, content, notes).lstrip("\ufeff").rstrip("\x1a")  # a second mark; DOS's end
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    offset = len(text) - len(text.lstrip("\n"))
    text = text[offset:]
    if text.lower().startswith(("sep=", '"sep=')):  # Excel's own mark
        text = text.partition("\n")[2]
        offset += 1
    separator = separator_of(text)
    if separator != ",":
        notes.append(f"columns are separated by {SEPARATORS[separator]}")
    try:
        lines = list(csv.reader(io.StringIO(text), delimiter=separator))
    except csv.Error as error:
        raise RawError(f"{place}: {error}; save it as CSV (UTF-8)") from None
    header = [name.strip() for name in lines[0]] if lines else []
    rows = {}
    short = []
    for number, line in enumerate(lines[1:], 2 + offset):
        if any(line[len(header) :]):
            raise RawError(f"{place}: row {number} has {len(line)} fields, the header {len(header)}")
        if any("\n" in value for value in line):
            raise RawError(
                f"{place}: row {number} goes over lines; a quotation mark is not closed: mend or remove it"
            )
        fields = [value.strip() for value in line[: len(header)]]
        if any(fields):
            if len(fields) < len(header):
                short.append(number)
            rows[number] = fields + [""] * (len(header) - len(fields))
    if short:
        notes.append(f"{len(short)} rows, first {short[0]}, end early; what they lack is unknown")
    return named(Table(place, header, rows, notes))


def decoded(place: Path, content: bytes, notes: list[str]) -> str:
    """The text of a table: UTF-8, UTF-16 or 32 with a mark, or else Windows' Western encoding."""
    if content.startswith(b"PK\x03\x04") or content.startswith(b"\xd0\xcf\x11\xe0"):
        raise RawError(f"{place}: a workbook, not a text table; save it as CSV (UTF-8)")
    for mark, encoding in BOMS:
        if content.startswith(mark):
            if encoding != "utf-8-sig":
                notes.append(f"the text is {encoding.upper()}")
            try:
                return content.decode(encoding)
            except UnicodeDecodeError:
                raise RawError(
                    f"{place}: not {encoding.upper()} text throughout; save it as CSV (UTF-8)"
                ) from None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        try:
            text = content.decode("cp1252")
        except UnicodeDecodeError:
            raise RawError(f"{place}: not UTF-8 text; save it as CSV (UTF-8)") from None
        notes.append("the text is not UTF-8; read as Windows-1252")
    if "\0" in text:
        raise RawError(f"{place}: not UTF-8 text; save it as CSV (UTF-8)")
    return text


def separator_of(text: str) -> str:
    """The one that gives the first line a column for the pictures' names; of several such, the one that gives
    most columns.
    """
    first = text.split("\n", 1)[0]
    split = {mark: [part.strip().strip('"').casefold() for part in first.split(mark)] for mark in SEPARATORS}
    able = [mark for mark, parts in split.items() if set(parts) & set(NAMES)]
    return max(able, key=lambda mark: len(split[mark])) if able else ","


def named(table: Table) -> Table:
    """`table` with its columns `name` and `split` called so, without columns that hold nothing or only count.
    Raises RawError.
    """
    header = list(table.header)
    notes = list(table.notes)
    for wanted, known in (("name", NAMES), ("split", SPLIT_COLUMNS)):
        folded = [column.casefold() for column in header]
        found = next((name for name in known if name in folded), None)
        if wanted not in header and found is not None:
            place = folded.index(found)
            notes.append(f"column {header[place]!r} is taken for {wanted!r}")
            header[place] = wanted
    for place, column in enumerate(header):
        fixed = next((name for name in FIXED if name == column.casefold()), column)
        if fixed not in header:
            notes.append(f"column {column!r} is taken for {fixed!r}")
            header[place] = fixed
    columns = ", ".join(header)
    if "name" not in header:
        raise RawError(
            f"{table.place}: no column 'name' (found: {columns}); the first row must name the columns, "
            "separated by commas"
        )
    keep = []
    for place, column in enumerate(header):
        values = [row[place] for row in table.rows.values()]
        if column == "" and not any(values):
            continue
        index = column.casefold() in INDEXES or column.casefold().startswith("unnamed: 0")
        if len(keep) == 0 and index and _counts(values):
            notes.append(f"column {place + 1} ({column!r}) only counts the rows and is left out")
            continue
        if column == "":
            raise RawError(f"{table.place}: column {place + 1} has no name")
        keep.append(place)
    kept = [header[place] for place in keep]
    if twice := sorted({column for column in kept if kept.count(column) > 1}):
        raise RawError(f"{table.place}: column {twice[0]!r} stands twice")
    rows = {number: [row[place] for place in keep] for number, row in table.rows.items()}
    return Table(table.place, kept, rows, notes)


def sides(table: Table, column: str) -> dict[int, int]:
    """An attribute: 1 yes, -1 no, 0 unknown. 0 means no, unless the column also holds -1: then 0 is unknown.
    Raises RawError.
    """
    found: dict[int, int | None] = {}
    for number, text in table.column(column).items():
        value = _plain(text)
        if value in UNKNOWN:
            found[number] = None
        elif value in YES:
            found[number] = 1
        elif value in NO:
            found[number] = 0
        elif value == "-1":
            found[number] = -1
        else:
            raise table.wrong(number, column, text, "1, 0, -1, yes, no, true, false, or blank")
    zero = 0 if -1 in found.values() else -1
    return {number: 0 if value is None else zero if value == 0 else value for number, value in found.items()}


def numbers(table: Table, column: str, kind: Callable[[str], float], allowed: str) -> dict[int, float | None]:
    """A column of numbers below MAX_NUMBER, None where unknown; a decimal comma is a point. Raises
    RawError.
    """
    found: dict[int, float | None] = {}
    for number, text in table.column(column).items():
        value = _plain(text)
        if value in UNKNOWN:
            found[number] = None
            continue
        try:
            found[number] = kind(value.replace(",", "."))
            if abs(found[number]) >= MAX_NUMBER:
                raise ValueError(text)
        except ValueError:
            raise table.wrong(number, column, text, allowed) from None
    return found


def whole(text: str) -> float:
    """A whole number, also as `7.0`. Raises ValueError."""
    value = float(text)
    if value % 1:
        raise ValueError(text)
    return value


def splits(table: Table) -> dict[int, str]:
    """The column `split`: train, valid or test, "" where blank. Raises RawError."""
    found = {}
    for number, text in table.column("split").items():
        value = _plain(text)
        if value not in UNKNOWN and value not in SPLITS:
            raise RawError(
                f"{table.place}: row {number}: split {text!r}; allowed: train, valid, test (or 0, 1, 2), "
                "or blank"
            )
        found[number] = SPLITS.get(value, "")
    return found


def without_copies(table: Table, names: dict[int, str]) -> Table:
    """`table` without rows that repeat an earlier row of the same picture. Raises RawError where two rows
    differ.
    """
    first: dict[str, int] = {}
    place = table.header.index("name")
    rows = {}
    for number, row in table.rows.items():
        name = names[number]
        if name in first:
            before = table.rows[first[name]]
            if row[:place] + row[place + 1 :] != before[:place] + before[place + 1 :]:
                raise RawError(
                    f"{table.place}: row {number}: {name} stands twice, "
                    f"otherwise labelled in row {first[name]}"
                )
            continue
        first[name] = number
        rows[number] = row
    if (copies := len(table.rows) - len(rows)) > 0:
        table.notes.append(f"{copies} rows that stand twice are read once")
    return Table(table.place, table.header, rows, table.notes)


def _plain(text: str) -> str:
    """A field without what does not change its meaning: capitals, and how a whole number is written (1.0,
    1,0, +1, 1e0, a long minus).
    """
    value = text.strip().casefold()
    try:
        number = float(value.replace("\u2212", "-").replace(",", "."))
    except ValueError:
        return value
    return str(int(number)) if math.isfinite(number) and number.is_integer() else value


def _counts(values: list[str]) -> bool:
    """Whether a column numbers the rows: 0, 1, 2, ..., in any order, or with gaps where there are three rows
    or more.
    """
    plain = [_plain(value) for value in values]
    whole = all(value.isdecimal() for value in plain) and len(set(plain)) == len(plain)
    return whole and (len(plain) > 2 or plain in (["0"], ["1"], ["0", "1"], ["1", "2"]))
