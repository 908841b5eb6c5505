"""The model of time against published measurements: the table of docs/neuron-model.md is what the suite gives.

`python tests/python/test_nki_model.py --update` writes the table anew.
"""

import pathlib
import re
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "bench"))
import neuron_suite  # noqa: E402

DOCUMENT = TOP / "docs/neuron-model.md"
TABLE = re.compile(r"(<!-- bench --suite neuron -->\n)(.*?)(<!-- end -->)", re.S)


@pytest.fixture(scope="module")
def rows():
    return measured()


def measured():
    return [neuron_suite.measure(case) for case in neuron_suite.cases()]


def table(rows):
    lines = ["| case | type, target | structure | modelled | published | error | |", "|---|---|---|---|---|---|---|"]
    for r in rows:
        unit = r["published_unit"]
        value = f"{r['modelled']:.1f} %" if unit == neuron_suite.PERCENT else f"{r['modelled']:.3g} {unit}" if r["modelled"] < 1000 else f"{r['modelled']:.0f} {unit}"
        published = "" if r["published"] is None else f"{r['published']:g} {'%' if unit == neuron_suite.PERCENT else unit}"
        error = "" if r["error"] is None else f"{r['error']:+.1f}{' points' if unit == neuron_suite.PERCENT else ' %'}"
        lines.append(f"| {r['case']} | {r['dtype']}, {r['target'][7:]} | {r['schedule']} | {value} | {published} | {error} | {r['basis']} |")
    return "\n".join(lines) + "\n"


def test_all_rows_compute_the_right_answer(rows):
    assert [r["case"] for r in rows if not r["ok"]] == []


def test_the_ladder_is_within_ten_points(rows):
    ladder = [r for r in rows if r["case"].startswith("ladder/")]
    assert len(ladder) == 5
    for r in ladder:
        assert abs(r["error"]) <= 10, r
        assert r["basis"] == "schedule"
    assert [r["modelled"] for r in ladder] == sorted(r["modelled"] for r in ladder)
    by_hand = [r for r in rows if r["basis"] == "fitted"]
    assert [r["case"] for r in by_hand] == [r["case"].replace("ladder", "text") for r in ladder]
    for r in by_hand:
        assert abs(r["error"]) <= 10, r


def test_the_best_reaches_ninety_percent(rows):
    assert max(r["utilisation"] for r in rows if r["case"] == "matmul/best") >= 0.9


def test_products_of_the_library_keep_the_array_busy(rows):
    emitted = {r["case"]: r for r in rows if r["basis"] in ("emitted", "other")}
    least = {"std.matmul_tn/strips": 0.9, "std.matmul_tn/stream": 0.9, "std.matmul/strips": 0.85, "std.matmul_tt/panels": 0.85, "std.bmm/strips": 0.85,
             "std.matmul_nt/bf16": 0.83, "std.linear/bf16": 0.83, "std.attention": 0.3, "std.attention_causal": 0.25}
    for case, share in least.items():
        assert emitted[case]["utilisation"] >= share, emitted[case]


def test_the_document_shows_the_table(rows):
    assert TABLE.search(DOCUMENT.read_text())[2] == table(rows), "python tests/python/test_nki_model.py --update"


def test_rows_have_the_fields_of_the_suite(rows):
    for r in rows:
        assert {"case", "op", "shape", "dtype", "target", "schedule", "modelled_us", "utilisation", "published", "published_unit", "error", "engines", "ok"} <= set(r)
        assert set(r["engines"]) == {"tensor", "vector", "scalar", "gpsimd", "sync", "dma"}


if __name__ == "__main__":
    assert sys.argv[1:] == ["--update"], __doc__
    text = DOCUMENT.read_text()
    DOCUMENT.write_text(TABLE.sub(lambda m: m[1] + table(measured()) + m[3], text))
