"""The HTTP API over an export, and the page. web/API.md is its specification.

Stateless: a code comes with each request and leaves with each answer. Everything that computes runs in one of
two small pools of threads, each with a bounded queue; a request that finds no room is told to come back.
"""

import asyncio
import base64
import binascii
import contextlib
import functools
import gzip
import hashlib
import html
import json
import mimetypes
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount
from starlette.staticfiles import NotModifiedResponse, StaticFiles

from facemorph import __version__, align, gif, photos
from facemorph.code_editors import BadValue, Custom, straight
from facemorph.export import FORMAT, Export, levels
from facemorph.finding import Found, find
from facemorph.photos import BadPhoto
from web.guard import FAILED, FORM, PICTURES, Guard, Refusal
from web.shelf import Shelf

T = TypeVar("T")
DECODERS = 2  # edits computed side by side
READERS = 1  # photographs read side by side: the largest WebP needs 720 MiB for two seconds, 12 megapixels 60
WAITING = 128  # edits that may wait
READERS_WAITING = 12  # photographs that may wait
PATIENCE = 15.0  # seconds from asking to answering
LOOK = 2.0  # seconds between looks for a new export
LARGEST = {"png": 1024, "gif": 512, "strip": 512}  # pixels a side of a rendered frame
FRAMES = {"gif": 64, "strip": 16}

for kind, ending in (("text/javascript", ".mjs"), ("text/javascript", ".js"), ("application/wasm", ".wasm")):
    mimetypes.add_type(kind, ending)
KINDS = {".json": "application/json", ".png": "image/png"}  # of an export's files
SHRINKS = (".css", ".html", ".js", ".json", ".svg", ".wasm", ".webmanifest")  # by compression
GZIPPED = {"content-encoding": "gzip", "vary": "accept-encoding"}
mimetypes.add_type("application/octet-stream", ".onnx")
mimetypes.add_type("application/manifest+json", ".webmanifest")

Code = Annotated[str, Field(max_length=2**18, description="D little-endian float32 in base64")]
Id = Annotated[
    str | None,
    Field(max_length=64, description="id of the export that the code belongs to; absent: the current one"),
]
Strength = Annotated[float, Field(ge=-5, le=5, description="changes of the label")]
Sigmas = Annotated[float, Field(ge=-20, le=20)]
Name = Annotated[str, Field(max_length=80)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class SampleBody(Body):
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)]
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    labels: Annotated[
        dict[Name, Literal[-1, 1]], Field(max_length=1000, description="that the face is to have")
    ] = {}
    model: Id = None


class CustomBody(Body):
    direction: Code
    sigma: Annotated[float, Field(gt=0, le=1e6)]
    strength: Sigmas
    locked: bool = False


class Face(Body):
    code: Code
    strengths: Annotated[dict[Name, Strength], Field(max_length=1000)] = {}
    locked: Annotated[list[Name], Field(max_length=1000)] = []
    custom: Annotated[list[CustomBody], Field(max_length=16)] = []

    @property
    def moved(self) -> bool:
        """Whether a slider is."""
        return any(self.strengths.values()) or any(one.strength for one in self.custom)

    def scaled(self, share: float) -> "Face":
        """With all sliders at a `share` of where they are."""
        strengths = {name: share * strength for name, strength in self.strengths.items()}
        custom = [one.model_copy(update={"strength": share * one.strength}) for one in self.custom]
        return self.model_copy(update={"strengths": strengths, "custom": custom})


class EditBody(Face):
    model: Id = None


class MorphBody(Body):
    a: Face
    b: Face
    t: Annotated[float, Field(ge=0, le=1)]
    model: Id = None


