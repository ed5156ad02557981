import numpy as np
import pytest

from faces.ingest import http
from faces.ingest.http import Expected, FetchError, HtmlPage, download
from tests.helpers.misbehaving import Reply, md5, serving

FILE = b"PK\x03\x04" + np.random.default_rng(0).bytes(300_000)  # more than four pieces
ZIP = Expected(len(FILE), ("md5", md5(FILE)), b"PK\x03\x04")
PAGE = b"<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>"


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(http, "PAUSE", 0.0)


def quiet(done, total, unit):
    pass


def test_a_whole_file_is_reported_and_fetched_once(server, tmp_path):
    server.replies["/a.zip"] = Reply(FILE)
    goal = tmp_path / "new" / "a.zip"
    seen = []
    for _ in range(2):
        download(f"{server.url}/a.zip", goal, ZIP, lambda *now: seen.append(now))
    assert goal.read_bytes() == FILE
    assert [path.name for path in goal.parent.iterdir()] == ["a.zip"]
    assert server.asked("/a.zip") == [None]
    assert seen[-1] == (0, 0, "MB")  # whole megabytes of 0.3


def test_a_cut_connection_is_resumed_where_it_broke(server, tmp_path):
    server.replies["/a.zip"] = [Reply(FILE, cut=100_000), Reply(FILE, cut=50_000), Reply(FILE)]
    download(f"{server.url}/a.zip", tmp_path / "a.zip", ZIP, quiet)
    assert (tmp_path / "a.zip").read_bytes() == FILE
    assert server.asked("/a.zip") == [None, "bytes=100000-", "bytes=150000-"]


def test_a_killed_download_is_resumed(server, tmp_path):
    server.replies["/a.zip"] = Reply(FILE)
    (tmp_path / "a.zip.part").write_bytes(FILE[:200_000])
    download(f"{server.url}/a.zip", tmp_path / "a.zip", ZIP, quiet)
    assert (tmp_path / "a.zip").read_bytes() == FILE
    assert server.asked("/a.zip") == ["bytes=200000-"]


