"""Names of genes, and where each is in a model's list, by any of the forms that tables use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Tables write HLA-F as HLA.F (R) or HLA_F, and join a symbol and its Entrez id by | (TCGA) or _.
_SEPARATORS = str.maketrans("-.|: ", "_____")


@dataclass(frozen=True, slots=True)
class Gene:
    """`symbol`: e.g. ESR1. `entrez`: its NCBI Gene id as text, e.g. 2099; "" if the training table had none."""

    symbol: str
    entrez: str = ""

    @classmethod
    def parse(cls, name: str) -> Gene:
        """Read `SYMBOL_ENTREZ`, the form of the TCGA tables; a name without an id is a symbol."""
        symbol, _, entrez = name.rpartition("_")
        return cls(symbol, entrez) if symbol and entrez.isdigit() else cls(name)


class GeneIndex:
    """Finds a model's genes by symbol, Entrez id or both joined, whatever the case and the separators."""

    def __init__(self, genes: Sequence[Gene]) -> None:
        self.genes = tuple(genes)
        self._places: dict[str, int] = {}
        for form in ("{0.symbol}_{0.entrez}", "{0.symbol}", "{0.entrez}"):
            for place, gene in enumerate(self.genes):
                # The first form wins: a symbol never hides a full name.
                self._places.setdefault(_plain(form.format(gene)), place)
        self._places.pop("", None)

    def __len__(self) -> int:
        return len(self.genes)

    def find(self, name: str) -> int | None:
        """Return the gene's place in the model's list; None if the model does not use it."""
        return self._places.get(_plain(name))


def _plain(name: str) -> str:
    return name.strip().upper().translate(_SEPARATORS)
