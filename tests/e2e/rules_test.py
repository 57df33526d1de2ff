#!/usr/bin/env python3
"""Operators' rules: they come first, are reloaded while the daemon runs, counted, tested, measured, and tried out."""
import json, os, re, signal, time, urllib.request
from common import Case, free_port

RULE = """
[[rule]]
id = "own/{name}"
cause = "{cause}"
confidence = 0.99
any = ["{words}"]
samples = ["550 5.7.1 {words}"]
"""
CAUSE = """
[[cause]]
id = "shop.{name}"
class = "hard"
fault = "recipient"
category = "Bad Mailbox"
meaning = "The shop is gone."
advice = "Stop."
"""
LINE = ("2026-11-{day:02}T20:00:{n:02}.000000+00:00 mx1 postfix/smtp[12]: 4jX{day:02}{n:02}vPz1c0pK: to=<{to}>, "
        "relay=mx.example.com[192.0.2.7]:25, delay=0.5, delays=0.1/0/0.2/0.2, dsn=5.7.1, status=bounced "
        "(host mx.example.com[192.0.2.7] said: {words} (in reply to RCPT TO command))\n")
WORDS = "550 5.7.1 lorem ipsum {n} consectetur adipiscing elit"


class Rules(Case):
    def write(self, name, text, mode="w"):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), mode) as f:
            f.write(text)

    def verdict(self, *args):
        return self.ndjson("classify", "--format", "ndjson", *args)[0]["verdict"]