def test_a_download_killed_before_its_renaming_asks_for_nothing(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(FILE)
    download(f"{server.url}/a.zip", tmp_path / "a.zip", ZIP, quiet)
    assert (tmp_path / "a.zip").read_bytes() == FILE and server.log == []


def test_a_server_without_ranges_starts_again(server, tmp_path):
    server.replies["/a.zip"] = [Reply(FILE, cut=100_000), Reply(FILE, ranges=False)]
    download(f"{server.url}/a.zip", tmp_path / "a.zip", ZIP, quiet)
    assert (tmp_path / "a.zip").read_bytes() == FILE


def test_a_server_that_goes_on_elsewhere_is_not_trusted(server, tmp_path):
    server.replies["/a.zip"] = [Reply(FILE, cut=100_000), Reply(FILE, shift=7), Reply(FILE)]
    download(f"{server.url}/a.zip", tmp_path / "a.zip", ZIP, quiet)
    assert (tmp_path / "a.zip").read_bytes() == FILE
    assert server.asked("/a.zip") == [None, "bytes=100000-", None]


def test_a_part_of_unknown_size_that_is_complete_already(server, tmp_path):
    server.replies["/a.zip"] = Reply(FILE)
    (tmp_path / "a.zip.part").write_bytes(FILE)
    download(f"{server.url}/a.zip", tmp_path / "a.zip", Expected(checksum=("md5", md5(FILE))), quiet)
    assert (tmp_path / "a.zip").read_bytes() == FILE
    assert server.asked("/a.zip") == ["bytes=300004-", None]  # 416, then from the beginning


def test_passing_failures_pass(server, tmp_path):
    server.replies["/a.zip"] = [Reply(status=500), Reply(status=429), Reply(status=503), Reply(FILE)]
    download(f"{server.url}/a.zip", tmp_path / "a.zip", ZIP, quiet)
    assert (tmp_path / "a.zip").read_bytes() == FILE


def test_a_server_that_never_recovers_ends_the_attempts_and_keeps_what_came(server, tmp_path):
    server.replies["/a.zip"] = [Reply(FILE, cut=65_536), Reply(status=502)]
    with pytest.raises(FetchError, match=r"HTTP 502 .*5 times in a row; 65,536 bytes are kept"):
        download(f"{server.url}/a.zip", tmp_path / "a.zip", ZIP, quiet)
    assert (tmp_path / "a.zip.part").stat().st_size == 65_536
    assert len(server.log) == 1 + http.ATTEMPTS - 1  # the first failure came with progress, and counts as one


def test_progress_between_failures_allows_more_of_them(server, tmp_path):
    server.replies["/a.zip"] = [Reply(FILE, cut=20_000) for _ in range(16)]
    download(f"{server.url}/a.zip", tmp_path / "a.zip", ZIP, quiet)
    assert (tmp_path / "a.zip").read_bytes() == FILE
    assert len(server.log) == 16 > http.ATTEMPTS


@pytest.mark.parametrize("status, reason", [(403, "access denied"), (404, "no such file"), (401, "login")])
def test_refusals_are_final(server, tmp_path, status, reason):
    server.replies["/a.zip"] = Reply(status=status)
    with pytest.raises(FetchError, match=f"HTTP {status}, .*{reason}"):
        download(f"{server.url}/a.zip", tmp_path / "a.zip", ZIP, quiet)
    assert len(server.log) == 1 and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "reply, expected, message",
    [
        (Reply(b"7z\xbc\xaf" + FILE[4:]), ZIP, r"begins with b'7z.*expected b'PK"),
        (Reply(FILE[:-1]), ZIP, r"offers 300,003 bytes, expected 300,004"),
        (Reply(FILE[:-1], sized=False), ZIP, r"300,003 bytes, expected 300,004"),
        (Reply(FILE[:-1] + b"!"), ZIP, r"md5 [0-9a-f]{32}, expected [0-9a-f]{32}"),
        (Reply(b"PAR1" + bytes(90) + b"PAR"), Expected(end=b"PAR1"), r"does not end with b'PAR1': cut short"),
    ],
)
def test_the_wrong_file_is_thrown_away(server, tmp_path, reply, expected, message):
    server.replies["/a"] = reply
    with pytest.raises(FetchError, match=message):
        download(f"{server.url}/a", tmp_path / "a", expected, quiet)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("page", [PAGE, b"\n  <html><body>virus scan warning</body></html>"])
def test_a_page_in_place_of_the_file(server, tmp_path, page):
    server.replies["/a.zip"] = Reply(page, kind="text/html")
    with pytest.raises(HtmlPage, match="HTML page") as caught:
        download(f"{server.url}/a.zip", tmp_path / "a.zip", ZIP, quiet)
    assert caught.value.page == page.decode() and list(tmp_path.iterdir()) == []


def test_a_finished_file_that_went_bad_is_fetched_again(server, tmp_path):
    server.replies["/a.zip"] = Reply(FILE)
    (tmp_path / "a.zip").write_bytes(FILE[:-1] + b"?")
    download(f"{server.url}/a.zip", tmp_path / "a.zip", ZIP, quiet)
    assert (tmp_path / "a.zip").read_bytes() == FILE


def test_no_server(tmp_path):
    with serving() as server:
        url = server.url
    with pytest.raises(FetchError, match=r"refused, 5 times in a row$"):
        download(f"{url}/a.zip", tmp_path / "a.zip", ZIP, quiet)


def test_json(server):
    server.replies["/list"] = [Reply(status=500), Reply(b'[{"path": "x"}]')]
    assert http.fetch_json(f"{server.url}/list") == [{"path": "x"}]
    server.replies["/page"] = Reply(PAGE)
    with pytest.raises(FetchError, match="expected JSON"):
        http.fetch_json(f"{server.url}/page")
    server.replies["/ill"] = Reply(status=500)
    with pytest.raises(FetchError, match="HTTP 500"):
        http.fetch_json(f"{server.url}/ill")


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("FACES_CACHE", str(tmp_path))
    assert http.cache_folder() == tmp_path
    monkeypatch.delenv("FACES_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert http.cache_folder() == tmp_path / ".cache" / "facemorph"
