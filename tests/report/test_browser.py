"""The report in a browser, where there is one: nothing is asked, nothing runs, everything can be read and saved."""

import gzip
import shutil

import pytest

from bias_jax.report.account import Column, Excerpt, told_as_json
from bias_jax.report.page import write_report
from bias_jax.report.reading import SECTION
from bias_jax.report.words import visible
from bias_jax.results import Folder
from tests.report.runs import HOSTILE, told, write_run

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# The least contrast of any text with what lies behind it, by the formula of WCAG 2, and where it is.
CONTRAST = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 :
    ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = e => { for (; e; e = e.parentElement) {
    const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  let least = [21, ""];
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < least[0]) least = [ratio, e.tagName];
  }
  return least; }"""


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no browser")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write_report([write_run(tmp_path_factory.mktemp("browser") / "run")])


@pytest.mark.slow
@pytest.mark.parametrize("width", [1400, 400])
def test_the_page_in_a_browser(browser, report, width, tmp_path):
    page = browser.new_page(viewport={"width": width, "height": 900}, accept_downloads=True)
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.goto(report.as_uri())
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()] and not said
    assert page.evaluate("document.documentElement.scrollWidth") <= width  # nothing stands out at the side
    ratio, tag = page.evaluate(CONTRAST)
    assert ratio >= 4.5, tag
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0 && i.alt)")
    cells = page.evaluate("[...document.querySelectorAll('tbody th')].map(e => e.textContent)")
    assert {visible(label) for label in HOSTILE} <= set(cells)
    with page.expect_download() as saved:
        page.click("a[download='many.csv.gz']")
    saved.value.save_as(tmp_path / "many.csv.gz")
    assert gzip.decompress((tmp_path / "many.csv.gz").read_bytes()).startswith(b'"group","number"')
    page.keyboard.press("Home")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") in ("A", "DIV", "SUMMARY")
    page.close()


@pytest.mark.slow
def test_a_wide_table_grows_higher_instead(browser, tmp_path):
    """Ten estimates a row fit a screen: a line breaks before an interval, never inside one."""
    names = [f"race x age x attribute {i}" for i in range(10)]
    columns = (Column("layer"), *(Column(name, "percent") for name in names))
    rows = tuple((layer, *((0.345, 0.123, 0.567) for _ in names)) for layer in ("layer1.0", "layer1.1"))
    run = write_run(tmp_path / "run")
    wide = told()._replace(excerpts=(Excerpt("wide", "Wide", columns, rows),))
    Folder(run / "scores").save_json(SECTION, told_as_json(wide))
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(write_report([run]).as_uri())
    region = "[...document.querySelectorAll('.scroll')].find(e => e.textContent.includes('layer1.1'))"
    assert page.evaluate(f"{region}.scrollWidth <= {region}.clientWidth")
    heights = page.evaluate(f"[...{region}.querySelectorAll('tbody tr')].map(e => e.getBoundingClientRect().height)")
    line = page.evaluate(f"parseFloat(getComputedStyle({region}.querySelector('td')).lineHeight)")
    assert all(2 * line < height < 3 * line for height in heights)
    page.close()
