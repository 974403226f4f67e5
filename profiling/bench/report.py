"""What a run says on the terminal: the tables of its rows, and their summary."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import geometric_mean
from typing import Any

import numpy as np

from profiling.results import Row, Table, show, significant
from profiling.workloads.drawn import NAME as DRAWN

OTHERS_PCT = 2.0  # of the machine, from which times on several threads are doubtful,
OTHERS_PCT_ONE = 25.0  # and those on one
WORST = 5  # problems drawn at random that are named
COLUMNS = ("layer", "x", "algorithm", "ms", "ieee ms", "GFLOP/s", "GB/s", "roof %", "error")


def ratio(row: Row) -> float | None:
    """How many times faster than its peer: peer_ms / ms."""
    return row["peer_ms"] / row["ms"] if row["peer_ms"] and row["ms"] else None


def doubtful(threads: int | None, others_pct: float | None) -> bool:
    """Whether others took too much of the machine for times on so many threads; None is a GPU."""
    limit = OTHERS_PCT if (threads or 1) > 1 else OTHERS_PCT_ONE
    return threads is not None and (others_pct or 0.0) > limit


def summarise(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each workload, operator, threads and peer, over the selected algorithms of all layers it computes.

    `geomean` is the geometric mean of peer_ms / ms, every layer counting alike, `geomean_fastest` that of the
    fastest repeats, `geomean_ieee` that of the algorithms that "ieee" selects; `total` is the peer's time
    over ours for one pass, each layer counting as often as the network has it.
    """
    groups, plain = _grouped(rows, "selected"), _grouped(rows, "ieee")
    summary = []
    for (workload, op, threads, peer), members in groups.items():
        fastest = (row["peer_fastest_ms"] / row["fastest_ms"] for row in members)
        theirs = sum(row["multiplicity"] * row["peer_ms"] for row in members)
        total = theirs / sum(row["multiplicity"] * row["ms"] for row in members)
        summary.append(
            {"workload": workload, "op": op, "threads": threads, "peer": peer, "layers": len(members),
             "geomean": significant(geometric_mean(map(ratio, members))),
             "geomean_fastest": significant(geometric_mean(fastest)),
             "geomean_ieee": significant(_geomean(plain.get((workload, op, threads, peer), []))),
             "total": significant(total)}
        )  # fmt: skip
    return summary


