from __future__ import annotations

from pathlib import Path

import pytest

from keyhole.errors import InputError
from keyhole.selection import Selection, expand, gather, unique


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_plain_words_stay_as_they_are():
    assert expand(["b.fits", "../a.fits"]).files == ["b.fits", "../a.fits"]


def test_a_list_holds_comments_several_names_per_line_and_further_lists(here):
    Path("inner.lis").write_text("c.fits\n")
    Path("outer.lis").write_text("# head\na.fits  b.fits # tail x.fits\n\n   \n\t@inner.lis\nd.fits #e.fits\n")
    assert expand(["first.fits", "@outer.lis", "last.fits"]).files == [
        "first.fits",
        "a.fits",
        "b.fits",
        "c.fits",
        "d.fits",
        "last.fits",
    ]


def test_names_in_a_list_are_relative_to_the_current_folder(here):
    Path("lists").mkdir()
    Path("lists/a.lis").write_text("x.fits\n@lists/b.lis")
    Path("lists/b.lis").write_text("y.fits")
    assert expand(["@lists/a.lis"]).files == ["x.fits", "y.fits"]


def test_a_line_that_is_a_file_with_blanks_is_one_name(here):
    Path("my night.fits").touch()
    Path("a.lis").write_text("my night.fits\nmy other.fits\n")
    assert expand(["@a.lis"]).files == ["my night.fits", "my", "other.fits"]


def test_every_further_mention_of_a_file_is_reported_and_left_out(here):
    Path("a.fits").touch()
    Path("link.fits").symlink_to("a.fits")
    Path("a.lis").write_text("a.fits b.fits")
    assert expand(["a.fits", "@a.lis", "./a.fits", "link.fits"]) == Selection(
        ["a.fits", "b.fits"], ["a.fits", "./a.fits", "link.fits"]
    )


@pytest.mark.parametrize("text", ["", "\n  \n", "# only\n  # comments\n"])
def test_an_empty_list_is_refused_by_name(here, text):
    Path("none.lis").write_text(text)
    with pytest.raises(InputError, match=r"none\.lis is empty"):
        expand(["a.fits", "@none.lis"])


def test_a_missing_list_is_refused_by_name_also_inside_another(here):
    Path("a.lis").write_text("@gone.lis")
    with pytest.raises(InputError, match=r"gone\.lis does not exist"):
        expand(["@a.lis"])


def test_a_list_that_contains_itself_is_refused(here):
    Path("a.lis").write_text("@b.lis")
    Path("b.lis").write_text("@a.lis")
    with pytest.raises(InputError, match="contains itself"):
        expand(["@a.lis"])


def test_a_list_named_twice_side_by_side_is_no_circle(here):
    Path("a.lis").write_text("x.fits")
    assert expand(["@a.lis", "@a.lis"]) == Selection(["x.fits"], ["x.fits"])


@pytest.mark.parametrize("word", ["@", "@binary.fits", "@folder"])
def test_what_cannot_be_a_list_is_refused(here, word):
    Path("binary.fits").write_bytes(b"\x80\x00\xff\xfe")
    Path("folder").mkdir()
    with pytest.raises(InputError):
        expand([word])


def test_wildcards_are_matched_and_sorted_where_they_stand(here):
    for name in ("b2.fits", "b10.fits", "a.fits", "z.txt"):
        Path(name).touch()
    Path("b_folder.fits").mkdir()
    assert gather(["z.txt", "b*.fits", "a.fits"]).files == ["z.txt", "b10.fits", "b2.fits", "a.fits"]


def test_wildcards_keep_the_way_the_folder_is_written(here):
    (here / "data").mkdir()
    (here / "data" / "a.fits").touch()
    (here / "work").mkdir()
    assert gather(["../data/*.fits"], cwd=here / "work").files == ["../data/a.fits"]
    assert gather([f"{here}/data/*.fits"]).files == [f"{here}/data/a.fits"]


def test_a_name_that_looks_like_a_pattern_is_a_name_when_it_exists(here):
    Path("a[1].fits").touch()
    Path("a1.fits").touch()
    assert gather(["a[1].fits"]).files == ["a[1].fits"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("gone.fits", r"gone\.fits: no such file"),
        ("*.gone", r"no file matches \*\.gone"),
        ("folder", "is a folder"),
    ],
)
def test_what_does_not_exist_is_an_error(here, word, message):
    Path("folder").mkdir()
    with pytest.raises(InputError, match=message):
        gather([word])


def test_files_matched_twice_are_kept_once(here):
    for name in ("a.fits", "b.fits"):
        Path(name).touch()
    assert gather(["b.fits", "*.fits"]) == Selection(["b.fits", "a.fits"], ["b.fits"])
    assert unique([]) == Selection([], [])
