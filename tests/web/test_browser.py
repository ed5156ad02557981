"""The website as a person meets it: headless Chromium over the served page and over the static site."""

import base64
import contextlib
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
import skimage.data
from axe_playwright_python.sync_playwright import Axe
from onnx import TensorProto, helper
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright
from safetensors.numpy import load_file

from benchmarks.website import CHROMIUM, FLAGS, serve
from facemorph import detail
from facemorph.export import Export
from tests.conftest import ROOT
from tests.helpers import exports, standin
from tests.helpers.file_server import Quiet, file_server, free_port
from web import site

if CHROMIUM is None:
    pytest.skip("no Chromium: apt-get install chromium, or name one in CHROMIUM", allow_module_level=True)

pytestmark = pytest.mark.browser
LENGTH = 24
# a photograph, to a model of drawn faces
UNLIKE = (
    "This picture is too unlike the faces that the model knows: "
    "it cannot be edited well, and nothing is promised."
)
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


# What is looked at


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> "Model":
    folder = tmp_path_factory.mktemp("export") / "export"
    images, labels = standin.faces(150, 3)
    standin.write_export(folder, images, labels, standin.ATTRIBUTES, LENGTH)
    return Model(folder)


class Model:
    """The stand-in's arithmetic in NumPy: what the page ought to show."""

    def __init__(self, folder: Path) -> None:
        import onnxruntime  # noqa: PLC0415

        self.folder = folder
        self.bundle = json.loads((folder / "bundle.json").read_text())
        self.names = [attribute["name"] for attribute in self.bundle["attributes"]]
        self.decoder = onnxruntime.InferenceSession(str(folder / "decoder.onnx"))

    def array(self, name: str) -> np.ndarray:
        return load_file(self.folder / "arrays.safetensors")[name]

    @property
    def first(self) -> int:
        """The preset to start with: the one nearest to the mean of the codes."""
        far = ((self.array("presets") - self.array("mean")) / self.array("std")) ** 2
        return int(far.sum(1).argmin())

    def labels(self, codes: np.ndarray) -> np.ndarray:
        """(N, A) what the model sees in codes (N, D)."""
        return np.tanh((codes @ self.array("readout_normals").T + self.array("readout_intercepts")) / 2)

    def link(self, rest: str) -> str:
        """The link of this model."""
        files = self.bundle["files"]
        return f"#{rest}&model=5." + "".join(
            files[name]["sha256"][:6] for name in sorted(files) if name != "encoder.onnx"
        )

    def step(self, name: str) -> np.ndarray:
        """(D,) a change of an attribute's label."""
        row = self.names.index(name)
        return self.array("directions")[row] * self.bundle["attributes"][row]["length"]

    def decoded(self, code: np.ndarray) -> np.ndarray:
        """float32 (64, 64, 3): D(code), in levels."""
        return self.decoder.run(None, {"codes": code[None].astype(np.float32)})[0][0]

    def picture(self, code: np.ndarray) -> np.ndarray:
        """uint8 (256, 256, 3): D(code), four times as large by Lanczos."""
        return enlarged(self.decoded(code))

    def edited(self, preset: np.ndarray, code: np.ndarray) -> np.ndarray:
        """uint8 (256, 256, 3): a preset whose own picture is D(preset), edited to `code`, its detail kept."""
        before = self.decoded(preset)
        return enlarged(before + detail.weighed(self.decoded(code) - before, **self.bundle["detail"]))


def enlarged(image: np.ndarray) -> np.ndarray:
    """Levels (64, 64, 3) as uint8 (256, 256, 3), by Lanczos."""
    small = Image.fromarray(np.rint(image).astype(np.uint8))
    return np.asarray(small.resize((256, 256), Image.Resampling.LANCZOS))


def photograph(side: int, path: Path) -> Path:
    Image.fromarray(skimage.data.astronaut()).resize((side, side), Image.Resampling.LANCZOS).save(
        path, quality=92
    )
    return path


@pytest.fixture(scope="module")
def astronaut(tmp_path_factory) -> Path:
    return photograph(1000, tmp_path_factory.mktemp("photos") / "astronaut.jpg")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> list[Path]:
    """Four drawn faces as files, with glasses and then, the same four, without: CelebA's frame, whose crop is
    what was drawn.
    """
    folder = tmp_path_factory.mktemp("drawn")
    _, labels = standin.faces(4, 9)
    for glasses in (True, False):
        for i, row in enumerate(labels):
            truth = dict(zip(standin.ATTRIBUTES, row, strict=True)) | {"Eyeglasses": glasses}
            face = Image.fromarray(standin.draw(truth, np.random.default_rng(i)))
            frame = Image.new("RGB", (178, 218), "gray")
            frame.paste(face.resize((148, 148), Image.Resampling.BICUBIC), (15, 35))
            frame.save(folder / f"{i + 4 * (not glasses)}.png")
    return [folder / f"{i}.png" for i in range(8)]


# Servers and browser


@pytest.fixture(scope="module")
def built(model, tmp_path_factory) -> Path:
    """The static site; also fetches the browser's runtime, so that the server below offers it."""
    out = tmp_path_factory.mktemp("site") / "site"
    site.build(model.folder, out)
    return out


@pytest.fixture(scope="module")
def served(model, built) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "web", "--export", str(model.folder), "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/"
    give_up = monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url + "api/health", timeout=5):
                break
        except OSError:
            assert process.poll() is None and monotonic() < give_up, "the server did not start"
            sleep(0.1)
    yield url
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="module")
def static(built) -> Iterator[str]:
    with file_server(built) as (url, _):
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


def ready(page: Page) -> Page:
    """The page, once its first picture is there."""
    expect(page.locator("#frame")).to_have_attribute("data-shown", re.compile("."), timeout=30000)
    return page


@pytest.fixture
def visit(browser):
    """visit(url, ...) -> Page, ready. What the page complains of, or asks of another origin, fails the test
    at its end.

    broken: it is not waited for, and may log errors.
    """
    contexts = []
    complaints = []

    def open_page(url: str, viewport: dict = DESKTOP, broken: bool = False, **options) -> Page:
        context = browser.new_context(
            **{
                "viewport": viewport,
                "accept_downloads": True,
                "reduced_motion": "reduce",
                "service_workers": "block",
                **options,
            }
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20000)
        origin = urlsplit(url).netloc

        def check(request) -> None:
            target = urlsplit(request.url)
            if target.scheme not in ("data", "blob") and target.netloc != origin:
                complaints.append(f"request to {request.url}")

        page.on("request", check)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text) if message.type == "error" and not broken else None
            ),
        )
        page.goto(url)
        return page if broken else ready(page)

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


# What a person sees and does


def pixels(page: Page, canvas: str = "after") -> np.ndarray:
    """uint8 (h, w, 3) of a canvas."""
    url = page.evaluate("id => document.getElementById(id).toDataURL('image/png')", canvas)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB"))


def state(page: Page) -> dict:
    """What the picture on the screen is of; waits for the first."""
    until(page, "document.getElementById('frame').dataset.shown !== undefined")
    base, mix, strengths, locked = json.loads(page.get_attribute("#frame", "data-shown"))
    return {"base": base, "mix": mix, "strengths": strengths, "locked": locked}


def shows(page: Page, **wanted) -> None:
    """Wait until the picture of such a state is on the screen."""
    give_up = monotonic() + 20
    while not wanted.items() <= state(page).items():
        assert monotonic() < give_up, f"wanted {wanted}, shown {state(page)}"
        page.wait_for_timeout(30)


def slider(page: Page, label: str):
    return page.get_by_role("slider", name=label, exact=True)


def slide(page: Page, label: str, name: str, value: float) -> None:
    field = page.get_by_role("textbox", name=f"{label}, in changes of the label")
    field.fill(str(value))
    field.press("Enter")
    slider(page, label).evaluate("input => input.focus({ preventScroll: true })")
    give_up = monotonic() + 20
    while state(page)["strengths"].get(name, 0) != value:
        assert monotonic() < give_up
        page.wait_for_timeout(30)


def until(page: Page, expression: str) -> None:
    """Wait until a JavaScript expression is true. Playwright's own wait_for_function evaluates text inside
    the page, which the page's policy forbids.
    """
    give_up = monotonic() + 30
    while not page.evaluate(expression):
        assert monotonic() < give_up, f"never true: {expression}"
        page.wait_for_timeout(30)


def near(a: np.ndarray, b: np.ndarray, most: float = 1.0) -> bool:
    """Whether two pictures are the same but for rounding."""
    return a.shape == b.shape and np.abs(a.astype(int) - b).mean() < most


def saved(page: Page, kind: str) -> tuple[str, bytes]:
    page.click("#save")
    with page.expect_download(timeout=30000) as download:
        page.click(f"#save-{kind}")
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def upload(page: Page, path: Path) -> None:
    page.set_input_files("#file", path)
    expect(page.locator("#photo-bar")).to_be_visible(timeout=30000)
    until(page, "JSON.parse(document.getElementById('frame').dataset.shown)[0].kind === 'photo'")


# The tests


@pytest.mark.parametrize("where", ["served", "static"])
def test_both_backends_draw_what_the_model_says(visit, request, model, where):
    """Preset, sample, slider, lock, morph: each picture is NumPy's to rounding, and one seed is one face
    everywhere.
    """
    page = visit(request.getfixturevalue(where))
    mean = model.array("mean")
    presets = model.array("presets")
    assert near(pixels(page), model.picture(presets[model.first]))
    page.fill("#seed", "7")
    page.press("#seed", "Enter")
    shows(page, base={"kind": "seed", "seed": 7})
    sampled = pixels(page)
    words = [page.evaluate("document.getElementById('after').getAttribute('aria-label')")]
    assert words == ["Random face 7, unedited"]

    page.get_by_role("button", name=re.compile("^Face 2(:|$)")).click()
    shows(page, base={"kind": "preset", "index": 1})
    slide(page, "Smile", "Smiling", 2)
    edited = presets[1] + 2 * model.step("Smiling")
    assert near(pixels(page), model.edited(presets[1], edited))
    assert not near(pixels(page), model.picture(presets[1]))

    page.get_by_role("button", name="Keep Glasses as it is", exact=True).click()
    shows(page, locked=["Eyeglasses"])
    unit = model.array("directions")[model.names.index("Eyeglasses")].astype(np.float64)
    step = 2 * model.step("Smiling")
    kept = presets[1] + step - (step @ unit) * unit
    assert near(pixels(page), model.edited(presets[1], kept))
    expect(slider(page, "Glasses")).to_be_disabled()

    page.click("#reset-all")
    shows(page, strengths={}, locked=[])
    page.click("#tab-morph")
    page.locator("#morph-presets").get_by_role("button", name=re.compile("^Face 4(:|$)")).click()
    shows(page, mix=0.5)
    a = presets[1] - mean
    b = presets[3] - mean
    la = np.linalg.norm(a)
    lb = np.linalg.norm(b)
    angle = np.arccos(a @ b / (la * lb))
    between = mean + (la + lb) / 2 * np.sin(angle / 2) / np.sin(angle) * (a / la + b / lb)
    assert near(pixels(page), model.picture(between))
    SAMPLES.setdefault("7", sampled)
    assert near(sampled, SAMPLES["7"], 0.5)


