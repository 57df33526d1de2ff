#!/usr/bin/env python3
"""A cause of the operator's own blocks: by its class and fault, or by its row in a policy file."""
import json
import os
from common import Case

CAUSE = """
[[cause]]
id = "shop.closed"
class = "{cls}"
fault = "recipient"
category = "Others"
meaning = "The shop is closed."
advice = "Wait."

[[rule]]
id = "own/closed"
cause = "shop.closed"
confidence = 0.99
any = ["the shop has closed"]
samples = ["550 5.7.1 The shop has closed"]
"""
ROW = '[[count]]\ncauses = ["shop.closed"]\nlevel = "address"\nblock = "soft"\nmessages = 2\n\n[never]'
LINE = ("2026-11-{day}T20:00:00.000000+00:00 mx1 postfix/smtp[12]: 4jX{day}627vPz1c0pK: to=<keeper@example.com>, "
        "relay=mx.example.com[192.0.2.7]:25, delay=0.5, delays=0.1/0/0.2/0.2, dsn=5.7.1, status=bounced "
        "(host mx.example.com[192.0.2.7] said: 550 5.7.1 The shop has closed (in reply to RCPT TO command))\n")


def main():
    t = Case(__doc__)
    shipped = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "rules", "policy.toml")
    with open(shipped) as f:
        policy = f.read()

    def write(name, text):
        with open(t.path(name), "w") as f:
            f.write(text)

    def blocks(name, cls, rows, messages):
        """Kinds of block after so many messages."""
        os.makedirs(t.path(name))
        write(name + "/own.toml", CAUSE.format(cls=cls))
        config = f'data_dir = "{t.path(name + ".data")}"\n[rules]\noverrides = ["{t.path(name)}"]\n'
        if rows:
            write(name + ".policy", policy.replace("[never]  #", rows + "  #"))
            config += f'[policy]\nfile = "{t.path(name + ".policy")}"\n'
        write(name + ".conf", config)
        t.run("config", "check", t.path(name + ".conf"))
        write(name + ".log", "".join(LINE.format(day=10 + n) for n in range(messages)))
        t.run("--config", t.path(name + ".conf"), "replay", t.path(name + ".log"))
        done = t.run("--config", t.path(name + ".conf"), "list", "--block", "any", "--format", "csv", status=None)
        return [kind for kind in ("dead", "soft") if kind in done.stdout.split("keeper@example.com")[-1]] \
            if "keeper@example.com" in done.stdout else []

    t.expect(blocks("hard", "hard", None, 1) == ["dead"], "a hard cause of our own does not block")
    t.expect(blocks("refused", "blocked", None, 5) == [], "a refusal that is our fault blocks")
    t.expect(blocks("row1", "blocked", ROW, 1) == [], "one message, though the row wants two")
    t.expect(blocks("row2", "blocked", ROW, 2) == ["soft"], "the cause's own row does not block")
    t.expect(blocks("never", "hard", '[never]', 1) == ["dead"], "a policy file without the cause forgets its class")

    # A stored failure keeps its cause when the operator's file names another one before it, or no longer names it.
    def cause_of(config):
        shown = t.run("--config", t.path(config), "address", "show", "--json", "keeper@example.com")
        return json.loads(shown.stdout)["history"][0]["verdict"]["cause"]

    t.expect(cause_of("hard.conf") == "shop.closed", "the cause of a stored failure")
    write("hard/own.toml", CAUSE.format(cls="soft").replace("shop.closed", "shop.moved").replace("own/closed", "own/moved")
          .replace("the shop has closed", "the shop has moved").replace("The shop has closed", "The shop has moved")
          + CAUSE.format(cls="hard"))
    t.expect(cause_of("hard.conf") == "shop.closed", "a cause that comes first takes another's number")
    write("hard.log", LINE.format(day=20).replace("The shop has closed", "The shop has moved"))
    t.run("--config", t.path("hard.conf"), "replay", t.path("hard.log"))
    t.expect(cause_of("hard.conf") == "shop.moved", "the cause of a failure under the new rules")
    write("hard/own.toml", CAUSE.format(cls="hard"))
    t.expect(cause_of("hard.conf") == "shop.moved", "a cause that is no longer in the rules loses its name")

    write("bad.policy", policy.replace('"mailbox.moved"', '"mailbox.moved", "shop.open"'))
    write("bad.conf", f'[policy]\nfile = "{t.path("bad.policy")}"\n')
    bad = t.run("config", "check", t.path("bad.conf"), status=None)
    t.expect(bad.returncode != 0 and "shop.open" in bad.stderr and "bad.policy:" in bad.stderr, bad.stderr)
    t.done()


if __name__ == "__main__":
    main()