class RenderBody(Body):
    model_config = ConfigDict(populate_by_name=True)

    start: Annotated[Face, Field(alias="from")]
    to: Face
    kind: Literal["gif", "strip", "png"]
    path: Literal["straight", "arc"] = "straight"
    frames: Annotated[int, Field(ge=2, le=64)] = 16
    bounce: bool = True
    fps: Annotated[int, Field(ge=1, le=30)] = 20
    scale: Annotated[int, Field(ge=1, le=8)] = 1
    model: Id = None


class Sampled(BaseModel):
    code: str
    labels: dict[str, float]
    model: str


class FoundFace(BaseModel):
    box: list[float]
    points: list[list[float]]
    score: float


class Encoded(Sampled):
    width: int
    height: int
    faces: list[FoundFace]
    face: int | None
    aligned: Literal["face", "points", "frame"]
    points: list[list[float]]
    matrix: list[list[float]]
    crop: str
    notices: list[Literal["small", "turned", "several", "none", "unlike"]]
    likeness: float | None


class Health(BaseModel):
    status: Literal["ok"]
    model: str
    local: bool


class Version(BaseModel):
    version: str
    format: int
    model: str
    previous: str | None


class News(BaseModel):
    model: str
    version: str | None
    since: str | None
    checked: str | None
    due: str | None
    late: bool


