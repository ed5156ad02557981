"""The page's translations: complete, and of nothing that the page does not say."""

import json
import re
from html.parser import HTMLParser

import pytest

from tests.web.test_page import JS, node

PAGE = JS.parent
GERMAN = json.loads((PAGE / "lang" / "de.json").read_text(encoding="utf-8"))
SHOWN = ("aria-label", "title", "placeholder", "alt")
# Literals of the page's program that look like sentences and are no text of the page
NOT_SHOWN = {
    "Made or edited with Facemorph, a generative model. Not a photograph of a real moment.",
    "A number is not finite.",
    "Not base64.",
}


class Texts(HTMLParser):
    """What a page shows and what it tells a screen reader."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.silent += tag in ("script", "style", "title")
        self.found |= {value for name, value in attrs if name in SHOWN and value}

    def handle_endtag(self, tag: str) -> None:
        self.silent -= tag in ("script", "style", "title")

    def handle_data(self, data: str) -> None:
        if not self.silent and re.search("[A-Za-z]", data):
            self.found.add(" ".join(data.split()))


def program(filled: bool = True) -> str:
    """The page's program, its strings in one piece each, {} for what is filled in."""
    source = "\n".join(path.read_text(encoding="utf-8") for path in sorted(JS.glob("*.js")))
    source = re.sub(r"^\s*(//|/?\*).*$", "", source, flags=re.MULTILINE)
    if filled:
        source = re.sub(r"\$\{[^{}]*(\{[^{}]*\}[^{}]*)*\}", "{}", source)
    return re.sub(r'["`] \+\s*["`]', "", source)


def translated(texts: list[str]) -> list[str]:
    return node(
        "return input.texts.map(translator(input.german));",
        {"language.js": "translator"},
        texts=texts,
        german=GERMAN,
    )


def test_every_text_of_the_page_has_a_translation():
    texts = Texts()
    texts.feed((PAGE / "index.html").read_text(encoding="utf-8"))
    assert len(texts.found) > 130
    said = sorted(texts.found)
    found = translated(said)
    same = {"PNG", "Animation", "Video", "Original", "Facemorph", "bald, glasses"}
    assert [text for text, goal in zip(said, found, strict=True) if text == goal and text not in same] == []


def test_every_sentence_of_the_program_has_a_translation():
    """Whatever has a capital, two words and a full stop, and is not for the console of a browser."""
    literals = re.findall(r'"([^"\n]+)"|`([^`\n]+)`', program())
    said = {(one or other).strip() for one, other in literals}
    sentences = sorted(
        text for text in said if re.match(r"[A-Z“{].*[a-z]{2} .*[a-z][.?]$", text) and text not in NOT_SHOWN
    )
    assert len(sentences) > 70
    filled = [re.sub(r"^\{\} (?=[A-Z])", "", text).replace("{}", "7") for text in sentences]
    found = translated(filled)
    assert [text for text, goal in zip(filled, found, strict=True) if text == goal] == []


def test_nothing_is_translated_that_the_page_does_not_say():
    everything = (
        " ".join((PAGE / "index.html").read_text(encoding="utf-8").split())
        + program(filled=False)
        + " ".join(path.read_text(encoding="utf-8") for path in (JS.parents[2] / "faces").rglob("*.py"))
    )
    for key in GERMAN:
        for part in re.split(r"\{\d\}", key):
            assert part.strip(" :.,") in everything, key


def test_a_translation_fills_in_what_its_text_does():
    places = re.compile(r"\{\d\}")
    for key, goal in GERMAN.items():
        assert sorted(places.findall(key)) == sorted(places.findall(goal)), key


def test_no_translation_is_a_text_to_be_translated_again():
    """The page looks up what changes in it, its own translations among that."""
    again = translated(list(GERMAN.values()))
    assert [goal for goal, twice in zip(GERMAN.values(), again, strict=True) if goal != twice] == []


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("Random face 7, unedited", "Zufallsgesicht 7, unverändert"),
        (
            "Live, in this browser alone. 3 pictures a second.",
            "Live, nur in diesem Browser. 3 Bilder in der Sekunde.",
        ),
        ("Smile", "Smile"),
        ("Keep Smile as it is", "Smile festhalten"),
        ("constructor", "constructor"),
    ],
)
def test_texts_are_put_together_again(text, goal):
    assert translated([text]) == [goal]


@pytest.mark.parametrize(
    ("chosen", "languages", "code"),
    [
        (None, ["de-AT", "en"], "de"),
        (None, ["fr", "en-GB", "de"], "en"),
        ("de", ["en-US"], "de"),
        ("en", ["de"], "en"),
        (None, ["fr"], "en"),
        ("constructor", [], "en"),
    ],
)
def test_the_language_is_the_chosen_one_or_the_browsers_first_that_there_is(chosen, languages, code):
    found = node(
        "return wanted(input.chosen, input.languages);",
        {"language.js": "wanted"},
        chosen=chosen,
        languages=languages,
    )
    assert found == code
