"""Golden cases as files: what they hold, and what their check passes and refuses."""

import functools
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels.testing import error_bound, reference
from interpolated_kernels.testing.vectors import VectorsError, check_vectors, export_vectors
from interpolated_kernels.testing.vectors import case as vectors_case
from interpolated_kernels.testing.vectors.expected import Expected, expect
from interpolated_kernels.testing.vectors.selection import COUNTS, select_trials

DTYPES = {"f32": "<f4", "f64": "<f8", "u8": "u1"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder of vectors in float64, which no test changes."""
    folder = tmp_path_factory.mktemp("exported") / "vectors"
    export_vectors(folder, arithmetics=["float64"])
    return folder


@pytest.fixture
def folder(exported, tmp_path):
    """A copy of it, to write results to."""
    return shutil.copytree(exported, tmp_path / "vectors")


def read_cases(folder):
    """Yield folders and documents of all cases, as another program would."""
    for name in json.loads((folder / "manifest.json").read_text())["cases"]:
        yield folder / name, json.loads((folder / name / "case.json").read_text())


def read(case, file, shape):
    return np.fromfile(case / file, DTYPES[file.split(".")[-1]]).reshape(shape)


def read_array(case, document, name):
    return read(case, document["arrays"][name]["file"], document["arrays"][name]["shape"])


def read_expected(case, document, quantity):
    result = document["results"][quantity]
    return [read(case, result[part], result["shape"]) for part in ("file", "bound")]


def answer(folder, change=lambda values: values):
    """Write what is expected as results, changed."""
    for case, document in read_cases(folder):
        for quantity in document["results"]:
            values, _ = read_expected(case, document, quantity)
            change(values).astype("<f8").tofile(case / f"{quantity}.result.f64")


def find_first(folder, **features):
    """Return the first case with these features, and its document."""
    for case, document in read_cases(folder):
        if features.items() <= document["features"].items():
            return case, document
    raise LookupError(features)


@pytest.mark.parametrize("arithmetic", ["float32", "bfloat16"])
def test_every_feature_comes_often_enough(arithmetic):
    """Cases cover every dimension, mode, padding, batch, interpolator, kind of data and result, each so often."""
    seen = {}
    for trial, quantities in select_trials(arithmetic, 0):
        for kind, feature in [*trial.problem.features.items(), *(("result", quantity) for quantity in quantities)]:
            seen.setdefault(kind, {}).setdefault(feature, []).append(trial)
    expected = {
        "dimensions": {"1-D", "2-D", "3-D"},
        "channels": {"plain", "separate", "tied", "interpolated"},
        "positions": {"shared by all filters", "a set a filter", "a set a filter and channel"},
        "interpolator": {type(ik.InterpolatedKernel([[0], [1], [2]], 3, name).interpolator).__name__
                         for name in ik.interpolators()},
        "batch": {"0", "1", "more", "none", "leading axes"},
        "stride": {"1", "more", "one an axis"},
        "dilation": {"1", "more", "one an axis"},
        "groups": {"1", "more"},
        "padding": {"valid", "same", "causal", "int", "one an axis", "pairs"},
        "padding mode": {"zeros", "reflect", "replicate", "circular", "symmetric", "one an axis"},
        "missing": {"propagate", "renormalize"},
        "data": {"normal", "non-finite", "holes"} | ({"exact", "wide"} if arithmetic == "float32" else set()),
        "result": {"y", "grad_x", "grad_weights", "grad_positions", "grad_widths", "transposed"},
    }  # fmt: skip
    assert {kind: set(seen[kind]) for kind in expected} == expected
    assert min(len(trials) for kind in expected for trials in seen[kind].values()) >= COUNTS[arithmetic]


def test_the_files_hold_the_problem(exported):
    """What stands in the files, read without the library's help, gives the kernel, y and the bound again."""
    for case, document in read_cases(exported):
        kernel = ik.InterpolatedKernel.from_dict(document["kernel"])
        x, weights, dense, taps = (read_array(case, document, name) for name in ("x", "weights", "dense", "taps"))
        matrix, geometry = read_array(case, document, "matrix"), document["geometry"]
        np.testing.assert_array_equal(matrix.reshape(kernel.matrix.shape), kernel.matrix)
        assert dense.shape == (geometry["groups"] * geometry["filters_per_group"], geometry["channels_per_group"],
                               *geometry["window"])  # fmt: skip
        bank = weights.reshape(len(dense), -1, weights.shape[-1])
        filled = (matrix @ bank[..., None])[..., 0].reshape(*bank.shape[:2], *kernel.window)
        if kernel.channel_mode == "interpolated":
            filled = np.moveaxis(filled, -1, 2)[:, 0]
        # sums of at most some dozen anchors, each of some units at most, in another order
        np.testing.assert_allclose(dense, np.broadcast_to(filled, dense.shape), rtol=0, atol=1e-9)
        assert not dense[taps == 0].any()
        options = {name: tuple(value) if isinstance(value, list) else value
                   for name, value in document["options"].items()}  # fmt: skip
        y, bound = read_expected(case, document, "y")
        with np.errstate(invalid="ignore"):
            wanted = reference(x, weights, kernel, dtype=np.longdouble, **options).astype(float)
        np.testing.assert_array_equal(y, np.where(np.isfinite(wanted), wanted, np.nan))
        if document["data"] in ("normal", "wide"):
            c1 = error_bound(x, weights, kernel, arithmetic="float64", **options).componentwise
            assert (c1 <= bound).all()
            assert (bound <= c1 + 2.0**-53 * np.abs(y)).all()


def test_bounds_are_finite_and_refuse_zeros(exported):
    """A bound is NaN where the value is, else finite, 0 for exact data, and refuses zeros and twice the result."""
    for case, document in read_cases(exported):
        for quantity in document["results"]:
            values, bound = read_expected(case, document, quantity)
            np.testing.assert_array_equal(np.isfinite(bound), np.isfinite(values))
            assert (bound[np.isfinite(bound)] >= 0).all()
            if document["data"] == "exact":
                assert not bound.any()
            if quantity == "y" and np.nan_to_num(values).any():
                for wrong in (0 * values, 2 * values):
                    assert Expected(values, bound).find_ratios(wrong).max() > 1


@pytest.mark.parametrize("arithmetic", ["tf32", "float16", "bfloat16"])
def test_narrow_bounds_pass_rounding_alone(arithmetic):
    """In a narrow arithmetic y of float32 passes, and neither zeros nor twice y do."""
    found = (trial for trial, _ in select_trials(arithmetic, 0) if trial.problem.data == "normal" and trial.x.size)
    trial = next(found)
    expected, options = expect(trial, "y", arithmetic), trial.problem.conv_options
    y = reference(trial.x, trial.weights, trial.problem.kernel, **options).astype(np.float32)
    assert expected.find_ratios(y).max() <= 1
    for wrong in (0 * y, 2 * y):
        assert expected.find_ratios(wrong).max() > 1


def test_this_engine_passes(exported, monkeypatch):
    """The engine's y, gradients and transposed convolutions are within the bounds of every case."""
    for name in ("conv", "conv_backward", "conv_transpose"):  # nothing is compiled
        monkeypatch.setattr(vectors_case, name, functools.partial(getattr(ik, name), path="reference"))
    report = check_vectors(exported, engine=True)
    assert report.wrong == ()
    assert (report.table.failed, report.table.not_supported) == (0, 0)
    assert report.table.name == "this engine"
    assert 0 < report.table.worst["transposed"] <= 1


def test_exports_are_equal(exported, tmp_path):
    """The same version writes the same bytes; another seed other ones."""
    export_vectors(tmp_path / "again", arithmetics=["float64"])
    files = sorted(path.relative_to(exported) for path in exported.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*.*"))
    assert [(exported / path).read_bytes() == (tmp_path / "again" / path).read_bytes() for path in files].count(0) == 0
    assert sum(path.stat().st_size for path in exported.rglob("*.*")) < 1e6
    (first, _), (other, _) = (next(select_trials("float64", seed)) for seed in (0, 1))
    assert repr(first.problem) != repr(other.problem)


def test_right_results_pass(folder):
    """What is expected passes as it stands; the table counts it by feature."""
    answer(folder)
    report = check_vectors(folder)
    assert report.wrong == ()
    assert report.table.worst["y"] == 0
    assert report.table.passed == len(list(read_cases(folder)))
    text = str(report)
    assert f"{report.table.passed} problems passed, 0 failed, 0 are not supported" in text
    assert "padding mode\n" in text


def test_what_is_not_there_is_not_supported(folder):
    """A case without results is not supported, and neither is a gradient beside a y that is there."""
    case, document = next(read_cases(folder))
    np.float64(read_expected(case, document, "y")[0]).tofile(case / "y.result.f64")
    report = check_vectors(folder)
    assert (report.table.passed, report.table.not_supported) == (1, len(list(read_cases(folder))) - 1)
    rows = {row.feature: row for row in report.table.rows if row.kind == "result"}
    assert (rows["y"].passed, rows["grad_x"].not_supported) == (1, 1)


FAULTS = {
    "zeros": np.zeros_like,
    "twice": lambda values: 2 * values,
    "shifted": lambda values: np.roll(values, 1, axis=-1),
    "single": lambda values: values.astype(np.float32),
    "finite": np.nan_to_num,
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_wrong_results_fail(folder, fault):
    """Zeros, twice the result, a shift, float32's rounding and lost NaN fail, and the message says where."""
    answer(folder, FAULTS[fault])
    report = check_vectors(folder)
    assert report.table.failed > 0
    assert {wrong.quantity for wrong in report.wrong} >= {"y", "grad_x"}
    expected = "expected NaN or infinity" if fault == "finite" else "to within"
    assert any(
        expected in str(wrong) and f"{wrong.case} {wrong.quantity}: " in str(wrong) and "x (" in str(wrong)
        for wrong in report.wrong
    )
    more = len(report.wrong) - 10
    assert (f"and {more} more results are wrong" in str(report)) == (more > 0)
    assert json.loads(json.dumps(report.to_dict()))["wrong"][0]["case"] == report.wrong[0].case


def test_one_entry_beyond_its_bound_fails(folder):
    """An entry off by nine tenths of its bound passes, and by eleven it fails, at its index."""
    case, document = find_first(folder, data="normal", missing="propagate", batch="more")
    values, bound = read_expected(case, document, "grad_x")
    at = np.unravel_index(np.argmax(bound / np.spacing(np.abs(values))), bound.shape)  # where a bound is many steps
    for part, is_right in ((0.9, True), (1.1, False)):
        actual = values.copy()
        actual[at] += part * bound[at]
        actual.tofile(case / "grad_x.result.f64")
        wrong = check_vectors(folder).wrong
        assert (wrong == ()) is is_right
    assert f"1 of {values.size} entries are wrong, worst at index {tuple(map(int, at))}" in wrong[0].message


def test_a_filter_may_be_spoiled_where_the_case_says_so():
    """In a spoiled filter finite entries may be NaN, and are held to their bound where they are not."""
    values, bound = np.array([[1.0, np.nan], [1.0, 2.0]]), np.array([[0.1, np.nan], [0.1, 0.1]])
    assert Expected(values, bound, (0,)).find_ratios(np.array([[np.nan, np.inf], [1.0, 2.0]])).max() == 0
    assert Expected(values, bound, (0,)).find_ratios(np.array([[1.2, np.inf], [1.0, 2.0]])).max() > 1
    assert Expected(values, bound, (0,)).find_ratios(np.array([[1.0, np.inf], [np.nan, 2.0]])).max() == np.inf
    assert Expected(values, bound, (0,)).find_ratios(np.array([[1.0, 7.0], [1.0, 2.0]])).max() == np.inf
    plain = Expected(values[1], bound[1], (0,))
    assert plain.find_ratios(np.array([np.nan, np.nan])).max() == 0
    assert replace(plain, spoiled_filters=()).find_ratios(np.array([np.nan, 2.0])).max() == np.inf


def test_a_result_of_the_wrong_size_fails(folder):
    """A file of too few bytes is a wrong result, and says what the shape needs."""
    case, document = next(read_cases(folder))
    (case / "y.result.f32").write_bytes(b"1234")
    (wrong,) = check_vectors(folder).wrong
    count = int(np.prod(document["results"]["y"]["shape"]))
    assert f"y.result.f32 has 4 bytes, expected {4 * count}: {count} numbers of 4 bytes" in wrong.message


def _edit_manifest(folder, **entries):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


SPOILINGS = {
    "no results": (lambda folder: None, "has none: write .*y.result.f32"),
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), "there is no .*manifest.json: export some"),
    "not JSON": (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json cannot be read"),
    "no object": (lambda folder: (folder / "manifest.json").write_text("[]"), "manifest.json holds no object"),
    "another format": (lambda folder: _edit_manifest(folder, format="words"), "has the format 'words'"),
    "another version": (lambda folder: _edit_manifest(folder, version=2), "version 1, got version 2 .* export them"),
    "no case": (lambda folder: shutil.rmtree(folder / "float64-003"), "float64-003.* cannot be read"),
    "half a file": (lambda folder: (folder / "float64-000" / "y.f64").write_bytes(b"12"), "is damaged .*2 bytes"),
    "another name": (
        lambda folder: (folder / "float64-000" / "Y.result.f32").touch(),
        "Y.result.f32 is none of y.result.f32, grad_x.result.f32",
    ),
    "two results": (
        lambda folder: shutil.copy(folder / "float64-000" / "y.result.f64", folder / "float64-000" / "y.result.f32"),
        "remove .*y.result.f32 or .*y.result.f64",
    ),
}


@pytest.mark.parametrize("name", sorted(SPOILINGS))
def test_a_folder_that_does_not_serve_says_why(folder, name):
    """A folder without vectors or results, of another version, damaged, or with a file of no meaning raises."""
    spoil, message = SPOILINGS[name]
    if name != "no results":
        answer(folder)
    spoil(folder)
    with pytest.raises(VectorsError, match=message):
        check_vectors(folder)


def test_an_export_needs_an_empty_folder(exported, tmp_path):
    """Nothing that stands there is written over; an unknown arithmetic raises before anything is written."""
    with pytest.raises(VectorsError, match="`folder` must be new or empty"):
        export_vectors(exported)
    with pytest.raises(ValueError, match="`arithmetic` must be one of"):
        export_vectors(tmp_path / "new", arithmetics=["int8"])
    assert not (tmp_path / "new").exists()
