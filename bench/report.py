"""Tables and charts of `docs/performance.md` from the JSON of `./dev bench`:

    ./dev bench --json build/bench.json && ./dev run python bench/report.py build/bench.json [PAGE]

PAGE is another page of `docs/` for them, without its `.md`: one of another kind of machine, which has the two marks of the tables.
"""

import json
import math
import os
import sys

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "docs")
BEGIN, END = "<!-- tables: bench/report.py -->", "<!-- end of tables -->"


def amount(us):
    return f"{us / 1000:.2f} ms" if us >= 1000 else f"{us:.1f} us"


def mean(ratios):
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def families(rows):
    out = {}
    for row in rows:
        out.setdefault(row["family"], []).append(row)
    return out


def tables(data, page):
    rows = [r for r in data["rows"] if not r["skipped"]]
    lines = ["| family | cases | geometric mean | least |", "|---|---|---|---|"]
    for family, members in list(families(rows).items()) + [("all", rows)]:
        ratios = [r["ratio"] for r in members if r.get("ratio")]
        if ratios:
            lines.append(f"| {family} | {len(ratios)} | {mean(ratios):.2f} | {min(ratios):.2f} |")
    for family, members in families(rows).items():
        lines += ["", f"### {family}", "", "| case | threads | time | of its limit | best peer | ratio | schedule |", "|---|---|---|---|---|---|---|"]
        for r in members:
            peer = f"{r['best_peer']} {amount(r['peers'][r['best_peer']])}" if r["best_peer"] else "-"
            ratio = f"{r['ratio']:.2f}" if r["ratio"] else "-"
            lines.append(f"| {r['op']} {r['shape']} {r['dtype']} | {r['threads']} | {amount(r['us'])} | {r['of_limit']:.0%} of {r['limit']} | {peer} | {ratio} | {r['schedule']} |")
    behind = [r for r in rows if r.get("ratio") and r["ratio"] < 1]
    if behind:
        lines += ["", "### Behind the best peer", ""]
    for r in behind:
        what = "arithmetic" if r["limit"] == "compute" else "memory"
        lines.append(f"* {r['case']}, {r['threads']} thread{'s' if r['threads'] > 1 else ''}: {r['ratio']:.2f} of {r['best_peer']}; bound by {what}, of which it reaches {r['of_limit']:.0%}")
    skipped = sorted({f"{r['case']}: {r['skipped']}" for r in data["rows"] if r["skipped"]})
    if skipped:
        lines += ["", "Skipped: " + "; ".join(skipped)]
    lines += ["", f"![ratio to the best peer, for each family]({page}.png)"]
    return "\n".join(lines)


def chart(data, page):
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "heddle"
    import matplotlib.pyplot as plt

    rows = [r for r in data["rows"] if r.get("ratio")]
    names = list(families(rows))
    counts = sorted({r["threads"] for r in rows})
    figure, axes = plt.subplots(figsize=(9, 0.42 * len(names) + 1.4))
    for k, threads in enumerate(counts):
        at = [i + (k - (len(counts) - 1) / 2) * 0.36 for i in range(len(names))]
        groups = [[r["ratio"] for r in rows if r["family"] == f and r["threads"] == threads] for f in names]
        axes.barh(at, [mean(g) if g else 0 for g in groups], 0.34, label=f"{threads} thread{'s' if threads > 1 else ''}, geometric mean")
        for y, group in zip(at, groups):
            axes.plot(group, [y] * len(group), "|", color="black", markersize=7, markeredgewidth=0.8)
    axes.axvline(1, color="gray", linewidth=1)
    axes.set_xscale("log", base=2)
    ticks = [0.5, 1, 2, 4, 8]
    axes.set_xticks(ticks, [f"{t:g}x" for t in ticks])
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("time of the best peer / time of Heddle; a mark for each case")
    axes.legend(loc="lower right", fontsize=8)
    figure.tight_layout()
    figure.savefig(os.path.join(DOCS, page + ".png"), dpi=110)
    figure.savefig(os.path.join(DOCS, page + ".svg"), metadata={"Date": None})


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        data = json.load(file)
    page = sys.argv[2] if len(sys.argv) > 2 else "performance"
    path = os.path.join(DOCS, page + ".md")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    before, rest = text.split(BEGIN)
    with open(path, "w", encoding="utf-8") as file:
        file.write(before + BEGIN + "\n" + tables(data, page) + "\n" + END + rest.split(END)[1])
    chart(data, page)


if __name__ == "__main__":
    main()
