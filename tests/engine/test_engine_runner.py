from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from raw_frames import electrons
from threadpoolctl import threadpool_info, threadpool_limits
from toy_runs import raw_file, raw_files

from keyhole.engine.context import RunContext
from keyhole.engine.events import Caveat, ProductWritten, Progress, RunFailed, StepFinished, StepStarted
from keyhole.errors import DataError, InputError, ParameterError, SetupError
from keyhole.frames import Parking, read_frame, write_frame
from keyhole.frames.stored import StoredPlane


def level(path: Path) -> float:
    return float(np.median(read_frame(path).data))


@pytest.fixture
def darks(tmp_path):
    return raw_files(tmp_path, "dark", 3)


# -- streams --------------------------------------------------------------------------------------------


def test_step_works_on_main_and_products_are_named_after_the_raw_file(reduced, darks):
    result = reduced(darks, lambda p: p.toyMultiply())
    assert [path.name for path in result.outputs] == [f"{path.stem}_toy.fits" for path in darks]
    assert result.written == result.outputs
    assert level(result.outputs[0]) == pytest.approx(2 * level(darks[0]))


def test_order_of_the_products_is_that_of_the_inputs(reduced, darks):
    result = reduced(darks[::-1], lambda p: p.toyMultiply())
    assert [path.name[:14] for path in result.outputs] == [path.stem for path in darks[::-1]]


def test_outstream_gets_copies_and_main_stays_as_it_was(reduced, darks):
    seen = {}

    def recipe(p):
        p.toyMultiply(outstream="double")
        seen["main"] = [frame.data for frame in p.streams["main"]]
        p.toyMultiply(stream="double", suffix="_four")
        seen["double"] = [frame.data for frame in p.streams["double"]]

    result = reduced(darks, recipe)
    for index, path in enumerate(darks):
        raw = read_frame(path).data
        np.testing.assert_array_equal(seen["main"][index], raw)
        np.testing.assert_allclose(seen["double"][index], 4 * raw)
    # Nothing happened to main, so there is nothing to write.
    assert result.outputs == []


def test_instream_is_read_and_main_is_replaced(reduced, darks):
    def recipe(p):
        p.toyFirst(outstream="one")
        p.toyMultiply(instream="one", outstream="main", factor=3)

    result = reduced(darks, recipe)
    assert len(result.outputs) == 1
    assert level(result.outputs[0]) == pytest.approx(3 * level(darks[0]))


def test_skipped_step_hands_on_its_frames_to_the_outstream_too(reduced, darks):
    seen = {}

    def recipe(p):
        p.toyFirst(skip_primitive=True, outstream="copy")
        seen.update(p.streams)

    reduced(darks, recipe)
    assert len(seen["copy"]) == 3
    assert seen["copy"][0] is not seen["main"][0]


def test_stream_that_nobody_filled_is_refused_with_those_there_are(reduced, darks):
    with pytest.raises(ParameterError, match="toyMultiply: no stream 'nothing'; there are main"):
        reduced(darks, lambda p: p.toyMultiply(stream="nothing"))


def test_run_without_frames_left_is_an_error_that_names_the_step(reduced, darks):
    with pytest.raises(InputError, match="no frame is left after toyDrop"):
        reduced(darks, lambda p: p.toyDrop())
    assert list(reduced.folder.iterdir()) == []


# -- switches -------------------------------------------------------------------------------------------


def test_skipped_step_changes_nothing_and_leaves_no_history(reduced, darks):
    def recipe(p):
        p.toyMultiply()
        p.toyWrite()

    result = reduced(darks[:1], recipe, settings={"toyMultiply:skip_primitive": True})
    product = read_frame(result.outputs[0])
    assert level(result.outputs[0]) == level(darks[0])
    assert list(product.tables["HISTORY"].columns["primitive"]) == ["toyWrite"]
    assert [event.skipped for event in reduced.of(StepFinished)] == [True, False]


def test_any_step_can_write_its_frames(reduced, darks):
    def recipe(p):
        p.toyMultiply()
        p.toyWrite()

    result = reduced(darks[:2], recipe, settings={"toyMultiply:write_outputs": "True"})
    names = [path.name for path in result.written]
    # Each frame goes through all steps before the next one comes.
    assert names == [f"{path.stem}{suffix}.fits" for path in darks[:2] for suffix in ("_toy", "_out")]
    # Only the step whose purpose is to write announces products.
    assert [Path(event.path).name for event in reduced.of(ProductWritten)] == names[1::2]
    assert [path.name for path in result.outputs] == names[1::2]


# -- books ----------------------------------------------------------------------------------------------


