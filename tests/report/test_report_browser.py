"""The page as a reader has it: in Chromium, at the width of a desk and of a phone."""

from __future__ import annotations

import os

import pytest
from chromium import chromium, find_chromium
from report_pages import failed_group, frame, hostile_group, image_group, master_group, pictures, summary

from keyhole.report.files import write_page

WIDTHS = (1400, 390)
STAGE = "document.querySelector('.stage')"
BOX = f"(r => [r.left, r.top, r.width, r.height])({STAGE}.getBoundingClientRect())"
VIEWER = "(v => [v.scale, v.x, v.y, v.shown])(keyholeViewers[0])"

# Text whose colour differs too little from what lies behind it (WCAG 2.2, 1.4.3 AA).
CONTRAST = """
(() => {
  const rgba = text => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
  const over = (top, under) => [0, 1, 2].map(k => top[k] * top[3] + under[k] * (1 - top[3]));
  const light = c => {
    const [r, g, b] = c.slice(0, 3).map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.unshift(rgba(getComputedStyle(e).backgroundColor));
    const canvas = matchMedia('(prefers-color-scheme: dark)').matches ? [20, 23, 28] : [255, 255, 255];
    return layers.reduce((under, top) => over(top, under), canvas);
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, element = node.parentElement;
    if (!node.data.trim() || element.closest('title,desc,script,style')) continue;
    if (!element.checkVisibility({ opacityProperty: true })) continue;
    const style = getComputedStyle(element), svg = element instanceof SVGElement;
    const back = element.closest('.compass') ? [64, 66, 71] : ground(element);
    const ink = over(rgba(svg ? style.fill : style.color), back);
    const [a, b] = [light(ink), light(back)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) poor.push(`${node.data.trim().slice(0, 40)} ${ratio.toFixed(2)}`);
  }
  return poor;
})()
"""
# Elements that reach beyond the page and lie in nothing that scrolls or cuts.
OVERFLOW = """
[...document.body.querySelectorAll('*')].filter(e => {
  if (e.closest('svg') !== null && e.tagName !== 'svg') return false;
  if (e.closest('.scroll, .stage, .wide, pre, .unseen, .skip') !== null) return false;
  const r = e.getBoundingClientRect();
  return r.width > 0 && (r.right > innerWidth + 0.5 || r.left < -0.5);
}).map(e => e.tagName + '.' + e.className)
"""
LABELS = """
(() => {
  const name = e => (e.getAttribute('aria-label') || (e.getAttribute('aria-labelledby') || '').split(' ')
    .map(id => document.getElementById(id)?.textContent || '').join(' ') || e.textContent || e.title || '').trim();
  const missing = [];
  for (const e of document.querySelectorAll('a, button, summary, [role], [tabindex], svg[role=img]'))
    if (!name(e)) missing.push(e.outerHTML.slice(0, 80));
  for (const e of document.querySelectorAll('img')) if (!e.alt.trim()) missing.push('img without alt');
  for (const e of document.querySelectorAll('[aria-labelledby], [aria-describedby]'))
    for (const kind of ['labelledby', 'describedby'])
      for (const id of (e.getAttribute(`aria-${kind}`) || '').match(/\\S+/g) || [])
        if (!document.getElementById(id)) missing.push(`no element ${id}`);
  for (const e of document.querySelectorAll('th')) if (!e.scope) missing.push('th without scope');
  if (!document.documentElement.lang || !document.title) missing.push('lang or title');
  const levels = [...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.tagName[1]));
  levels.forEach((level, k) => { if (k && level > levels[k - 1] + 1) missing.push(`h${level} is too deep`); });
  return missing;
})()
"""


