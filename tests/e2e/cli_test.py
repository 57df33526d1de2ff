#!/usr/bin/env python3
"""Every command once, as the README shows it."""
import datetime, json, subprocess
from common import Case


def blocks_by_hand(t):
    """What is named is lifted, and nothing else; to be unblocked, a domain can be named like an address."""
    data, log = t.path("hand"), t.path("hand.log")
    line = ("2026-11-01T10:00:00+00:00 mx postfix/smtp[7]: {:010X}: to=<{}>, relay=mx.example[192.0.2.1]:25, delay=1, "
            "delays=0/0/0/1, dsn={}, status=bounced (host mx.example[192.0.2.1] said: {} (in reply to RCPT TO command))\n")
    null_mx = line.format(2, "eve@null.example", "5.1.10", "556 5.1.10 null MX")
    with open(log, "w") as f:
        f.write(line.format(1, "bob@gone.example", "5.1.1", "550 5.1.1 User unknown") + null_mx)
    t.expect("it would block" in t.run("explain", null_mx.strip()).stdout, "explain of a null MX")
    t.run("replay", "--data", data, log)

    def kinds(name):
        shown = t.ndjson("address", "show", "--json", name, "--data", data)
        return sorted(b["kind"] for b in shown[0]["blocks"])

    t.run("address", "block", "bob@gone.example", "--data", data)
    t.expect(kinds("bob@gone.example") == ["dead", "manual"], "two blocks")
    t.run("unblock", "--cause", "mailbox.unknown", "--yes", "--data", data)
    t.expect(kinds("bob@gone.example") == ["manual"], "the operator's block went with another one")
    t.run("unblock", "--cause", "mailbox.unknown", "--yes", "--data", data, status=1)

    told = t.run("address", "unblock", "eve@null.example", "--data", data, status=1).stderr
    t.expect("unblock null.example" in told, f"not told of the domain: {told}")
    t.expect(kinds("null.example") == ["dead"], "the domain's block")
    t.run("address", "unblock", "null.example", "--data", data)
    t.run("list", "--domains", "--data", data, status=1)
    t.run("address", "block", "null.example", "--data", data, status=2)  # a slip would stop a whole domain