SAMPLES: dict[str, np.ndarray] = {}


def test_a_slider_moves_the_picture_while_it_is_dragged(visit, static, model):
    """Between press and release several pictures appear, stale ones are dropped, and the whole drag is one
    step of undo.
    """
    page = visit(static)
    page.evaluate(
        """() => {
            window.seen = [];
            const frame = document.getElementById("frame");
            new MutationObserver(() => window.seen.push(JSON.parse(frame.dataset.shown)[2].Smiling ?? 0))
                .observe(frame, { attributeFilter: ["data-shown"] });
        }"""
    )
    box = slider(page, "Smile").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    for i in range(1, 31):
        page.mouse.move(middle[0] + i * box["width"] / 90, middle[1])
    page.mouse.up()
    shown = 'JSON.parse(document.getElementById("frame").dataset.shown)[2].Smiling'
    until(page, f'{shown} === Number(document.getElementById("slider-Smiling").value)')
    seen = page.evaluate("window.seen")
    last = float(slider(page, "Smile").input_value())
    assert last > 0.5
    assert 3 <= len(seen) <= 33
    assert seen == sorted(seen)
    page.click("#undo")
    shows(page, strengths={})
    assert near(pixels(page), model.picture(model.array("presets")[model.first]))


def test_undo_redo_reset_and_double_click(visit, served):
    page = visit(served)
    slide(page, "Smile", "Smiling", 1)
    slide(page, "Hat", "Wearing_Hat", -1.5)
    page.click("#undo")
    shows(page, strengths={"Smiling": 1})
    page.click("#undo")
    shows(page, strengths={})
    expect(page.locator("#undo")).to_be_disabled()
    page.click("#redo")
    page.click("#redo")
    shows(page, strengths={"Smiling": 1, "Wearing_Hat": -1.5})
    page.get_by_role("button", name="Reset Smile").click()
    shows(page, strengths={"Wearing_Hat": -1.5})
    page.get_by_text("Hat", exact=True).dblclick()
    shows(page, strengths={})
    slide(page, "Smile", "Smiling", 1)
    page.keyboard.press("Control+z")
    shows(page, strengths={})


def test_compare_by_holding_and_by_wiping(visit, served):
    page = visit(served)
    expect(page.locator("#compare")).to_be_disabled()
    slide(page, "Smile", "Smiling", 2)
    before = page.locator("#before")
    after = page.locator("#after")
    assert not near(pixels(page, "before"), pixels(page))
    expect(before).to_be_hidden()
    page.locator("#compare").hover()
    page.mouse.down()
    expect(before).to_be_visible()
    expect(page.locator("#tag-before")).to_be_visible()
    page.mouse.up()
    expect(before).to_be_hidden()
    after.hover()
    page.mouse.down()
    expect(before).to_be_visible()
    page.mouse.up()
    page.locator("#compare").focus()
    page.keyboard.down("Space")
    expect(before).to_be_visible()
    page.keyboard.up("Space")
    expect(before).to_be_hidden()

    page.click("#split")
    wipe = page.get_by_role("slider", name="How much of the picture shows the original")
    wipe.fill("25")
    clip = before.evaluate("canvas => getComputedStyle(canvas).clipPath")
    assert clip == "inset(0px 75% 0px 0px)"
    wipe.press("ArrowRight")
    assert wipe.input_value() == "26"
    page.click("#split")
    expect(before).to_be_hidden()


def test_a_link_opens_the_same_face(visit, served, model):
    page = visit(served + "#seed=42&Smiling=1.2&lock=Male&with=preset2&mix=0.25")
    assert state(page) == {
        "base": {"kind": "seed", "seed": 42},
        "mix": 0.25,
        "strengths": {"Smiling": 1.2},
        "locked": ["Male"],
    }
    first = pixels(page)
    slide(page, "Smile", "Smiling", -1)
    link = page.url
    assert link == served + model.link("seed=42&Smiling=-1&lock=Male&with=preset2&mix=0.25")
    expect(page.locator(".toast")).to_have_count(0)
    again = visit(link)
    assert near(pixels(again), pixels(page), 0.01)
    again.goto(served + "#seed=42&Smiling=1.2&lock=Male&with=preset2&mix=0.25")
    shows(again, strengths={"Smiling": 1.2})
    assert near(pixels(again), first, 0.01)
    again.goto(link.replace("&model=5.", "&model=5.0"))
    expect(again.locator(".toast")).to_contain_text("made with another model")
    again.goto(link.replace("&model=5.", "&model="))
    expect(again.locator(".toast").last).to_contain_text("of an older model")
    shows(again, strengths={})


@pytest.mark.parametrize("where", ["served", "static"])
def test_a_photograph_stays_sharp_and_stays_here(visit, request, where, astronaut):
    """Found, edited at its full 1000 pixels, unchanged outside the crop, saved with its mark; its link says
    nothing of it.
    """
    page = visit(request.getfixturevalue(where))
    upload(page, astronaut)
    expect(page.locator(".toast")).to_have_text(UNLIKE)
    slide(
        page, "Glasses", "Eyeglasses", 2
    )  # strong edits: changes that are less than noise are passed over (faces/edits/detail.py)
    slide(page, "Smile", "Smiling", 1.5)
    shown = pixels(page).astype(int)
    before = pixels(page, "before").astype(int)
    assert 300 < shown.shape[0] < 1000
    changed = np.abs(shown - before).max(2) > 2
    assert 0.02 < changed.mean() < 0.6
    assert not changed[:5].any() and not changed[:, :5].any()
    assert set(page.url.split("#")[1].split("&")[:-1]) == {"Smiling=1.5", "Eyeglasses=2"}

    name, data = saved(page, "png")
    result = Image.open(io.BytesIO(data))
    original = np.asarray(Image.open(astronaut)).astype(int)
    assert (name, result.size) == ("facemorph-photo.png", (1000, 1000))
    assert "compositeWithTrainedAlgorithmicMedia" in result.text["XML:com.adobe.xmp"]
    difference = np.abs(np.asarray(result.convert("RGB")).astype(int) - original).max(2)
    assert difference[500:].max() <= 3  # below the crop: the photograph, to JPEG decoders' rounding
    assert (difference[120:330, 350:550] > 2).mean() > 0.2
    detail = np.asarray(result.convert("L").crop((350, 120, 550, 330))).astype(float)
    assert np.abs(np.diff(detail, axis=1)).mean() > 2  # 64 pixels enlarged would have less than 1

    assert pixels(page, "crop").shape == (64, 64, 3)
    page.locator("input[value=model] + span").click()
    until(page, "document.getElementById('after').width === 256")
    page.get_by_text("Whole photo").click()
    until(page, "document.getElementById('after').width > 900")


