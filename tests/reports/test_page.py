"""The page in the browser that people open it with."""

import re
import shutil

import pytest
from playwright.sync_api import sync_playwright

from reports.page import render
from reports.record import Bytes, Quality

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH; install it with: apt-get install chromium")
EVIL = """<img src=x onerror="window.hit=1"></script><script>window.hit=1</script>'"&{{ 7*7 }}"""


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def demo_page(demo):
    return render(demo)


@pytest.fixture
def open_page(browser, tmp_path):
    """Opens a report, or its page, from disk, offline; ends by checking that nothing left it and nothing was complained about."""
    contexts, requests, complaints = [], [], []

    def go(report, **options):
        file = tmp_path / "index.html"
        file.write_text(report if isinstance(report, str) else render(report), encoding="utf-8")
        context = browser.new_context(offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(file.as_uri())
        return page

    yield go
    for context in contexts:
        context.close()
    assert requests == [(tmp_path / "index.html").as_uri()] * len(contexts)
    assert complaints == []


def column(page, key):
    script = "(rows, key) => rows.filter(r => !r.hidden).map(r => JSON.parse(r.dataset.keys)[key])"
    return page.locator("#table tbody tr").evaluate_all(script, key)


@needs_chromium
def test_a_click_on_a_head_sorts_and_says_so(demo, demo_page, open_page):
    page = open_page(demo_page)
    assert len(column(page, "file")) == len(demo.records)
    head = page.locator('th[data-key="file"]')
    head.locator("button").click()
    up = column(page, "file")
    measured = [size for size in up if size is not None]
    assert measured == sorted(measured) and up[: len(measured)] == measured, "what was not measured stays last"
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").press("Enter")
    assert column(page, "file")[: len(measured)] == measured[::-1]
    assert head.get_attribute("aria-sort") == "descending"
    assert page.locator('th[aria-sort="none"]').count() == 10


@needs_chromium
def test_filters_narrow_the_table_and_the_charts(demo, demo_page, open_page):
    page = open_page(demo_page)
    page.locator('[data-filter="model"]').select_option("vae")
    page.get_by_label("Find").fill("INT8 litert")
    assert set(column(page, "variant")) == {"int8", "pruned_distilled_int8"}
    assert page.locator(".panel:visible").count() == 1
    assert page.locator("output").inner_text() == f"2 of {len(demo.records)} cells"


@needs_chromium
def test_a_point_tells_its_numbers_and_leads_to_its_row_by_mouse_and_by_key(demo_page, open_page):
    page = open_page(demo_page)
    page.locator('[data-filter="model"]').select_option("vae")
    point = page.locator('.panel:visible [aria-roledescription="point"]').first
    row = re.match(r"Row (\d+)", point.get_attribute("aria-label"))[1]
    point.hover(force=True)
    tip = page.locator("#tip")
    assert tip.is_visible() and "vae" in tip.inner_text() and "nll 2" in tip.inner_text()
    page.get_by_label("Find").fill("nothing like this")
    point.focus()
    point.press("Enter")
    assert page.evaluate("document.activeElement.id") == f"row-{row}"
    assert page.locator(f"#row-{row}").is_visible(), "a filter must not hide what was asked for"


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(demo_page, open_page, scheme):
    page = open_page(demo_page, viewport={"width": 400, "height": 800}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.get_by_label("Sort by").is_visible(), "heads are not shown there"
    page.get_by_label("Sort by").select_option("p50")
    times = [time for time in column(page, "p50") if time is not None]
    assert times == sorted(times)


@needs_chromium
def test_text_has_the_contrast_that_readers_need(demo_page, open_page):
    script = """() => {
      const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
      const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
      const light = (color) => {
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(v => linear(v / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const behind = (e) => {
        const color = getComputedStyle(e).backgroundColor;
        return color.endsWith(', 0)') ? behind(e.parentElement) : color;
      };
      return [...document.querySelectorAll('.verdict, small, .kicker, th, .tally span, summary h3')].map(e => {
        const [dark, bright] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => x - y);
        return [(bright + 0.05) / (dark + 0.05), e.className + ' ' + e.textContent];
      });
    }"""
    page = open_page(demo_page)
    for scheme, medium in (("light", "screen"), ("dark", "screen"), ("dark", "print")):
        page.emulate_media(color_scheme=scheme, media=medium)
        worst = min(page.evaluate(script))
        assert worst[0] >= 4.5, (scheme, medium, worst)  # WCAG 2 AA for text


@needs_chromium
def test_without_script_everything_is_there_to_read(demo, demo_page, open_page):
    page = open_page(demo_page, java_script_enabled=False)
    assert page.locator("#table tbody tr").count() == len(demo.records)
    assert page.locator("figure svg").count() == 6
    assert not page.locator(".controls").is_visible(), "controls that do nothing are not shown"


@needs_chromium
def test_hostile_names_are_inert(make_cell, make_report, open_page):
    quality = Quality(EVIL, 0.9, 0.8, 0.95, 10, True)
    basics = {"dataset": EVIL, "runtime": EVIL, "format": EVIL, "target": EVIL, "quality": quality}
    cells = [make_cell(EVIL, "reference", **basics), make_cell(EVIL, EVIL, **basics)]
    page = open_page(make_report(*cells, make_cell(variant="x", status="failed", reason=EVIL)))
    page.locator('[aria-roledescription="point"]').first.hover(force=True)
    assert page.evaluate("window.hit") is None
    assert page.locator("img").count() == 0 and page.locator("script").count() == 1
    assert page.locator("#row-2 td b").inner_text() == EVIL
    assert "<img" in page.locator("#tip").inner_text(), "the tooltip shows the name as text"
    assert "49" not in page.locator("#row-2 td b").inner_text(), "a name is no template"


def test_nulls_and_failures_are_words_not_zeros(make_cell, make_report):
    empty = make_cell(variant="a", quality=None, bytes=Bytes(), latency_ms=None, versus_baseline=None)
    page = render(make_report(empty, make_cell(variant="b", status="failed", reason="out of memory")))
    assert "out of memory" in page and "failed" in page
    assert "0.0 KB" not in page and "None" not in page


def test_the_page_stays_light(demo_page):
    assert len(demo_page.encode()) < 500_000


def test_an_empty_report_still_renders(make_report):
    assert "Nothing was compressed in this run." in render(make_report())