def offline(t):
    """test, unknown, bench, whatif, list --hits without a daemon."""
    t.write("plain/own.toml", RULE.format(name="user", cause="mailbox.full", words="user unknown"))
    t.write("plain.conf", f'data_dir = "{t.path("none")}"\n[rules]\noverrides = ["{t.path("plain")}"]\n')
    t.expect(t.verdict("550 5.1.1 user unknown")["cause"] == "mailbox.unknown", "the built-in rule")
    got = t.verdict("--config", t.path("plain.conf"), "550 5.1.1 user unknown")
    t.expect((got["cause"], got["rule"]) == ("mailbox.full", "own/user"), f"own rules come first: {got}")
    check = t.run("rules", "check", t.path("plain"))
    t.expect("take over" in check.stdout and "own/user: takes over" in check.stdout, check.stdout)

    # Samples of the operator's own.
    t.write("s.ndjson", '{"diagnostic":"550 5.1.1 user unknown","cause":"mailbox.full","rule":"own/user"}\n'
                        '# a remark\n\nmailbox.unknown\t550 5.1.1 No such user here\n'
                        '{"diagnostic":"451 4.7.1 Greylisted","class":"soft","not_cause":"mailbox.unknown"}\n')
    t.expect("ok: 3 samples, 0 failed" in t.run("rules", "test", t.path("plain"), "--samples", t.path("s.ndjson")).stdout,
             "three samples")
    bad = t.run("rules", "test", "--samples", t.path("s.ndjson"), status=1)
    t.expect(f"{t.path('s.ndjson')}:1: cause is mailbox.unknown, not mailbox.full" in bad.stdout, bad.stdout)
    for text in ("{nope\n", "550 no expectation\n", '{"diagnostic":"550 x","cause":"mailbox.fulll"}\n', ""):
        t.run("rules", "test", "--samples", "-", stdin=text, status=1)

    # What nobody knows, from a log, from lines, from a store; its rules pass the check as they are.
    log = "".join(LINE.format(day=1 + n % 9, n=n, to=f"u{n}@shop{n % 3}.example", words=WORDS.format(n=f"box{n}"))
                  for n in range(40))
    log += LINE.format(day=9, n=59, to="x@y.example", words="550 5.1.1 user unknown")
    t.write("u.log", log)
    (row,) = t.ndjson("rules", "unknown", "--format", "ndjson", t.path("u.log"))
    t.expect(row["count"] == 40 and "{*}" in row["template"] and "consectetur adipiscing elit" in row["template"], str(row))
    t.expect(row["domains"] == {"shop0.example": 14, "shop1.example": 13, "shop2.example": 13}, str(row))
    t.expect(row["codes"] == {"550 5.7.1": 40} and len(row["examples"]) == 3, str(row))
    t.write("found/found.toml", row["stub"])
    t.expect("ok:" in t.run("rules", "check", t.path("found")).stdout, row["stub"])
    t.write("found/found.toml", t.run("rules", "unknown", "--format", "toml", t.path("u.log")).stdout)
    t.run("rules", "check", t.path("found"))
    t.run("replay", "--quiet", "--data", t.path("u.data"), t.path("u.log"))
    (stored,) = t.ndjson("rules", "unknown", "--format", "ndjson", "--data", t.path("u.data"))
    t.expect(stored["template"] == row["template"] and stored["count"] == 40, str(stored))
    events = t.run("parse", "--quiet", t.path("u.log")).stdout
    (piped,) = t.ndjson("rules", "unknown", "--format", "ndjson", "-", stdin=events)
    t.expect(piped["count"] == 40 and piped["template"] == row["template"], str(piped))
    t.run("rules", "unknown", "-", stdin="550 5.1.1 user unknown\n", status=1)

    hits = {h["rule"]: h for h in t.ndjson("rules", "list", "--hits", "--format", "ndjson", "--data", t.path("u.data"))}
    known = hits[t.verdict("550 5.1.1 user unknown")["rule"]]
    t.expect(known["hits"] == 1 and known["last_hit"].startswith("2026-11-09T20:00:59"), str(known))
    t.expect(sum(h["hits"] for h in hits.values()) == 41, "41 failures were counted")

    # What if: verdicts and blocks, from logs and from evidence; nothing is changed.
    before = t.run("digest", "--data", t.path("u.data")).stdout
    t.write("hard/own.toml", RULE.format(name="zorbled", cause="mailbox.unknown", words="consectetur adipiscing elit"))
    for source in ([t.path("u.log")], ["--data", t.path("u.data")]):
        rows = t.ndjson("whatif", "--rules", t.path("hard"), "--format", "ndjson", *source)
        summary = rows[-1]["summary"]
        t.expect(summary["failures"] == 41 and summary["verdicts_changed"] == 40 and summary["harder"] == 40, str(summary))
        t.expect(summary["more"] == 40 and summary["fewer"] == 0 and summary["blocked_today"] == 1, str(rows))
        t.expect(rows[0]["then"] == "mailbox.unknown (hard)" and rows[0]["examples"][0]["rule_then"] == "own/zorbled", str(rows))
        t.expect("40 x" in t.run("whatif", "--rules", t.path("hard"), *source).stdout, "text")
    t.expect(t.run("digest", "--data", t.path("u.data")).stdout == before, "whatif changed the store")
    policy = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../rules/policy.toml")).read()
    t.write("twice.toml", policy.replace("messages        = 1 ", "messages        = 2 ", 1))
    for source in ([t.path("u.log")], ["--data", t.path("u.data")]):
        rows = t.ndjson("whatif", "--policy", t.path("twice.toml"), "--format", "ndjson", *source)
        t.expect((rows[-1]["summary"]["verdicts_changed"], rows[-1]["summary"]["fewer"]) == (0, 1), str(rows))
        t.expect(rows[0]["diff"] == "block" and rows[0]["then"] == "not blocked" and rows[0]["examples"] == ["x@y.example"],
                 str(rows))
    t.run("whatif", t.path("u.log"), status=2)
    t.run("whatif", "--rules", t.path("hard"), "-", status=2)
    t.run("whatif", "--rules", t.path("no-such"), t.path("u.log"), status=3)
    t.expect(not [f for f in os.listdir(t.path("tmp"))], "temporary stores are left")

    # What it costs.
    (head, *_) = t.ndjson("rules", "bench", t.path("plain"), "--seconds", "0.5", "--format", "ndjson")
    t.expect(head["rules"] > 500 and head["ns_per_text"] > head["ns_per_memo_hit"] > 0 and head["database_bytes"] > 0, str(head))
    text = t.run("rules", "bench", "--seconds", "0", "--corpus", t.path("u.log")).stdout
    t.expect("41 distinct texts" in text and "memo hit" in text, text)

    explained = t.ndjson("classify", "--explain", "--format", "ndjson", "550 5.1.1 user unknown")[0]["explanation"]
    t.expect("blocks (dead)" in explained["policy"] and explained["enhanced"] == "5.1.1", str(explained))


