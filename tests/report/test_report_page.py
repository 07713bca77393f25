from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from report_pages import HOSTILE, failed_group, frame, hostile_group, image_group, master_group, pictures, summary

from keyhole.errors import SetupError
from keyhole.report.files import write_night, write_page
from keyhole.report.page import page_of, safe_json

VOID = {"meta", "link", "img", "br", "input"}


class Reader(HTMLParser):
    """Reads a page: its elements balanced, its text, its ids and its links."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.words, self.sources = [], [], [], [], []
        self.tags = []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        if tag not in VOID:
            self.open.append(tag)
        if "id" in attrs:
            self.ids.append(attrs["id"])
        if "href" in attrs:
            self.links.append(attrs["href"])
        if "src" in attrs:
            self.sources.append(attrs["src"])

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open[-1] == tag, f"</{tag}> ends <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)


def read(page):
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def drawn(*groups, **changed):
    told_by = summary(*groups) | changed
    return page_of(told_by, pictures(told_by).get)


def words_of(page):
    return " ".join(" ".join(read(page).words).split())


def data_of(page):
    (text,) = re.findall(r'id="keyhole-data">(.*?)</script>', page, re.S)
    return json.loads(text)


def test_page_needs_nothing_from_outside():
    reader = read(drawn())
    assert reader.sources and all(source.startswith("data:image/png;base64,") for source in reader.sources)
    outside = [link for link in reader.links if re.match(r"[a-z]+:|//", link) and link != "data:,"]
    assert outside == []
    policy = [attrs["content"] for tag, attrs in reader.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy[0].startswith("default-src 'none'")


def test_each_anchor_stands_once_and_each_link_within_the_page_leads_somewhere():
    reader = read(drawn(image_group(), failed_group(), master_group(), image_group()))
    assert len(reader.ids) == len(set(reader.ids))
    assert {link[1:] for link in reader.links if link.startswith("#")} <= set(reader.ids)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Is it aligned?", "Yes: 5 of 5 frames on stars"),
        ("Is the sky flat?", "Yes: uneven by 1.1 e⁻"),
        ("How deep is it?", "5σ at 12.7 e⁻/s"),
        ("Which frame was bad?", "None: all 5 are used"),
        ("Which dark and flat?", "Dark good, flat ideal"),
        ("What next?", "Measure"),
    ],
)
def test_the_questions_of_an_observer_are_answered(question, answer):
    assert re.search(rf"{re.escape(question)} \S {re.escape(answer)}", words_of(drawn()))


def test_numbers_carry_errors_and_units():
    words = words_of(drawn())
    assert "(0.5540 ± 0.0025)″" in words
    assert "0.40 ± 0.10 e⁻" in words


def test_json_in_the_page_is_the_summary():
    told_by = summary()
    assert data_of(page_of(told_by, pictures(told_by).get))["summary"] == told_by


def test_frame_left_out_and_frame_under_clouds_are_named_with_the_reason():
    frames = [frame(k) for k in range(5)]
    frames[1] = frame(1, used=False, why="hardly any light reached the detector")
    frames[3] = frame(3, transparency=0.4)
    words = words_of(drawn(image_group(frames=frames)))
    assert "1 frame left out, 1 to look at" in words
    assert "left out: hardly any light reached the detector" in words
    assert "clouds, 40 % of the light" in words


def test_failed_group_says_why_how_far_it_came_and_what_to_do():
    words = words_of(drawn(failed_group(), master_group()))
    assert "Failed: N20120117S0016.fits: no gain is known; leave the frame out" in words
    assert "It ended in prepare; 1 step went well before (stackFrames)" in words
    assert "Leave out N20120117S0016" in words
    assert "1 image: 1 not made" in words


def test_group_that_lacks_a_flat_says_where_to_name_one():
    need = {"group": None, "path": None, "grade": 4, "reason": "no flat fits"}
    group = image_group(
        state="skipped",
        reason="no flat fits",
        planned_calibrations={"flat": need},
        calibrations=[],
        frames=[],
        figures={},
    )
    words = words_of(drawn(group))
    assert "Find a flat" in words and 'flat = "/path/to/master.fits"' in words


def test_warnings_are_ranked_and_each_says_what_to_do():
    texts = (
        "N1: hardly any light reached the detector; left out",
        "too few sources to align by",
        "no lamp-off flats: x",
    )
    caveats = [{"text": text, "count": 2, "step": None} for text in texts]
    page = drawn(image_group(caveats=caveats))
    assert re.findall(r'<li class="(serious|care|note)">', page) == ["serious", "care", "note"]
    assert page.count("<b>Means:</b>") == page.count("<b>Do:</b>") == 3
    assert "Do not use before a look" in words_of(page)


def test_markup_in_names_is_shown_as_text_and_the_page_stays_whole():
    page = drawn(hostile_group())
    reader = read(page)
    assert HOSTILE in " ".join(reader.words)
    assert not any("onerror" in attrs for _, attrs in reader.tags)
    assert [tag for tag, _ in reader.tags].count("script") == 2
    assert data_of(page)["summary"]["groups"][0]["name"] == HOSTILE


def test_endless_names_are_cut_where_they_are_shown():
    shown = [word for word in read(drawn(hostile_group())).words if re.search(r"([wxyz])\1{500}", word)]
    assert shown == []


def test_json_cannot_end_the_element_it_stands_in():
    text = safe_json({"a": "</script><!--\u2028&"})
    assert "<" not in text and "&" not in text and "\u2028" not in text
    assert json.loads(text) == {"a": "</script><!--\u2028&"}


def test_summary_without_anything_measured_gives_a_page():
    bare = image_group() | {
        key: [] for key in ("frames", "caveats", "notes", "steps", "calibrations", "sources", "previews", "products")
    }
    words = words_of(drawn(bare | {"figures": {}}, seconds=None))
    assert words.count("Not known") >= 4


def test_group_still_to_come_is_no_failure():
    waiting = image_group(state="running") | {"frames": [], "figures": {}, "previews": [], "products": []}
    assert "1 image: 1 to come" in words_of(drawn(waiting))


def test_missing_picture_leaves_the_page_whole():
    assert "5 of 5 frames on stars" in words_of(page_of(summary(), lambda _: None))


def test_stage_before_lies_where_the_first_frame_lies_in_the_stack():
    styles = re.findall(r'<img class="layer[^>]*style="([^"]*)"', drawn())
    # The frame is 120 x 50 of 200 x 60 pixels, its first pixel at (40, 5).
    assert styles[1] == "left:20.0000%;top:8.3333%;width:60.0000%"


def test_night_page_is_written_whole_beside_its_products(tmp_path):
    told_by = summary()
    for name, png in pictures(told_by).items():
        (tmp_path / name).write_bytes(png)
    written = write_night(told_by, tmp_path)
    assert written == tmp_path / "index.html"
    assert written.read_text(encoding="utf-8").count("data:image/png") == 2
    assert [path.name for path in tmp_path.iterdir() if "new" in path.name] == []


def test_page_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(SetupError, match="cannot be written"):
        write_page(tmp_path / "nowhere" / "x.html", summary(), lambda _: None)


def test_page_of_a_group_of_twenty_frames_is_small_and_quick():
    import time

    frames = [frame(k) for k in range(20)]
    begin = time.process_time()
    page = drawn(image_group(frames=frames))
    assert len(page.encode()) < 3_000_000
    assert time.process_time() - begin < 1.0
