"""What tokens cost: a small table that ships with the package, and a file of the user's that replaces its entries."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from pathlib import Path

from resources.errors import PermanentError
from resources.llm.protocol import Usage

BATCH_SHARE = Decimal("0.5")
"""What the providers' batch modes cost by the ordinary price."""
_MILLION = Decimal(1_000_000)


class PriceFileError(PermanentError):
    """The file named by LLM_PRICES cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars for a million tokens."""

    input: Decimal
    cached_input: Decimal
    output: Decimal

    def of(self, usage: Usage, *, batch: bool = False) -> Decimal:
        """US dollars for some calls."""
        fresh = usage.input_tokens - usage.cached_tokens
        cost = (
            fresh * self.input + usage.cached_tokens * self.cached_input + usage.output_tokens * self.output
        ) / _MILLION
        return cost * BATCH_SHARE if batch else cost


@dataclass(frozen=True, slots=True)
class Prices:
    """provider -> model -> price."""

    table: dict[str, dict[str, Price]]

    def find(self, provider: str, model: str) -> Price | None:
        """The price of a model, by its name or its longest listed prefix; None when it is not known."""
        models = self.table.get(provider, {})
        # `gpt-4o` must not price `gpt-4omni`: a prefix ends where a name's part does.
        fitting = [name for name in models if model == name or model.startswith((f"{name}-", f"{name}@", f"{name}:"))]
        return models[max(fitting, key=len)] if fitting else None

    def cost(self, provider: str, model: str, usage: Usage, *, batch: bool = False) -> Decimal | None:
        """US dollars, or None for a model without a price."""
        price = self.find(provider, model)
        return None if price is None else price.of(usage, batch=batch)


def load_prices(override: Path | None = None) -> Prices:
    """The built-in table, with the entries of the file `override` (LLM_PRICES) in place of its own.

    Raises `PriceFileError` when the file is missing or malformed.
    """
    table = _parse(files(__package__).joinpath("prices.toml").read_text(encoding="utf-8"))
    if override is not None:
        try:
            given = _parse(override.read_text(encoding="utf-8"))
        except OSError as error:
            raise PriceFileError(f"the file {override} of LLM_PRICES cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, AttributeError, ArithmeticError) as error:
            raise PriceFileError(
                f"the file {override} of LLM_PRICES is not a price table ({type(error).__name__}: {error}); "
                'each entry is [provider."model"] with input, cached_input and output'
            ) from None
        for provider, models in given.items():
            table.setdefault(provider, {}).update(models)
    return Prices(table)


def _parse(text: str) -> dict[str, dict[str, Price]]:
    raw = tomllib.loads(text, parse_float=Decimal)
    return {
        provider: {model: _price(model, entry) for model, entry in models.items()} for provider, models in raw.items()
    }


def _price(model: str, entry: dict[str, object]) -> Price:
    if set(entry) - {"input", "cached_input", "output"} or not {"input", "output"} <= set(entry):
        raise ValueError(f"{model} has {sorted(entry)}")
    values = {name: Decimal(str(value)) for name, value in entry.items()}
    if any(value < 0 for value in values.values()):
        raise ValueError(f"{model} has a negative price")
    return Price(
        input=values["input"], cached_input=values.get("cached_input", values["input"]), output=values["output"]
    )
