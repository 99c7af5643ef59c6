"""A browser that opens our page, as a phone would: real Chromium with a phone's screen and touch."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import requests
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, Playwright, sync_playwright

from models.tasks.classification import Classification
from pipeline.bench.kernels import chain, exported
from pipeline.measure import Failure, Samples
from pipeline.places import home
from pipeline.registry import ROOT
from targets._sampling import Candidate, MeasureSet, Plan, ToJudge, sample
from targets.browser import npm, server, session
from targets.browser.address import Address, parse
from targets.browser.message import pack
from targets.device.job import Sampling
from targets.transport.browser import Browser
from targets.web import PACKAGES, Web
from tests.targets.prepared import RECIPE, prepare

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH; install it with: apt-get install chromium"),
    pytest.mark.xdist_group("web"),
]
SHORT = Plan(processes=1, sampling=Sampling(warmup=2, rounds=3, calls=2, steady_calls=5, steady_seconds=0.2))
SITE = "edgepress.test"
"""A name that Chromium is told to find here: unlike localhost it is no secure context over plain http."""


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as found:
        yield found


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> Iterator[Chromium]:
    arguments = ["--no-sandbox", f"--host-resolver-rules=MAP {SITE} 127.0.0.1"]
    found = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
    yield found
    found.close()


@pytest.fixture(scope="module")
def files() -> Path:
    return npm.prepare(home() / "npm", lambda *said: None)


@dataclass
class Served:
    """A page that is being served, and the transport to whoever opens it."""

    app: server.App
    origin: str
    fingerprint: str

    @property
    def address(self) -> str:
        return f"{self.origin}/{self.app.token}"

    @property
    def browser(self) -> Browser:
        return Browser(self.app.session, {name: (package, npm.PACKAGES[package].version) for name, package in PACKAGES.items()})


@pytest.fixture
def serve(files: Path) -> Iterator[Callable[..., Served]]:
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(address: Address = Address()) -> Served:  # noqa: B008  # it is frozen
            app = server.App(session.Session(), files, address.secure)
            return Served(app, *stack.enter_context(server.serve(address, app)))

        yield start


@pytest.fixture
def visit(playwright: Playwright, chromium: Chromium) -> Iterator[Callable[[str], Page]]:
    contexts = []

    def go(address: str) -> Page:
        context = chromium.new_context(**playwright.devices["Pixel 7"], ignore_https_errors=True)
        contexts.append(context)
        page = context.new_page()
        page.goto(address)
        return page

    yield go
    for context in contexts:
        context.close()


@pytest.fixture
def candidate(classifier: Path) -> Candidate:
    """Logits are its input; three of its four samples have the label of the largest."""
    samples = {"x": np.eye(4, 3, dtype=np.float32), "label": np.array([0, 1, 2, 2])}
    judging = ToJudge({"classifier": (classifier,)}, Classification("classifier"), samples)
    return Candidate((classifier,), {"x": np.array([[1, 2, 3]], np.float32)}, judging=judging)


@contextmanager
def running(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command line, and the address that it prints."""
    command = [sys.executable, "-m", "pipeline", "run", *map(str, arguments)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr and process.stdout
    try:
        printed = next(found for line in process.stderr if (found := re.search(r"https?://\S+/\S+", line)))
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield process, printed.group(0)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_recipe_goes_to_a_browser_and_its_report_says_what_was_had_there(visit, tmp_path: Path) -> None:
    (tmp_path / "web.toml").write_text(RECIPE)
    with running(tmp_path / "web.toml", "--target", "web", "--json") as (process, address):
        page = visit(address)
        out, _ = process.communicate()
        page.get_by_text("Done. The report is on the computer.").wait_for()
        assert page.locator("section h2").all_text_contents() == ["mlponnxruntime-web", "mlp@litertjs/core"]
        assert re.fullmatch(r"0\.\d+ ms", page.locator(".row .value").first.text_content() or "")
    assert process.returncode == 0
    report = json.loads(out)
    assert "Chromium" in report["run"]["host"]["cpu"]
    assert report["run"]["host"]["os"].startswith("Android")
    assert report["run"]["versions"]["onnxruntime-web"] == npm.PACKAGES["onnxruntime-web"].version
    assert any("clock steps of" in each for each in report["run"]["conditions"])
    found = {(each["variant"], each["runtime"]): each for each in report["records"]}
    assert found["reference", "openvino"]["reason"] == "there is no openvino for browsers"
    for variant in ("reference", "int8"):
        for runtime in ("onnxruntime", "litert"):
            record = found[variant, runtime]
            assert (record["status"], record["provenance"], record["quality"]["n"]) == ("ok", "measured", 360)
            assert record["latency_ms"]["p50"] > 0
            assert record["bytes"]["peak_memory"] > 1 << 20
    assert found["reference", "litert"]["parity"]["on_target"] < 1e-4


def test_the_browser_says_what_torch_says_and_what_integers_say(serve, visit, tmp_path: Path) -> None:
    (tmp_path / "web.toml").write_text(RECIPE)
    reasons = {name: None if name in PACKAGES else "not here" for name in ("onnxruntime", "litert", "openvino", "torch")}
    prepared = prepare(tmp_path / "web.toml", "web", tmp_path, reasons)
    served = serve()
    visit(served.address)
    prepared.compare(sample(served.browser, list(prepared.sets.values()), SHORT, lambda *said: None))


def test_threads_and_a_fine_clock_where_the_page_is_isolated(serve, visit, candidate: Candidate) -> None:
    served = serve(Address(secure=True))
    visit(served.address)
    environment, _ = measured(served, candidate, threads=2)
    assert environment["isolated"] is True
    assert environment["threads"] == 2
    assert not any("threads" in note for note in environment["state_after"]["notes"])


def test_over_plain_http_it_runs_on_and_says_what_that_costs(serve, visit, candidate: Candidate) -> None:
    served = serve()
    visit(served.address.replace("127.0.0.1", SITE))
    environment, found = measured(served, candidate, threads=2)
    assert environment["isolated"] is False
    assert environment["threads"] == 1
    assert "1 of 2 threads: the page is not isolated" in environment["state_after"]["notes"]
    assert isinstance(found.sets[0]["a"], Samples)


def measured(served: Served, candidate: Candidate, threads: int = 1):
    plan = Plan(processes=1, threads=threads, sampling=SHORT.sampling)
    found = sample(served.browser, [MeasureSet("onnxruntime", {"a": candidate}, "m")], plan, lambda *said: None)
    assert isinstance(found.sets[0]["a"], Samples), found.sets
    assert found.judged[0]["a"]["correct"].tolist() == [True, True, True, False]
    return found.raw["onnxruntime"][0]["environment"], found


def test_a_page_that_is_loaded_anew_begins_again(serve, visit, candidate: Candidate) -> None:
    served, found = serve(), []
    page = visit(served.address)
    slow = Plan(processes=1, sampling=Sampling(warmup=2, rounds=3, calls=2, steady_calls=10**9, steady_seconds=4))
    sets = [MeasureSet("onnxruntime", {"a": candidate}, "m")]
    work = threading.Thread(target=lambda: found.append(sample(served.browser, sets, slow, lambda *said: None)))
    work.start()
    page.get_by_text("Measuring m in onnxruntime-web").wait_for()
    page.reload()
    page.get_by_text("Measuring m in onnxruntime-web").wait_for()
    work.join()
    assert isinstance(found[0].sets[0]["a"], Samples), found[0].sets


def test_a_page_of_a_run_that_is_over_says_so(serve, visit, monkeypatch) -> None:
    monkeypatch.setattr(session, "POLL_SECONDS", 0.2)
    served = serve()
    page = visit(served.address)
    served.app._cookie = "of the next run, at the same place"
    page.get_by_text("This page is over. Run Edgepress again for a new address.").wait_for()


def test_what_a_browser_cannot_load_is_said_and_the_rest_goes_on(serve, visit, candidate: Candidate, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model at all")
    judging = ToJudge({"classifier": (tmp_path / "bad.onnx",)}, Classification("classifier"), candidate.judging.samples)
    bad = Candidate((tmp_path / "bad.onnx",), candidate.inputs, judging=judging)
    served = serve()
    visit(served.address)
    found = sample(served.browser, [MeasureSet("onnxruntime", {"a": candidate, "b": bad}, "m")], SHORT, lambda *said: None)
    assert isinstance(found.sets[0]["a"], Samples), found.sets
    assert isinstance(found.sets[0]["b"], Failure)
    assert isinstance(found.judged[0]["b"], Failure)


def test_layers_of_signs_are_no_failure_of_a_browser_and_the_rest_goes_on(serve, visit, candidate, tmp_path: Path) -> None:
    shape, judging = (1, 16, 6, 6), candidate.judging
    (file,) = exported("onnxruntime", chain(16, binary=True), shape, None, tmp_path / "binary")
    inputs = {"x": np.zeros(shape, np.float32)}
    signs = Candidate((file,), inputs, judging=replace(judging, graphs={"classifier": (file,)}))
    served = serve()
    visit(served.address)
    found = sample(served.browser, [MeasureSet("onnxruntime", {"a": candidate, "b": signs}, "m")], SHORT, lambda *said: None)
    assert isinstance(found.sets[0]["a"], Samples), found.sets
    words = "its layers of +-1 need our kernels, which no browser has"
    assert found.sets[0]["b"] == found.judged[0]["b"] == Failure(words, unsupported=True)


def test_a_page_that_is_closed_is_waited_for_and_then_given_up(serve, visit, candidate: Candidate, monkeypatch) -> None:
    monkeypatch.setattr(session, "GONE_SECONDS", 0.5)
    monkeypatch.setattr(session, "PATIENCE_SECONDS", 3.0)
    served, said = serve(), list[str]()
    visit(served.address).close()
    found = sample(
        served.browser, [MeasureSet("onnxruntime", {"a": candidate}, "m")], SHORT, lambda *words: said.append(words[2])
    )
    assert "the page is closed: nothing was heard of it for 3 s" in found.sets[0]["a"].reason
    assert any("open it again" in line for line in said)


def test_an_address_is_opened_once(serve, visit) -> None:
    served = serve()
    page = visit(served.address)
    page.reload()  # its own visitor may
    assert page.locator("h1").text_content() == "Edgepress"
    other = requests.get(served.address, timeout=10)
    assert (other.status_code, "opened already" in other.text) == (403, True)
    assert requests.get(f"{served.origin}/", timeout=10).status_code == 403
    assert requests.get(f"{served.origin}/next", cookies={"edgepress": "guess"}, timeout=10).status_code == 403


@pytest.fixture
def visitor(serve) -> tuple[Served, requests.Session]:
    served, client = serve(), requests.Session()
    assert client.get(served.address, timeout=10).status_code == 200
    return served, client


@pytest.mark.parametrize(
    "path", ["page/../server.py", "page/%2e%2e/server.py", "npm/..%2f..%2fstore", "files/" + "0" * 64, "nothing"]
)
def test_nothing_else_is_served(visitor, path: str) -> None:
    served, client = visitor
    request = requests.Request("GET", f"{served.origin}/x").prepare()
    request.url = f"{served.origin}/{path}"  # as it stands: requests would tidy the dots away
    request.headers["Cookie"] = "; ".join(f"{each.name}={each.value}" for each in client.cookies)
    assert client.send(request, timeout=10).status_code == 404


def test_what_comes_in_is_bounded_and_must_be_what_it_says(visitor, monkeypatch) -> None:
    served, client = visitor
    monkeypatch.setattr(server, "MOST_BYTES", 1000)
    assert client.post(f"{served.origin}/answer/1", data=b"x" * 1001, timeout=10).status_code == 413
    assert client.post(f"{served.origin}/hello", data=b"x" * (server.MOST_WORDS + 1), timeout=10).status_code == 413
    assert client.post(f"{served.origin}/hello", data=b"[1]", timeout=10).status_code == 400
    assert client.post(f"{served.origin}/progress/1", data=b'{"done": "all"}', timeout=10).status_code == 400
    assert client.post(f"{served.origin}/answer/x", data=b"", timeout=10).status_code == 404


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"no message", "the page sent no message"),
        (pack({"failed": "out of\nmemory"}, {}), "the browser: out of memory"),
        (pack({"candidates": {"m/a": {}}}, {}), "the device's result.json: environment: Field required"),
        (pack({"candidates": []}, {"m/a|logits": np.ones(3)}), "the device's result.json: environment: Field required"),
    ],
)
def test_an_answer_that_is_forged_is_not_believed(visitor, candidate: Candidate, body: bytes, words: str) -> None:
    served, client = visitor

    def lie() -> None:
        assert client.get(f"{served.origin}/next", timeout=30).status_code == 200
        client.post(f"{served.origin}/answer/1", data=body, timeout=10)

    plain = Candidate(candidate.files, candidate.inputs)
    thread = threading.Thread(target=lie)
    thread.start()
    found = sample(served.browser, [MeasureSet("onnxruntime", {"a": plain}, "m")], SHORT, lambda *said: None)
    thread.join()
    assert words in found.sets[0]["a"].reason


