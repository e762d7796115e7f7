"""`dgno models`: weights and network sizes."""

from __future__ import annotations

from typing import Annotated

import typer

from dgno.cli.console import print_json, print_table
from dgno.cli.options import Debug, Json, Quiet
from dgno.errors import ConfigError


def models(
    action: Annotated[str, typer.Argument(help="list, show NAME, or verify [NAME].")] = "list",
    name: Annotated[str | None, typer.Argument(help="Weights by name or path.", show_default=False)] = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """List weights and networks, show a card, verify hashes.

    Example: dgno models show fluorescence-nano
    """
    from dgno.evaluation import inventory

    if action == "list":
        weights, networks, others = inventory.list_weights(), inventory.list_networks(), inventory.list_others()
        if json:
            print_json({"weights": weights, "networks": networks, "other networks": others})
            return
        print_table(
            list(weights[0]) if weights else ["no weights"], [list(w.values()) for w in weights], title="Weights"
        )
        print()
        print_table(
            list(networks[0]), [list(n.values()) for n in networks], title="Networks (1 channel, GMAC at 256 x 256)"
        )
        print()
        print_table(list(others[0]), [list(n.values()) for n in others], title="Other networks (GMAC at 256 x 256)")
    elif action in ("show", "verify") and (name or action == "verify"):
        shown = name if action == "show" else None
        facts, card = (
            (inventory.card_facts(shown), inventory.model_card(shown)) if shown else (inventory.verify(name), "")
        )
        if json:
            print_json(facts | ({"model card": card} if card else {}))
        else:
            print_table(("", ""), list(facts.items()))
            print(f"\n{card}" if card else "", end="")
    else:
        raise _wrong_action(action)


def _wrong_action(action: str) -> ConfigError:
    from dgno.weights.store import embedded_names

    known = f"weights that come with dgno: {', '.join(embedded_names()) or 'none'}"
    if action == "show":
        return ConfigError("models show: of which weights?", hint=f"say models show NAME; {known}")
    meant = f"did you mean models show {action}? " if action in embedded_names() else ""
    hint = f"{meant}say list, show NAME, or verify [NAME]; {known}"
    return ConfigError(f"models {action!r} is no action", hint=hint)
