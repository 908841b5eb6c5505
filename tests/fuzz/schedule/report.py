"""Merges the counts of several runs of `./dev fuzz schedule --json FILE`, and one of `./dev fuzz --mutants --json FILE`, into one page.

    python tests/fuzz/schedule/report.py OUT.md MUTANTS.json COMMIT RUN.json.. [--earlier RUN.json..] [--crashed N] [--open TEXT]

COMMIT names the state of the compiler that the runs are of; those after `--earlier` are of states before it, N more of which crashed and
left no counts; TEXT says what findings of COMMIT are open. Runs with a finding are told apart and left out of the tables. The sums are
written to OUT.json, too, which can be given after `--earlier` the next time.

The tables say how often each step was applied (not refused) to an op that has each construct of the language, and which oracle noticed
each planted fault.
"""
import argparse
import json
import os
from collections import Counter, defaultdict

HEAD = """# The attack on the first promise

Random ops under random schedules, by `./dev fuzz schedule --seconds N --seed S --json FILE`. Each pair is judged by three oracles after
every step: the program that is printed reads back to itself; the interpreter gives the answers of the canonical program (the same bits, or
within the bounds of [numerics.md](numerics.md) where the header gives leave); compiled code for a random level of the instruction set
gives those of the interpreter, on arrays between guard pages. A finding prints the op, the steps and the command that replays it; each one
became a golden case or a test. Every program is verified after every step and pass of the compiler, and no run has a seed of another.

Ops are made of the constructs below or are such as people write (`tests/fuzz/common/known_ops.cpp`): of all types, with stages of mixed
types and booleans, inputs that are updated after they are read, run-time indices, conditions that leave cells without terms, terms
scattered by sums of indices, arrays with steps between elements. Of some the data is such that a check stops it: then every state must stop,
and code before it writes. A schedule has up to 40 steps. An applied schedule and a derived step count beside the steps that they are made
of. What states of 64-bit whole numbers take is kept small, as the squares of large ones leave f32 in some orders and not in others. An
element that follows from the sign of a zero that `max` or `min` gives, which is free, is not compared. This page is written by
`tests/fuzz/schedule/report.py` from the counts of the runs.

"""


class Sums:
    """Counts of several runs without a finding; of those with one only how many there were."""

    def __init__(self, runs):
        self.total, self.applied, self.refused, self.constructs = Counter(), Counter(), Counter(), Counter()
        self.products = defaultdict(Counter)
        self.found = Counter()
        for path in runs:
            with open(path) as f:
                run = json.load(f)
            if run["mismatches"]:
                self.found.update(runs=1, pairs=run["pairs"])
                continue
            self.found.update(run.get("left_out", {}))
            self.total.update(runs=run.get("runs", 1))
            for key in ("pairs", "applied", "refused", "compiled", "unproved", "rejected_ops"):
                self.total[key] += run[key]
            self.constructs.update(run["constructs"])
            for step, counts in run["with"].items():
                self.products[step].update(counts)
            for step, counts in run["by_step"].items():
                self.applied[step] += counts["applied"]
                self.refused[step] += counts["refused"]

    def json(self):
        return dict(self.total) | {"mismatches": 0, "left_out": self.found, "constructs": self.constructs, "with": self.products,
                                   "by_step": {s: {"applied": n, "refused": self.refused[s]} for s, n in self.applied.items()}}

    def text(self):
        t = self.total
        return (f"{t['pairs']:,} pairs in {t['runs']} runs without a finding: {t['applied']:,} steps applied, {t['refused']:,} refused; "
                f"{t['compiled']:,} pairs were compiled, {t['unproved']:,} were refused by the compiler as it could not show that they keep to "
                f"their memory, or took too long; {t['rejected_ops']:,} texts of the generator were no ops. "
                + (f"{self.found['runs']} other runs ({self.found['pairs']:,} pairs) had findings."
                   if self.found["runs"] else "There was no finding: **0 mismatches**."))


def main(out, mutants, commit, runs, earlier, crashed, open_findings):
    sums = out.removesuffix(".md") + ".json"
    if any(os.path.realpath(path) == os.path.realpath(sums) for path in runs):
        raise SystemExit(f"{sums} is written anew: give it after --earlier")
    state, all_runs = Sums(runs), Sums(runs + earlier)
    applied, refused, constructs, products = all_runs.applied, all_runs.refused, all_runs.constructs, all_runs.products
    names = sorted(constructs)
    cells = [products[step][c] for step in products for c in names]
    text = HEAD + f"One state of the compiler (`{commit}`), one binary: {state.text()}{' ' + open_findings if open_findings else ''}\n\n"
    if earlier:
        text += ("States before it, in which one finding after the other was mended: "
                 f"{Sums(earlier).text()}" + (f" {crashed} more ended in a crash of the compiler." if crashed else "")
                 + " All of these are mended in the state above.\n\n")
    text += (f"The tables count all runs without a finding. Of the {len(cells)} products of step and construct, {sum(c >= 200 for c in cells)} "
             f"were applied at least 200 times; the least, {min(cells)}.\n\n")
    text += "## Steps\n\n| step | applied | refused |\n|---|---:|---:|\n"
    for step in sorted(applied):
        text += f"| `{step}` | {applied[step]:,} | {refused[step]:,} |\n"
    text += "\n## Steps on ops with each construct\n\n| step | " + " | ".join(c.replace("_", " ") for c in names) + " |\n"
    text += "|---|" + "---:|" * len(names) + "\n"
    text += "| ops | " + " | ".join(f"{constructs[c]:,}" for c in names) + " |\n"
    for step in sorted(products):
        text += f"| `{step}` | " + " | ".join(f"{products[step][c]:,}" for c in names) + " |\n"
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
    with open(sums, "w") as f:
        json.dump(all_runs.json(), f, indent=1, sort_keys=True)
        f.write("\n")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("out", "mutants", "commit"):
        arguments.add_argument(name)
    arguments.add_argument("runs", nargs="+")
    arguments.add_argument("--earlier", nargs="*", default=[])
    arguments.add_argument("--crashed", type=int, default=0)
    arguments.add_argument("--open", dest="open_findings", default="")
    main(**vars(arguments.parse_args()))
