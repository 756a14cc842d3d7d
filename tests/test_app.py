"""The page for one's own photos: who is let in, what is taken, what is left, and the way from upload to download."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import genotype_export
import httpx2
import numpy as np
import pytest
from browser import PATIENCE, Visit
from conftest import ROOT, environment
from hypothesis import given
from hypothesis import strategies as st
from photofiles import saved, scene
from PIL import Image
from playwright.sync_api import Browser
from starlette.testclient import TestClient

from linkbench.app import pictures, session
from linkbench.app.guard import HOST, PAGE_POLICY
from linkbench.app.server import WORDS, application
from linkbench.app.session import PREFIX, Limits, plain_name, sweep, temporary_folder
from linkbench.app.tasks import ARCHIVE, REPORT, Desk, archive
from linkbench.faces import find, read
from linkbench.protection.background import Background

TOKEN, PORT = "0123456789abcdefghij", 8765
OWN = {"origin": f"http://{HOST}:{PORT}"}
LIMITS = Limits(photo=1 << 20, genotype=1 << 16, everything=3 << 20, photos=3, sessions=12)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def desk(background: Background) -> Desk:
    return Desk(background, (1000, 1000))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where uploads lie."""
    path = tmp_path / "uploads"
    path.mkdir()
    return path


@pytest.fixture
def page(desk: Desk, folder: Path) -> Iterator[TestClient]:
    """The application, asked as its own page asks."""
    app = application(desk, folder, TOKEN, PORT, LIMITS)
    with TestClient(app, base_url=f"http://{HOST}:{PORT}/{TOKEN}/", headers=OWN) as client:
        yield client


def photo(number: int = 1, kind: str = "PNG", **where: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(scene(number=number, **where)).save(file, kind)
    return file.getvalue()


def begin(page: TestClient) -> str:
    """The path of a new visit."""
    begun = page.post("sessions")
    assert begun.status_code == 201
    return f"sessions/{begun.json()['session']}"


def bring(page: TestClient, visit: str, content: bytes, name: str = "me.png") -> Any:
    return page.post(f"{visit}/photos", params={"name": name}, content=content)


def wait_for(page: TestClient, path: str) -> httpx2.Response:
    """What a job leaves there, once it is done."""
    for _ in range(600):
        answer = page.get(path)
        if answer.status_code == 200:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"{path} never came")


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


REFUSED = {
    "another name for this machine": ("GET", f"/{TOKEN}/", {"host": "evil.test:8765"}, 421),
    "no port": ("GET", f"/{TOKEN}/", {"host": HOST}, 421),
    "another port": ("GET", f"/{TOKEN}/", {"host": f"{HOST}:80"}, 421),
    "no token": ("GET", "/", {}, 404),
    "half a token": ("GET", f"/{TOKEN[:10]}/", {}, 404),
    "a longer token": ("GET", f"/{TOKEN}x/", {}, 404),
    "a token that is no text": ("GET", "/%ff%fe/", {}, 404),
    "another token": ("POST", f"/{TOKEN[:-1]}k/sessions", {}, 404),
    "another origin": ("POST", f"/{TOKEN}/sessions", {"origin": "http://evil.test"}, 403),
    "another port's origin": ("POST", f"/{TOKEN}/sessions", {"origin": f"http://{HOST}:80"}, 403),
    "the origin of a file": ("POST", f"/{TOKEN}/sessions", {"origin": "null"}, 403),
    "https": ("POST", f"/{TOKEN}/sessions", {"origin": f"https://{HOST}:{PORT}"}, 403),
    "another origin that only asks": ("GET", f"/{TOKEN}/", {"origin": "http://evil.test"}, 403),
    "a picture in another page": ("GET", f"/{TOKEN}/", {"sec-fetch-site": "cross-site"}, 403),
    "a neighbour": ("GET", f"/{TOKEN}/", {"sec-fetch-site": "same-site"}, 403),
    "the way up": ("GET", f"/{TOKEN}/../../../../etc/passwd", {}, 404),
    "the way up, coded": ("GET", f"/{TOKEN}/%2e%2e/%2e%2e/etc/passwd", {}, 404),
    "modules": ("GET", f"/{TOKEN}/guard.py", {}, 404),
    "a visit that is not there": ("DELETE", f"/{TOKEN}/sessions/..%2f..", {}, 404),
    "a method that is not there": ("PUT", f"/{TOKEN}/sessions", {}, 405),
}


