"""The picture and the table of the README, from the figures of `cpu.py --json`.

``python benchmarks/speed_bars.py found.json`` draws a bar for each network: how many
times as long as skmlp another library takes for an epoch. It prints the same as a table
in Markdown, and refuses figures of a machine that was not quiet.
"""

import argparse
import json
import math
import sys
from pathlib import Path

_TIMES = "\N{MULTIPLICATION SIGN}"
_IMAGE = Path(__file__).parents[1] / "docs" / "images" / "speed.png"
_LABELS = {
    "sklearn": "scikit-learn",
    "torch": "PyTorch",
    "compiled": "PyTorch, compiled",
    "jax": "JAX",
}
# Distinct to the color-blind, and from each other in gray (Okabe and Ito, 2008).
_COLORS = {
    "sklearn": "#E69F00",
    "torch": "#D55E00",
    "compiled": "#CC79A7",
    "jax": "#0072B2",
}


def network(entry):
    """A network in words."""
    shape = f" {_TIMES} ".join(map(str, (entry["features"], *entry["hidden"])))
    return (
        f"{shape} {entry['activation']}, batches of {entry['batch_size']:,}, "
        f"{entry['task']}"
    )


def ratios(report):
    """Ratios of an epoch's times by network and peer, in each precision.

    Returns
    -------
    dict of dict of dict
        By precision, network and peer.
    """
    found = {}
    for entry in report["results"]:
        if "epoch_ratio" in entry:
            by_network = found.setdefault(entry["dtype"], {})
            by_network[network(entry)] = entry["epoch_ratio"]
    return found


def mean(by_network, peer):
    """Geometric mean of a peer's ratios."""
    logs = [math.log(peers[peer]) for peers in by_network.values()]
    return math.exp(sum(logs) / len(logs))


def in_words(ratio):
    """A ratio with two digits, or three where it begins with a one."""
    digits = 1 if ratio < 20 else 0
    return f"{ratio:.{digits}f}{_TIMES}"


def table(found):
    """The lines of a table in Markdown."""
    columns = [
        (dtype, peer)
        for dtype, by_network in found.items()
        for peer in next(iter(by_network.values()))
    ]
    titles = [f"{_LABELS[peer]}, {dtype}" for dtype, peer in columns]
    lines = [f"| network | {' | '.join(titles)} |", "| --- " * (len(titles) + 1) + "|"]
    for name in next(iter(found.values())):
        cells = [in_words(found[dtype][name][peer]) for dtype, peer in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    means = [f"**{in_words(mean(found[dtype], peer))}**" for dtype, peer in columns]
    return [*lines, f"| **geometric mean** | {' | '.join(means)} |"]


def draw(by_network, machine, image):
    """Draw the bars of one precision into a file."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    names = [*by_network]
    peers = [*next(iter(by_network.values()))]
    height = 0.8 / len(peers)
    figure, axes = pyplot.subplots(
        figsize=(9, 0.8 + 0.15 * len(names) * len(peers)), layout="constrained"
    )
    for i, peer in enumerate(peers):
        values = [by_network[name][peer] for name in names]
        places = [
            row + (i - (len(peers) - 1) / 2) * height for row in range(len(names))
        ]
        label = f"{_LABELS[peer]} (mean {in_words(mean(by_network, peer))})"
        axes.barh(places, values, height, color=_COLORS[peer], label=label)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xscale("log")
    least = min(min(ratios.values()) for ratios in by_network.values())
    axes.set_xlim(left=min(1.0, 0.9 * least))
    axes.axvline(1, color="black", linewidth=1)
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{x:g}{_TIMES}"))
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel(
        "time of an epoch, in times of skmlp's (logarithmic)\n"
        f"float32, {machine['cores']} cores, {machine['processor']}, "
        f"{machine['vector_extension']}"
    )
    figure.legend(loc="outside upper left", ncols=len(peers), frameon=False)
    image.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(image, dpi=120)


def main():
    """Draw, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="of cpu.py --json")
    parser.add_argument("--image", type=Path, default=_IMAGE)
    options = parser.parse_args()
    report = json.loads(options.file.read_text())
    if not report["machine"]["quiet"]:
        sys.exit("The machine was not quiet: no picture is drawn of such figures.")
    found = ratios(report)
    draw(found["float32"], report["machine"], options.image)
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