class Problem(BaseModel):
    error: str
    detail: str


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route may answer besides 200, for the OpenAPI document."""
    return {
        status: {"description": "not modified"} if status == 304 else {"model": Problem}
        for status in (403, *statuses)
    }


PICTURE = {"type": "string", "format": "binary"}
BYTES = {"content": {"application/octet-stream": {}, "image/png": {}}, "description": "the picture"}
As = Annotated[Literal["raw", "fine", "png"], Query(alias="as")]


class Pool:
    """Threads that compute. `run` refuses with 429 when too many wait, or when an answer takes too long."""

    def __init__(self, workers: int, waiting: int) -> None:
        self.workers = workers
        self.room = workers + waiting
        self.busy = 0
        self.lock = threading.Lock()

    def open(self) -> None:
        """Start over with fresh threads."""
        self.threads = ThreadPoolExecutor(self.workers)
        self.busy = 0

    def close(self) -> None:
        """Let what runs end, and forget what waits."""
        self.threads.shutdown(wait=False, cancel_futures=True)

    async def run(self, work: Callable[[], T]) -> T:
        with self.lock:
            if self.busy >= self.room:
                raise Refusal(429, "busy", "too many requests at once; try again in a moment")
            future = self.threads.submit(work)
            self.busy += 1
        future.add_done_callback(self.leave)  # when the work is over, not when its answer is given up
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), PATIENCE)
        except TimeoutError:
            raise Refusal(429, "busy", "the server is too busy; try again in a moment") from None

    def leave(self, _: Future) -> None:
        """One place is free again."""
        with self.lock:
            self.busy -= 1


@dataclass
class Site:
    """What every request is answered from."""

    shelf: Shelf
    detector: align.Detector
    decoders: Pool
    readers: Pool
    local: bool  # whether the page can run the model itself

    def export(self, wanted: str | None) -> Export:
        """The export that a request belongs to. Raises Refusal where it is gone."""
        export = self.shelf.get(wanted)
        if export is None:
            raise Refusal(409, "model_replaced", "the server has a newer model; load the page again")
        return export

    @contextlib.asynccontextmanager
    async def life(self, _: FastAPI) -> AsyncIterator[None]:
        """From start to end of the server: open pools, and a look for a new export now and then."""
        for pool in (self.decoders, self.readers):
            pool.open()
        watcher = asyncio.create_task(watch(self.shelf))
        yield
        watcher.cancel()
        for pool in (self.decoders, self.readers):
            pool.close()


async def site_of(request: Request) -> Site:
    return request.app.state.site


Here = Annotated[Site, Depends(site_of)]
Wanted = Annotated[str | None, Query(max_length=64)]
routes = APIRouter()


def create(shelf: Shelf, page: Path, hosts: tuple[str, ...] = ()) -> Guard:
    """The application: the API over `shelf`, the files of `page`; `hosts`: names besides the local ones."""
    site = Site(
        shelf=shelf,
        detector=align.Detector(),
        decoders=Pool(DECODERS, WAITING),
        readers=Pool(READERS, READERS_WAITING),
        local=(page / "ort").is_dir(),
    )
    app = FastAPI(
        title="Facemorph",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=site.life,
        redirect_slashes=False,
    )
    app.state.site = site
    app.include_router(routes)
    app.router.routes.append(Page("/", Files(directory=page, html=True)))
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    return Guard(app, hosts, photos.MAX_BYTES)


@routes.get("/healthz", responses=problems())
@routes.get("/api/health", responses=problems())
async def health(site: Here) -> Health:
    return Health(status="ok", model=site.shelf.current.id, local=site.local)


@routes.get("/version", responses=problems())
async def version(site: Here) -> Version:
    current = site.shelf.current
    previous = site.shelf.previous
    return Version(
        version=__version__, format=FORMAT, model=current.id, previous=previous.id if previous else None
    )


@routes.get("/api/status", responses=problems())
async def status(site: Here) -> News:
    news = await asyncio.to_thread(site.shelf.news)
    return News(model=site.shelf.current.id, late=past(news["due"]), **news)


@routes.get(
    "/api/model",
    responses={200: {"content": {"application/json": {}}}, **problems(304, 409, 422)},
    response_class=Response,
)
async def about(request: Request, site: Here, model: Wanted = None) -> Response:
    export = site.export(model)
    headers = {"etag": f'"{export.id}"', "cache-control": "no-cache", "x-model": export.id}
    answer = JSONResponse({**export.about, "id": export.id}, headers=headers)
    if takes_gzip(request.scope):
        answer = Response(
            gzip.compress(answer.body), media_type="application/json", headers=headers | GZIPPED
        )
    return unchanged(request, export.id) or answer


@routes.get("/export/{name}", response_class=Response, responses=problems(304, 404, 409, 422))
async def file(
    request: Request,
    site: Here,
    name: Literal[
        "bundle.json",
        "quality.json",
        "first.png",
        "arrays.safetensors",
        "encoder.onnx",
        "decoder.onnx",
        "modulation.onnx",
        "velocity.onnx",
        "identity.onnx",
        "yunet.onnx",
    ],
    model: Wanted = None,
) -> Response:
    export = site.export(model)
    if name == "yunet.onnx":
        content = site.detector.path.read_bytes()
        tag = align.DETECTOR_SHA256
    elif name == "quality.json":
        content = json.dumps(await asyncio.to_thread(site.shelf.quality, export)).encode("ascii")
        tag = hashlib.sha256(content).hexdigest()
    elif name == "first.png":
        content = export.first_picture
        tag = export.id
    elif name in export.files:
        content = export.files[name]
        tag = export.hashes[name]
    else:
        raise HTTPException(404, f"{name}: this model has none")
    kind = KINDS.get(Path(name).suffix, "application/octet-stream")
    headers = {"etag": f'"{tag[:32]}"', "cache-control": "no-cache", "x-model": export.id}
    if kind == KINDS[".json"] and takes_gzip(request.scope):
        content = gzip.compress(content)
        headers |= GZIPPED
    return unchanged(request, tag[:32]) or Response(content, media_type=kind, headers=headers)


@routes.post("/api/sample", responses=problems(408, 409, 413, 415, 422, 429))
async def sample(body: SampleBody, site: Here) -> Sampled:
    export = site.export(body.model)
    code = await site.decoders.run(lambda: export.sample(body.seed, body.temperature, body.labels))
    return answer(export, {"code": pack(code), "labels": export.labels(code), "model": export.id})


@routes.post(
    "/api/edit", response_class=Response, responses={200: BYTES, **problems(408, 409, 413, 415, 422, 429)}
)
async def edit(body: EditBody, site: Here, as_: As = "raw") -> Response:
    export = site.export(body.model)
    return await site.decoders.run(lambda: picture(export, edited(export, body), as_))


@routes.post(
    "/api/morph", response_class=Response, responses={200: BYTES, **problems(408, 409, 413, 415, 422, 429)}
)
async def morph(body: MorphBody, site: Here, as_: As = "raw") -> Response:
    export = site.export(body.model)
    return await site.decoders.run(
        lambda: picture(export, export.morph(edited(export, body.a), edited(export, body.b), body.t), as_)
    )


@routes.post(
    "/api/render",
    response_class=Response,
    responses={
        200: {"content": {"image/png": {}, "image/gif": {}}},
        **problems(408, 409, 413, 415, 422, 429),
    },
)
async def render(body: RenderBody, site: Here) -> Response:
    export = site.export(body.model)
    return await site.readers.run(lambda: rendered(export, body))


@routes.post(
    "/api/encode",
    responses=problems(408, 409, 413, 415, 422, 429),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                **{kind: {"schema": PICTURE} for kind in PICTURES},
                FORM: {
                    "schema": {
                        "type": "object",
                        "description": "One file, under any name; other fields are ignored.",
                        "properties": {"picture": PICTURE},
                        "required": ["picture"],
                    }
                },
            },
        }
    },
)
async def encode(
    request: Request,
    site: Here,
    face: Annotated[int | None, Query(ge=0, lt=align.MOST)] = None,
    points: Annotated[
        str | None, Query(max_length=200, description="x,y of left eye, right eye, mouth")
    ] = None,
    model: Wanted = None,
) -> Encoded:
    export = site.export(model)
    where = read_points(points)
    content = await request.body()
    found = await site.readers.run(lambda: encoded(export, site.detector, content, face, where))
    return answer(export, found)


@routes.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    return HTMLResponse(plain(request.app.openapi()))


def past(moment: str | None) -> bool:
    """Whether an ISO time with its zone lies behind us; False where it cannot be read."""
    try:
        return moment is not None and datetime.fromisoformat(moment) < datetime.now(UTC)
    except (ValueError, TypeError):
        return False


class Page(Mount):
    """The page's files. A path of the API is none of them, so a wrong method there is 405 and not 404."""

    def matches(self, scope: Any) -> tuple[Match, Any]:
        return (Match.NONE, {}) if scope["path"].startswith(("/api/", "/export/")) else super().matches(scope)