def spread(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Of the problems drawn at random, for each number of threads and peer: how the ratios are spread.

    A mean would hide those that fall short.
    """
    members: dict[tuple, list[Row]] = {}
    for (workload, _, threads, peer), group in _grouped(rows, "selected").items():
        if workload == DRAWN:
            members.setdefault((threads, peer), []).extend(group)
    return [
        {"threads": threads, "peer": peer, **_spread(group)} for (threads, peer), group in members.items()
    ]


def _spread(rows: Sequence[Row]) -> dict[str, Any]:
    ordered = sorted(rows, key=lambda row: ratio(row) or 0.0)
    ratios = [ratio(row) for row in ordered]
    worst, fifth, middle = np.percentile(ratios, (0, 5, 50))
    return {
        "layers": len(rows), "worst": significant(worst), "5 %": significant(fifth),
        "median": significant(middle), "slower": sum(each < 1 for each in ratios),
        "worst layers": [row["layer"] for row in ordered[:WORST]],
    }  # fmt: skip


def _grouped(rows: Sequence[Row], chosen: str) -> dict[tuple, list[Row]]:
    """Of rows whose algorithm is `chosen`, those of each workload, operator, threads and peer."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        if row[chosen] and ratio(row):
            groups.setdefault((row["workload"], row["op"], row["threads"], row["peer"]), []).append(row)
    return groups


def _geomean(rows: Sequence[Row]) -> float | None:
    return geometric_mean(map(ratio, rows)) if rows else None


def tables(rows: Sequence[Row]) -> Iterator[Table]:
    """One for each workload and number of threads; one line a layer and algorithm."""
    sections = dict.fromkeys((row["workload"], row["threads"]) for row in rows)
    for workload, threads in sections:
        members = [row for row in rows if (row["workload"], row["threads"]) == (workload, threads)]
        peers = list(dict.fromkeys(row["peer"] for row in members if row["peer"]))
        by_line: dict[tuple, list[Row]] = {}
        for row in members:
            by_line.setdefault((row["layer"], row["algorithm"]), []).append(row)
        plain = {row["layer"]: row["ms"] for row in members if row["ieee"]}
        lines = [_line(group, peers, plain) for group in by_line.values()]
        title = workload if threads is None else f"{workload}, {threads} thread{'s' * (threads > 1)}"
        ratios = [f"x {peer}" for peer in peers]
        yield Table(title, [*COLUMNS, *ratios], lines, ("layer", "algorithm"), ratios)


def _line(group: Sequence[Row], peers: Sequence[str], plain: Mapping[str, float | None]) -> list[str]:
    row, ratios = group[0], {row["peer"]: ratio(row) for row in group}
    name = row["algorithm"] + ("" if row["selected"] else " (not selected)")
    cells = [row["layer"], str(row["multiplicity"]), name]
    cells += [_number(row["ms"]), _number(plain.get(row["layer"])) if row["selected"] else ""]
    cells += [_number(row[key]) for key in ("gflops", "gbytes_s", "roofline_pct")]
    cells.append("" if row["max_error"] is None else f"{row['max_error']:.1e}")
    return cells + [_number(ratios.get(peer)) for peer in peers]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def print_rows(rows: Sequence[Row]) -> None:
    """A line for the selected algorithm of one layer, as soon as it has been measured."""
    chosen = [row for row in rows if row["selected"]]
    if chosen:
        row = chosen[0]
        ratios = [f"{ratio(row):.2f}x {row['peer']}" for row in chosen if ratio(row)]
        threads = "" if row["threads"] is None else f"{row['threads']} thread{'s' * (row['threads'] > 1)}"
        ms = "wrong" if row["ms"] is None else f"{row['ms']:.4g} ms"
        print(f"{row['workload']:<13} {row['layer']:<26} {threads:<10} {row['algorithm']:<24} {ms:>10}  "
              f"{'  '.join(ratios)}".rstrip(), flush=True)  # fmt: skip


def print_report(rows: Sequence[Row], others_pct: float | None = 0.0) -> None:
    """Tables of all rows, then the summary, without the lines that others have spoilt."""
    show([*tables([row for row in rows if row["workload"] != DRAWN])])
    for entry in spread(rows):
        named = "\n".join(f"  {name}" for name in entry.pop("worst layers"))
        print(", ".join(f"{key} {value}" for key, value in entry.items()) + f"; the worst:\n{named}")
    summary = summarise(rows)
    spoilt = sorted({entry["threads"] for entry in summary if doubtful(entry["threads"], others_pct)})
    kept = [entry for entry in summary if entry["threads"] not in spoilt]
    if kept:
        show([_summary_table(kept)])
    if spoilt:
        counts = f"{' and '.join(map(str, spoilt))} thread{'s' * (spoilt != [1])}"
        print(f"The summary of {counts} is left out: others took {others_pct:.0f} % of the machine")


def _summary_table(summary: Sequence[dict[str, Any]]) -> Table:
    header = ["workload", "operator", "threads", "peer", "layers", "geomean", "with ieee", "total"]
    lines = [
        [entry["workload"], entry["op"], str(entry["threads"] or ""), entry["peer"], str(entry["layers"]),
         *(_number(entry[key]) for key in ("geomean", "geomean_ieee", "total"))]
        for entry in summary
    ]  # fmt: skip
    title = "Summary: peer's time over gpuconv's; above 1 gpuconv is faster"
    return Table(title, header, lines, [*header[:2], "peer"], ("geomean", "with ieee", "total"))