def test_the_certificate_is_the_one_that_was_printed(serve) -> None:
    import hashlib
    import ssl

    served = serve(Address(secure=True))
    port = int(served.origin.rpartition(":")[2])
    found = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port)))
    assert hashlib.sha256(found).hexdigest().upper() == served.fingerprint.replace(":", "")


def test_a_phone_gets_a_code_to_read_and_a_word_on_the_clock(capsys) -> None:
    from targets.web import _show

    _show(Address("192.0.2.7", shown=True), "http://192.0.2.7:8000/token", "", None)
    said = capsys.readouterr().err
    assert "http://192.0.2.7:8000/token" in said
    assert said.count("▀") > 50
    assert "a coarse clock" in said


@pytest.mark.parametrize(
    "device", ["lann", "ftp://127.0.0.1", "https://", "https://phone.local", "http://127.0.0.1/path", "http://127.0.0.1:99999"]
)
def test_a_device_that_is_no_address_is_refused(refused, device: str) -> None:
    assert f"--device: found '{device}', expected nothing, usb" in refused(
        "run", ROOT / "pipeline/recipes/digits.toml", "--target", "web", "--device", device
    )


def test_it_listens_to_this_machine_alone_unless_asked() -> None:
    assert parse("").host == parse("usb").host == "127.0.0.1"
    assert parse("https://192.0.2.7:8443") == Address("192.0.2.7", 8443, secure=True, shown=True)
    assert Web("usb:R58").usable() is None


def test_nobody_opens_the_page(monkeypatch) -> None:
    from pipeline.errors import UserError

    monkeypatch.setattr("targets.web.WAIT_SECONDS", 0.1)
    with pytest.raises(UserError, match="nobody opened the page"), Web().reach(lambda line: None):
        pass
