"""The query, the plain reading of the rules, the search and the explanation agree, whatever the database holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from known_facts import BPM, DARK, FLAT, RULE, SCIENCE

from keyhole.calibration import Entry, Found, MemoryStore, explain, find
from keyhole.calibration.database import AskedStore
from keyhole.calibration.database.rows import fact_values
from keyhole.calibration.database.schema import CALIBRATION
from keyhole.calibration.judging import judge
from keyhole.calibration.search import Candidate, Explanation

MD5_OF_NOTHING = "d41d8cd98f00b204e9800998ecf8427e"
MASTERS = {"processed_dark": DARK, "processed_flat": FLAT, "processed_bpm": BPM}

changes = st.fixed_dictionaries(
    {},
    optional={
        "array_name": st.sampled_from(["SN7638228.1.2", None]),
        "read_mode": st.sampled_from(["Bright Objects", "Unknown", None]),
        "well_depth_setting": st.sampled_from(["Deep", "Unknown", None]),
        "exposure_time": st.sampled_from([60.0000001, 60.01, 59.99, 30.0, None]),
        "coadds": st.sampled_from([1, 2, 3, None]),
        "camera": st.sampled_from(["LongBlue_G5542", None]),
        "filter_name": st.sampled_from(["Open&H_G0516", None]),
        "qa_state": st.sampled_from(["Pass", "Fail", "CHECK", "Undefined", None]),
        "processing_mode": st.sampled_from(["sq", "ql", "qa", None]),
        "observation_id": st.sampled_from(["GN-2011B-Q-34-155", "other", None]),
    },
)
days = st.sampled_from([-400, -90, -89.999, -30, -1, -0.3, 0, 0.3, 1, 89.999, 90, 91, None]) | st.floats(-100, 100)
databases = st.lists(st.tuples(changes, days), max_size=7)


def entries_of(folder, kind, frame, drawn, lost):
    """Entries that are mostly like the frame; those whose numbers are in `lost` have no file."""
    made = []
    for number, (change, day) in enumerate(drawn, start=1):
        time = None if day is None else SCIENCE.ut_datetime + timedelta(days=day)
        night = None if time is None else (time - timedelta(hours=22)).date().isoformat()
        path = folder / f"{number}.fits"
        if number in lost:
            path.unlink(missing_ok=True)
        else:
            path.touch()
        facts = replace(MASTERS[kind], name=path.name, ut_datetime=time, night=night, **change)
        made.append(Entry(number, path.name, str(path), MD5_OF_NOTHING, 0, datetime(2026, 1, 1), facts))
    return made


def fill(store, entries):
    store.create(wipe=True)
    with store._begin(write=True) as connection:
        for entry in entries:
            row = fact_values(entry.facts)
            row |= {name: getattr(entry, name) for name in ("id", "name", "path", "md5", "size", "added")}
            connection.execute(sa.insert(CALIBRATION).values(row))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(sorted(MASTERS)),
    frame_change=changes,
    held=st.tuples(databases, st.sets(st.integers(1, 7), max_size=3)),
)
def test_the_explanation_and_the_query_always_agree(store, tmp_path, kind, frame_change, held):
    drawn, lost = held
    frame = replace(SCIENCE, night="2012-01-16", **frame_change)
    entries = entries_of(tmp_path, kind, frame, drawn, lost)
    fill(store, entries)
    plain = MemoryStore(entries, store.location)
    rule = RULE[kind]
    assert [e.id for e in store.ranked(rule, frame, limit=9)] == [e.id for e in plain.ranked(rule, frame, limit=9)]
    assert [e.id for e in store.nearest(rule, frame, limit=9)] == [e.id for e in plain.nearest(rule, frame, limit=9)]
    asked = AskedStore(store.address)
    assert asked.count(kind) == len(entries)
    for limit in (1, 9):
        assert asked.ranked(rule, frame, limit=limit, offset=1) == store.ranked(rule, frame, limit=limit, offset=1)
        assert asked.nearest(rule, frame, limit=limit) == store.nearest(rule, frame, limit=limit)
    assert find([asked], frame, kind) == find([store], frame, kind)
    assert explain([asked], frame, kind) == explain([store], frame, kind)
    answer, told = find([store], frame, kind), explain([store], frame, kind)
    assert told.total == store.count(kind) == len(entries)
    assert {candidate.entry.id for candidate in told.candidates} == {entry.id for entry in entries}
    by_id = {candidate.entry.id: candidate for candidate in told.candidates}
    if isinstance(answer, Found):
        assert told.chosen.entry.id == answer.entry.id
        assert told.chosen.usable
        assert told.chosen.judgement == answer.judgement
        assert told.command is None
        assert told.candidates[0] is told.chosen
        assert answer.grade == min(candidate.judgement.grade for candidate in by_id.values() if candidate.usable)
    else:
        assert told.chosen is None
        assert not any(candidate.usable for candidate in by_id.values())
        assert answer.explanation == told
    for entry in entries:
        candidate = by_id[entry.id]
        assert candidate.judgement == judge(rule, frame, entry.facts)
        assert candidate.usable == (candidate.judgement.passed and entry.id not in lost)


def test_what_does_not_fit_at_once_is_ranked_by_the_database(store, tmp_path):
    # More than are fetched at once, all fitting; the best ten have lost their files.
    drawn = [({}, -1 - 0.1 * number) for number in range(200)]
    entries = entries_of(tmp_path, "processed_dark", SCIENCE, drawn, lost=set(range(1, 11)))
    fill(store, entries)
    found = find([store], SCIENCE, "processed_dark")
    assert found.entry.id == 11
    assert len(found.warnings) == 10
    told = explain([store], SCIENCE, "processed_dark")
    assert told.chosen.entry.id == 11
    assert told.total == 200


def candidate_of(**change):
    entry = Entry(1, "x_dark.fits", "/nowhere/x_dark.fits", "0", 0, datetime(2026, 1, 1), replace(DARK, **change))
    return Candidate(entry, judge(RULE["processed_dark"], SCIENCE, entry.facts), "db")


def test_the_nearest_miss_says_what_agrees_and_what_does_not():
    old = candidate_of(ut_datetime=SCIENCE.ut_datetime - timedelta(days=94))
    assert old.near_miss == (
        "same array, read mode, well depth and total exposure, but 94.0 days before the frame, limit 90 days"
    )
    foreign = candidate_of(
        array_name="a", read_mode="Bright Objects", well_depth_setting="Deep", exposure_time=1.0, ut_datetime=None
    )
    assert foreign.near_miss.startswith("array a, needed SN7638228.1; ")


def test_the_verdict_has_words_for_every_case():
    told = Explanation("processed_dark", SCIENCE, "x.fits", (("array", "a"),))
    assert "no calibration database" in told.verdict
    assert "no dark is registered in db" in replace(told, databases=("db",)).verdict
    miss = candidate_of(read_mode="Bright Objects")
    nearest = replace(told, databases=("db",), candidates=(miss,), total=1)
    assert nearest.verdict == f"no dark fits; the nearest is x_dark.fits: {miss.near_miss}"
    assert nearest.command is None  # its file does not exist
    good = candidate_of(coadds=2)
    taken = replace(nearest, candidates=(good,), chosen=good)
    assert taken.verdict == "x_dark.fits is taken, grade 1 (good): 14.5 days before the frame"
    assert "no rule says" in replace(told, needed=()).verdict


def test_a_command_with_blanks_in_a_path_can_be_copied(tmp_path):
    file = tmp_path / "my darks.fits"
    file.touch()
    entry = replace(candidate_of(read_mode="Bright Objects").entry, path=str(file))
    miss = Candidate(entry, judge(RULE["processed_dark"], SCIENCE, entry.facts), "db")
    told = Explanation("processed_dark", SCIENCE, "a b.fits", (("array", "a"),), (miss,), None, 1, ("db",))
    assert told.command == f"reduce 'a b.fits' --user_cal 'processed_dark:{file}'"
