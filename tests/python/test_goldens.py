"""The golden refusals as a whole: how many there are, that each says where and why, and that no code is without one."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
CASES = ROOT / "tests" / "golden" / "cases"

# Not in a golden file, and where they are tested instead.
ELSEWHERE = {
    "HD0001": "tests/python/test_source.py: a text of more than 1 MiB",
    "HD0002": "tests/python/test_source.py: bytes that are no UTF-8",
    "HD0003": "tests/python/test_source.py: 60,000 tokens",
    "HD0005": "tests/python/test_source.py: 1,000 operators",
    "HD0019": "tests/unit/frontend/parse_test.cpp: a text for schedules alone, which no golden command reads",
    "HD0133": "tests/python/test_laws.py",
    "HD0238": "tests/python/test_goldens.py: 20,000 accesses",
    "HD0901": "tests/unit/frontend/parse_test.cpp: our own bug",
    "HD0931": "our own bug: a step whose program does not verify; tests/fuzz/mutants makes such programs",
}
# What the interpreter finds while it runs (HD0250 .. HD0299) has no text to stand in: tests/unit/ir/interpret_claims_test.cpp.
RANGES = [(1, 250), (301, 400), (901, 940)]


def expectations():
    for path in sorted(CASES.rglob("*.hd")):
        yield path, path.read_text().split("\n----\n", 1)[-1]


def test_at_least_150_refusals_with_code_line_column_and_wording():
    refusals = []
    for path, said in expectations():
        if path.parent.name != "refused":
            continue
        found = re.findall(r"^\S+?:(\d+):(\d+): error\[(HD\d{4})\]: (.+)$", said, re.M)
        if said.startswith("program "):
            continue  # what a neighbour of a refused case becomes
        assert found, f"{path.name} has no diagnostic with its place"
        for line, column, code, message in found:
            assert int(line) >= 1 and int(column) >= 1
            words = re.sub(r"[^a-z ]", "", message.lower()).split()
            assert len(message) >= 12 and (len(words) >= 2 or "`" in message), f"{path.name}: `{message}` says too little"
            assert not {"invalid", "illegal", "malformed"} & set(words), f"{path.name}: `{message}`"
            assert message[-1] != ".", f"{path.name}: `{message}` ends with a full stop"
            refusals.append((path.name, code))
    assert len({name for name, _ in refusals}) >= 350
    assert len({code for _, code in refusals}) >= 70


def test_every_code_of_texts_programs_and_schedules_has_a_golden_case():
    rows = {code for file in ROOT.glob("*/codes.def") for code in re.findall(r'"(HD\d{4})"', file.read_text())}
    rows = {code for code in rows if any(low <= int(code[2:]) < high for low, high in RANGES)}
    shown = {code for _, said in expectations() for code in re.findall(r"error\[(HD\d{4})\]", said)}
    shown |= {code for _, said in expectations() for code in re.findall(r"note\[(HD\d{4})\]", said)}
    assert rows - shown - set(ELSEWHERE) == set(), "write a golden case, or say in ELSEWHERE where it is tested"
    assert set(ELSEWHERE) & shown == set(), "these have a golden case now"
    assert set(ELSEWHERE) <= rows


def test_every_step_has_golden_cases_and_a_section_of_the_manual():
    steps = re.findall(r"^HEDDLE_STEP\((\w+)", (ROOT / "schedule" / "steps.def").read_text(), re.M)
    manual = (ROOT / "docs" / "steps.md").read_text()
    sections = dict(zip(re.findall(r"^## (\w+)$", manual, re.M), re.split(r"^## .*$", manual, flags=re.M)[1:]))
    refused = " ".join(path.read_text() for path, _ in expectations() if path.parent.name == "refused")
    assert len(steps) >= 20
    unrefused = [step for step in steps if not re.search(rf"^\s*(.*[{{;] *)?{step} ", refused, re.M)]
    assert not unrefused, "write golden refusals of these"
    for step in steps:
        section = sections[step]
        assert "```diff" in section and "Refused" in section and "```heddle refused" in section, f"{step} lacks before, after or refusals"