def main():
    t = Case(__doc__)
    blocks_by_hand(t)
    log, truth = t.generate("mail.log", "4MiB", profile="real", seed=5)
    data = t.path("data")

    got = json.loads(t.run("replay", "--summary", "json", "--data", data, log).stdout)
    for kind in ("delivered", "deferred", "bounced", "expired"):
        t.expect(got["events"][kind] == truth["events"][kind], f"{kind}: {got['events'][kind]}, the generator says {truth['events'][kind]}")
    t.expect(got["unparsed"] == 0 and got["lines"] == truth["lines"], f"{got}")
    again = t.run("replay", "--summary", "json", "--data", data, log)
    t.expect(json.loads(again.stdout)["lines"] == 0 and "applied before" in again.stderr, again.stderr)

    events = t.ndjson("parse", log)
    t.expect(sum(e["kind"] == "bounced" for e in events) == truth["events"]["bounced"], "parse sees other bounces")
    failing = [e for e in events if e["kind"] in ("bounced", "deferred", "expired")]
    t.expect(all("verdict" in e and e["verdict"]["cause"] for e in failing), "a failure without a verdict")
    by_stdin = subprocess.run([t.bin, "parse", "-"], stdin=open(log, "rb"), stdout=subprocess.PIPE, timeout=120)
    t.expect(len(by_stdin.stdout.splitlines()) == len(events), "stdin gives other events")
    t.expect(len(t.ndjson("replay", "--events", "-", "--data", t.path("d2"), log)) == len(events), "--events -")

    blocked = t.ndjson("list", "--block", "dead", "--format", "ndjson", "--data", data)
    t.expect(blocked, "nobody is blocked")
    address = blocked[0]["address"]
    shown = json.loads(t.run("address", "show", "--json", address, "--data", data).stdout)
    t.expect(shown["blocks"][0]["kind"] == "dead" and shown["history"][0].get("diagnostic"), str(shown))
    csv = t.run("list", "--block", "dead", "--format", "csv", "--data", data).stdout.splitlines()
    t.expect(len(csv) == len(blocked) + 1, "csv and ndjson differ in length")
    for by in ("cause", "category", "domain", "sender", "campaign", "hour"):
        status = 1 if by == "campaign" else 0
        t.run("report", "--by", by, "--data", data, status=None if status else 0)
    t.run("list", "--block", "dead", "--at", "2000-01-01", "--data", data, status=1)
    # What a filter selects is lifted, and nothing else that the address has.
    domain = address.split("@")[1]
    t.run("address", "block", f" <{address}>", "--data", data)
    t.expect("would unblock" in t.run("unblock", "--block", "dead", "--domain", domain, "--data", data).stdout, "dry run")
    t.run("unblock", "--cause", blocked[0]["blocks"][0]["cause"], "--domain", domain, "--yes", "--data", data)
    shown = json.loads(t.run("address", "show", "--json", f"<{address}>", "--data", data).stdout)
    t.expect([b["kind"] for b in shown["blocks"]] == ["manual"], f"the block by hand is gone, too: {shown['blocks']}")
    with open(t.path("null.log"), "w") as f:
        for n in range(3):
            f.write(f"2026-11-21T20:00:0{n}+00:00 mx1 postfix/smtp[12]: 4jX{n}11627vPz1c0pK: to=<a@n{n}.example>, relay=none, delay=0.5, "
                    f"delays=0.5/0/0/0, dsn=5.1.0, status=bounced (Domain n{n}.example does not accept mail (nullMX))\n")
    t.run("replay", "--quiet", "--data", data, "null.log")
    dead = t.ndjson("list", "--domains", "--block", "dead", "--format", "ndjson", "--data", data)
    t.expect(len(dead) == 3, f"three domains take no mail: {dead}")
    t.run("unblock", "--domains", "--domain", dead[0]["address"], "--yes", "--data", data)
    t.run("address", "unblock", dead[1]["address"], "--data", data)
    left = t.ndjson("list", "--domains", "--block", "dead", "--format", "ndjson", "--data", data)
    t.expect(len(left) == 1, f"two of three were lifted: {left}")
    # One that cannot be blocked: none is.
    for bad in ("example.com", "Bob <bob@example.com>", "bob@"):
        t.run("address", "block", "good@example.com", bad, "--data", data, status=2)
    t.run("address", "show", "good@example.com", "--data", data, status=1)
    traced = t.run("trace", address, log).stdout
    t.expect(address.lower() in traced.lower() and traced.count("\n") >= 2, "trace shows too little")

    verdict = t.ndjson("classify", "--format", "ndjson", stdin="550 5.1.1 user unknown\n"
                       '{"id":7,"diagnostic":"452 4.2.2 mailbox full","kind":"deferred"}\n')
    t.expect(verdict[0]["verdict"]["cause"] == "mailbox.unknown" and verdict[0]["verdict"]["hard"], str(verdict))
    t.expect(verdict[1]["id"] == 7 and verdict[1]["verdict"]["cause"] == "mailbox.full", str(verdict))
    t.expect("mailbox.unknown" in t.run("classify", "--explain", "550 5.1.1 user unknown").stdout, "--explain")
    bounce = next(line for line in open(log) if "status=bounced" in line)
    t.expect("it does" in t.run("explain", bounce.strip()).stdout, "explain")
    year = datetime.date.today().year
    told = t.run("explain", "Jan  1 00:00:00 mx postfix/smtp[7]: ABCDEF12: to=<a@b.example>, relay=mx.b.example[192.0.2.7]:25, delay=1, "
                 "delays=0/0/0/1, dsn=5.1.1, status=bounced (host mx.b.example[192.0.2.7] said: 550 5.1.1 user unknown)").stdout
    t.expect(f"from {year}-01-01T00:00:00Z" in told, f"explain takes another year than this\n{told}")
    # Our own IP in a reply: the same rule, whoever looks at the line. Its match is no words of the reply.
    with open(t.path("ips.toml"), "w") as f:
        f.write('sending_ips = ["198.51.100.7"]\n')
    with open(t.path("banned.log"), "w") as f:
        f.write("2026-11-21T20:00:01+00:00 mx1 postfix/smtp[12]: 4jX111627vPz1c0pK: to=<a@n1.example>, relay=mx.x.example[192.0.2.7]:25, "
                "delay=0.5, delays=0.5/0/0/0, dsn=5.1.1, status=bounced (host mx.x.example[192.0.2.7] said: 550 5.1.1 rejected, "
                "198.51.100.7 is banned here (in reply to RCPT TO command))\n")
    event = t.ndjson("parse", "--config", "ips.toml", "banned.log")[0]
    t.expect(event["verdict"]["rule"] == "dnsbl/our-ip" and "span" not in event["verdict"], str(event))
    explained = t.run("explain", "--config", "ips.toml", open(t.path("banned.log")).read().strip()).stdout
    t.expect("by dnsbl/our-ip" in explained, explained)
    t.run("rules", "check")
    t.expect(len(t.run("rules", "list").stdout.splitlines()) >= 150, "fewer than 150 rules")
    with open(t.path("default.toml"), "w") as f:
        f.write(t.run("config", "default").stdout)
    t.run("config", "check", "default.toml")
    t.run("version")
    for command in ("run", "replay", "parse", "trace", "classify", "explain", "address show", "address block",
                    "address unblock", "list", "report", "changes", "rules check", "rules list", "config check",
                    "config default", "digest", "status", "version"):
        text = t.run(*command.split(), "--help").stdout
        t.expect("Examples:" in text and f"bounced {command}" in text.split("Examples:")[1], f"`bounced {command} --help` shows no example")
    t.done()


if __name__ == "__main__":
    main()