@pytest.mark.parametrize("where", ["served", "static"])
def test_alignment_is_shown_and_corrected(visit, request, where, tmp_path):
    """Two faces: the larger is taken, the other can be chosen; three clicks align by hand; an arrow key moves
    a point.
    """
    both = Image.new("RGB", (900, 512), "gray")
    whole = Image.fromarray(skimage.data.astronaut())
    both.paste(whole, (0, 0))
    both.paste(whole.resize((300, 300), Image.Resampling.LANCZOS), (560, 100))
    both.save(tmp_path / "two.png")
    page = visit(request.getfixturevalue(where))
    upload(page, tmp_path / "two.png")
    expect(page.locator(".toast")).to_contain_text("Several faces")
    page.get_by_role("button", name="How it was aligned").click()
    large = pixels(page, "align-crop")
    middles = [mark.bounding_box() for mark in page.locator("#align-marks .point").all()]
    marks = [(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in middles]
    page.get_by_role("button", name="Face 2 of 2").click()
    expect(page.get_by_role("button", name="Face 2 of 2")).to_have_attribute("aria-pressed", "true")
    small = pixels(page, "align-crop")
    assert small.shape == (64, 64, 3)
    assert not near(small, large, 0.5)
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.8  # the same astronaut, at another size

    page.click("#align-zoom")
    expect(page.locator("#align-zoom")).to_have_attribute("aria-pressed", "true")
    close = page.get_by_role("button", name="Face 2 of 2").bounding_box()["width"]
    page.click("#align-zoom")
    assert close > 1.5 * page.get_by_role("button", name="Face 2 of 2").bounding_box()["width"]
    page.click("#align-clicks")
    for x, y in marks:  # eyes and mouth of the larger one, as they were found
        page.mouse.click(x, y)
    expect(page.locator("#align-text")).to_contain_text("Aligned by your three points")
    by_hand = pixels(page, "align-crop")
    assert np.corrcoef(by_hand.ravel(), large.ravel())[0, 1] > 0.9  # clicks are whole pixels of the screen
    point = page.get_by_role("button", name="Eye on the left: move with the arrow keys")
    point.focus()
    for _ in range(3):
        page.keyboard.press("Shift+ArrowLeft")
    give_up = monotonic() + 20
    while near(pixels(page, "align-crop"), by_hand, 0.5):
        assert monotonic() < give_up
    assert page.evaluate("document.activeElement.title") == "Eye on the left"  # where it was
    page.keyboard.press("Escape")
    expect(page.locator("#align")).to_be_hidden()
    page.click("#undo")
    shows(page, strengths={})


def test_drop_and_paste_bring_a_photograph(visit, served, astronaut):
    page = visit(served)
    data = base64.b64encode(astronaut.read_bytes()).decode()
    give = """([data, kind]) => {
        const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], "a.jpg", { type: "image/jpeg" }));
        if (kind === "paste") window.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer }));
        const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
        if (kind === "drop") for (const type of ["dragenter", "dragover", "drop"]) {
            document.body.dispatchEvent(new DragEvent(type, options));
        }
    }"""
    for number, kind in enumerate(("drop", "paste"), 1):
        page.evaluate(give, [data, kind])
        shows(page, base={"kind": "photo", "id": number})
    expect(page.locator("#drop-cover")).to_be_hidden()


def test_pictures_that_are_none_are_refused_kindly(visit, static, tmp_path):
    page = visit(static)
    (tmp_path / "text.jpg").write_text("no picture")
    Image.new("RGB", (8, 8)).save(tmp_path / "tiny.png")
    Image.new("L", (300, 200), 128).save(tmp_path / "gray.png")
    for name, words in (("text.jpg", "not a picture"), ("tiny.png", "too small")):
        page.set_input_files("#file", tmp_path / name)
        expect(page.locator(".toast")).to_contain_text(words)
    assert state(page)["base"]["kind"] == "preset"
    page.set_input_files("#file", tmp_path / "gray.png")
    expect(page.locator(".toast")).to_contain_text("No face was found")
    shows(page, base={"kind": "photo", "id": 1})


def test_a_turned_photograph_stands_upright(visit, static, tmp_path):
    """EXIF orientation 6 (turned a quarter): the face is found, and what is saved is upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(skimage.data.astronaut()[:, :400]).rotate(90, expand=True).save(
        tmp_path / "turned.jpg", exif=exif, quality=90
    )
    page = visit(static)
    upload(page, tmp_path / "turned.jpg")
    expect(page.locator(".toast")).to_have_text(UNLIKE)
    _, data = saved(page, "png")
    assert Image.open(io.BytesIO(data)).size == (400, 512)


def test_files_open_and_carry_the_mark(visit, static, model):
    page = visit(static + "#seed=5")
    expect(page.locator("#play")).to_be_disabled()
    slide(page, "Hat", "Wearing_Hat", 2)
    shown = pixels(page)
    name, data = saved(page, "gif")
    image = Image.open(io.BytesIO(data))
    assert (name, image.n_frames, image.size, image.info["loop"]) == (
        "facemorph-face-5.gif",
        30,
        (320, 320),
        0,
    )
    assert len(data) < 500_000
    assert b"generative model" in image.info["comment"]
    frames = []
    for i in range(30):
        image.seek(i)
        frames.append(np.asarray(image.convert("RGB").resize((256, 256), Image.Resampling.BOX)))
    assert near(frames[15], shown, 8)
    assert near(frames[0], pixels(page, "before"), 8)
    travel = [np.abs(frame.astype(int) - frames[0]).mean() for frame in frames]
    assert np.argmax(travel) == 15
    assert near(frames[1], frames[29], 0.01)  # there and back

    name, data = saved(page, "strip")
    strip = Image.open(io.BytesIO(data))
    assert (name, strip.size) == ("facemorph-face-5-strip.png", (7 * 256, 256))
    last = np.asarray(strip.convert("RGB"))[:, 6 * 256 :]
    assert near(last, shown)
    name, data = saved(page, "png")
    picture = Image.open(io.BytesIO(data))
    assert (name, picture.size) == ("facemorph-face-5.png", (512, 512))
    assert "trainedAlgorithmicMedia" in picture.text["XML:com.adobe.xmp"]
    assert "Facemorph" in picture.text["Software"]


def test_an_edit_plays_and_stops_where_it_was(visit, served):
    page = visit(served)
    slide(page, "Smile", "Smiling", 2)
    still = pixels(page)
    page.click("#play")
    give_up = monotonic() + 20
    while near(pixels(page), still, 0.2):
        assert monotonic() < give_up
    page.get_by_role("button", name="Stop", exact=True).click()
    page.wait_for_timeout(300)
    assert near(pixels(page), still, 0.01)


@pytest.mark.parametrize("where", ["served", "static"])
def test_a_slider_of_ones_own(visit, request, where, drawn, model):
    """Four faces with glasses, the same without: the slider tells them apart, lies along the model's own
    axis, can be moved, saved, removed and loaded.
    """
    page = visit(request.getfixturevalue(where))
    page.get_by_role("tab", name="Make a slider").click()
    expect(page.locator("#make")).to_be_disabled()
    page.set_input_files("#drop-with input", drawn[:4])
    page.set_input_files("#drop-without input", drawn[4:])
    expect(page.locator("#drop-with .thumbs button")).to_have_count(4, timeout=30000)
    expect(page.locator("#drop-without .thumbs button")).to_have_count(4, timeout=30000)
    page.fill("#make-name", "Spectacles")
    page.press("#make-name", "Enter")
    expect(page.locator("#make-result")).to_contain_text("From 4 with and 4 without. Pairs held out")
    page.get_by_role("tab", name="Sliders").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save Spectacles as a file").click()
    path = Path(download.value.path())
    file = json.loads(path.read_text())
    unit = np.frombuffer(base64.b64decode(file["unit"]), "<f4")
    glasses = model.array("directions")[model.names.index("Eyeglasses")]
    assert np.linalg.norm(unit) == pytest.approx(1, abs=1e-5)
    assert unit @ glasses > 0.4  # by chance it would be 0.2 or less, either way
    assert 0 <= file["auroc"] <= 1
    assert file["sigma"] == pytest.approx(np.linalg.norm(model.array("factor") @ unit), rel=1e-4)

    slider(page, "Spectacles").fill("1.5")
    shows(page, strengths={"own:1": 1.5})
    moved = model.array("presets")[model.first] + 1.5 * file["sigma"] * unit
    assert near(pixels(page), model.picture(moved))
    assert "own" not in page.url

    page.get_by_role("button", name="Remove Spectacles").click()
    shows(page, strengths={})
    page.get_by_role("tab", name="Make a slider").click()
    page.set_input_files("#make-file", path)
    expect(page.locator(".toast")).to_contain_text("Spectacles is among your sliders")
    page.get_by_role("tab", name="Sliders").click()
    slider(page, "Spectacles").fill("1.5")
    shows(page, strengths={"own:2": 1.5})
    assert near(pixels(page), model.picture(moved))
    (damaged := path.with_name("damaged.json")).write_text(
        path.read_text().replace('"decoder": "', '"decoder": "0')
    )
    page.set_input_files("#make-file", damaged)
    expect(page.locator(".toast")).to_contain_text("made for another model")


def test_the_page_outlives_its_server(visit, built, astronaut):
    """Once it is all there, the static site samples, edits, reads a photograph and makes a GIF with the
    server gone.
    """
    with file_server(built) as (url, _):
        page = visit(url)
        expect(page.locator("#frame")).to_have_attribute("data-alone", "", timeout=30000)
    page.fill("#seed", "11")
    page.press("#seed", "Enter")
    shows(page, base={"kind": "seed", "seed": 11})
    slide(page, "Smile", "Smiling", 1)
    _, data = saved(page, "gif")
    assert Image.open(io.BytesIO(data)).n_frames == 30
    upload(page, astronaut)
    shows(page, base={"kind": "photo", "id": 1})


def test_from_the_server_to_this_computer_and_back(visit, served):
    """The switch moves the model into the browser: the same picture, and no photograph is sent any more."""
    page = visit(served)
    sent = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    slide(page, "Smile", "Smiling", 1.5)
    assert any("api/edit" in url for url in sent)
    there = pixels(page)
    expect(page.locator("#privacy")).to_contain_text("sent to this server")
    page.get_by_text("Run on this computer only").click()
    expect(page.locator("#privacy")).to_contain_text("never leaves this computer", timeout=30000)
    sent.clear()
    slide(page, "Smile", "Smiling", 2)
    slide(page, "Smile", "Smiling", 1.5)
    assert near(pixels(page), there, 0.5)
    assert sent == []
    page.get_by_text("Run on this computer only").click()
    expect(page.locator("#privacy")).to_contain_text("sent to this server")
    slide(page, "Smile", "Smiling", 1)
    assert sent


def test_judgements_are_behind_a_fold_and_search_finds_them(visit, served):
    page = visit(served)
    expect(slider(page, "Smile")).to_be_visible()
    expect(slider(page, "Male")).to_be_hidden()
    page.get_by_role("searchbox", name="Find a slider").fill("hair")
    expect(slider(page, "Black hair")).to_be_visible()
    expect(slider(page, "Long hair")).to_be_visible()
    expect(slider(page, "Smile")).to_be_hidden()
    page.get_by_role("searchbox", name="Find a slider").fill("nose")
    expect(page.get_by_text("No slider of that name.")).to_be_visible()
    page.get_by_role("searchbox", name="Find a slider").fill("")
    expect(slider(page, "Smile")).to_be_visible()
    expect(slider(page, "Long hair")).to_be_hidden()


def test_a_keyboard_alone_is_enough(visit, served, model):
    """From the top of the page: skip to the sliders, move, lock, reset one; shortcuts sample, undo, save;
    Escape closes; shortcuts can be switched off.
    """
    page = visit(served)
    focus = (
        "document.activeElement.getAttribute('aria-label') "
        "?? document.activeElement.labels?.[0]?.textContent ?? document.activeElement.textContent.trim()"
    )
    page.keyboard.press("Tab")
    assert page.evaluate(focus) == "Skip to the sliders"
    page.keyboard.press("Enter")
    for _ in range(16):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.type") == "range":
            break
    assert page.evaluate(focus) == "Smile"
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    shows(page, strengths={"Smiling": 0.2})
    assert page.evaluate("document.activeElement.getAttribute('aria-valuetext')") == "+0.20"
    page.keyboard.press("Shift+Tab")
    assert page.evaluate(focus) == "Reset Smile"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    shows(page, locked=["Smiling"])
    page.keyboard.press("z")
    shows(page, locked=[])
    page.keyboard.press("r")
    until(page, "JSON.parse(document.getElementById('frame').dataset.shown)[0].kind === 'seed'")
    page.keyboard.press("z")
    shows(page, base={"kind": "preset", "index": model.first}, strengths={"Smiling": 0.2})
    page.keyboard.press("s")
    expect(page.get_by_role("dialog", name="Save")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Save")).to_be_hidden()
    page.keyboard.press("/")
    page.keyboard.type("hat")
    expect(slider(page, "Smile")).to_be_hidden()
    assert state(page)["base"]["kind"] == "preset"  # letters typed into a field are no shortcuts
    page.get_by_role("searchbox").fill("")
    page.get_by_role("tab", name="Sliders").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Morph")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("?")
    page.get_by_label("Shortcuts of one letter are on").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    expect(page.get_by_role("dialog", name="Save")).to_be_hidden()


def serious(page: Page, part: str = "body") -> list[str]:
    """What axe calls serious or critical in a part of the page."""
    found = Axe().run(page, part, {"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:120]} {node['failureSummary'][:200]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize(
    ("viewport", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop light", "phone dark"]
)
def test_axe_finds_nothing_serious(visit, served, astronaut, viewport, scheme):
    """The page with an edited photograph, every tab, and every sheet."""
    page = visit(served, viewport, color_scheme=scheme)
    upload(page, astronaut)
    slide(page, "Smile", "Smiling", 1)
    page.click("#pin")
    for summary in page.query_selector_all("details:not([open]) > summary"):
        if summary.is_visible():
            summary.click()
    page.get_by_role("button", name="Keep Glasses as it is", exact=True).click()
    assert serious(page) == []
    page.click("#split")
    for tab in ("Morph", "Make a slider"):
        page.get_by_role("tab", name=tab).click()
        assert serious(page, "main") == []
    for button in ("#align-open", "#save", "#about-open", "#keys-open", "#camera-open"):
        page.click(button)
        assert serious(page, "dialog[open]") == []
        page.keyboard.press("Escape")


def test_no_width_scrolls_sideways(visit, served):
    """A phone, upright and on its side, and 1280 pixels at 200% and 400%: nothing sticks out, and the first
    slider moves with the whole picture in view.
    """
    page = visit(served, PHONE)
    for strength, (width, height) in enumerate(
        ((320, 844), (390, 844), (640, 450), (844, 390), (900, 844)), 1
    ):
        page.set_viewport_size({"width": width, "height": height})
        for tab in ("Morph", "Make a slider", "Sliders"):
            page.get_by_role("tab", name=tab, exact=True).click()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        slider(page, "Smile").evaluate("input => input.scrollIntoView({ block: 'end' })")
        slide(page, "Smile", "Smiling", strength / 4)
        frame = page.locator("#frame").bounding_box()
        thumb = slider(page, "Smile").bounding_box()
        assert frame["width"] >= 140
        for box in (frame, thumb):
            assert box["y"] >= 0 and box["y"] + box["height"] < height + 1


@pytest.mark.parametrize("locale", ["en-US", "de-DE"])
def test_nothing_is_cut_off_on_a_narrow_phone(visit, served, locale):
    """360 pixels: the tools of the picture in one line, the language and what the search is for in full."""
    page = visit(served, {"width": 360, "height": 740}, locale=locale)
    tops = {round(button.bounding_box()["y"]) for button in page.locator(".toolbar button").all()}
    assert len(tops) == 1
    assert page.get_by_role("button", name={"en-US": "Save", "de-DE": "Speichern"}[locale]).is_visible()
    cut = page.evaluate(
        """() => {
            const pen = new OffscreenCanvas(1, 1).getContext("2d");
            const [language, search] = ["language", "search"].map((id) => document.getElementById(id));
            const room = (box, arrow) => {
                const style = getComputedStyle(box);
                pen.font = style.font;
                const padding = parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
                return box.clientWidth - padding - arrow;
            };
            return [
                room(language, 20) - pen.measureText(language.selectedOptions[0].text).width,
                room(search, 0) - pen.measureText(search.placeholder).width,
            ];
        }"""
    )
    assert min(cut) >= 0, cut


def test_a_tall_window_leaves_no_hole_above_the_picture(visit, served):
    page = visit(served, {"width": 1920, "height": 1200})
    above = page.locator(".tagline").bounding_box()
    assert page.locator(".stage").bounding_box()["y"] - above["y"] - above["height"] < 60


def test_the_theme_is_the_systems_until_chosen(visit, served):
    background = "getComputedStyle(document.body).backgroundColor"
    page = visit(served, color_scheme="dark")
    dark = page.evaluate(background)
    page.get_by_role("button", name="Switch between light and dark").click()
    light = page.evaluate(background)
    assert light != dark
    page.reload()
    assert page.evaluate(background) == light


def test_about_says_what_the_bundle_says(visit, static, model):
    page = visit(static)
    page.get_by_role("button", name="About this model").click()
    body = page.locator("#about-body")
    short = body.locator("> p")
    expect(short).to_contain_text("pixels from 150 of them.")
    expect(short).to_contain_text("Photographs stay on this computer")
    assert short.inner_text().count(". ") == 4, "five sentences"
    body.get_by_text("Figures, data and limits").click()
    for text in (
        model.bundle["notes"]["model"],
        model.bundle["notes"]["limits"][0],
        "PSNR 24.0 dB",
        "no rights reserved",
        "150 train",
        "in this browser",
    ):
        expect(body).to_contain_text(text)
    cells = body.get_by_role("row", name=re.compile("^Glasses")).get_by_role("cell").all_inner_texts()
    row = model.bundle["attributes"][2]
    assert cells == ["0.91", "0.89 to 0.92", f"{row['positives']} / {row['negatives']}", "\N{EN DASH}"]


def test_a_guessed_template_is_said(visit, built, tmp_path):
    """Where the training pictures do not tell where eyes and mouth lie, the panel about the model says so;
    otherwise it does not.
    """
    shutil.copytree(built, tmp_path / "site")
    for guessed in (True, False):
        about = json.loads((path := tmp_path / "site/export/bundle.json").read_text())
        path.write_text(json.dumps({**about, "geometry": {**about["geometry"], "guessed": guessed}}))
        with file_server(tmp_path / "site") as (url, _):
            page = visit(url)
            page.click("#about-open")
            expect(page.get_by_text("photographs are laid as CelebA lays its faces")).to_have_count(
                int(guessed)
            )


def test_a_broken_site_says_so(visit, built, tmp_path):
    """Without its model the page names the file that is missing and offers to try again."""
    shutil.copytree(built, tmp_path / "site")
    (tmp_path / "site" / "export" / "arrays.safetensors").unlink()
    with file_server(tmp_path / "site") as (url, _):
        page = visit(url, broken=True)
        expect(page.locator("#veil-text")).to_contain_text("export/arrays.safetensors: 404")
        expect(page.locator("#veil-retry")).to_be_visible()


# What a person trusts it with


def test_the_first_step_of_a_slider_moves_a_photograph(visit, static, astronaut):
    """No dead zone: the change grows with each step from the first on, and at zero the photograph is as it
    was, to the pixel.
    """
    page = visit(static)
    upload(page, astronaut)
    before = pixels(page).astype(int)
    assert (before == pixels(page, "before")).all()
    changes = []
    for strength in (0.25, 0.5, 1, 2):
        slide(page, "Glasses", "Eyeglasses", strength)
        changes.append(np.abs(pixels(page) - before).mean())
    assert changes[0] > 0.05
    assert all(1.5 < later / earlier < 2.5 for earlier, later in pairwise(changes[:3]))
    assert changes[3] > changes[2]  # beyond a change of the label, more of the picture takes part
    slide(page, "Glasses", "Eyeglasses", 0.25)
    page.get_by_role("button", name="Reset Glasses").click()
    shows(page, strengths={})
    assert (pixels(page) == before).all()


def test_a_morph_arrives_at_the_other_face(visit, static, model, drawn):
    """From a photograph to a drawn face, then to another photograph: at 100% the middle of the crop is the
    other's; what lies outside stays.
    """
    page = visit(static)
    upload(page, drawn[0])
    page.get_by_text("Whole photo").click()
    until(page, "document.getElementById('after').width === 178")
    first = np.asarray(Image.open(drawn[0]))
    page.get_by_role("tab", name="Morph").click()
    page.locator("#morph-presets button").nth(3).click()
    page.get_by_role("slider", name="Way to the other face").fill("1")
    shows(page, mix=1)
    arrived = pixels(page)
    face = model.picture(model.array("presets")[3])
    wanted = np.asarray(Image.fromarray(face).resize((148, 148), Image.Resampling.BICUBIC))
    middle = slice(52, 96)  # of the crop's 148 pixels, which begin at (15, 35)
    assert np.abs(arrived[35:183, 15:163].astype(int) - wanted)[middle, middle].mean() < 2
    assert (arrived[:35] == first[:35]).all()

    page.set_input_files("#morph-file", drawn[5])
    until(page, "JSON.parse(document.getElementById('morph-b').dataset.base ?? 'null')?.kind === 'photo'")
    shows(page, mix=1)
    other = np.asarray(Image.open(drawn[5]))
    give_up = monotonic() + 20
    while np.abs(pixels(page)[35:183, 15:163].astype(int) - other[35:183, 15:163])[middle, middle].max() > 1:
        assert monotonic() < give_up
    assert (pixels(page)[:35] == first[:35]).all()
    page.click("#share")
    expect(page.locator(".toast")).to_contain_text("cannot carry: the photograph, the morph to a photograph")


def touch(page: Page, *places: tuple[float, float]) -> None:
    """One finger: down at the first place, by way of the others, and up."""
    session = page.context.new_cdp_session(page)
    for i, (x, y) in enumerate(places):
        kind = "touchMove" if i else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_a_swipe_up_scrolls_and_moves_no_slider(visit, served):
    """A touch that goes up from a slider's track scrolls the page; one that goes sideways moves the slider,
    and a tap puts it there.
    """
    page = visit(served, PHONE, has_touch=True, is_mobile=True)
    track = page.locator(".row[data-name=Eyeglasses] .track")
    track.scroll_into_view_if_needed()
    box = track.bounding_box()
    x = box["x"] + 0.75 * box["width"]
    y = box["y"] + box["height"] / 2
    top = page.evaluate("scrollY")
    touch(page, *((x, y - 12 * i) for i in range(9)))
    until(page, f"scrollY > {top} + 40")
    assert state(page)["strengths"] == {}
    assert float(slider(page, "Glasses").input_value()) == 0

    box = track.bounding_box()
    y = box["y"] + box["height"] / 2
    touch(page, *((box["x"] + box["width"] / 2 + 5 * i, y) for i in range(9)))
    until(page, "JSON.parse(document.getElementById('frame').dataset.shown)[2].Eyeglasses > 0.3")
    touch(page, (box["x"] + 2, y))
    least = float(slider(page, "Glasses").get_attribute("min"))
    assert least <= -0.5
    until(page, f"JSON.parse(document.getElementById('frame').dataset.shown)[2].Eyeglasses === {least}")


def test_numbers_steps_and_surprises(visit, served, model):
    """A typed number moves the slider, what is none is put back, a large one ends where the slider does;
    Shift makes coarse steps; 0 resets one.
    """
    page = visit(served)
    field = page.get_by_role("textbox", name="Smile, in changes of the label")
    field.fill("-1,25")
    field.press("Enter")
    shows(page, strengths={"Smiling": -1.25})
    field.fill("much")
    field.press("Enter")
    expect(field).to_have_value("\N{MINUS SIGN}1.25")
    field.fill("99")
    field.press("Enter")
    end = float(slider(page, "Smile").get_attribute("max"))
    assert end == 2
    shows(page, strengths={"Smiling": end})
    slide(page, "Glasses", "Eyeglasses", 1)
    slider(page, "Glasses").press("Shift+ArrowLeft")
    shows(page, strengths={"Smiling": end, "Eyeglasses": 0.5})
    slider(page, "Glasses").press("0")
    shows(page, strengths={"Smiling": end})
    page.get_by_role("button", name="Surprise me").click()
    give_up = monotonic() + 20
    while set(state(page)["strengths"]) == {"Smiling"}:
        assert monotonic() < give_up
        page.wait_for_timeout(30)
    moved = state(page)["strengths"]
    assert 1 <= len(moved) <= 3
    labels = model.labels(model.array("presets")[model.first])
    for name, strength in moved.items():
        assert 0.7 <= abs(strength) <= 1.2 and strength * labels[model.names.index(name)] < 0
    page.click("#undo")
    shows(page, strengths={"Smiling": end})


def test_show_me_moves_the_first_slider(visit, served):
    page = visit(served)
    page.get_by_role("button", name="Show me").click()
    until(page, "Math.abs(JSON.parse(document.getElementById('frame').dataset.shown)[2].Smiling ?? 0) > 0.3")
    page.click("#undo")
    shows(page, strengths={})


def test_own_sliders_outlive_undo_and_reload(visit, static, drawn):
    """Removed and undone, the slider is back with its value; loaded again, the page has it where it was, and
    its link says that it cannot carry it.
    """
    page = visit(static)
    page.get_by_role("tab", name="Make a slider").click()
    page.set_input_files("#drop-with input", drawn[:2])
    page.set_input_files("#drop-without input", drawn[4:6])
    expect(page.locator("#drop-without .thumbs button")).to_have_count(2, timeout=30000)
    expect(page.locator("#drop-with .thumbs button")).to_have_count(2, timeout=30000)
    page.fill("#make-name", "Spectacles")
    page.press("#make-name", "Enter")
    page.get_by_role("tab", name="Sliders").click()
    slider(page, "Spectacles").fill("1.5")
    shows(page, strengths={"own:1": 1.5})
    shown = pixels(page)
    page.get_by_role("button", name="Remove Spectacles").click()
    shows(page, strengths={})
    expect(slider(page, "Spectacles")).to_have_count(0)
    page.click("#undo")
    shows(page, strengths={"own:1": 1.5})
    assert slider(page, "Spectacles").input_value() == "1.5"
    page.click("#share")
    expect(page.locator(".toast")).to_contain_text("cannot carry: sliders of your own")
    page.reload()
    expect(page.locator("#frame")).to_have_attribute("data-shown", re.compile("own:1"), timeout=30000)
    assert slider(page, "Spectacles").input_value() == "1.5"
    assert near(pixels(page), shown, 0.01)


def test_a_server_that_is_gone_can_be_tried_again(visit, served):
    """The old picture says that it is not up to date, and that goes away when the next one is drawn."""
    page = ready(visit(served, broken=True))
    page.route("**/api/edit*", lambda route: route.abort())
    slider(page, "Smile").fill("1")
    expect(page.locator("#stale")).to_be_visible()
    expect(page.locator("#stale-text")).to_contain_text("The server cannot be reached")
    assert state(page)["strengths"] == {}
    page.unroute("**/api/edit*")
    page.click("#stale-retry")
    shows(page, strengths={"Smiling": 1})
    expect(page.locator("#stale")).to_be_hidden()


def test_a_place_that_does_not_work_can_be_left(visit, served):
    """The model that a person moved into the browser fails to load the next time: one button leads back to
    the server.
    """
    page = ready(visit(served, broken=True))
    page.evaluate("localStorage.setItem('place', 'local')")
    page.route("**/js/worker.js", lambda route: route.abort())
    page.reload()
    expect(page.locator("#veil-text")).to_contain_text("js/worker.js cannot be loaded", timeout=30000)
    page.get_by_role("button", name="Run it on the server").click()
    ready(page)
    expect(page.locator("#privacy")).to_contain_text("sent to this server")


class Texts(Quiet):
    """A file server that takes every module of such an ending for plain text."""

    ending = ".mjs"

    def guess_type(self, path) -> str:
        return "text/plain" if str(path).endswith(self.ending) else super().guess_type(path)


@pytest.mark.parametrize(
    ("ending", "said"),
    [(".mjs", None), ("/ort.wasm.min.js", "as text/plain"), ("/app.js", "sends them as text")],
)
def test_a_file_server_that_calls_modules_text(visit, built, ending, said, monkeypatch):
    """.mjs is not needed; where .js itself comes as text, the page says so instead of loading for ever."""
    monkeypatch.setattr(Texts, "ending", ending)
    with file_server(built, Texts) as (url, _):
        page = visit(url, broken=said is not None)
        if said:
            expect(page.locator("#veil-text")).to_contain_text(said, timeout=30000)
            expect(page.locator("#veil-retry")).to_be_visible()


def test_a_page_opened_from_the_disk_says_what_to_do(browser, built):
    page = browser.new_page()
    page.goto((built / "index.html").as_uri())
    expect(page.locator("#veil-text")).to_contain_text("python -m http.server")
    page.close()


def test_messages_lie_on_dialogs(visit, static, tmp_path):
    """A refusal inside a dialog is on top of it and can be dismissed; an unfinished trio of clicks ends with
    the dialog.
    """
    page = visit(static)
    photograph(600, tmp_path / "face.jpg")
    upload(page, tmp_path / "face.jpg")
    page.click("#align-open")
    page.click("#align-clicks")
    box = page.locator("#align-canvas").bounding_box()
    for _ in range(3):
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    note = page.locator("dialog[open] .toast")
    expect(note).to_contain_text("The three points coincide")
    note.get_by_role("button", name="Dismiss").click()
    expect(note).to_have_count(0)
    page.click("#align-clicks")
    page.keyboard.press("Escape")
    page.click("#align-open")
    expect(page.locator("#align-photo.clicking")).to_have_count(0)
    expect(page.locator("#align-marks .point")).to_have_count(3)


def test_only_the_photograph_that_is_shown_is_held(visit, static, astronaut, drawn):
    """Of three photographs one has its pixels; a step back reads it again and shows the same picture."""
    page = visit(static)
    upload(page, astronaut)
    first = pixels(page)
    for number, path in enumerate(drawn[:2], 2):
        page.set_input_files("#file", path)
        shows(page, base={"kind": "photo", "id": number})
    page.click("#undo")
    page.click("#undo")
    shows(page, base={"kind": "photo", "id": 1})
    assert (pixels(page) == first).all()


def test_a_large_photograph_is_sent_small(visit, served, tmp_path):
    """5000 pixels a side, several megabytes: what is sent is less than 1 MB, the face is found where it is,
    and the file that is saved is whole.
    """
    large = Image.fromarray(skimage.data.astronaut()).resize((5000, 5000), Image.Resampling.BICUBIC)
    large.save(path := tmp_path / "large.jpg", quality=97)
    assert path.stat().st_size > 2e6
    page = visit(served)
    page.evaluate(
        """() => {
            window.sent = [];
            const fetched = window.fetch;
            window.fetch = (url, options) => {
                if (options?.body?.size) window.sent.push(options.body.size);
                return fetched(url, options);
            };
        }"""
    )
    upload(page, path)
    (size,) = page.evaluate("window.sent")
    assert 1e4 < size < 1e6
    large.resize((1000, 1000)).save(small := tmp_path / "small.png")
    crop = pixels(page, "crop")
    page.set_input_files("#file", small)
    shows(page, base={"kind": "photo", "id": 2})
    assert near(pixels(page, "crop"), crop, 4)
    page.click("#undo")
    shows(page, base={"kind": "photo", "id": 1})
    _, data = saved(page, "png")
    assert Image.open(io.BytesIO(data)).size == (4899, 4899)  # 24 megapixels are held


def test_tracks_are_seen_in_forced_colours(visit, served):
    """The rail has an outline, and the bar, the band where faces lie and the rest of the rail are three
    colours.
    """
    page = visit(served, forced_colors="active")
    page.get_by_role("textbox", name="Smile, in changes of the label").fill("0.5")
    page.keyboard.press("Enter")
    shows(page, strengths={"Smiling": 0.5})
    track = page.locator(".row[data-name=Smiling] .track")
    shot = np.asarray(Image.open(io.BytesIO(track.screenshot())).convert("RGB")).astype(int)
    middle = len(shot) // 2
    edges = track.evaluate(
        "track => ['--band-from', '--band-to'].map((name) => parseFloat(track.style.getPropertyValue(name)))"
    )
    low, high = (9 + (shot.shape[1] - 18) * edge / 100 for edge in edges)
    inside = int(high - 6) if high > shot.shape[1] / 2 + 6 else int(low + 6)  # beside the bar
    outside = int(low - 6) if low > 20 else int(high + 6)
    bar = (
        int(
            9
            + (shot.shape[1] - 18)
            * float(track.evaluate("track => track.style.getPropertyValue('--bar-from')"))
        )
        + 4
    )
    colours = {tuple(shot[middle, x]) for x in (inside, outside, bar)}
    assert len(colours) == 3
    column = shot[:, outside]
    assert np.abs(column - column[0]).sum(1).max() > 300  # the outline


def test_steps_are_shown_and_lead_back(visit, served):
    """Three steps make four pictures, which differ; the second leads back to its state, and the last one
    forth again.
    """
    page = visit(served)
    for strength in (1, 2):
        slide(page, "Glasses", "Eyeglasses", strength)
        slide(page, "Hat", "Wearing_Hat", strength)
    page.get_by_text("Steps so far").click()
    steps = page.locator("#history button")
    expect(steps).to_have_count(5)
    pictures = steps.locator("canvas").evaluate_all(
        "canvases => canvases.map((canvas) => canvas.toDataURL())"
    )
    assert len(set(pictures)) == 5
    steps.nth(1).click()
    shows(page, strengths={"Eyeglasses": 1})
    expect(page.locator("#redo")).to_be_enabled()
    assert page.evaluate("document.activeElement.title").startswith("Step 2: Face ")
    steps.nth(4).click()
    shows(page, strengths={"Eyeglasses": 2, "Wearing_Hat": 2})
    expect(page.locator("#redo")).to_be_disabled()


@pytest.fixture(scope="module")
def flowing(tmp_path_factory) -> Iterator[tuple[Export, str]]:
    """A model whose editor is a flow, and its static site."""
    folder = exports.shared() / "data/export"
    out = tmp_path_factory.mktemp("flowing") / "site"
    site.build(folder, out)
    with file_server(out) as (url, _):
        yield Export(folder), url


FOLLOW = """async (asked) => {
    const { LocalBackend } = await import("/js/backend-local.js");
    const backend = await LocalBackend.open(() => {});
    const found = [];
    for (const { seed, strengths, locked } of asked) {
        const edit = { code: await backend.sample(seed), strengths, locked, custom: [] };
        const { pixels } = await backend.render(edit, true);
        found.push([[...await backend.edited(edit)], [...pixels]]);
    }
    backend.close();
    return found;
}"""


def test_the_browser_follows_the_flow_as_python_does(visit, flowing, rng):
    """50 faces in 200 states of sliders and locks, the networks run by ONNX Runtime in WebAssembly: codes,
    and pictures to 1e-4 of their range.
    """
    export, url = flowing
    page = visit(url)
    asked = [
        {
            "seed": number % 50,
            "strengths": {name: rng.uniform(-2, 2) for name in export.names if rng.random() < 0.6},
            "locked": [name for name in export.names if rng.random() < 0.2],
        }
        for number in range(200)
    ]
    for one, (code, picture) in zip(asked, page.evaluate(FOLLOW, asked), strict=True):
        expected = export.edit(export.sample(one["seed"]), one["strengths"], one["locked"])
        np.testing.assert_allclose(code, expected, atol=1e-4)
        drawn = export.decode(expected[None])[0]
        np.testing.assert_allclose(np.reshape(picture, drawn.shape), drawn, atol=1e-4 * 255)


DRAW = """async ([seed, labels]) => {
    const { LocalBackend } = await import("/js/backend-local.js");
    const backend = await LocalBackend.open(() => {});
    backend.bundle.prior.source = "flow";
    const code = [...await backend.sample(seed, labels)];
    backend.close();
    return code;
}"""


def test_a_face_is_asked_for_in_words_and_drawn_from_the_flow_as_in_python(visit, flowing):
    """Another one of the kind with the button; a link carries what was asked for."""
    export, url = flowing
    drawing = Export(export.folder)
    drawing.about["prior"]["source"] = "flow"
    page = visit(url)
    for labels in ({}, {"Eyeglasses": 1, "Smiling": -1}):
        code = page.evaluate(DRAW, [11, labels])
        np.testing.assert_allclose(code, drawing.sample(11, None, labels), atol=1e-4)
    page.fill("#seed", "glasses, no smile")
    page.press("#seed", "Enter")
    until(page, "JSON.parse(document.getElementById('frame').dataset.shown)[0].labels?.Smiling === -1")
    first = state(page)["base"]
    expect(page.locator("#seed")).to_have_value("glasses, no smile")
    page.click("#random")
    until(page, f"JSON.parse(document.getElementById('frame').dataset.shown)[0].seed !== {first['seed']}")
    base = state(page)["base"]
    assert base["labels"] == {"Eyeglasses": 1, "Smiling": -1}
    again = visit(page.url)
    assert state(again)["base"] == base and near(pixels(again), pixels(page), 0.01)
    page.fill("#seed", "wings")
    page.press("#seed", "Enter")
    expect(page.locator(".toast")).to_contain_text("No slider is called “wings”")


def test_the_page_says_what_the_model_sees_and_what_an_edit_brought_along(visit, flowing):
    """In words; and by a ring on a slider that was not moved, gone with the edit."""
    export, url = flowing
    page = visit(url)
    expect(page.locator("#sees")).to_have_text(re.compile("^The model sees: .+[.]$"))
    slide(page, "Smile", "Smiling", 2)
    code = export.arrays["presets"][state(page)["base"]["index"]]
    edited = export.edit(code, {"Smiling": 2.0})
    change = (export.labels(edited)["Eyeglasses"] - export.labels(code)["Eyeglasses"]) / 2
    ring = page.locator(".row[data-name=Eyeglasses] .also")
    place = ring.evaluate("ring => Number(ring.parentElement.style.getPropertyValue('--also'))")
    least, most = (float(slider(page, "Glasses").get_attribute(end)) for end in ("min", "max"))
    assert place == pytest.approx((change - least) / (most - least), abs=1e-3)
    assert ring.is_visible() == (abs(change) >= 0.1)
    page.click("#reset-all")
    shows(page, strengths={})
    expect(ring).to_be_hidden()


def test_a_measured_slider_says_what_is_read_in_its_unit_while_it_moves(visit, model, tmp_path):
    folder = shutil.copytree(model.folder, tmp_path / "export")
    about = json.loads((folder / "bundle.json").read_text())
    one = next(one for one in about["attributes"] if one["name"] == "Smiling")
    one["measure"] = {"unit": "%", "low": 40.0, "high": 100.0}
    (folder / "bundle.json").write_text(json.dumps(about))
    site.build(folder, tmp_path / "site")
    export = Export(folder)

    def read(code: np.ndarray) -> str:
        return f"reads {round(40 + (export.labels(code)['Smiling'] + 1) / 2 * 60)}%"

    with file_server(tmp_path / "site") as (url, _):
        page = visit(url)
        shown = page.locator(".row[data-name=Smiling] .reading")
        code = export.arrays["presets"][state(page)["base"]["index"]]
        expect(shown).to_have_text(read(code))
        slide(page, "Smile", "Smiling", 1)
        after = read(export.edit(code, {"Smiling": 1.0}))
        assert after != read(code)
        expect(shown).to_have_text(after)
        expect(slider(page, "Smile")).to_have_attribute("aria-valuetext", f"+1.00, {after}")
        expect(page.locator(".row[data-name=Eyeglasses] .reading")).to_be_empty()
        page.click("#reset-all")
        expect(shown).to_have_text(read(code))


@pytest.fixture(scope="module")
def witnessed(model, built, tmp_path_factory) -> Path:
    """The export for photographs, with a face network: 128 numbers, the first three the mean colour."""
    folder = shutil.copytree(model.folder, tmp_path_factory.mktemp("witnessed") / "export")
    matrix = np.zeros((64 * 64 * 3, 128), np.float32)
    matrix[np.arange(len(matrix)), np.arange(len(matrix)) % 3] = 1 / (64 * 64)
    standin.network(
        folder / "identity.onnx",
        ("images", TensorProto.UINT8, ["batch", 64, 64, 3]),
        ("features", TensorProto.FLOAT, ["batch", 128]),
        [
            helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["float", "rows"], ["flat"]),
            helper.make_node("MatMul", ["flat", "matrix"], ["features"]),
        ],
        {"rows": np.array([-1, 64 * 64 * 3]), "matrix": matrix},
    )
    about = json.loads((folder / "bundle.json").read_text())
    content = (folder / "identity.onnx").read_bytes()
    about["identity"] = {
        "file": "identity.onnx",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "threshold": 0.3,
        "unit": 2.5,
    }
    (folder / "bundle.json").write_text(json.dumps(about))
    return folder


@pytest.mark.parametrize("where", ["served", "static"])
def test_who_is_still_the_same_person(visit, where, witnessed, astronaut, tmp_path):
    """Nothing is fetched before a person asks, and never for a drawn face; then words for each edit, figures
    on demand: how far the mean colour of the crop goes.
    """
    with contextlib.ExitStack() as ending:
        if where == "static":
            site.build(witnessed, tmp_path / "site")
            url, _ = ending.enter_context(file_server(tmp_path / "site"))
        else:
            url = f"http://127.0.0.1:{ending.enter_context(serve(witnessed, ROOT / 'web/page')).port}/"
        page = visit(url)
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        check = page.locator("#same-check")
        words = page.locator("#same-words")
        expect(check).to_be_hidden()
        upload(page, astronaut)
        more = {"served": 21, "static": 7}[where]  # MB: in the page the runtime is there already
        expect(check).to_have_text(f"Same person? Check with a face network ({more} MB)")
        page.set_viewport_size({"width": 360, "height": 740})
        assert check.evaluate("button => button.scrollWidth <= button.clientWidth")
        page.set_viewport_size(DESKTOP)
        assert not any("identity" in url for url in asked if not url.endswith(".js"))
        check.click()
        expect(words).to_have_text("Still the same person, to a face network", timeout=30000)
        expect(page.locator("#same-figures")).to_have_text(
            "Distance 0.00. Of a hundred pairs of two people one is nearer than 0.30, half of them than 2.50."
        )
        expect(check).to_be_hidden()
        assert sum(url.endswith("/export/identity.onnx") for url in asked) == 1
        slide(page, "Hat", "Wearing_Hat", 2)
        expect(words).to_have_text("Another person, to a face network", timeout=30000)
        page.click("#same summary")
        expect(page.locator("#same-figures")).to_be_visible()
        far = float(page.locator("#same-figures").inner_text().split()[1].rstrip("."))
        assert far == pytest.approx(moved_colour(page), rel=0.25)
        page.click("#reset-all")
        expect(words).to_have_text("Still the same person, to a face network")
        page.locator("#presets button").first.click()
        expect(page.locator("#same")).to_be_hidden()
        expect(check).to_be_hidden()


def moved_colour(page: Page) -> float:
    """How far the mean colour goes in the model's crop, which is seen 1.45 times as large."""
    difference = pixels(page).astype(float) - pixels(page, "before")
    return 1.45**2 * float(np.linalg.norm(difference.mean((0, 1))))


def test_without_sliders_a_photograph_stays_as_it_is(visit, flowing, astronaut):
    """To the pixel, before an edit and after it was taken back."""
    _, url = flowing
    page = visit(url)
    upload(page, astronaut)
    assert (pixels(page) == pixels(page, "before")).all()
    slide(page, "Glasses", "Eyeglasses", 1)
    slide(page, "Glasses", "Eyeglasses", 0)
    assert (pixels(page) == pixels(page, "before")).all()


# An example, other ways in, other ways out


def test_an_example_moves_until_a_person_does(visit, served):
    """Opened by its name alone, the page moves a slider, says which, and makes no step of it; a key ends it;
    with a link, or where less motion is wanted, there is none.
    """
    page = visit(served, reduced_motion="no-preference")
    until(
        page, "[...document.querySelectorAll('#sliders input[type=range]')].some((one) => one.value !== '0')"
    )
    expect(page.locator("#tag-demo")).not_to_be_empty()
    expect(page.locator("#undo")).to_be_disabled()
    page.keyboard.press("Shift")
    expect(page.locator("#tag-demo")).to_be_hidden()
    until(
        page, "[...document.querySelectorAll('#sliders input[type=range]')].every((one) => one.value === '0')"
    )
    for other in (visit(served + "#seed=3", reduced_motion="no-preference"), visit(served)):
        other.wait_for_timeout(500)
        expect(other.locator("#tag-demo")).to_be_hidden()


def test_at_rest_a_preset_is_its_own_picture(visit, served, model):
    """And not what the model draws of it; where a slider moves, the model's change is in it."""
    page = visit(served)
    own = model.bundle["presets"][model.first]["picture"]
    picture = Image.open(io.BytesIO(base64.b64decode(own.split(",")[1]))).convert("RGB")
    wanted = np.asarray(picture.resize((256, 256), Image.Resampling.LANCZOS))
    assert np.abs(pixels(page).astype(int) - wanted).max() <= 1
    slide(page, "Hat", "Wearing_Hat", 1)
    assert not near(pixels(page), wanted, 2)
    assert near(pixels(page, "before"), wanted, 0.1)


def test_what_else_changed_is_said(visit, served, model):
    """In words, with figures on demand: the largest change of a label that no slider asked for."""
    code = model.array("presets")[model.first]
    before = model.labels(code[None])[0]
    fair = [i for i, one in enumerate(model.bundle["attributes"]) if not one["judgemental"]]

    def change(name: str) -> np.ndarray:
        moved = model.labels((code + 2 * model.step(name))[None])[0] - before
        return np.where(np.isin(np.arange(len(before)), fair), moved / 2, 0) * (np.array(model.names) != name)

    name = max((model.names[i] for i in fair), key=lambda one: np.abs(change(one)).max())
    largest = int(np.abs(change(name)).argmax())
    assert abs(change(name)[largest]) > 0.1
    page = visit(served)
    expect(page.locator("#also")).to_be_hidden()
    page.evaluate(f"document.getElementById('slider-{name}').closest('details')?.setAttribute('open', '')")
    label, other = (model.bundle["attributes"][i]["label"] for i in (model.names.index(name), largest))
    slide(page, label, name, 2)
    words = other.lower().removeprefix("no ")
    expect(page.locator("#also-words")).to_contain_text(re.compile(f"^Also changed: .*(more|less) {words}"))
    expect(page.locator("#also-figures")).to_be_hidden()
    page.click("#also-words")
    figure = f"{other} {change(name)[largest]:+.1f}".replace("-", "\N{MINUS SIGN}")
    expect(page.locator("#also-figures")).to_contain_text(figure[:-1])


def test_a_picture_from_the_camera(visit, static):
    """Asked for in words, taken in the browser, and let go at the end."""
    page = visit(static)
    page.click("#camera-open")
    expect(page.locator("#camera-text")).to_contain_text("stays on this computer")
    page.click("#camera-on")
    page.click("#camera-take")
    expect(page.locator("#photo-bar")).to_be_visible(timeout=30000)
    shows(page, base={"kind": "photo", "id": 1})
    assert page.evaluate("document.getElementById('camera-view').srcObject") is None


FACE_BEFORE_THE_CAMERA = """(url) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 480;
    const image = new Image();
    image.src = url;
    let turn = 0;
    const paint = () => {
        turn += 1;
        canvas.getContext("2d").drawImage(image, 4 * Math.sin(turn / 5), 0, 480, 480);
        window.painting = setTimeout(paint, 40);
    };
    image.onload = paint;
    const stream = canvas.captureStream(25);
    window.tracks = stream.getTracks();
    navigator.mediaDevices.getUserMedia = async () => stream;
}"""


@pytest.mark.parametrize("where", ["served", "static"])
def test_the_camera_live(visit, request, where, astronaut):
    """A face before the camera changes with the sliders, in this browser alone; a still stays the default;
    Stop lets the camera go and shows what was there before.
    """
    page = visit(request.getfixturevalue(where))
    slide(page, "Glasses", "Eyeglasses", 1)
    before = pixels(page)
    picture = "data:image/jpeg;base64," + base64.b64encode(astronaut.read_bytes()).decode()
    page.evaluate(FACE_BEFORE_THE_CAMERA, picture)
    sent = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.click("#camera-open")
    expect(page.locator("#camera-text")).to_contain_text("none is sent or kept")
    page.click("#camera-on")
    expect(page.locator("#camera-take")).to_be_focused()
    page.click("#camera-live")
    expect(page.locator("#live-text")).to_contain_text("pictures a second", timeout=60000)
    assert pixels(page).shape == (480, 480, 3)
    inside, outside = page.evaluate(MOVED)
    assert inside > 10 and outside == 0
    slide_live(page, "Glasses", "0")
    until(page, f"({MOVED})().every((most) => most === 0)")
    assert serious(page) == []
    slide_live(page, "Glasses", "1")
    page.click("#live-stop")
    assert page.evaluate("window.tracks.every((track) => track.readyState === 'ended')")
    shows(page, strengths={"Eyeglasses": 1})
    give_up = monotonic() + 20
    while not near(pixels(page), before):
        assert monotonic() < give_up
    assert not [url for url in sent if "encode" in url]
    expect(page.locator("#live-bar")).to_be_hidden()


# The largest change of the picture now, and of its left edge
MOVED = """() => {
    const [one, other] = ["after", "before"].map((id) => {
        const canvas = document.getElementById(id);
        return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    });
    const most = [0, 0];
    one.forEach((value, i) => {
        const moved = Math.abs(value - other[i]);
        most[0] = Math.max(most[0], moved);
        if ((i / 4) % 480 < 20) most[1] = Math.max(most[1], moved);
    });
    return most;
}"""


def slide_live(page: Page, label: str, value: str) -> None:
    field = page.get_by_role("textbox", name=f"{label}, in changes of the label")
    field.fill(value)
    field.press("Enter")


def test_a_picture_kept_from_the_live_camera(visit, static, astronaut):
    """It is the picture as it came, and the sliders stay on it."""
    page = visit(static)
    slide(page, "Glasses", "Eyeglasses", 1)
    picture = "data:image/jpeg;base64," + base64.b64encode(astronaut.read_bytes()).decode()
    page.evaluate(FACE_BEFORE_THE_CAMERA, picture)
    page.click("#camera-open")
    page.click("#camera-on")
    page.click("#camera-live")
    expect(page.locator("#live-text")).to_contain_text("pictures a second", timeout=60000)
    page.click("#live-take")
    expect(page.locator("#photo-bar")).to_be_visible(timeout=30000)
    shows(page, base={"kind": "photo", "id": 1}, strengths={"Eyeglasses": 1})


def test_a_camera_that_is_refused_says_what_to_do(visit, static):
    page = visit(static)
    page.evaluate(
        """() => {
            const refusal = new DOMException("", "NotAllowedError");
            navigator.mediaDevices.getUserMedia = () => Promise.reject(refusal);
        }"""
    )
    page.click("#camera-open")
    page.click("#camera-on")
    expect(page.locator("#camera-text")).to_contain_text("allow it in the address bar")


@pytest.mark.parametrize("where", ["served", "static"])
def test_a_photograph_outlives_a_reload_until_it_is_forgotten(visit, request, where, astronaut):
    """Picture, sliders and all; the person is told who kept it. Forgotten, or left for another face, it is in
    no store of the browser any more.
    """
    page = visit(request.getfixturevalue(where))
    upload(page, astronaut)
    slide(page, "Glasses", "Eyeglasses", 1)
    until(page, KEPT)
    before = pixels(page)
    page.reload()
    ready(page)
    expect(page.locator(".toast")).to_contain_text("this browser alone kept it", timeout=30000)
    shows(page, base={"kind": "photo", "id": 1}, strengths={"Eyeglasses": 1})
    assert near(pixels(page), before)
    page.locator("#presets button").first.click()
    shows(page, base={"kind": "preset", "index": 0})
    until(page, f"{KEPT}.then((kept) => !kept)")
    page.click("#undo")
    shows(page, base={"kind": "photo", "id": 1})
    until(page, KEPT)
    with page.expect_event("load"):  # a navigation would also be the address that loses its photograph
        page.click("#forget")
    ready(page)
    assert state(page)["base"]["kind"] == "preset" and state(page)["strengths"] == {}
    until(page, f"{KEPT}.then((kept) => !kept)")


def test_a_second_tab_forgets_no_photograph_of_the_first(visit, static, astronaut):
    """Opened, given a photograph and sent back to a ready-made face, it leaves the first tab's alone; what a
    tab that is gone left a day and more ago goes.
    """
    page = visit(static)
    upload(page, astronaut)
    until(page, KEPT)
    page.evaluate(LEFT_LONG_AGO)
    second = page.context.new_page()
    second.goto(static)
    ready(second)
    until(second, f"{COUNT}.then((count) => count === 1)")
    upload(second, astronaut)
    until(second, f"{COUNT}.then((count) => count === 2)")
    second.locator("#presets button").first.click()
    until(second, f"{COUNT}.then((count) => count === 1)")
    page.reload()
    ready(page)
    shows(page, base={"kind": "photo", "id": 1})


# Promise of how many photographs the browser keeps, and
COUNT = """new Promise((resolve) => {
    const opening = indexedDB.open("facemorph", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("photograph");
    opening.onsuccess = () => {
        const count = opening.result.transaction("photograph").objectStore("photograph").count();
        count.onsuccess = () => {
            opening.result.close();
            resolve(count.result);
        };
    };
})"""
# whether it keeps any
KEPT = f"{COUNT}.then((count) => count > 0)"
LEFT_LONG_AGO = """new Promise((resolve) => {
    const opening = indexedDB.open("facemorph", 1);
    opening.onsuccess = () => {
        const store = opening.result.transaction("photograph", "readwrite").objectStore("photograph");
        store.put({ at: Date.now() - 25 * 3600 * 1000 }, "gone").onsuccess = () => {
            opening.result.close();
            resolve();
        };
    };
})"""


def test_closer_into_a_photograph(visit, static, astronaut):
    """Four times closer shows the photograph's own pixels, before and after; it moves by dragging."""
    page = visit(static)
    expect(page.locator("#zoom")).to_be_hidden()
    upload(page, astronaut)
    page.get_by_text("Whole photo", exact=True).click()
    until(page, "document.getElementById('after').width === 960")
    for _ in range(3):
        page.click("#zoom-in")
    until(page, "document.getElementById('after').width < 400")
    side = round(1000 / 1.5**3)
    middle = np.asarray(Image.open(astronaut).convert("RGB"))
    top = round(500 - side / 2)
    wanted = middle[top : top + side, top : top + side]
    shown = pixels(page)
    assert abs(shown.shape[0] - side) <= 1
    assert near(shown[2:-2, 2:-2], wanted[2 : shown.shape[0] - 2, 2 : shown.shape[1] - 2], 6)
    box = page.locator("#frame").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 200, steps=3)
    page.mouse.up()
    give_up = monotonic() + 10
    while near(pixels(page), shown, 0.5):
        assert monotonic() < give_up
    page.get_by_text("Close up", exact=True).click()
    expect(page.locator("#frame")).not_to_have_class(re.compile("zoomed"))