def test_history_tells_every_step_with_its_parameters_and_times(reduced, darks):
    def recipe(p):
        p.toyMultiply(factor=3)
        p.toyWrite()

    result = reduced(darks[:1], recipe, settings={"toyMultiply:name": "weak"})
    history = read_frame(result.outputs[0]).tables["HISTORY"].columns
    assert list(history["primitive"]) == ["toyMultiply", "toyWrite"]
    told = json.loads(history["args"][0])
    assert told == {"suffix": "_toy", "factor": 3.0, "name": "weak", "caveats": ["weak"]}
    assert json.loads(history["args"][1]) == {"suffix": "_out"}
    starts, stops = history["timestamp_start"], history["timestamp_stop"]
    assert starts[0] < stops[0] < starts[1] < stops[1]
    assert starts[0].startswith("2026-01-02T03:04:06")


def test_time_stamp_stands_under_the_keyword_of_the_step(reduced, darks):
    result = reduced(darks[:1], lambda p: p.toyMultiply())
    frame = read_frame(result.outputs[0])
    stop = frame.tables["HISTORY"].columns["timestamp_stop"][0]
    assert frame.primary["TOYMULT"] == stop
    assert frame.primary["GEM-TLM"] == stop
    assert frame.primary["ORIGNAME"] == darks[0].name


def test_name_starts_from_the_raw_name_whatever_the_file_is_called_now(reduced, tmp_path):
    path = raw_file(tmp_path / "renamed.fits", ORIGNAME="N20120102S0009.fits")
    result = reduced([path], lambda p: p.toyMultiply())
    assert result.outputs[0].name == "N20120102S0009_toy.fits"


def test_plane_of_another_shape_is_refused_with_the_name_of_the_step(reduced, darks):
    with pytest.raises(DataError, match=r"after toyBadPlane the mask plane is \(2, 2\), the image \(64, 64\)"):
        reduced(darks, lambda p: p.toyBadPlane())


def test_inputs_are_never_changed(reduced, darks):
    before = [path.read_bytes() for path in darks]
    reduced(darks, lambda p: p.toyMultiply(write_outputs=True))
    assert [path.read_bytes() for path in darks] == before


# -- notes and caveats ----------------------------------------------------------------------------------


def test_note_is_told_once_per_step(reduced, darks):
    reduced(darks, lambda p: p.toyMultiply())
    assert reduced.of(StepFinished)[0].notes == tuple(f"{path.stem} times 2" for path in darks)


def test_user_value_in_place_of_the_recipes_is_noted(reduced, darks):
    reduced(darks, lambda p: p.toyMultiply(factor=3), settings={"factor": "4"})
    assert "factor=4.0 from the command line replaces the recipe's value" in reduced.of(StepFinished)[0].notes


def test_caveat_is_counted_over_frames_and_told_once(reduced, darks):
    def recipe(p):
        p.toyMultiply(name="weak")
        p.toyMultiply(name="weak")
        p.toyMultiply(name="weaker")

    result = reduced(darks, recipe)
    assert reduced.of(Caveat) == [Caveat("weak", 3), Caveat("weaker", 3)]
    assert result.caveats == {"weak": 6, "weaker": 3}
    primary = read_frame(result.outputs[0]).primary
    assert (primary["CAVEAT01"], primary["CAVEAT02"]) == ("weak", "weaker")


def test_product_written_before_a_caveat_does_not_carry_it(reduced, darks):
    def recipe(p):
        p.toyWrite()
        p.toyMultiply(name="weak")

    result = reduced(darks[:1], recipe)
    early, late = (read_frame(path).primary for path in result.written)
    assert "CAVEAT01" not in early
    assert late["CAVEAT01"] == "weak"


def test_caveats_of_the_inputs_travel_on(reduced, tmp_path):
    cards = {"PREPARE": "2026", "GEM_TLM": "2026"}
    long = "a very long caveat that needs more than one card, " * 3
    files = [
        raw_file(tmp_path / "a_stack.fits", "science", CAVEAT01="old", CAVEAT02=long.strip(), **cards),
        raw_file(tmp_path / "b_stack.fits", "science", CAVEAT01="older", **cards),
    ]

    def recipe(p):
        p.toyMultiply(name="new")
        p.toyFirst()

    result = reduced(files, recipe)
    primary = read_frame(result.outputs[0]).primary
    assert [primary[f"CAVEAT{n:02d}"] for n in (1, 2, 3, 4)] == ["old", long.strip(), "older", "new"]
    assert "CAVEAT05" not in primary


