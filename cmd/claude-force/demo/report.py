"""Monthly report over an inventory."""
from inventory import Inventory


def format_price(cents: int) -> str:
    return f"{cents / 100:.2f} EUR"


def lines(inventory: Inventory, limit=None):
    result = []
    for name, item in sorted(inventory.items.items()):
        if limit and len(result) >= limit:
            break
        result.append(name.ljust(20) + str(item["count"]).rjust(8) + format_price(item["price"]).rjust(12))
    return result


def report(inventory: Inventory) -> str:
    # TODO: group by supplier
    return "\n".join(lines(inventory)) + "\n" + "total: " + format_price(inventory.total())