@pytest.fixture(scope="module")
def couple(tmp_path_factory) -> Path:
    """The astronaut twice, side by side."""
    one = skimage.data.astronaut()[:, 40:440]
    path = tmp_path_factory.mktemp("couple") / "couple.png"
    Image.fromarray(np.concatenate([one, one[:, ::-1]], axis=1)).save(path)
    return path


def test_several_faces_one_after_another(visit, static, couple):
    """The edit of the first stays in the picture when the second is chosen, and undo leads back."""
    page = visit(static)
    upload(page, couple)
    page.get_by_text("Whole photo", exact=True).click()
    expect(page.locator("#faces label")).to_have_count(2)
    slide(page, "Hat", "Wearing_Hat", 2)
    edited = pixels(page)
    unedited = pixels(page, "before")
    halves = (np.s_[:, : edited.shape[1] // 2], np.s_[:, edited.shape[1] // 2 :])
    (first,) = [i for i, half in enumerate(halves) if not near(edited[half], unedited[half], 0.01)]
    page.locator("#faces label").nth(1 - first).click()
    shows(page, base={"kind": "photo", "id": 2}, strengths={})
    assert near(pixels(page), edited, 1)
    slide(page, "Hat", "Wearing_Hat", 2)
    both = pixels(page)
    assert near(both[halves[first]], edited[halves[first]], 1)
    assert not near(both[halves[1 - first]], edited[halves[1 - first]], 1)
    page.click("#undo")
    page.click("#undo")
    shows(page, base={"kind": "photo", "id": 1}, strengths={"Wearing_Hat": 2})


def test_a_batch_of_photographs(visit, static, astronaut, couple, tmp_path):
    """The same sliders on each, at full size, as an archive; what is no picture is named and left out."""
    (tmp_path / "notes.jpg").write_text("no picture")
    page = visit(static)
    page.click("#save")
    expect(page.locator("#save-batch")).to_be_disabled()
    page.keyboard.press("Escape")
    slide(page, "Hat", "Wearing_Hat", 2)
    page.click("#save")
    with page.expect_download(timeout=60000) as download:
        page.set_input_files("#batch-files", [astronaut, tmp_path / "notes.jpg", couple])
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.namelist() == ["01-astronaut.jpg", "03-couple.jpg"]
        pictures = [Image.open(io.BytesIO(archive.read(name))) for name in archive.namelist()]
    assert [picture.size for picture in pictures] == [(1000, 1000), (800, 512)]
    assert b"compositeWithTrainedAlgorithmicMedia" in pictures[0].info["xmp"]
    assert np.abs(np.asarray(pictures[0]).astype(int) - np.asarray(Image.open(astronaut))).max() > 60
    expect(page.locator(".toast")).to_contain_text("notes.jpg is not a picture")


def test_a_saved_face_opens_again(visit, static):
    """From PNG and JPEG, dropped into a fresh page: face and sliders are there."""
    page = visit(static + "#seed=5")
    slide(page, "Hat", "Wearing_Hat", 1.5)
    for kind in ("png", "jpeg"):
        name, data = saved(page, kind)
        fresh = visit(static)
        fresh.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": data})
        shows(fresh, base={"kind": "seed", "seed": 5}, strengths={"Wearing_Hat": 1.5})
        assert near(pixels(fresh), pixels(page), 0.01)


def test_a_video_is_recorded_and_marked(visit, static, tmp_path):
    page = visit(static + "#seed=5")
    slide(page, "Hat", "Wearing_Hat", 2)
    name, data = saved(page, "video")
    assert name in ("facemorph-face-5.webm", "facemorph-face-5.mp4")
    assert len(data) > 5000 and b"trainedAlgorithmicMedia" in data
    (tmp_path / name).write_bytes(data)
    video = cv2.VideoCapture(str(tmp_path / name))
    frames = []
    while (found := video.read())[0]:
        frames.append(cv2.cvtColor(found[1], cv2.COLOR_BGR2RGB))
    assert frames[0].shape == (512, 512, 3) and len(frames) > 20
    travel = [np.abs(frame.astype(int) - frames[0]).mean() for frame in frames]
    assert max(travel) > 5 * max(travel[-1], 0.5)  # there and back


@pytest.fixture(scope="module")
def film(astronaut, tmp_path_factory) -> Path:
    """Half a second of the astronaut, who moves to the side."""
    path = tmp_path_factory.mktemp("film") / "film.webm"
    face = cv2.resize(cv2.imread(str(astronaut)), (320, 320), interpolation=cv2.INTER_AREA)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"VP80"), 25, (400, 320))
    for i in range(13):
        frame = np.full((320, 400, 3), 90, np.uint8)
        frame[:, 3 * i : 3 * i + 320] = face
        writer.write(frame)
    writer.release()
    return path


