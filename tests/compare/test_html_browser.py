"""The report in a real browser."""

import json
import shutil
from dataclasses import replace

import pytest
from browser import browser, resize
from example_results import CARD, VERDICTS, example
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from fewer.compare.html import write

pytestmark = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="no Chromium here: apt-get install chromium chromium-driver",
)


@pytest.fixture(scope="module")
def driver():
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write(tmp_path_factory.mktemp("report") / "report.html", example(), CARD, VERDICTS).as_uri()


@pytest.fixture
def page(driver, report):
    """The report as it is when just loaded; loaded again only when the last test left it, since it is 5 MB."""
    resize(driver, 1280, 900)
    if driver.current_url != report:
        driver.get(report)
    driver.execute_script(
        """document.querySelectorAll("select").forEach((select) => {
            if (select.selectedIndex > 0) {
                select.selectedIndex = 0;
                select.dispatchEvent(new Event("change"));
            }
        });"""
    )
    return driver


def widest_chart(page) -> int:
    """In pixels."""
    return page.execute_script("return Math.max(...[...document.querySelectorAll('.main-svg')].map(s => s.clientWidth))")


def caption(page, name: str) -> str:
    return page.find_element(By.ID, f"caption-{name}").text


def test_the_page_loads_without_an_error_or_a_request(driver, report):
    driver.get_log("browser")
    driver.get_log("performance")
    driver.get(report)
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [report]
    assert driver.get_log("browser") == []


def test_every_chart_is_drawn_and_described(page):
    for name in ("density", "cost", "dense", "random", "error"):
        assert page.find_elements(By.CSS_SELECTOR, f"#chart-{name} .scatterlayer .point"), name
    assert page.find_elements(By.CSS_SELECTOR, "#chart-layers .heatmaplayer image")
    assert page.find_elements(By.CSS_SELECTOR, "#chart-scores .barlayer .point")
    for chart in page.find_elements(By.CSS_SELECTOR, ".chart"):
        assert chart.get_attribute("role") == "img"
        assert len(chart.get_attribute("aria-label")) > 20


@pytest.mark.parametrize("width", [320, 360, 768])
def test_a_narrow_screen_does_not_scroll_sideways(page, width):
    resize(page, width, 740)  # as when a phone is turned: the page is not loaded anew
    WebDriverWait(page, 10).until(lambda page: widest_chart(page) <= width)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width


def test_the_theme_button_repaints_page_and_charts(page):
    look = """const of = (s, p) => getComputedStyle(document.querySelector(s))[p];
        return [of('body', 'backgroundColor'), of('body', 'color'), of('#chart-density .xtick text', 'fill')]"""
    before = page.execute_script(look)
    button = page.find_element(By.ID, "theme")
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    after = page.execute_script(look)
    assert button.get_attribute("aria-pressed") == "true"
    assert all(a != b for a, b in zip(before, after, strict=True))
    button.click()
    assert page.execute_script(look) == before


def test_the_system_theme_is_followed(page):
    def background(scheme):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        return page.execute_script("return getComputedStyle(document.body).backgroundColor")

    page.refresh()  # a theme that was chosen before would stay
    dark = background("dark")
    assert dark != background("light")


@pytest.mark.parametrize(
    ("select", "chosen", "chart", "words"),
    [
        ("front-quality", "accuracy", "density", "accuracy by density"),
        ("front-cost", "bytes_stored", "cost", "bytes stored (MB)"),
        ("difference-quality", "accuracy", "dense", "higher is better"),
        ("difference-budget", "0.3", "random", "at 30% kept"),
        ("layers-budget", "0.4", "layers", "40% density"),
        ("scores-layer", "3", "scores", "model.layers.0.self_attn.o_proj"),
        ("scores-arm", "random", "scores", "random"),
        ("scores-budget", "0.3", "scores", "120 kept, 280 dropped"),
    ],
)
def test_a_choice_redraws_its_chart(page, select, chosen, chart, words):
    assert words not in caption(page, chart)
    Select(page.find_element(By.ID, select)).select_by_value(chosen)
    assert words in caption(page, chart)


def test_a_far_random_arm_is_written_at_the_edge(page):
    assert [e.text for e in page.find_elements(By.CSS_SELECTOR, "#chart-dense .annotation-text")] == ["+4.0e+04 →"]


def test_the_download_is_the_embedded_data(page):
    read = "const r = new XMLHttpRequest(); r.open('GET', arguments[0].href, false); r.send(); return r.responseText"
    link = page.find_element(By.ID, "download")
    assert link.get_attribute("download") == "made-up-perplexity.json"
    assert len(json.loads(page.execute_script(read, link))["rows"]) == len(example().rows)


def test_printing_opens_what_is_folded_is_light_and_fits_the_paper(page):
    page.find_element(By.ID, "theme").click()
    page.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert page.execute_script("return [...document.querySelectorAll('details')].every(d => d.open)")
    assert page.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert widest_chart(page) <= 980
    page.execute_script("dispatchEvent(new Event('afterprint'))")
    assert widest_chart(page) > 980
    page.find_element(By.ID, "theme").click()


def test_text_stands_out_from_its_background_in_both_themes(page):
    contrast = """
        const light = (c) => c.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
        const ground = light(getComputedStyle(document.body).backgroundColor);
        const ratio = (c) => (Math.max(light(c), ground) + 0.05) / (Math.min(light(c), ground) + 0.05);
        const ink = (s) => Math.min(...[...document.querySelectorAll(s)].map(e => ratio(getComputedStyle(e).color)));
        const paint = [...document.querySelectorAll('.swatch')].map(e => ratio(getComputedStyle(e).backgroundColor));
        return [ink('p, td, th, a, dt, dd, figcaption, .badge, small'), Math.min(...paint)]"""
    for _ in range(2):
        ink, paint = page.execute_script(contrast)
        assert ink >= 4.5
        assert paint >= 3
        page.find_element(By.ID, "theme").click()


HOSTILE = "<img src=x onerror='hacked=1'><a href='javascript:1'>%{x}</a></script><script>hacked=1</script>"


@pytest.mark.parametrize(
    "change",
    [
        lambda r: replace(r, rows=[]),
        lambda r: replace(r, rows=[replace(row, cost={}, detail={}) for row in r.rows]),
        lambda r: replace(r, rows=[replace(row, quality={"perplexity": float("inf")}) for row in r.rows]),
        lambda r: replace(r, rows=[row for row in r.rows if row.arm != "dense"]),
        lambda r: replace(r, title=HOSTILE, arms={n: replace(f, label=n + HOSTILE) for n, f in r.arms.items()}),
    ],
    ids=["empty", "bare", "infinite", "without dense", "hostile"],
)
def test_odd_results_are_drawn_without_an_error(driver, tmp_path, change):
    resize(driver, 1280, 900)
    driver.get_log("browser")
    driver.get(write(tmp_path / "odd.html", change(example(layers=3)), CARD, VERDICTS).as_uri())
    assert driver.get_log("browser") == []
    assert driver.execute_script("return typeof hacked") == "undefined"
    assert driver.find_elements(By.CSS_SELECTOR, "#chart-density .main-svg")
    assert not driver.find_elements(By.CSS_SELECTOR, ".chart a, img")
