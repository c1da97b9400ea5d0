"""The page in headless Chromium, where it is installed: hostile data run nothing, and every point has its name."""

from __future__ import annotations

import pytest

from holdfast.bench.given.specs import ReportSpec
from holdfast.report.page.making import write_page
from tests.bench.comparison import comparison
from tests.report.page import chromium
from tests.report.page.hostile import hostile_run
from tests.report.page.made import finished, fit, healing, reranker

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason="no Chromium is installed")
FOREIGN = "document.querySelectorAll('iframe, img, base, object, embed, link, a')"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = chromium.Chromium(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


def test_hostile_data_run_nothing_and_the_plots_are_drawn(browser, tmp_path):
    browser.open(write_page(ReportSpec(runs=(str(hostile_run(tmp_path / "run")),)), tmp_path / "page.html"))
    assert browser.value("typeof window.pwned") == "undefined"
    assert browser.value(f"{FOREIGN}.length") == 0
    assert browser.value("document.querySelectorAll('.plot svg').length") == 4
    assert browser.value("document.querySelectorAll('[onload], [onerror], [onmouseover]').length") == 0
    assert browser.said == []


def test_every_point_of_a_comparison_has_its_name_on_hover_and_with_the_keys(browser, tmp_path):
    runs = comparison(tmp_path / "runs")
    browser.open(write_page(ReportSpec(runs=(str(runs),)), tmp_path / "page.html"))
    assert (
        browser.value("document.querySelectorAll('.plot')[0].querySelectorAll('.mark-symbol.role-mark path').length")
        == 9
    )
    browser.value("document.querySelector('.plot').focus()")
    seen = set()
    for _ in range(9):
        for kind in ("rawKeyDown", "keyUp"):
            arrow = {"key": "ArrowRight", "code": "ArrowRight", "windowsVirtualKeyCode": 39}
            browser.call("Input.dispatchKeyEvent", type=kind, **arrow)
        seen.add(browser.value("document.getElementById('tip').innerText"))
    assert len(seen) == 9
    assert all("recipe" in text and "learning rate" in text for text in seen)
    box = "document.querySelector('.plot .mark-symbol.role-mark path').getBoundingClientRect()"
    browser.value("document.activeElement.blur()")
    assert browser.value("document.getElementById('tip').hidden")
    browser.value("document.querySelector('.plot').scrollIntoView()")
    x, y = browser.value(f"{box}.x + {box}.width / 2"), browser.value(f"{box}.y + {box}.height / 2")
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    assert "recipe" in browser.value("document.getElementById('tip').innerText")
    assert browser.said == []


WIDE = """[...document.querySelectorAll('.scroll, .plot, pre')].filter((box) => box.scrollWidth > box.clientWidth + 1)
.map((box) => box.getAttribute('aria-label')).join()"""
OVER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize(("make", "plots"), [(finished, 4), (reranker, 4), (comparison, 1), (healing, 1), (fit, 6)])
def test_every_kind_of_page_is_drawn_and_nothing_is_cut_on_a_screen_or_on_paper(browser, tmp_path, make, plots):
    path = write_page(ReportSpec(runs=(str(make(tmp_path / "folder")),)), tmp_path / "page.html")
    for media, width in (("screen", 1000), ("print", 680), ("screen", 400)):
        browser.look(media=media, width=width)
        browser.open(path)
        if media == "screen":
            browser.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert browser.value("document.querySelectorAll('.plot svg').length") == plots
        assert browser.value(OVER) == 0
        if width > 400:  # on a telephone a table may scroll in its box
            assert browser.value(WIDE) == ""
    assert browser.said == []
