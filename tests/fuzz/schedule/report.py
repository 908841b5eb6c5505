"""Merges the counts of several runs of `./dev fuzz schedule --json FILE`, and one of `./dev fuzz --mutants --json FILE`, into one page.

    python tests/fuzz/schedule/report.py OUT.md MUTANTS.json RUN.json..

The sums are written beside it, as OUT.json, which may be given as a run again: so the counts of several days add up. Runs with a
finding are left out, and counted apart.
The tables say how often each step was applied (not refused) to an op that has each construct of the language, and which oracle noticed
each planted fault.
"""
import json
import sys
from collections import Counter, defaultdict

HEAD = """# The attack on the first promise

Random ops under random schedules, by `./dev fuzz schedule --seconds N --seed S --json FILE`. Each pair is judged by three oracles after
every step: the program that is printed reads back to itself; the interpreter gives the answers of the canonical program (the same bits, or
within the bounds of [numerics.md](numerics.md) where the header gives leave); compiled code for a random level of the instruction set
gives those of the interpreter, on arrays between guard pages. A finding prints the op, the steps and the command that replays it; each one
became a golden case or a test, and a run with a finding is not counted here. Older runs did not tell the ways of `cache`, `layout` and
`rfactor` apart, and had no types of 8 bits, packs, applied schedules, derived steps or whole ranges: those rows and columns are of newer runs
alone. An applied schedule and a derived step count beside the steps that they are made of. What states of 64-bit whole numbers take is kept
small, as the squares of large ones leave f32 in some orders and not in others. The newest runs alone have stages of mixed types and booleans,
inputs that are updated after they are read, run-time indices, conditions that leave cells without terms, terms scattered by sums of
indices, arrays with steps between elements, data that a check stops (every state must stop, and code before it writes), windows of `cache`,
schedules of up to 40 steps, and ops as people write them (`tests/fuzz/common/known_ops.cpp`); they count under the constructs that there
were. They found a dozen faults, among them sums of which a condition left whole cells without terms. One finding is open:
a compile that is refused late, of partial results `with of` in vectors that `specialize` takes to one iteration (seed 970101673). This page is written by `tests/fuzz/schedule/report.py` from
the counts of the runs.

"""


def main(out, mutants, runs):
    total, applied, refused, constructs = Counter(), Counter(), Counter(), Counter()
    pairs_of = defaultdict(Counter)
    count = 0
    left_out = Counter()  # runs with a finding
    for path in runs:
        with open(path) as f:
            run = json.load(f)
        left_out.update(run.get("left_out", {}))
        if run["mismatches"]:
            left_out.update(runs=1, pairs=run["pairs"])
            continue
        for key in ("pairs", "applied", "refused", "compiled", "unproved", "rejected_ops", "mismatches"):
            total[key] += run[key]
        count += run.get("runs", 1)
        constructs.update(run["constructs"])
        for step, counts in run["with"].items():
            pairs_of[step].update(counts)
        for step, counts in run["by_step"].items():
            applied[step] += counts["applied"]
            refused[step] += counts["refused"]
    names = sorted(constructs)
    cells = [pairs_of[step][c] for step in pairs_of for c in names]
    text = HEAD
    text += (f"{total['pairs']:,} pairs in {count} runs: {total['applied']:,} steps applied, {total['refused']:,} refused; "
             f"**{total['mismatches']} mismatches**. {total['compiled']:,} pairs were compiled, {total['unproved']:,} were refused by the "
             f"compiler as it could not show that they keep to their memory, or took too long; {total['rejected_ops']:,} texts of the "
             f"generator were no ops. Of the {len(cells)} products of step and construct below, {sum(c >= 200 for c in cells)} were applied "
             f"at least 200 times; the least, {min(cells)}. {left_out['runs']} runs with a finding ({left_out['pairs']:,} pairs) are not in "
             f"these counts.\n\n")
    text += "## Steps\n\n| step | applied | refused |\n|---|---:|---:|\n"
    for step in sorted(applied):
        text += f"| `{step}` | {applied[step]:,} | {refused[step]:,} |\n"
    text += "\n## Steps on ops with each construct\n\n| step | " + " | ".join(c.replace("_", " ") for c in names) + " |\n"
    text += "|---|" + "---:|" * len(names) + "\n"
    text += "| ops | " + " | ".join(f"{constructs[c]:,}" for c in names) + " |\n"
    for step in sorted(pairs_of):
        text += f"| `{step}` | " + " | ".join(f"{pairs_of[step][c]:,}" for c in names) + " |\n"
    with open(mutants) as f:
        faults = json.load(f)
    text += (f"\n## Planted faults\n\nThe same oracles on programs into which a fault was planted, after the steps or between two passes of the "
             f"compiler: {faults['killed']} of {faults['faults']} were noticed (`./dev fuzz --mutants`). Programs: how many it took.\n\n"
             "| fault | planted | noticed by | programs | seconds |\n|---|---|---|---:|---:|\n")
    for row in faults["rows"]:
        by = row["by"] if row["killed"] else "**nothing**"
        text += f"| {row['what']} | after {row['after']} | {by} | {row['programs']} | {row['seconds']:.2f} |\n"
    with open(out, "w") as f:
        f.write(text)
    sums = dict(total, runs=count, left_out=dict(left_out), constructs=dict(sorted(constructs.items())),
                by_step={s: {"applied": applied[s], "refused": refused[s]} for s in sorted(applied)},
                **{"with": {s: dict(sorted(pairs_of[s].items())) for s in sorted(pairs_of)}})
    with open(out.removesuffix(".md") + ".json", "w") as f:
        json.dump(sums, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