@pytest.mark.parametrize("where", ["served", "static"])
def test_a_video_of_ones_own(visit, request, where, film, tmp_path):
    """The sliders on each picture of a video, in the browser: as many pictures of its size, changed where the
    face is and nowhere else; closing the dialog ends it.
    """
    page = visit(request.getfixturevalue(where))
    page.click("#save")
    expect(page.locator("#save-film")).to_be_disabled()
    page.keyboard.press("Escape")
    slide(page, "Hat", "Wearing_Hat", 2)
    sent = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.click("#save")
    page.set_input_files("#film-file", film)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#saver")).to_be_hidden()
    expect(page.locator("#status")).to_have_text("Ended.", timeout=30000)
    page.click("#save")
    with page.expect_download(timeout=120000) as download:
        page.set_input_files("#film-file", film)
    assert sent == []
    name, data = download.value.suggested_filename, Path(download.value.path()).read_bytes()
    assert name == "facemorph-video" + Path(name).suffix
    assert b"compositeWithTrainedAlgorithmicMedia" in data
    path = tmp_path / name
    path.write_bytes(data)
    made, original = frames_of(path), frames_of(film)
    assert len(made) >= 12 and made[0].shape == original[0].shape
    for edited, before in ((made[1], original[0]), (made[-1], original[-1])):
        moved = np.abs(edited.astype(int) - before).max(2)
        assert moved[:160, 120:260].mean() > 4 * moved[:, 380:].mean()