@pytest.mark.parametrize("case", REFUSED)
def test_nobody_else_is_let_in(page: TestClient, folder: Path, case: str) -> None:
    method, path, headers, status = REFUSED[case]
    answer = page.request(method, f"http://{HOST}:{PORT}{path}", headers=headers)
    assert answer.status_code == status
    assert TOKEN not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not any(folder.iterdir())


def test_who_changes_nothing_needs_no_origin_and_who_changes_something_does(desk: Desk, folder: Path) -> None:
    app = application(desk, folder, TOKEN, PORT, LIMITS)
    with TestClient(app, base_url=f"http://localhost:{PORT}/{TOKEN}/") as client:
        assert client.get("").status_code == 200
        assert client.post("sessions").status_code == 403
        assert client.post("sessions", headers={"origin": f"http://localhost:{PORT}"}).status_code == 201


def test_browsers_name_no_port_where_it_is_that_of_http(desk: Desk, folder: Path) -> None:
    app = application(desk, folder, TOKEN, 80, LIMITS)
    with TestClient(app, base_url=f"http://{HOST}/{TOKEN}/", headers={"origin": f"http://{HOST}"}) as client:
        assert client.get("").status_code == 200
        assert client.post("sessions").status_code == 201
        assert client.post("sessions", headers={"origin": "http://evil.test"}).status_code == 403


def test_the_page_asks_nobody_and_is_kept_nowhere(page: TestClient) -> None:
    for path in ("", "page.css", "page.js"):
        answer = page.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-security-policy"] == PAGE_POLICY
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        for elsewhere in ("https://", "http://", 'src="//', "@import", "url("):
            assert elsewhere not in answer.text
    assert "unsafe" not in PAGE_POLICY
    assert "style=" not in page.get("").text  # the policy would drop it


NAMES = [
    "../../outside.png",
    "/etc/shadow.png",
    "C:\\Windows\\me.png",
    "..\\..\\up.png",
    "a\x00b.png",
    "<img src=x>.png",
]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out_of_the_folder(page: TestClient, folder: Path, tmp_path: Path, name: str) -> None:
    outside = {path for path in tmp_path.rglob("*") if folder not in path.parents}
    visit = begin(page)
    seen = bring(page, visit, photo(), name)
    assert seen.status_code == 201, seen.text
    assert {path for path in tmp_path.rglob("*") if folder not in path.parents} == outside
    (path,) = (path for path in folder.rglob("*") if path.is_file())
    assert path.name == "1.png"
    assert seen.json()["name"] == plain_name(name)
    assert page.request("DELETE", visit).status_code == 204
    assert not any(folder.iterdir())
    assert page.get(f"{visit}/photos/1/whole").status_code == 404


@given(st.text(max_size=300))
def test_a_plain_name_is_a_name(name: str) -> None:
    plain = plain_name(name)
    assert 1 <= len(plain) <= 90
    assert plain == plain_name(plain)
    assert plain not in (".", "..")
    assert not set(plain) & set('/\\:*?"<>|\x00\r\n\x7f\u202e')


