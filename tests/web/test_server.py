"""The HTTP API as web/API.md specifies it, and what it does with what nobody should send."""

import asyncio
import base64
import io
import json
import re
import shutil
import threading

import numpy as np
import pytest
import skimage.data
from PIL import Image
from starlette.testclient import TestClient

from facemorph import photos
from facemorph.export import Export
from tests.helpers import exports
from web import guard, server
from web.__main__ import options
from web.shelf import Shelf

ORIGIN = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    (folder / "index.html").write_text("<!doctype html><title>Facemorph</title>")
    (folder / "app.mjs").write_text("export {}")
    return folder


@pytest.fixture(scope="module")
def app(page):
    return server.create(Shelf(exports.shared() / "data/export"), page)


@pytest.fixture(scope="module")
def client(app):
    with TestClient(app, base_url=ORIGIN) as client:
        yield client


@pytest.fixture(scope="module")
def export():
    return Export(exports.shared() / "data/export")


@pytest.fixture(scope="module")
def astronaut():
    buffer = io.BytesIO()
    Image.fromarray(skimage.data.astronaut()).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


@pytest.fixture
def code(export):
    return server.pack(export.sample(7, 0.8))


def unpack(text):
    return np.frombuffer(base64.b64decode(text), "<f4")


def refusal(answer, status, word):
    """The answer is an error as specified; its detail."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error", "detail"} and body["error"] == word
    return body["detail"]


def test_the_model_describes_itself(client, export):
    answer = client.get("/api/model")
    assert answer.json() == {**export.about, "id": export.id}
    assert answer.headers["x-model"] == export.id
    assert client.get("/api/model", headers={"if-none-match": answer.headers["etag"]}).status_code == 304


def test_how_fresh_the_model_is(client, export):
    """Nobody keeps a plain folder fresh; and a date is late when it is past."""
    nothing = {"version": None, "since": None, "checked": None, "due": None, "late": False}
    assert client.get("/api/status").json() == {"model": export.id, **nothing}
    assert server.past("2020-01-01T00:00:00+00:00") and not server.past("2999-01-01T00:00:00+00:00")
    assert not server.past(None) and not server.past("soon") and not server.past("2020-01-01T00:00:00")


def test_a_seed_gives_its_face(client, export):
    body = client.post("/api/sample", json={"seed": 7, "temperature": 0.5}).json()
    np.testing.assert_array_equal(unpack(body["code"]), export.sample(7, 0.5))
    assert body["labels"] == export.labels(export.sample(7, 0.5)) and body["model"] == export.id
    np.testing.assert_array_equal(
        unpack(client.post("/api/sample", json={"seed": 7}).json()["code"]), export.sample(7, 0.8)
    )


def test_an_edit_is_decoded_in_three_forms(client, export, code):
    request = {"code": code, "strengths": {"Smiling": 2.0}, "locked": ["Male"]}
    exact = export.decode(export.edit(export.sample(7, 0.8), {"Smiling": 2.0}, ["Male"], [])[None])[0]
    raw, fine, png = (
        client.post("/api/edit", params={"as": kind}, json=request) for kind in ("raw", "fine", "png")
    )
    size = (export.size, export.size, 3)
    np.testing.assert_array_equal(np.frombuffer(raw.content, np.uint8).reshape(size), np.rint(exact))
    np.testing.assert_allclose(np.frombuffer(fine.content, "<u2").reshape(size) / 256, exact, atol=1 / 512)
    picture = Image.open(io.BytesIO(png.content))
    np.testing.assert_array_equal(np.asarray(picture), np.rint(exact))
    assert picture.text["Comment"] == photos.MARK + export.id
    assert raw.headers["x-size"] == str(export.size) and raw.headers["cache-control"] == "no-store"


def test_a_face_is_asked_for_by_its_labels(client, export):
    asked = {"seed": 7, "labels": {"Smiling": 1, "Eyeglasses": -1}}
    body = client.post("/api/sample", json=asked).json()
    np.testing.assert_array_equal(unpack(body["code"]), export.sample(7, None, asked["labels"]))
    for labels, word in (({"Nose": 1}, "'Nose' is not an attribute"), ({"Smiling": 0.5}, "labels.Smiling")):
        assert word in refusal(client.post("/api/sample", json={"seed": 7, "labels": labels}), 422, "invalid")


def test_a_persons_own_direction(client, export, code):
    """Made length one, and added in its own sigmas."""
    own = {"direction": server.pack(3 * export.editor.units[0]), "sigma": 1.5, "strength": 2.0}
    mine = client.post("/api/edit", json={"code": code, "custom": [own]})
    there = unpack(code) + 3 * export.editor.units[0].astype(np.float32)
    plain = client.post("/api/edit", json={"code": server.pack(there)})
    found, expected = (np.frombuffer(one.content, np.uint8).astype(int) for one in (mine, plain))
    assert np.abs(found - expected).max() <= 1


def test_an_edit_says_what_the_model_then_sees(client, export, code):
    """So that the page can show what else moved."""
    answer = client.post("/api/edit", json={"code": code, "strengths": {"Smiling": 1.0}})
    labels = export.labels(export.edit(unpack(code), {"Smiling": 1.0}))
    assert [float(part) for part in answer.headers["x-labels"].split(",")] == pytest.approx(
        list(labels.values()), abs=1e-3
    )


def test_a_morph_begins_and_ends_at_its_faces(client, code):
    other = client.post("/api/sample", json={"seed": 8}).json()["code"]
    ends = [client.post("/api/edit", json={"code": one}).content for one in (code, other)]
    for t, expected in zip((0, 1), ends, strict=True):
        found = client.post("/api/morph", json={"a": {"code": code}, "b": {"code": other}, "t": t})
        assert (
            np.abs(
                np.frombuffer(found.content, np.uint8).astype(int) - np.frombuffer(expected, np.uint8)
            ).max()
            <= 1
        )


def test_an_animation_a_strip_and_a_still(client, export, code):
    request = {
        "from": {"code": code},
        "to": {"code": code, "strengths": {"Smiling": 2.0}},
        "frames": 6,
        "scale": 2,
        "fps": 10,
    }
    film = Image.open(io.BytesIO(client.post("/api/render", json={**request, "kind": "gif"}).content))
    assert film.n_frames == 10 and film.size == (2 * export.size,) * 2 and film.info["duration"] == 100
    assert photos.MARK.encode() in film.info["comment"]
    once = client.post("/api/render", json={**request, "kind": "gif", "bounce": False})
    assert Image.open(io.BytesIO(once.content)).n_frames == 6
    strip = Image.open(io.BytesIO(client.post("/api/render", json={**request, "kind": "strip"}).content))
    assert strip.size == (6 * 2 * export.size, 2 * export.size)
    still = Image.open(
        io.BytesIO(client.post("/api/render", json={**request, "kind": "png", "scale": 1}).content)
    )
    edited = client.post("/api/edit", json=request["to"]).content
    assert still.tobytes() == edited
    half = {"code": code, "strengths": {"Smiling": 1.0}}
    odd = Image.open(
        io.BytesIO(
            client.post("/api/render", json={**request, "kind": "strip", "frames": 3, "scale": 1}).content
        )
    )
    middle = odd.crop((export.size, 0, 2 * export.size, export.size))
    assert middle.tobytes() == client.post("/api/edit", json=half).content  # the slider's own way
    assert "frames" in refusal(
        client.post("/api/render", json={**request, "kind": "strip", "frames": 17}), 422, "invalid"
    )


def test_a_photograph_becomes_a_code(client, export, astronaut):
    body = client.post("/api/encode", content=astronaut, headers={"content-type": "image/jpeg"}).json()
    assert (body["width"], body["height"], body["aligned"], body["face"], body["notices"]) == (
        512,
        512,
        "face",
        0,
        [],
    )
    eyes = np.array(body["faces"][0]["points"])[:2]
    assert np.linalg.norm(eyes - [[202.8, 100.8], [246.2, 102.8]], axis=1).max() < 5  # measured by hand
    crop = np.asarray(Image.open(io.BytesIO(base64.b64decode(body["crop"].split(",")[1]))))
    np.testing.assert_allclose(unpack(body["code"]), export.encode(crop), atol=1e-6)
    matrix = np.array(body["matrix"])
    landed = np.array(body["points"]) @ matrix[:, :2].T + matrix[:, 2]
    goal = export.geometry.template @ export.geometry.cut[:, :2].T + export.geometry.cut[:, 2]
    assert np.abs(landed - goal).max() < 3 * export.size / 148


def test_clicks_decide_where_the_face_is(client, astronaut):
    clicks = "202.8,100.8,246.2,102.8,223.4,139.8"

    def send(points):
        return client.post(
            "/api/encode", params={"points": points}, content=astronaut, headers={"content-type": "image/png"}
        )

    body = send(clicks).json()
    assert body["aligned"] == "points" and body["face"] is None
    np.testing.assert_allclose(
        np.array(body["points"]).ravel(), [float(part) for part in clicks.split(",")], atol=1e-3
    )
    exchanged = send("246.2,102.8,202.8,100.8,223.4,139.8").json()
    assert exchanged["code"] == body["code"] and exchanged["points"] == body["points"]
    for wrong in ("1,2,3", "a,b,c,d,e,f", "nan,1,2,3,4,5", "5,5,5,5,5,5", "99999,1,2,3,4,5", "inf,1,1,1,1,1"):
        assert refusal(send(wrong), 422, "invalid").startswith("points")


def test_a_photograph_larger_than_what_is_worked_on_keeps_its_coordinates(client, astronaut):
    big = Image.open(io.BytesIO(astronaut)).resize((3072, 3072), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    big.save(buffer, "JPEG", quality=90)
    body = client.post(
        "/api/encode", content=buffer.getvalue(), headers={"content-type": "image/jpeg"}
    ).json()
    assert body["width"] == 3072
    assert np.abs(np.array(body["faces"][0]["points"])[0] / 6 - (202.8, 100.8)).max() < 5
    matrix = np.array(body["matrix"])
    small = client.post("/api/encode", content=astronaut, headers={"content-type": "image/jpeg"}).json()
    np.testing.assert_allclose(matrix[:, :2] * 6, np.array(small["matrix"])[:, :2], atol=0.02)


def test_no_face_is_not_an_error(client):
    buffer = io.BytesIO()
    Image.new("RGB", (200, 300), "teal").save(buffer, "PNG")
    body = client.post("/api/encode", content=buffer.getvalue(), headers={"content-type": "image/png"}).json()
    assert (
        body["faces"] == []
        and body["aligned"] == "frame"
        and body["notices"] == ["none"]
        and body["face"] is None
    )
    answer = client.post(
        "/api/encode", params={"face": 2}, content=buffer.getvalue(), headers={"content-type": "image/png"}
    )
    assert answer.status_code == 200  # nothing to choose from


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"code": "AAAA"}, "code: 3 bytes"),
        ({"code": "not base64 !"}, "code: not base64"),
        ({"code": "ä"}, "code: not base64"),
        ({"code": server.pack(np.full(12, np.nan))}, "code: holds NaN"),
        ({"code": server.pack(np.full(12, np.inf))}, "code: holds NaN"),
        ({"code": server.pack(np.full(12, 3e38) * np.resize([1, -1], 12))}, "code"),
        ({"code": 5}, "code"),
        ({"strengths": {"Smiling": 5.1}}, "strengths.Smiling"),
        ({"strengths": {"Nose": 1}}, "'Nose' is not an attribute"),
        ({"strengths": {"\ud800": 1}}, ""),
        ({"strengths": []}, "strengths"),
        ({"locked": ["Nose"]}, "'Nose' is not an attribute"),
        ({"locked": "Male"}, "locked"),
        (
            {"custom": [{"direction": server.pack(np.zeros(12)), "sigma": 1, "strength": 1}]},
            "custom.direction: has no length",
        ),
        ({"custom": [{"direction": "AAAA", "sigma": 1, "strength": 1}] * 17}, "custom"),
        ({"extra": 1}, "extra"),
        ({"model": 7}, "model"),
    ],
)
def test_values_that_cannot_be_are_named(client, code, change, said):
    content = json.dumps({"code": code, **change}).encode()
    detail = refusal(
        client.post("/api/edit", content=content, headers={"content-type": "application/json"}),
        422,
        "invalid",
    )
    assert said in detail and "\n" not in detail


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"code": NaN}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"code": ' + b"9" * 5000 + b"}",
        b'"' + b"\\ud800" * 9 + b'"',
    ],
)
def test_what_is_not_a_request_is_refused(client, body):
    for path in ("/api/edit", "/api/morph", "/api/sample", "/api/render"):
        refusal(client.post(path, content=body, headers={"content-type": "application/json"}), 422, "invalid")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(client, code, value):
    content = f'{{"code": "{code}", "strengths": {{"Smiling": {value}}}}}'
    assert "strengths.Smiling" in refusal(
        client.post("/api/edit", content=content, headers={"content-type": "application/json"}),
        422,
        "invalid",
    )
    refusal(
        client.post(
            "/api/sample", content=f'{{"seed": {value}}}', headers={"content-type": "application/json"}
        ),
        422,
        "invalid",
    )


def test_bodies_are_capped_while_they_arrive(client):
    """With a promised length, and without one: the second comes in pieces, none of which says how many there
    are.
    """
    given = 0

    def endless():
        nonlocal given
        for _ in range(1000):
            given += 2**20
            yield bytes(2**20)

    for content in (bytes(photos.MAX_BYTES + 1), endless()):
        answer = client.post("/api/encode", content=content, headers={"content-type": "image/jpeg"})
        assert "12 MiB" in refusal(answer, 413, "too_large") and answer.headers["connection"] == "close"
    huge = json.dumps({"code": "A" * (guard.JSON_BYTES + 1)})
    refusal(
        client.post("/api/edit", content=huge, headers={"content-type": "application/json"}), 413, "too_large"
    )


def test_a_capped_body_is_not_read_to_its_end():
    """The guard stops asking for more once the cap is passed."""
    asked = 0

    async def receive():
        nonlocal asked
        asked += 1
        return {"type": "http.request", "body": bytes(2**20), "more_body": True}

    with pytest.raises(guard.Refusal) as error:
        asyncio.run(guard.read_body({}, receive, 3 * 2**20))
    assert error.value.status == 413 and asked == 4


def test_a_body_that_does_not_come_is_given_up(monkeypatch):
    monkeypatch.setattr(guard, "PATIENCE", 0.05)

    async def receive():
        await asyncio.sleep(10)

    with pytest.raises(guard.Refusal) as error:
        asyncio.run(guard.read_body({}, receive, 100))
    assert error.value.status == 408


def test_pictures_are_judged_by_their_bytes(client):
    for content, status, word in (
        (b"BM" + bytes(50), 415, "unsupported"),
        (b"", 415, "unsupported"),
        (b"\x89PNG\r\n\x1a\n", 415, "unsupported"),
    ):
        refusal(
            client.post("/api/encode", content=content, headers={"content-type": "image/png"}), status, word
        )
    for kind in ("text/plain", "multipart/form-data", "image/svg+xml", ""):
        refusal(client.post("/api/encode", content=b"x", headers={"content-type": kind}), 415, "unsupported")
        refusal(client.post("/api/edit", content=b"{}", headers={"content-type": kind}), 415, "unsupported")


def test_a_form_with_one_picture_is_taken(client):
    """As curl -F and browsers send it: the picture's bytes as they are, other fields beside it."""
    buffer = io.BytesIO()
    Image.fromarray(skimage.data.astronaut()[:300, :300]).save(buffer, "BMP")
    picture = ("a.bmp", buffer.getvalue(), "image/bmp")
    plain = client.post("/api/encode", content=buffer.getvalue(), headers={"content-type": "image/bmp"})
    form = client.post("/api/encode", files={"photo": picture}, data={"note": "mine"})
    assert plain.status_code == form.status_code == 200 and form.json() == plain.json()
    two = client.post("/api/encode", files=[("photo", picture), ("photo", picture)])
    assert "one picture" in refusal(two, 422, "invalid")
    assert "0 files" in refusal(client.post("/api/encode", files={"a": (None, b"text")}), 422, "invalid")
    plain_text = client.post("/api/encode", content=b"x", headers={"content-type": "text/plain"})
    assert "multipart/form-data" in refusal(plain_text, 415, "unsupported")
    refusal(client.post("/api/edit", files={"photo": picture}), 415, "unsupported")