@functools.lru_cache(maxsize=256)
def gzipped(path: str, changed: int) -> bytes:
    """The file at `path`, compressed; `changed`: when it was, in nanoseconds."""
    return gzip.compress(Path(path).read_bytes())


def takes_gzip(scope: Any) -> bool:
    return "gzip" in Headers(scope=scope).get("accept-encoding", "")


class Files(StaticFiles):
    """Files of a folder, those that shrink sent compressed; each is compressed once."""

    def file_response(self, full_path: Any, stat_result: Any, scope: Any, status_code: int = 200) -> Response:
        plain = super().file_response(full_path, stat_result, scope, status_code)
        shrinks = Path(full_path).suffix in SHRINKS
        if not shrinks or not takes_gzip(scope) or isinstance(plain, NotModifiedResponse):
            return plain
        headers = {name: value for name, value in plain.headers.items() if name != "content-length"}
        content = gzipped(str(full_path), stat_result.st_mtime_ns)
        return Response(content, status_code, headers | GZIPPED)


async def watch(shelf: Shelf) -> None:
    """Look for a new export every LOOK seconds, for as long as the server runs."""
    while True:
        await asyncio.sleep(LOOK)
        await asyncio.to_thread(shelf.refresh)


def pack(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode("ascii")


def unpack(text: str, length: int, name: str) -> np.ndarray:
    """float32 (D,) of a code in a request. Raises BadValue."""
    try:
        content = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise BadValue(f"{name}: not base64") from None
    if len(content) != 4 * length:
        raise BadValue(f"{name}: {len(content)} bytes; this model's codes have {4 * length}")
    code = np.frombuffer(content, "<f4")
    if not np.isfinite(code).all():
        raise BadValue(f"{name}: holds NaN or infinity")
    return code


def custom(export: Export, body: CustomBody) -> Custom:
    """A person's own direction, made length one. Raises BadValue."""
    direction = unpack(body.direction, export.length, "custom.direction").astype(np.float64)
    if not (length := np.linalg.norm(direction)) > 1e-12:
        raise BadValue("custom.direction: has no length")
    return Custom(direction / length, body.sigma, body.strength, body.locked)


def edited(export: Export, face: Face) -> np.ndarray:
    """The code of a face after its sliders."""
    code = unpack(face.code, export.length, "code")
    return export.edit(code, face.strengths, face.locked, [custom(export, one) for one in face.custom])


def picture(export: Export, code: np.ndarray, kind: str) -> Response:
    """A code decoded, as bytes."""
    image = export.decode(code[None])[0]
    headers = {
        "x-model": export.id,
        "x-size": str(export.size),
        "x-labels": ",".join(f"{label:.3f}" for label in export.labels(code).values()),
        "cache-control": "no-store",
    }
    if kind == "png":
        return Response(
            photos.png(levels(image), photos.MARK + export.id), media_type="image/png", headers=headers
        )
    content = levels(image) if kind == "raw" else np.rint(image.astype(np.float64) * 256).astype("<u2")
    return Response(content.tobytes(), media_type="application/octet-stream", headers=headers)


def rendered(export: Export, body: RenderBody) -> Response:
    """Still, animation or strip from one code to another."""
    if export.size * body.scale > LARGEST[body.kind]:
        side = export.size * body.scale
        raise BadValue(
            f"scale: {body.scale} makes {side} pixels a side; {body.kind} goes up to {LARGEST[body.kind]}"
        )
    if body.frames > FRAMES.get(body.kind, body.frames):
        raise BadValue(f"frames: {body.frames}; {body.kind} goes up to {FRAMES[body.kind]}")
    times = [1.0] if body.kind == "png" else np.linspace(0, 1, body.frames)
    frames = [
        gif.enlarge(levels(image), body.scale)
        for code in walked(export, body, times)
        for image in export.decode(code[None])
    ]
    note = photos.MARK + export.id
    headers = {"x-model": export.id, "cache-control": "no-store"}
    if body.kind == "gif":
        turn = frames[-2:0:-1] if body.bounce else []
        return Response(gif.gif(frames + turn, body.fps, note), media_type="image/gif", headers=headers)
    return Response(photos.png(gif.strip(frames), note), media_type="image/png", headers=headers)


def walked(export: Export, body: RenderBody, times: Iterable[float]) -> Iterator[np.ndarray]:
    """The codes at `times` on the way of a render: sliders that move where it is the edit of one face, else
    from code to code.
    """
    if body.path == "straight" and body.start.code == body.to.code and not body.start.moved:
        for t in times:
            yield edited(export, body.to.scaled(float(t)))
        return
    first = edited(export, body.start)
    last = edited(export, body.to)
    way = straight if body.path == "straight" else export.morph
    for t in times:
        yield way(first, last, float(t))


def read_points(text: str | None) -> np.ndarray | None:
    """(3, 2) of "x,y,x,y,x,y". Raises BadValue."""
    if text is None:
        return None
    try:
        values = np.array([float(part) for part in text.split(",")])
    except ValueError:
        values = np.empty(0)
    if values.shape != (6,) or not (np.abs(values) < 1e6).all():
        raise BadValue("points: six numbers are needed, x,y of left eye, right eye and mouth")
    return values.reshape(3, 2)


def encoded(
    export: Export, detector: align.Detector, content: bytes, face: int | None, points: np.ndarray | None
) -> dict[str, Any]:
    """*Encoded* of web/API.md of an uploaded picture. Raises BadPhoto, BadValue."""
    photo = photos.read(content)
    found = find(export.geometry, detector, photo, face, points)
    code = export.encode(found.crop)
    p = export.p_value(found.crop, code)
    unlike = ("unlike",) if export.refuses(p) else ()
    return {
        "code": pack(code),
        "labels": export.labels(code),
        "model": export.id,
        "width": photo.width,
        "height": photo.height,
        **described(found),
        "notices": (*found.notices, *unlike),
        "likeness": p,
    }


def described(found: Found) -> dict[str, Any]:
    """A found face, for JSON."""
    return {
        "faces": [
            {"box": rounded(one.box), "points": rounded(one.points), "score": round(one.score, 4)}
            for one in found.faces
        ],
        "face": found.face,
        "aligned": found.aligned,
        "points": rounded(found.points),
        "matrix": found.matrix.tolist(),
        "crop": "data:image/png;base64," + base64.b64encode(photos.png(found.crop)).decode("ascii"),
    }


def rounded(values: np.ndarray) -> list[Any]:
    return np.round(values, 3).tolist()


def answer(export: Export, values: dict[str, Any]) -> Any:
    """JSON that is not to be kept by anyone on the way."""
    return JSONResponse(values, headers={"x-model": export.id, "cache-control": "no-store"})


def unchanged(request: Request, tag: str) -> Response | None:
    """304 where the browser has it already."""
    known = request.headers.get("if-none-match", "")
    return Response(status_code=304, headers={"etag": f'"{tag}"'}) if f'"{tag}"' in known else None


def plain(schema: dict[str, Any]) -> str:
    """The OpenAPI document as a page that needs no script."""
    rows = "".join(
        f"<h2>{method.upper()} {html.escape(path)}</h2><p>{html.escape(about.get('summary', ''))}</p>"
        for path, methods in schema["paths"].items()
        for method, about in methods.items()
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Facemorph API</title>'
        f'<h1>Facemorph API</h1><p>The whole of it: <a href="openapi.json">openapi.json</a>.</p>{rows}</html>'
    )


async def refused(_: Request, error: Exception) -> Response:
    """Every error as {"error", "detail"} in ASCII. Of what was sent it names the wrong place alone."""
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        place = ".".join(str(part)[:40] for part in first["loc"] if part != "body")
        refusal = Refusal(422, "invalid", f"{place}: {first['msg']}" if place else str(first["msg"]))
        if first["type"] == "json_invalid":
            refusal = Refusal(422, "invalid", "the body is not JSON")
        elif first["type"] == "model_attributes_type" and not first["loc"][1:]:
            refusal = Refusal(422, "invalid", "a JSON object is needed")
    elif isinstance(error, BadPhoto):
        word = {413: "too_large", 415: "unsupported"}.get(error.status, "invalid")
        refusal = Refusal(error.status, word, str(error))
    elif isinstance(error, HTTPException):
        status = 422 if error.status_code == 400 else error.status_code
        word = {404: "not_found", 405: "not_allowed", 422: "invalid"}.get(status, "refused")
        refusal = Refusal(status, word, str(error.detail))
    elif isinstance(error, Refusal):
        refusal = error
    else:
        refusal = Refusal(422, "invalid", str(error))
    status, headers, body = refusal.response()
    return Response(body, status, headers={**headers, **(getattr(error, "headers", None) or {})})


async def failed(_: Request, error: Exception) -> Response:
    """A fault of ours. The guard, to which the exception goes on, logs its kind and place."""
    status, headers, body = FAILED.response()
    return Response(body, status, headers=headers)


HANDLERS: dict[Any, Any] = {
    **dict.fromkeys((RequestValidationError, HTTPException, BadPhoto, BadValue, Refusal), refused),
    Exception: failed,
}