@pytest.fixture(scope="module")
def browser():
    program = find_chromium()
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no Chromium: .ci/run installs it (Debian's package chromium)")
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with chromium(program) as page:
        yield page


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A page of each kind of night."""
    clouds = [frame(k, transparency=0.4 if k == 3 else 1.0) for k in range(5)]
    clouds[1] = frame(1, used=False, why="hardly any light reached the detector")
    clouds[2] = frame(2, pointing_error_dx=3.1)
    nights = {
        "good": [image_group(), master_group()],
        "clouds": [image_group(frames=clouds), master_group()],
        "failed": [failed_group(), image_group(), master_group()],
        "hostile": [hostile_group()],
    }
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for name, groups in nights.items():
        told_by = summary(*groups)
        found[name] = write_page(folder / f"{name}.html", told_by, pictures(told_by).get)
    return found


KINDS = ("good", "clouds", "failed", "hostile")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_page_opens_without_error_network_or_overflow(browser, pages, kind, width):
    browser.show(pages[kind], width=width, touch=width < 500)
    browser.tell("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert browser.tell("document.images.length === 0 || [...document.images].every(i => i.naturalWidth > 0)")
    assert browser.problems == []
    assert browser.requests == []
    assert browser.tell("document.documentElement.scrollWidth") <= width
    assert browser.tell(OVERFLOW) == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_all_text_stands_out_from_its_ground(browser, pages, kind, dark):
    browser.show(pages[kind], width=1400, dark=dark)
    browser.tell("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert browser.tell("getComputedStyle(document.body).backgroundColor") == (
        "rgb(20, 23, 28)" if dark else "rgb(255, 255, 255)"
    )
    assert browser.tell(CONTRAST) == []


@pytest.mark.parametrize("kind", KINDS)
def test_everything_has_a_name_for_those_who_do_not_see_it(browser, pages, kind):
    browser.show(pages[kind], width=1400)
    assert browser.tell(LABELS) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_whole_image_is_seen_at_first_or_fills_the_stage(browser, pages, width):
    browser.show(pages["good"], width=width)
    left, top, wide, high = browser.tell(BOX)
    r = browser.tell(
        "(r => [r.left, r.top, r.width, r.height])(document.querySelector('.layers').getBoundingClientRect())"
    )
    assert r[2] >= wide - 1 or r[3] >= high - 1
    assert r[0] <= left + wide / 2 <= r[0] + r[2] and r[1] <= top + high / 2 <= r[1] + r[3]


def test_keyboard_zooms_moves_blinks_and_comes_back(browser, pages):
    browser.show(pages["good"], width=1400)
    browser.tell(f"{STAGE}.focus()")
    scale, x, _, _ = browser.tell(VIEWER)
    browser.key("+")
    zoomed = browser.tell(VIEWER)
    assert zoomed[0] == pytest.approx(1.5 * scale)
    browser.key("ArrowRight")
    assert browser.tell(VIEWER)[1] == pytest.approx(zoomed[1] - 60)
    browser.key("b")
    assert browser.tell(VIEWER)[3] == 1
    assert browser.tell("document.querySelector('.tag').textContent").startswith("Before")
    browser.key("0")
    assert browser.tell(VIEWER)[:2] == pytest.approx([scale, x])


def test_blinking_starts_and_stops(browser, pages):
    browser.show(pages["good"], width=1400)
    button = "document.querySelector('[data-do=blink]')"
    browser.tell(f"{button}.click()")
    assert browser.tell(f"{button}.getAttribute('aria-pressed')") == "true"
    browser.wait("keyholeViewers[0].shown === 1")
    browser.wait("keyholeViewers[0].shown === 0")
    browser.tell(f"{button}.click()")
    assert browser.tell(f"{button}.getAttribute('aria-pressed')") == "false"
    assert browser.tell("keyholeViewers[0].timer") == 0


def test_images_stand_side_by_side_and_show_the_same_part(browser, pages):
    browser.show(pages["good"], width=1400)
    browser.tell(f"{STAGE}.focus()")
    browser.key("b")
    browser.key("s")
    assert browser.tell("document.querySelectorAll('.stage').length") == 2
    tags = browser.tell("[...document.querySelectorAll('.stage .tag')].map(t => t.textContent.split(':')[0])")
    assert tags == ["After", "Before"]
    browser.key("+")
    moves = browser.tell("[...document.querySelectorAll('.stage .layers')].map(p => p.style.transform)")
    assert moves[0] == moves[1] and "scale(1.5)" in moves[0]
    boxes = browser.tell("[...document.querySelectorAll('.stage')].map(s => s.getBoundingClientRect().height)")
    assert boxes[0] == pytest.approx(boxes[1])
    browser.key("s")
    assert browser.tell("document.querySelectorAll('.stage').length") == 1


def test_mouse_drags_and_its_wheel_zooms_at_the_pointer(browser, pages):
    browser.show(pages["good"], width=1400)
    browser.tell(f"{STAGE}.focus()")
    left, top, wide, high = browser.tell(BOX)
    x, y = left + wide / 4, top + high / 2
    under = f"(v => ({x} - v.stage.getBoundingClientRect().left - v.x) / v.scale)(keyholeViewers[0])"
    before = browser.tell(under)
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-300)
    browser.wait("keyholeViewers[0].scale > 2")
    assert browser.tell(under) == pytest.approx(before, abs=0.5)
    was = browser.tell(VIEWER)
    browser.mouse("mousePressed", x, y, button="left", clickCount=1)
    browser.mouse("mouseMoved", x + 30, y + 10, button="left", buttons=1)
    browser.mouse("mouseReleased", x + 30, y + 10, button="left")
    now = browser.tell(VIEWER)
    assert (now[1] - was[1], now[2] - was[2]) == (pytest.approx(30, abs=1), pytest.approx(10, abs=1))


def test_pointer_tells_pixel_and_place_on_the_sky(browser, pages):
    browser.show(pages["good"], width=1400)
    left, top, wide, high = browser.tell(BOX)
    browser.mouse("mouseMoved", left + wide / 2, top + high / 2)
    words = browser.tell("document.querySelector('.place').textContent").split()
    # The middle of 200 x 60 pixels; the reference pixel (100, 40) of the WCS lies half a pixel and 9.5 away.
    assert (float(words[1]), float(words[3])) == (pytest.approx(100.5, abs=0.2), pytest.approx(30.5, abs=0.2))
    assert words[4].startswith("01:04:57.5") and words[5].startswith("+33:55:46")


def test_two_fingers_zoom_and_one_moves(browser, pages):
    browser.show(pages["good"], width=390, touch=True)
    left, top, wide, high = browser.tell(BOX)
    x, y = left + wide / 2, top + high / 2
    before = browser.tell(VIEWER)[0]
    browser.touch("touchStart", (x - 20, y), (x + 20, y))
    browser.touch("touchMove", (x - 60, y), (x + 60, y))
    browser.touch("touchEnd")
    assert browser.tell(VIEWER)[0] == pytest.approx(3 * before, rel=0.1)
    was = browser.tell(VIEWER)[1]
    browser.touch("touchStart", (x, y))
    browser.touch("touchMove", (x - 25, y))
    browser.touch("touchEnd")
    assert browser.tell(VIEWER)[1] == pytest.approx(was - 25, abs=2)


def test_table_is_sorted_up_and_down_by_number_with_nothing_last(browser, pages):
    browser.show(pages["clouds"], width=1400)
    heads = browser.tell("[...document.querySelectorAll('.sortable th button')].map(b => b.textContent.trim())")
    column = next(k for k, head in enumerate(heads) if head.startswith("Transp."))
    click = f"document.querySelectorAll('.sortable thead th')[{column}].firstElementChild.click()"
    cells = f"[...document.querySelectorAll('.sortable tbody tr')].map(r => Number(r.cells[{column}].dataset.sort))"
    browser.tell(click)
    rows = browser.tell(cells)
    assert rows == sorted(rows) and rows[0] == 40
    assert browser.tell(f"document.querySelectorAll('.sortable thead th')[{column}].ariaSort") == "ascending"
    browser.tell(click)
    assert browser.tell(cells) == sorted(rows, reverse=True)


def test_link_into_what_is_folded_opens_it(browser, pages):
    browser.show(pages["good"], width=1400)
    browser.tell("location.hash = '#GRB120116A-J-provenance'")
    browser.wait("document.getElementById('GRB120116A-J-provenance').open")


def test_page_can_be_printed(browser, pages):
    browser.show(pages["clouds"], width=1400)
    assert browser.print_pdf() > 20_000
    assert browser.problems == []
