#!/usr/bin/env python3
"""Every command once, as the README shows it."""
import datetime, json, subprocess
from common import Case


def main():
    t = Case(__doc__)
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
        t.expect("Examples:" in text or command == "version", f"`bounced {command} --help` shows no example")
    t.done()


if __name__ == "__main__":
    main()
