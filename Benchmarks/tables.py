"""The results of a benchmark as Markdown."""

from __future__ import annotations

from collections.abc import Iterable


def markdown(document: dict) -> str:
    parts = [introduction(document), speed(document), peaks(document)]
    if not document["cells"]:
        parts += [memory(document), threads(document), operations(document)]
    return "\n\n".join(parts) + "\n"


def table(header: list[str], alignment: str, rows: Iterable[list[str]]) -> str:
    """`alignment`: l or r for each column."""
    marks = ["---:" if letter == "r" else "---" for letter in alignment]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, marks, *rows))


def counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def introduction(document: dict) -> str:
    machine, first = document["machine"], document["results"][0]
    text = (
        f"{machine['cpu']}, {machine['cores']} cores ({', '.join(machine['vector_units'])}), {counted(document['threads'], 'thread')}; "
        f"PyTorch {first['pytorch_version']}; {counted(document['rounds'], 'round')}, seed {document['seed']}; load {machine['load_before']} before and "
        f"{machine['load_after']} after."
    )
    others = max(side["others"] or 0.0 for result in document["results"] for side in result["sides"])
    if others > 0.03:
        text += f" Other processes used up to {others:.0%} of the cores while a side was measured: expect noise."
    return text + (" A quick look, not a measurement." if document["quick"] else "")


def size(result: dict) -> str:
    shape = result["shape"]
    kind = "encoder" if shape["architecture"] == "encoder" else "decoder"
    return (
        f"{kind}, {shape['num_hidden_layers']} × {shape['hidden_size']}, {shape['num_attention_heads']} heads, "
        f"{shape['vocab_size']:,}"
    )


def model(result: dict) -> str:
    return f"{result['parameters'] / 1e6:.1f}M"


def speed(document: dict) -> str:
    names = [side["name"] for side in document["results"][0]["sides"]]
    notes: list[str] = []

    def cell(side: dict, result: dict) -> str:
        if side["median"] is None:
            note = f"{side['name']}: {side['missing']}."
            if note not in notes:
                notes.append(note)
            return "–"
        text = f"{side['median']:,.0f}"
        return f"**{text}**" if side["name"] in (result["mayfly"], result["pytorch"]) else text

    def row(result: dict) -> list[str]:
        shape, ratios = result["shape"], result["ratios"][result["mayfly"]]
        return [
            model(result), size(result), f"{shape['batch_size']} × {shape['context']}",
            *(cell(side, result) for side in result["sides"]),
            f"**{result['ratio']:.2f}** ({min(ratios):.2f}–{max(ratios):.2f})",
        ]

    rows = [row(result) for result in document["results"]]
    header = ["model", "layers × width, heads, vocabulary", "batch", *names, "ratio (range)"]
    ratios = [result["ratio"] for result in document["results"]]
    end = (
        f"Tokens per second, medians; the fastest of each program in bold, and their ratio. Geometric mean of the ratios "
        f"{document['geometric_mean']:.2f}, least {min(ratios):.2f}."
    )
    return "\n\n".join([table(header, "lll" + "r" * len(names) + "l", rows), " ".join([end, *notes])])


def memory(document: dict) -> str:
    names = [side["name"] for side in document["results"][0]["sides"]]
    rows = [
        [
            model(result), *("–" if side["peak_mb"] is None else f"{side['peak_mb']:,.0f}" for side in result["sides"]),
            f"{result['memory_ratio']:.2f}", f"{result['memory_ratio_leanest']:.2f}",
        ]
        for result in document["results"]
    ]
    header = ["model", *names, "Mayfly ÷ PyTorch's fastest", "÷ its leanest"]
    end = (
        "Peak memory of the process in MB. Mayfly's includes everything from start to the last checkpoint; PyTorch's begins "
        "after the first updates, so compiling does not count."
    )
    return "\n\n".join([table(header, "l" + "r" * (len(names) + 2), rows), end])


def peaks(document: dict) -> str:
    computers = sorted({who for known in document["matrix_peaks"].values() for who in known})
    best = table(
        ["matrix peak, GFLOP/s", *computers], "l" + "r" * len(computers),
        (
            [precision, *(f"{known[who]:,.0f}" if who in known else "–" for who in computers)]
            for precision, known in document["matrix_peaks"].items()
        ),
    )
    names = [side["name"] for side in document["results"][0]["sides"]]
    shares = table(
        ["share of the peak", *names], "l" + "r" * len(names),
        (
            [model(result), *(percent(result["matrix_share"].get(name)) for name in names)]
            for result in document["results"]
        ),
    )
    end = f"The fastest of each precision is what the shares are of. Counted are {document['flops_formula']}."
    return "\n\n".join([best, shares, end])


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def threads(document: dict) -> str:
    counts = [entry["threads"] for entry in document["results"][0]["scaling"]]
    rows = [
        [
            model(result), result["mayfly"].removeprefix("Mayfly "),
            *(f"{entry['median']:,.0f} ({percent(entry['efficiency'])})" for entry in result["scaling"]),
        ]
        for result in document["results"]
    ]
    header = ["model", "precision", *(counted(count, "thread") for count in counts)]
    end = "Mayfly's tokens per second by threads, in brackets the parallel efficiency: the speed ÷ (threads × one thread's)."
    return "\n\n".join([table(header, "ll" + "r" * len(counts), rows), end])


def operations(document: dict) -> str:
    """A table for each model: they have different operations on top."""
    parts = ["Time of an update by operation (`mayfly bench`):"]
    for result in document["results"]:
        profile = result["profile"]

        def row(kind: str, calls: str, seconds: float, flops: float) -> list[str]:
            rate = f"{flops / seconds / 1e9:,.0f}" if flops > 0 else ""
            return [kind, calls, f"{1000 * seconds:,.2f}", f"{100 * seconds / profile['profiled_seconds']:.1f} %", rate]

        rows = [
            row(operation["kind"], str(operation["calls"]), operation["seconds"], operation["flops"])
            for operation in profile["operations"]
        ]
        rows.append(row("other", "", profile["other_seconds"], 0))
        title = f"{model(result)}, {result['mayfly'].removeprefix('Mayfly ')}"
        parts.append(table([title, "calls", "ms", "share", "GFLOP/s"], "lrrrr", rows))
    return "\n\n".join(parts)