def frames_of(path: Path) -> list[np.ndarray]:
    """The pictures (h, w, 3) of a video."""
    video = cv2.VideoCapture(str(path))
    frames = []
    while (read := video.read())[0]:
        frames.append(read[1])
    return frames


def test_an_animation_of_a_photograph_is_small(visit, static, astronaut):
    """Below 500 kB, as GIF, though it is of a photograph."""
    page = visit(static)
    upload(page, astronaut)
    slide(page, "Hat", "Wearing_Hat", 2)
    _, data = saved(page, "gif")
    image = Image.open(io.BytesIO(data))
    assert image.n_frames == 30 and image.width >= 150
    assert len(data) <= 500_000


def test_pinned_versions_and_the_contact_sheet(visit, served, model):
    page = visit(served)
    slide(page, "Hat", "Wearing_Hat", 1)
    page.click("#pin")
    page.click("#reset-all")
    page.click("#ends-box summary")
    expect(page.locator("#ends button")).to_have_count(
        sum(not attribute["judgemental"] for attribute in model.bundle["attributes"])
    )
    page.locator("#pins button").click()
    shows(page, strengths={"Wearing_Hat": 1})
    expect(page.locator("#pin")).to_have_attribute("aria-pressed", "true")
    page.locator("#ends button").first.click()
    assert len(state(page)["strengths"]) >= 1
    page.locator("#pins button").click()
    page.click("#pin")
    expect(page.locator("#pins-box")).to_be_hidden()