def test_other_names_and_other_sites_are_refused(client, code, page):
    refusal(client.get("/", headers={"host": "evil.example"}), 403, "forbidden")
    refusal(client.get("/", headers={"host": "127.0.0.1.evil.example:8000"}), 403, "forbidden")
    for good in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
        assert client.get("/healthz", headers={"host": good}).status_code == 200
    body = {"code": code}
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9999", "http://[", "file://"):
        refusal(client.post("/api/edit", json=body, headers={"origin": origin}), 403, "forbidden")
    assert (
        client.post(
            "/api/edit", json=body, headers={"origin": ORIGIN, "sec-fetch-site": "same-origin"}
        ).status_code
        == 200
    )
    for site in ("cross-site", "same-site"):
        refusal(client.post("/api/edit", json=body, headers={"sec-fetch-site": site}), 403, "forbidden")
        refusal(client.get("/export/decoder.onnx", headers={"sec-fetch-site": site}), 403, "forbidden")
        assert client.get("/", headers={"sec-fetch-site": site}).status_code == 200  # a link from elsewhere
    named = server.create(Shelf(exports.shared() / "data/export"), page, ("Faces.example.org",))
    with TestClient(named, base_url="https://faces.example.org") as other:
        assert other.get("/healthz").status_code == 200


def test_every_answer_carries_the_security_headers(client):
    for path in ("/", "/api/model", "/nothing", "/export/yunet.onnx", "/app.mjs"):
        headers = client.get(path).headers
        for name, value in guard.HEADERS.items():
            assert headers[name] == value
        assert headers.get_list("content-security-policy") == [guard.HEADERS["content-security-policy"]]
    assert "unsafe-inline" not in guard.HEADERS["content-security-policy"]
    assert "unsafe-eval" not in guard.HEADERS["content-security-policy"].replace("wasm-unsafe-eval", "")
    assert "server" not in client.get("/").headers