def live(t):
    """The daemon: reload by command and by SIGHUP; a broken file keeps the rules that are in force."""
    log, data = t.path("mail.log"), t.path("live.data")
    open(log, "w").close()
    t.write("live/own.toml", CAUSE.format(name="closed") + RULE.format(name="a", cause="shop.closed", words="the shop has closed"))
    port = free_port()
    t.write("live.conf", f'data_dir = "{data}"\n[http]\nlisten = "127.0.0.1:{port}"\n[rules]\noverrides = ["{t.path("live")}"]\n[[tail]]\nname = "edge"\npaths = ["{log}"]\npoll = "20ms"\n')
    process = t.daemon(t.path("live.conf"))
    t.until("the control socket", lambda: os.path.exists(data + "/control.sock"))
    count = [0]

    def cause(words):
        """Of a line that the daemon reads now."""
        count[0] += 1
        with open(log, "a") as f:
            f.write(LINE.format(day=10, n=count[0], to=f"k{count[0]}@example.com", words="550 5.7.1 " + words))
        shown = []

        def there():
            done = t.run("address", "show", "--json", "--data", data, f"k{count[0]}@example.com", status=None)
            shown[:] = [done.stdout]
            return done.returncode == 0
        t.until("the line", there)
        return json.loads(shown[0])["history"][0]["verdict"]

    t.expect(cause("the shop has closed")["cause"] == "shop.closed", "an own cause")
    old = cause("the shop has burnt down")
    t.expect(old["cause"] != "shop.burnt", str(old))

    # A cause that comes before the other in the files: numbers of stored causes stay.
    t.write("live/fire.toml", CAUSE.format(name="burnt") + RULE.format(name="b", cause="shop.burnt", words="the shop has burnt down"))
    done = t.run("rules", "reload", "--data", data)
    t.expect(re.match(r"\d+ rules in force after \d+ ms", done.stdout), done.stdout)
    got = cause("the shop has burnt down")
    t.expect((got["cause"], got["rule"]) == ("shop.burnt", "own/b"), str(got))
    t.expect(cause("the shop has closed")["cause"] == "shop.closed", "the old cause after a reload")
    first = t.run("address", "show", "--json", "--data", data, "k1@example.com").stdout
    t.expect(json.loads(first)["history"][0]["verdict"]["cause"] == "shop.closed", "a stored cause changed its name")
    again = t.run("rules", "reload", "--data", data).stdout
    t.expect("nothing new" in again, again)

    # Broken in four ways: said with its place, and the rules in force stay.
    good = open(t.path("live/fire.toml")).read()
    for broken in ("[[rule]\n", RULE.format(name="c", cause="no.such", words="the shop has moved"),
                   RULE.format(name="c", cause="mailbox.full", words="the shop has moved").replace('samples = ["550 5.7.1 the', 'samples = ["550 5.7.1 a'),
                   good + good):
        t.write("live/fire.toml", broken)
        bad = t.run("rules", "reload", "--data", data, status=3)
        t.expect("fire.toml:" in bad.stderr and "the rules in force stay" in bad.stderr, bad.stderr)
        t.expect(cause("the shop has burnt down")["rule"] == "own/b", "a broken file")
    t.write("live/fire.toml", good)

    # SIGHUP, and thousands of rules while lines come in.
    with open(t.path("live/many.toml"), "w") as f:
        for n in range(2000):
            f.write(RULE.format(name=f"m{n}", cause="mailbox.full", words=f"wobbly {chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{chr(97 + n // 676)} gizmo overflow"))
    process.send_signal(signal.SIGHUP)
    t.until("the new rules", lambda: cause("wobbly bcb gizmo overflow")["rule"] == "own/m729")
    done = t.ndjson("rules", "reload", "--format", "ndjson", "--data", data)[0]
    t.expect(done["rules"] > 2500 and done["samples"] > 2900 and done["changed"] is False, str(done))
    print(f"reload of {done['rules']} rules, {done['samples']} samples: {done['ms']} ms")

    hits = {h["rule"]: h["hits"] for h in t.ndjson("rules", "list", "--hits", "--format", "ndjson", "--data", data)}
    t.expect(hits["own/a"] == 2 and hits["own/b"] == 5 and hits["own/m729"] >= 1, str({k: v for k, v in hits.items() if v}))
    t.expect(sum(hits.values()) == count[0], f"{sum(hits.values())} hits of {count[0]} failures")
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30).read().decode()
    metric = dict(re.findall(r'^bounced_rule_hits_total\{rule="([^"]*)"\} (\S+)$', text, re.M))
    t.expect({k: float(v) for k, v in metric.items()} == {k: v for k, v in hits.items() if v}, f"{metric} of {hits}")
    last = dict(re.findall(r'^bounced_rule_last_hit_seconds\{rule="([^"]*)"\} (\S+)$', text, re.M))
    t.expect(last.keys() == metric.keys() and all(1793e6 < float(v) < 1795e6 for v in last.values()), str(last))
    t.expect(text.count("# TYPE bounced_rule_hits_total counter") == 1, text)
    process.send_signal(signal.SIGTERM)
    error = process.communicate(timeout=30)[1]
    t.expect(process.returncode == 0, f"SIGTERM: {process.returncode}\n{error}")
    after = {h["rule"]: h["hits"] for h in t.ndjson("rules", "list", "--hits", "--format", "ndjson", "--data", data, "--config", t.path("live.conf"))}
    t.expect(after == hits, "hits after the daemon's end")
    t.run("rules", "reload", "--data", data, status=1)


def main():
    t = Rules(__doc__)
    os.makedirs(t.path("tmp"))
    os.environ["TMPDIR"] = t.path("tmp")
    offline(t)
    live(t)
    t.done()


if __name__ == "__main__":
    main()