def test_header_holds_a_hundred_caveats_and_says_how_many_more_there_are(reduced, darks):
    def recipe(p):
        for number in range(120):
            p.toyMultiply(factor=1, name=f"caveat {number} ä")

    result = reduced(darks[:1], recipe)
    primary = read_frame(result.outputs[0]).primary
    assert primary["CAVEAT01"] == "caveat 0 ?"
    assert primary["CAVEAT98"] == "caveat 97 ?"
    assert primary["CAVEAT99"] == "and 22 more; see the log file"
    assert len(result.caveats) == 120


def test_progress_of_a_frame_step_goes_up_to_the_number_of_frames(reduced, darks):
    reduced(darks, lambda p: p.toyMultiply())
    assert reduced.of(Progress) == [Progress(n, 3) for n in (1, 2, 3)]


def test_parameters_are_told_when_a_step_starts(reduced, darks):
    reduced(darks, lambda p: p.toyMultiply(factor=3))
    started = reduced.of(StepStarted)[0]
    assert (started.name, started.number, started.total, started.n_frames) == ("toyMultiply", 1, 1, 3)
    assert started.parameters == {"suffix": "_toy", "factor": 3.0, "name": None}


# -- writing --------------------------------------------------------------------------------------------


def test_suffix_of_the_user_names_the_products(reduced, darks):
    result = reduced(darks[:2], lambda p: p.toyWrite(), suffix="_mine")
    assert [path.name for path in result.outputs] == [f"{path.stem}_mine.fits" for path in darks[:2]]


def test_suffix_keeps_names_with_underscores_apart(reduced, tmp_path):
    files = [raw_file(tmp_path / f"my_dark_{n}.fits", UT=f"1{n}:00:00.0") for n in (1, 2)]
    result = reduced(files, lambda p: p.toyMultiply(), suffix="_x")
    assert [path.name for path in result.outputs] == ["my_dark_1_x.fits", "my_dark_2_x.fits"]


def test_frame_that_changed_after_it_was_written_is_written_again(reduced, darks):
    def recipe(p):
        p.toyWrite()
        p.toyMultiply(suffix=None)

    result = reduced(darks[:1], recipe)
    assert [path.name for path in result.outputs] == [f"{darks[0].stem}_out.fits"]
    assert level(result.outputs[0]) == pytest.approx(2 * level(darks[0]))
    assert len(reduced.of(ProductWritten)) == 2


def test_frame_that_is_on_disk_is_not_written_again(reduced, darks):
    reduced(darks[:1], lambda p: p.toyWrite())
    assert len(reduced.of(ProductWritten)) == 1


def test_input_of_the_run_is_never_overwritten(reduced):
    cards = {"PREPARE": "2026", "GEM_TLM": "2026", "ORIGNAME": "a.fits"}
    one = raw_file(reduced.folder / "a_toy.fits", "science", **cards)
    two = raw_file(reduced.folder / "a_aligned_toy.fits", "science", **cards)
    before = one.read_bytes(), two.read_bytes()

    def recipe(p):
        p.toyFirst()
        p.toyMultiply()

    result = reduced([one, two], recipe)
    assert [path.name for path in result.outputs] == ["a_aligned2_toy.fits"]
    assert (one.read_bytes(), two.read_bytes()) == before