def test_a_face_in_a_frame_of_another_page(visit, static, browser, tmp_path):
    """The HTML to copy shows this face and four sliders, no more, in somebody else's page."""
    page = visit(static)
    slide(page, "Glasses", "Eyeglasses", 1)
    page.click("#save")
    page.click("#save-embed")
    html = page.locator("#embed-code").input_value()
    assert serious(page, "#saver") == []
    shown = pixels(page)
    (tmp_path / "index.html").write_text(f"<!doctype html><title>A page</title>{html}")
    with file_server(tmp_path) as (url, _):
        context = browser.new_context(viewport=DESKTOP, service_workers="block")
        other = context.new_page()
        other.goto(url)
        frame = other.frame_locator("iframe")
        expect(frame.locator("#frame")).to_have_attribute(
            "data-shown", re.compile("Eyeglasses"), timeout=30000
        )
        inside = other.frames[1]
        assert near(pixels(inside), shown)
        sliders = frame.get_by_role("slider")
        expect(sliders).to_have_count(4)
        assert inside.evaluate("document.documentElement.scrollWidth <= innerWidth")
        frame.get_by_role("textbox", name="Smile, in changes of the label").fill("1")
        other.keyboard.press("Enter")
        expect(frame.locator("#frame")).to_have_attribute("data-shown", re.compile("Smiling"))
        assert "embed" not in frame.locator("#whole").get_attribute("href")
        assert "Smiling=1" in frame.locator("#whole").get_attribute("href")
        expect(frame.get_by_role("button", name="Random face")).to_be_hidden()
        context.close()


