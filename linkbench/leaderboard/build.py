"""The files of a leaderboard from its entries: the same entries give the same bytes."""

from __future__ import annotations

from pathlib import Path

from linkbench.leaderboard import exports, page
from linkbench.leaderboard.assembly import assemble
from linkbench.results.folder import write_text


def build(board: Path, out: Path) -> list[Path]:
    """Write README.md, leaderboard.csv and index.html, each whole."""
    whole = assemble(board)
    texts = {
        "README.md": exports.readme(whole),
        "leaderboard.csv": exports.to_csv(whole),
        "index.html": page.render(whole),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_text(out / name, text)
    return [out / name for name in texts]