def test_input_is_not_overwritten_through_a_link_to_its_folder(reduced, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(reduced.folder)
    raw_file(reduced.folder / "a_toy.fits", "science", PREPARE="2026", GEM_TLM="2026", ORIGNAME="a.fits")
    result = reduced([link / "a_toy.fits"], lambda p: p.toyMultiply())
    assert [path.name for path in result.outputs] == ["a_aligned_toy.fits"]


def test_raw_frame_that_no_step_renamed_is_not_overwritten(reduced):
    path = raw_file(reduced.folder / "a.fits")
    result = reduced([path], lambda p: p.toyMultiply(suffix=None))
    assert [output.name for output in result.outputs] == ["a_aligned.fits"]


# -- failures -------------------------------------------------------------------------------------------


def test_defect_in_a_step_leaves_no_file_and_is_told_with_the_step(reduced, darks):
    def recipe(p):
        p.toyMultiply()
        p.toyFail()
        p.toyWrite()

    with pytest.raises(RuntimeError, match="a defect"):
        reduced(darks, recipe)
    assert list(reduced.folder.iterdir()) == []
    assert [event.step for event in reduced.of(RunFailed)] == ["toyFail"]


def test_full_disk_is_one_sentence_and_leaves_no_part_file(reduced, darks, monkeypatch):
    def full(frame):
        yield b"half of it"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("keyhole.frames.io._blocks", full)
    with pytest.raises(SetupError, match="is full; free some space"):
        reduced(darks, lambda p: p.toyMultiply())
    assert list(reduced.folder.iterdir()) == []


def test_interrupt_is_told_and_goes_on(reduced, darks, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("keyhole.engine.context.write_frame", interrupted)
    with pytest.raises(KeyboardInterrupt):
        reduced(darks, lambda p: p.toyWrite())
    assert isinstance(reduced.of(RunFailed)[0].error, KeyboardInterrupt)
    assert reduced.of(RunFailed)[0].step == "toyWrite"


@pytest.mark.parametrize("writes", [True, False])
def test_two_frames_of_one_name_are_both_kept(reduced, tmp_path, writes):
    cards = {"PREPARE": "2026", "GEM_TLM": "2026", "ORIGNAME": "a.fits"}
    files = [raw_file(tmp_path / f"{name}.fits", "science", seed=n, **cards) for n, name in enumerate("xy")]

    def recipe(p):
        p.toyMultiply(factor=1)
        if writes:
            p.toyWrite()

    result = reduced(files, recipe)
    suffix = "_out" if writes else "_toy"
    assert [path.name for path in result.outputs] == [f"a{suffix}.fits", f"a_2{suffix}.fits"]
    for path, file in zip(result.outputs, files, strict=True):
        np.testing.assert_array_equal(read_frame(path).data, read_frame(file).data)
    text = f"two frames are called a{suffix}.fits; the second is written as a_2{suffix}.fits"
    assert reduced.of(Caveat) == [Caveat(text)]
    assert read_frame(result.outputs[1]).primary["CAVEAT01"] == text


# -- frame by frame -------------------------------------------------------------------------------------


def test_steps_on_single_frames_run_frame_by_frame_and_are_told_one_after_the_other(reduced, darks):
    def recipe(p):
        p.toyMultiply()
        p.toyMultiply(factor=3)

    reduced(darks, recipe)
    told = [
        (type(event).__name__, getattr(event, "number", None))
        for event in reduced.events
        if isinstance(event, (StepStarted, StepFinished))
    ]
    assert told == [("StepStarted", 1), ("StepFinished", 1), ("StepStarted", 2), ("StepFinished", 2)]
    assert [event.n_frames for event in reduced.of(StepFinished)] == [3, 3]


def test_an_input_is_read_when_the_one_before_it_is_through(reduced, darks, monkeypatch):
    there = []
    read_input = RunContext.read_input

    def read(context, path, **how):
        there.append(sorted(file.name for file in reduced.folder.glob("*.fits")))
        return read_input(context, path, **how)

    monkeypatch.setattr(RunContext, "read_input", read)
    result = reduced(darks, lambda p: p.toyMultiply(), settings={"toyMultiply:write_outputs": "True"})
    names = [path.name for path in result.written]
    assert there == [[], names[:1], names[:2]]


def test_products_do_not_depend_on_the_memory_that_is_allowed(reduced, darks, tmp_path):
    def recipe(p):
        p.toyMultiply()
        p.toyFirst(outstream="one")
        p.toyMultiply(stream="one", suffix="_four")
        p.toyMultiply(factor=3)

    planes = []
    for memory in (0, 1000):
        result = reduced(darks, recipe, memory=memory)
        planes.append([read_frame(path).data for path in result.outputs])
    for less, more in zip(*planes, strict=True):
        np.testing.assert_array_equal(less, more)


def test_matrix_products_have_one_thread_so_that_their_last_bits_are_the_same_everywhere(reduced, darks):
    seen = []

    def recipe(p):
        p.toyMultiply()
        assert p.streams["main"]
        seen.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")

    with threadpool_limits(2, user_api="blas"):
        reduced(darks[:1], recipe)
    assert set(seen) == {1}


def test_products_that_do_not_fit_into_memory_are_stacked_from_their_files(reduced, tmp_path, monkeypatch):
    rng = np.random.default_rng(4)
    files = []
    for number in range(4):
        frame = electrons(rng.normal(50, 10, (40, 30)), number=number, mask=rng.choice([0, 1, 4], (40, 30)))
        files.append(write_frame(frame, tmp_path / frame.name.replace(".fits", "_varAdded.fits")))
    kinds = set()

    def park(self, frame):
        kinds.update(type(plane) for plane in (frame.data, frame.variance, frame.mask))

    monkeypatch.setattr(Parking, "park", park)
    less, more = (
        read_frame(reduced(files, lambda p: p.stackFrames(), memory=memory).outputs[0]) for memory in (0, 1000)
    )
    assert kinds == {StoredPlane, np.ndarray}
    for plane, other in ((less.data, more.data), (less.variance, more.variance), (less.mask, more.mask)):
        np.testing.assert_array_equal(plane, other)