def test_files_have_their_kind_and_a_tag(client, export):
    home = client.get("/")
    assert (
        home.headers["content-type"].startswith("text/html") and home.headers["cache-control"] == "no-cache"
    )
    assert client.get("/app.mjs").headers["content-type"].startswith("text/javascript")
    assert client.get("/", headers={"if-none-match": home.headers["etag"]}).status_code == 304
    decoder = client.get("/export/decoder.onnx")
    assert (
        decoder.content == export.files["decoder.onnx"]
        and decoder.headers["content-type"] == "application/octet-stream"
    )
    assert (
        client.get("/export/decoder.onnx", headers={"if-none-match": decoder.headers["etag"]}).status_code
        == 304
    )
    assert client.get("/export/bundle.json").json() == export.about
    for path in (
        "/export/../web/server.py",
        "/export/..%2f..%2fparams.yaml",
        "/..%2f..%2fparams.yaml",
        "/export/model.safetensors",
    ):
        assert client.get(path).status_code in (404, 422)


def test_text_is_sent_compressed(client, export):
    """Where a browser takes it; what networks and pictures hold does not shrink."""
    plain = client.get("/", headers={"accept-encoding": "identity"})
    small = client.get("/", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert small.headers["content-encoding"] == "gzip" and small.headers["vary"] == "accept-encoding"
    assert small.content == plain.content
    for path in ("/api/model", "/export/bundle.json"):
        answer = client.get(path, headers={"accept-encoding": "gzip"})
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.json().items() >= export.about.items()
    assert "content-encoding" not in client.get("/export/decoder.onnx").headers


def test_the_first_picture_is_there_before_the_page_runs(client, export):
    """The preset nearest to the mean of the codes."""
    answer = client.get("/export/first.png")
    arrays = export.arrays
    far = np.square((arrays["presets"] - arrays["mean"]) / arrays["std"]).sum(1)
    picture = export.about["presets"][int(far.argmin())]["picture"]
    assert answer.headers["content-type"] == "image/png"
    assert answer.content == base64.b64decode(picture.split(",")[1])


def test_wrong_paths_and_methods(client):
    refusal(client.get("/nothing"), 404, "not_found")
    refusal(client.get("/api/nothing"), 404, "not_found")
    refusal(client.get("/api/edit"), 405, "not_allowed")
    refusal(client.delete("/api/edit"), 405, "not_allowed")
    refusal(client.post("/", json={}), 405, "not_allowed")
    assert client.head("/").status_code == 200 and client.head("/").content == b""


def test_the_documentation_asks_nobody_else(client):
    page = client.get("/docs")
    assert (
        page.status_code == 200
        and "http" not in page.text.replace("Facemorph", "")
        and "<script" not in page.text
    )
    for path in (
        "/api/sample",
        "/api/encode",
        "/api/edit",
        "/api/morph",
        "/api/render",
        "/api/model",
        "/healthz",
        "/version",
    ):
        assert path in client.get("/openapi.json").json()["paths"] and path in page.text


def test_the_schema_names_every_way_to_send_a_picture(client):
    """The picture types and the form, as the server takes them."""
    operation = client.get("/openapi.json").json()["paths"]["/api/encode"]["post"]
    content = operation["requestBody"]["content"]
    assert set(content) == {*guard.PICTURES, guard.FORM}
    file = {"type": "string", "format": "binary"}
    assert content["image/png"]["schema"] == file
    assert content[guard.FORM]["schema"]["properties"] == {"picture": file}


def test_measured_quality_is_shown_where_it_is_of_this_model(page, tmp_path):
    """Figures of the export that is served; none of another model's, and none where nothing was measured."""
    root = exports.shared()
    path = tmp_path / "quality.json"
    exports.write_quality(root, path)
    with TestClient(server.create(Shelf(root / "data/export", path), page), base_url=ORIGIN) as client:
        shown = client.get("/export/quality.json").json()
        measured = {"reconstruction": {"psnr": 24.5, "ssim": 0.8}, "error_reduction": {"Smiling": 0.625}}
        assert shown == measured | {"guarantee": {}}
        other = json.loads(path.read_text())
        other["made_from"]["vectors"] = "0" * 64
        for text in (json.dumps(other), "[]", "{"):
            path.write_text(text)
            assert client.get("/export/quality.json").json() == {}


def test_health_and_version(client, export):
    assert client.get("/healthz").json() == {"status": "ok", "model": export.id, "local": False}
    assert client.get("/api/health").json() == client.get("/healthz").json()
    assert client.get("/version").json() == {
        "version": "0.1.0",
        "format": 5,
        "model": export.id,
        "previous": None,
    }


def test_a_code_of_the_replaced_model_is_still_served(tmp_path, page, code):
    shutil.copytree(exports.shared() / "data/export", tmp_path / "export")
    shelf = Shelf(tmp_path / "export")
    old = shelf.current.id
    about = json.loads((tmp_path / "export/bundle.json").read_text())
    (tmp_path / "export/bundle.json").write_text(
        json.dumps({**about, "prior": {"source": "train", "temperature": 0.5}})
    )
    with TestClient(server.create(shelf, page), base_url=ORIGIN) as client:
        shelf.refresh()
        assert client.get("/version").json()["previous"] == old
        assert client.post("/api/edit", json={"code": code, "model": old}).headers["x-model"] == old
        assert client.post("/api/edit", json={"code": code}).headers["x-model"] == shelf.current.id
        refusal(
            client.post("/api/edit", json={"code": code, "model": "0123456789abcdef"}), 409, "model_replaced"
        )
        refusal(client.get("/api/model", params={"model": "x"}), 409, "model_replaced")


def test_a_full_queue_says_come_back():
    """One worker, one place to wait: the third is refused, and there is room again when the first is done."""

    async def main():
        pool = server.Pool(1, 1)
        gate = threading.Event()
        pool.open()
        first, second = (asyncio.create_task(pool.run(gate.wait)) for _ in range(2))
        await asyncio.sleep(0.05)
        with pytest.raises(guard.Refusal) as error:
            await pool.run(lambda: None)
        gate.set()
        await asyncio.gather(first, second)
        await asyncio.sleep(0.05)
        return error.value, await pool.run(lambda: "room")

    error, after = asyncio.run(main())
    status, headers, _ = error.response()
    assert status == 429 and headers["retry-after"] == "1" and after == "room"


def test_an_answer_that_takes_too_long_says_come_back(monkeypatch):
    monkeypatch.setattr(server, "PATIENCE", 0.05)

    async def main():
        pool = server.Pool(1, 1)
        gate = threading.Event()
        pool.open()
        with pytest.raises(guard.Refusal) as error:
            await pool.run(gate.wait)
        busy = pool.busy  # the thread is still at it: its place is not free
        gate.set()
        await asyncio.sleep(0.05)
        return error.value.status, busy, pool.busy

    assert asyncio.run(main()) == (429, 1, 0)


def test_too_many_at_once_say_come_back(app, client, code, monkeypatch):
    monkeypatch.setattr(guard, "REQUESTS", 0)
    answer = client.post("/api/edit", json={"code": code})
    refusal(answer, 429, "busy")
    assert answer.headers["retry-after"] == "1"
    assert app.requests == app.bodies == 0


def test_a_failure_is_one_line_without_its_content(client, code, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError(f"secret {code}")

    monkeypatch.setattr(server, "picture", fail)
    answer = client.post("/api/edit", json={"code": code})
    assert refusal(answer, 500, "failed") and code not in answer.text
    assert "RuntimeError" in caplog.text and code not in caplog.text and "secret" not in caplog.text


def test_only_counts_are_logged(client, code, astronaut, app, caplog):
    caplog.set_level("INFO")
    app.told -= 61
    client.post("/api/encode", content=astronaut, headers={"content-type": "image/jpeg"})
    (record,) = [record for record in caplog.records if record.name.startswith("facemorph")]
    assert re.fullmatch(
        r"answers: (other|/api/[a-z]+) \d{3}: \d+(, (other|/api/[a-z]+) \d{3}: \d+)*", record.getMessage()
    )
    assert "/api/encode 200: " in record.getMessage()


def test_the_server_keeps_to_this_machine_unless_told(capsys):
    assert options([]).host == "127.0.0.1"
    assert options(["--host", "::1"]).host == "::1"
    with pytest.raises(SystemExit):
        options(["--host", "0.0.0.0"])
    assert "--allow-host" in capsys.readouterr().err
    assert options(["--host", "0.0.0.0", "--allow-host", "faces.example.org"]).allow_host == [
        "faces.example.org"
    ]