def test_what_is_too_much_is_refused_before_it_is_there(page: TestClient, folder: Path) -> None:
    visit = begin(page)

    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield bytes(1 << 16)

    announced = page.post(
        f"{visit}/photos", params={"name": "a.png"}, content=b"x", headers={"content-length": "9" * 12}
    )
    assert (announced.status_code, announced.text) == (413, "the file is larger than 1 MB; make it smaller")
    assert page.post(f"{visit}/photos", params={"name": "b.png"}, content=endless()).status_code == 413
    assert page.post(f"{visit}/genotype", content=bytes((1 << 16) + 1)).status_code == 413
    assert page.post(f"{visit}/jobs", content=bytes(WORDS + 1)).status_code == 413
    assert files_in(folder) == set()

    assert [bring(page, visit, photo(kind="JPEG"), "a.jpg").status_code for _ in range(4)] == [201, 201, 201, 413]
    (folder / "full").write_bytes(bytes(LIMITS.everything))
    assert "no more room" in bring(page, begin(page), photo()).text
    (folder / "full").unlink()
    statuses = [page.post("sessions").status_code for _ in range(LIMITS.sessions)]
    assert statuses[-1] == 413
    assert statuses.count(201) == LIMITS.sessions - 2


def bomb() -> bytes:
    """A PNG file of some bytes that claims 1.6 thousand million pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


WRONG = {
    "a bomb": ("bomb.png", bomb()),
    "a cut file": ("cut.png", photo()[:5000]),
    "no photo": ("text.jpg", b"<script>alert(1)</script>"),
    "nothing": ("empty.webp", b""),
    "another kind": ("page.svg", b"<svg/>"),
    "no name": ("", photo()),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_photo_is_refused_by_its_name_and_leaves_nothing(page: TestClient, folder: Path, case: str) -> None:
    name, content = WRONG[case]
    answer = bring(page, begin(page), content, name)
    assert answer.status_code == 422
    assert (name or "photo") in answer.text
    assert str(folder) not in answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    assert files_in(folder) == set()


@pytest.mark.parametrize("what", ["photos", "genotype"])
def test_an_upload_whose_visit_ends_meanwhile_is_told_so(
    page: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    received = session.Sessions.receive

    async def interrupted(visitors: session.Sessions, *arguments: Any) -> None:
        await received(visitors, *arguments)
        for key in [*visitors.open]:
            visitors.end(key)

    monkeypatch.setattr(session.Sessions, "receive", interrupted)
    answer = page.post(f"{begin(page)}/{what}", params={"name": "me.png"}, content=b"whatever")
    assert (answer.status_code, answer.text) == (404, "this visit is over; load the page again")
    assert not any(folder.iterdir())


def test_a_genotype_is_read_and_not_kept(page: TestClient, folder: Path) -> None:
    visit = begin(page)
    own = genotype_export.people()["HG00096"]
    told = page.post(f"{visit}/genotype", params={"name": "me.txt"}, content=genotype_export.export("23andMe", 37, own))
    assert told.status_code == 201, told.text
    assert told.json() == {"name": "me.txt", "form": "23andMe", "known": 41, "of": 41, "sex": "male"}
    assert files_in(folder) == set()
    wrong = page.post(f"{visit}/genotype", params={"name": "no.txt"}, content=b"nothing\n" * 9)
    assert wrong.status_code == 422
    assert wrong.text.startswith("no.txt")
    assert files_in(folder) == set()

    bring(page, visit, photo())
    assert page.get(f"{visit}/risk").status_code == 404
    assert page.post(f"{visit}/jobs", json={"kind": "risk"}).status_code == 202
    risk = wait_for(page, f"{visit}/risk")
    assert "the genotype in me.txt" in risk.text
    assert "me.png" in risk.text
    assert "script-src 'sha256-" in risk.text
    assert "connect-src" not in risk.headers["content-security-policy"] + risk.text.partition("<body>")[0]


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"kind": "delete"},
        {"kind": "risk", "more": 1},
        {"kind": "preview", "strength": -1},
        {"kind": "risk", "ancestry": "X"},
    ],
)
def test_a_job_that_the_page_does_not_have_is_refused(page: TestClient, wanted: dict[str, Any]) -> None:
    assert page.post(f"{begin(page)}/jobs", json=wanted).status_code == 422


def test_what_is_previewed_is_what_is_written(page: TestClient, desk: Desk, tmp_path: Path) -> None:
    visit = begin(page)
    for name in ("me.png", "ME.png"):
        bring(page, visit, photo(), name)
    bring(page, visit, without_a_face(), "wall.png")
    assert page.post(f"{visit}/jobs", json={"kind": "preview", "photo": 1, "strength": 1}).status_code == 202
    previewed = wait_for(page, f"{visit}/photos/1/after").content
    assert page.post(f"{visit}/jobs", json={"kind": "protect", "strength": 1}).status_code == 202
    with zipfile.ZipFile(io.BytesIO(wait_for(page, f"{visit}/download").content)) as archive:
        assert archive.namelist() == ["me.png", "ME (2).png", REPORT]
        (tmp_path / "me.png").write_bytes(archive.read("me.png"))
        report = archive.read(REPORT).decode()
    assert report.count("change of at most 16/255, target met") == 2
    assert "secret" not in report
    written = read(tmp_path / "me.png")
    saved(scene(), tmp_path / "before.png")
    (face,) = find(read(tmp_path / "before.png"))
    assert pictures.close(written, face.square) == previewed
    moved = written.upright.astype(int) - scene()
    assert 0 < np.abs(moved).max() <= 16
    page.request("DELETE", f"{visit}/photos/2")
    with zipfile.ZipFile(io.BytesIO(page.get(f"{visit}/download").content)) as archive:
        assert archive.namelist() == ["me.png", REPORT]
    page.post(f"{visit}/jobs", json={"kind": "protect", "strength": 0})
    assert page.get(f"{visit}/download").status_code == 404  # the files are being written over
    wait_for(page, f"{visit}/download")


def test_every_photo_has_its_own_name_in_the_archive(folder: Path) -> None:
    from linkbench.app.work import Events

    visit = session.Sessions(folder, LIMITS).begin(Events())
    visit.out.mkdir()
    record = {"epsilon": 0.1, "faces": [], "met": True, "attackers_taught_at": 0.1}
    for name in ("me (3).png", "me.png", "me.png"):
        upload = visit.place(name)
        (visit.out / upload.path.name).write_bytes(b"")
        visit.photos[upload.number], visit.made[upload.number] = upload, record
    with zipfile.ZipFile(archive(visit)) as file:
        assert file.namelist() == ["me (3).png", "me.png", "me (3) (3).png", REPORT]


def without_a_face() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (200, 200), (120, 120, 120)).save(file, "PNG")
    return file.getvalue()


def test_ten_visitors_at_once_get_what_is_theirs(page: TestClient, folder: Path) -> None:
    def come(number: int) -> tuple[str, int, bytes]:
        visit = begin(page)
        seen = bring(page, visit, photo(number, width=500 + number)).json()
        assert seen["width"] == 500 + number
        if number >= 3:
            return visit, seen["faces"], page.get(f"{visit}/photos/1/whole").content
        assert page.post(f"{visit}/jobs", json={"kind": "preview", "photo": 1, "strength": 0}).status_code == 202
        return visit, seen["faces"], wait_for(page, f"{visit}/photos/1/after").content

    with ThreadPoolExecutor(10) as people:
        came = list(people.map(come, range(10)))
    assert all(faces == 1 for _, faces, _ in came)
    assert len({content for _, _, content in came}) == 10
    assert page.get(f"{came[0][0]}/photos/2/whole").status_code == 404
    for visit, _, _ in came[:5]:
        assert page.request("DELETE", visit).status_code == 204
    assert page.get(f"{came[9][0]}/photos/1/whole").status_code == 200
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 5


def test_a_cancelled_job_leaves_nothing_and_a_visitor_cannot_heap_up_work(
    page: TestClient, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = begin(page)
    bring(page, visit, photo())
    began: list[str] = []

    def slow(wanted: Any, session: Any, job: Any) -> dict[str, Any]:
        began.append(wanted.kind)
        for step in range(400):
            job.reached(step / 400, "on its way")
            time.sleep(0.01)
        raise AssertionError("nobody cancelled it")

    monkeypatch.setattr(desk, "do", slow)
    first = page.post(f"{visit}/jobs", json={"kind": "protect"}).json()["job"]
    while not began:
        time.sleep(0.01)
    second = page.post(f"{visit}/jobs", json={"kind": "protect"}).json()["job"]  # takes the place of the first
    third = page.post(f"{visit}/jobs", json={"kind": "risk"}).json()["job"]
    other = begin(page)
    assert page.request("DELETE", f"{other}/jobs/{second}").status_code == 204  # somebody else's: nothing happens
    while len(began) < 2:
        time.sleep(0.01)
    for number in (third, second):
        page.request("DELETE", f"{visit}/jobs/{number}")
    monkeypatch.undo()
    assert page.post(f"{visit}/jobs", json={"kind": "preview", "photo": 1}).status_code == 202
    wait_for(page, f"{visit}/photos/1/after")  # whoever works is free again
    assert began == ["protect", "protect"]  # the third was cancelled before it began
    assert page.get(f"{visit}/download").status_code == 404
    assert first < second < third


def test_folders_go_with_their_process_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / f"{PREFIX}left"
    left.mkdir()
    (left / "lock").touch()
    (left / "1.jpg").write_bytes(b"a photo")
    (tmp_path / "other").mkdir()
    with pytest.raises(KeyboardInterrupt), temporary_folder() as own:
        assert not left.exists()
        assert own.stat().st_mode & 0o777 == 0o700
        sweep(tmp_path)  # as a second process would
        assert own.exists()
        raise KeyboardInterrupt
    assert {path.name for path in tmp_path.iterdir()} == {"other"}


def test_a_folder_that_another_start_swept_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    locked, swept = session._locked, []

    def late(file: IO[bytes], *, wait: bool = False) -> bool:
        if wait and not swept:
            swept.append(Path(file.name).parent)
            sweep(tmp_path)
        return locked(file, wait=wait)

    monkeypatch.setattr(session, "_locked", late)
    with temporary_folder() as own:
        assert [own] != swept
        assert not swept[0].exists()
        sweep(tmp_path)
        assert own.exists()


def test_a_visitor_who_says_nothing_is_forgotten(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from linkbench.app.work import Events

    visitors = session.Sessions(folder, Limits(patience=10))
    quiet, listening = visitors.begin(Events()), visitors.begin(Events())
    listening.events.listeners.add(None)  # type: ignore[arg-type]
    assert visitors.gone() == []
    later = time.monotonic() + 11
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert visitors.gone() == [quiet.key]
    visitors.end(quiet.key)
    assert [path.name for path in folder.iterdir()] == [listening.key]


def test_servers_are_imported_for_this_command_alone(run_cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys; from click.testing import CliRunner; from linkbench.cli import cli\n"
        "for words in (['--help'], ['app', '--help'], ['protect', '--help']):\n"
        "    assert CliRunner().invoke(cli, words).exit_code == 0\n"
        "print(sorted({'starlette', 'uvicorn', 'torch', 'anyio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), timeout=60)
    assert done.stdout == "[]\n", done.stderr
    for name in [name for name in sys.modules if name.startswith("linkbench.app")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    missing = run_cli("app", "--no-browser")
    assert missing.status == 2
    assert "pip install 'linkbench[app]'" in missing.err


@contextlib.contextmanager
def running(kept: Path, temporary: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`linkbench app` in a process of its own, and its address."""
    command = [sys.executable, "-m", "linkbench", "app", "--no-browser", "--scenario", kept / "tiny.yaml"]
    process = subprocess.Popen(
        [*map(str, command), "--store", str(kept / "store")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env={**environment(), "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith(f"http://{HOST}:"), process.communicate()
        yield process, address
    finally:
        process.kill()
        process.communicate()


def interrupt_while_somebody_listens(process: subprocess.Popen[str], address: str, content: bytes) -> None:
    """Protect a photo, hear of its progress, and press Ctrl-C before the stream of events ends."""
    with httpx2.Client(base_url=address, headers={"origin": address.rsplit("/", 2)[0]}, timeout=60) as own:
        visit = f"sessions/{own.post('sessions').json()['session']}"
        own.post(f"{visit}/photos", params={"name": "me.png"}, content=content)
        with own.stream("GET", f"{visit}/events") as events:
            job = own.post(f"{visit}/jobs", json={"kind": "protect", "strength": 0}).json()["job"]
            told: list[dict[str, Any]] = []
            for line in events.iter_lines():
                told += words(line)
                if told and told[-1]["state"] == "done":
                    break
            assert {each["job"] for each in told} == {job}
            assert next(each["part"] for each in told if "part" in each) == 0
            assert any("checked as it was written" in each.get("text", "") for each in told)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0


def words(events: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in events.splitlines() if line.startswith("data: ")]


@pytest.mark.browser
def test_from_upload_to_download_in_a_browser_and_nothing_is_left(
    chromium: Browser, desk: Desk, kept: Path, tmp_path: Path
) -> None:
    source = saved(scene(), tmp_path / "me.png")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with running(kept, temporary) as (process, address):
        context = chromium.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark")
        context.set_default_timeout(PATIENCE)
        seen = Visit(context.new_page())
        page = seen.page
        page.goto(address)
        page.locator("html[data-ready=yes]").wait_for()
        assert page.get_by_role("button", name="Protect all photos").is_disabled()
        page.get_by_label("Choose photos").set_input_files([source])
        page.get_by_role("img", name="me.png, 1 face marked").wait_for()
        page.locator("#preview:not(.stale)").wait_for()

        slider = page.get_by_role("slider")
        assert slider.get_attribute("aria-valuetext") == "4/255 a colour"
        slider.focus()
        page.keyboard.press("ArrowRight")
        page.get_by_text("Preview of me.png at 16/255 a colour.").wait_for()
        assert slider.get_attribute("aria-valuetext") == "16/255 a colour"
        assert page.locator("#attackers tbody tr").count() == 2
        for shown in ("before", "after"):
            page.wait_for_function("id => document.getElementById(id).naturalWidth > 100", arg=shown)
        page.get_by_role("radio", name="the difference").check()
        page.wait_for_function("document.getElementById('difference').offsetWidth > 100")
        assert page.locator("#before").is_hidden()

        page.get_by_role("button", name="Look").press("Enter")
        page.frame_locator("#risk").locator("figure svg").first.wait_for()

        page.get_by_role("button", name="Protect all photos").press("Enter")
        page.get_by_role("heading", name="5. Take them home").wait_for()
        assert seen.js("document.activeElement.id") == "done-title"
        with page.expect_download() as coming:
            page.get_by_role("link", name="Download all").click()
        with zipfile.ZipFile(coming.value.path()) as archive:
            assert coming.value.suggested_filename == ARCHIVE
            assert archive.namelist() == ["me.png", REPORT]
            changed = np.asarray(Image.open(io.BytesIO(archive.read("me.png")))).astype(int) - scene()
        assert 0 < np.abs(changed).max() <= 16

        assert seen.errors == []
        assert seen.said == []
        assert all(request.startswith(address) for request in seen.requests)
        assert seen.js("document.documentElement.scrollWidth") <= 390
        unnamed = (
            "[...document.querySelectorAll('input, select, button, iframe, progress')].filter(e => !(e.labels?.length"
        )
        assert seen.js(f"{unnamed} || e.title || e.textContent.trim() || e.ariaLabel)).length") == 0
        assert any("1.png" in files_in(folder) for folder in temporary.iterdir())
        page.close()  # the page says good-bye
        deadline = time.monotonic() + 20
        while any(files_in(folder) - {"lock"} for folder in temporary.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert all(files_in(folder) == {"lock"} for folder in temporary.iterdir())
        context.close()

        interrupt_while_somebody_listens(process, address, source.read_bytes())
        assert process.stdout is not None
        assert "removed" in process.stdout.read()
        assert not any(temporary.iterdir())
