"""The plots page without a network: the template is what DVC accepts, holds the library and asks for nothing
else.
"""

import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from dvc_render.html import HTML
from dvc_render.vega import VegaRenderer

from ops.experiments import plots
from web import npm

LIBRARY = {
    "vega": "var vega = 1;",
    "vega-lite": "var vegaLite = vega + 1;",
    "vega-embed": "var vegaEmbed = vegaLite + 1;",
}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A copy of ops/experiments/vega, with npm's work done by a stand-in that counts its calls in `calls`."""

    @contextmanager
    def installed(place: Path):
        (place / "calls").open("a").write("1")
        for name, script in LIBRARY.items():
            (place / "node_modules" / name / "build").mkdir(parents=True, exist_ok=True)
            (place / "node_modules" / name / "build" / f"{name}.min.js").write_text(script)
        yield place / "node_modules"

    monkeypatch.setattr(npm, "installed", installed)
    for name in ("template.html", "package.json", npm.LOCK):
        shutil.copy(plots.VEGA / name, tmp_path)
    return tmp_path


def test_dvc_fills_the_template_and_nothing_is_loaded(folder):
    """DVC's own code, with its scripts from a public server: they find no place, the library stands in the
    order in which its parts need each other.
    """
    page = HTML(plots.write(folder).read_text(encoding="utf-8"))
    page.with_scripts(VegaRenderer.SCRIPTS).with_element("<p>a chart</p>")
    text = page.embed()
    assert "https://cdn" in VegaRenderer.SCRIPTS
    assert "http" not in text
    assert (
        text.index(LIBRARY["vega"])
        < text.index(LIBRARY["vega-lite"])
        < text.index(LIBRARY["vega-embed"])
        < text.index("<p>a chart</p>")
    )
    assert not any(placeholder in text for placeholder in (*plots.FILLED_BY_DVC, "{library}"))


def test_it_is_made_once_and_anew_when_the_lock_changes(folder):
    plots.write(folder)
    plots.write(folder)
    assert (folder / "calls").read_text() == "1"
    (folder / npm.LOCK).write_text("{}")
    plots.write(folder)
    assert (folder / "calls").read_text() == "11"


@pytest.mark.parametrize("script", ['x = "</script>"', "y = '{plot_divs}'", "if (a<!--b) c()"])
def test_a_library_that_would_break_the_page_is_refused(script):
    with pytest.raises(ValueError, match="cannot stand inside the page"):
        plots.fill("{library}", [script])


def test_the_lock_pins_every_part():
    assert {name: npm.pinned(plots.VEGA, name).split(".")[0] for name in plots.PACKAGES} == {
        "vega": "5",
        "vega-lite": "5",
        "vega-embed": "6",
    }


def test_without_npm_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(npm.NoPackages, match=r"^npm is missing; install Node.js"), npm.installed(plots.VEGA):
        pass