def test_the_page_opens_without_a_network(visit, static):
    """Once the model is here, kept by the export's version; reloaded offline, a seed is the same face."""
    page = visit(static + "#seed=9", service_workers="allow", broken=True)
    until(page, "document.getElementById('frame').hasAttribute('data-kept')")
    before = pixels(page)
    page.context.set_offline(True)
    page.reload()
    page.locator("#frame[data-shown]").wait_for(timeout=90000)
    assert near(pixels(page), before, 0.01)
    names = page.evaluate("caches.keys()")
    assert len(names) == 1 and names[0] == "facemorph " + urlsplit(page.url).fragment.split("model=")[1]


def test_tracks_end_where_faces_lie(visit, served, model):
    """A track goes half a change beyond what turns the face, which is not as far either way; a number that
    is typed stretches it; the mark lies where the face is turned.
    """
    page = visit(served)
    labels = model.labels(model.array("presets"))[:, model.names.index("Eyeglasses")]
    for preset in (int(labels.argmin()), int(labels.argmax())):
        page.locator("#presets button").nth(preset).click()
        shows(page, base={"kind": "preset", "index": preset}, strengths={})
        track = page.locator(".row[data-name=Eyeglasses] .track")
        turns = -(1 + labels[preset]) / 2, (1 - labels[preset]) / 2
        least, most = -np.ceil((0.5 - turns[0]) / 0.05) * 0.05, np.ceil((turns[1] + 0.5) / 0.05) * 0.05
        expect(slider(page, "Glasses")).to_have_attribute("min", f"{least:.2f}".rstrip("0").rstrip("."))
        assert float(slider(page, "Glasses").get_attribute("max")) == pytest.approx(most)
        ends = [
            float(track.evaluate(f"track => track.style.getPropertyValue('--band-{end}')").rstrip("%"))
            for end in ("from", "to")
        ]
        assert ends == pytest.approx([100 * (end - least) / (most - least) for end in turns], abs=0.01)
    assert abs(least) > most + 0.5
    slider(page, "Glasses").press("End")
    shows(page, strengths={"Eyeglasses": round(float(most), 2)})
    slide(page, "Glasses", "Eyeglasses", 2)
    expect(slider(page, "Glasses")).to_have_attribute("max", "2")
    expect(slider(page, "Glasses")).to_have_value("2")


def test_drawings_are_enlarged_with_sharp_edges(visit, served):
    """A soft edge from 50 to 200: it becomes steep where it stands, within its own range; an even area stays
    as it is. The painter does so for drawings alone.
    """
    page = visit(served)
    edge, even, drawing, other = page.evaluate(
        """async () => {
          const { crisp } = await import("/js/crisp.js");
          const { Painter } = await import("/js/painter.js");
          const side = 64;
          const soft = (x) => 50 + 150 / (1 + Math.exp((32 - x) / 1.5));
          const picture = (f) => ({
            data: Float32Array.from({ length: side * side * 3 }, (_, i) => f(Math.floor(i / 3) % side)),
            width: side, height: side });
          const pixels = picture((x) => (x < 32 ? 50 : 200)).data;
          const shown = async (drawing) => [...(await new Painter(drawing).enlarged(pixels, side, 4)).data];
          return [[...crisp(picture(soft), 4)], [...crisp(picture(() => 90), 4)],
                  await shown(true), await shown(undefined)];
        }"""
    )
    row = np.reshape(edge, (64, 64, 3))[30, 1:-1, 0]
    before = 50 + 150 / (1 + np.exp((32 - np.arange(1, 63)) / 1.5))
    between = [((values > 65) & (values < 185)).sum() for values in (before, row)]
    assert between[0] == 7 and between[1] <= 3, between
    assert row.min() >= 50 and row.max() <= 200
    assert abs(np.argmax(row > 125) - np.argmax(before > 125)) <= 1
    np.testing.assert_array_equal(even, 90)
    steepest = [np.diff(np.reshape(levels, (256, 256, 4))[128, :, 0]).max() for levels in (drawing, other)]
    assert steepest[0] > 1.5 * steepest[1], steepest


def test_a_slow_drag_leaves_sharp_edges_until_it_rests(visit, served):
    """With a painter that takes 80 ms, pictures of a drag are asked for without them from the fourth on, and
    the one at rest with them.
    """
    page = visit(served)
    asked = page.evaluate(
        """async () => {
          const { Painter } = await import("/js/painter.js");
          const { enlarged } = Painter.prototype;
          const asked = [];
          Painter.prototype.enlarged = async function (pixels, size, times, sharp) {
            asked.push(sharp);
            await new Promise((resolve) => setTimeout(resolve, 80));
            return enlarged.call(this, pixels, size, times, sharp);
          };
          const frame = document.getElementById("frame");
          const input = document.querySelector("#sliders input[type=range]");
          const move = async (value, kind) => {
            const before = frame.dataset.shown;
            input.value = String(value);
            input.dispatchEvent(new Event(kind));
            while (frame.dataset.shown === before) await new Promise((resolve) => setTimeout(resolve, 5));
          };
          for (let i = 1; i <= 5; i++) await move(0.1 * i, "input");
          const drag = asked.splice(0);
          input.dispatchEvent(new Event("change"));
          while (!asked.length) await new Promise((resolve) => setTimeout(resolve, 5));
          return [drag, asked];
        }"""
    )
    assert asked == [[True, True, True, False, False], [True]]


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_in_german(visit, served, viewport):
    """By the browser's language, whatever appears later too; nothing runs over the side; English by choice,
    which is kept.
    """
    page = visit(served, viewport, locale="de-DE")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    expect(page.get_by_role("tab").nth(0)).to_have_text("Regler")
    page.locator("#presets button").first.click()
    expect(page.locator("#sees")).to_contain_text("Das Modell sieht:")
    page.click("#save")
    expect(page.get_by_role("button", name="Streifen")).to_be_visible()
    page.keyboard.press("Escape")
    for tab in range(3):
        page.get_by_role("tab").nth(tab).click()
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0
    page.get_by_role("combobox").select_option("en")
    expect(page.get_by_role("tab").nth(0)).to_have_text("Sliders")
    page.reload()
    expect(page.get_by_role("tab").nth(0)).to_have_text("Sliders")
