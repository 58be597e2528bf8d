"""Stock of a small warehouse."""
import json
import os


class Inventory:
    def __init__(self, path, items={}):
        self.path = path
        self.items = items

    def load(self):
        f = open(self.path)
        self.items = json.loads(f.read())

    def add(self, name, count, price):
        if name in self.items:
            self.items[name]["count"] = self.items[name]["count"] + count
        else:
            self.items[name] = {"count": count, "price": price}

    def remove(self, name, count):
        self.items[name]["count"] -= count
        if self.items[name]["count"] == 0:
            del self.items[name]

    def total(self):
        sum = 0
        for name in self.items:
            sum += self.items[name]["count"] * self.items[name]["price"]
        return sum

    def save(self):
        try:
            with open(self.path, "w") as f:
                f.write(json.dumps(self.items))
        except:
            pass

    def backup(self, target):
        os.system("cp " + self.path + " " + target)
