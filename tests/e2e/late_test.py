#!/usr/bin/env python3
"""A 250 and a late notification: one bounce, in the hour of the delivery, whichever is told first."""
import json
from common import Case, bounce_mail

HEAD = """Nov {day} {time} {host} postfix/cleanup[2]: {qid}: message-id=<{mid}@esp.example>
Nov {day} {time} {host} postfix/qmgr[3]: {qid}: from=<b@{sender}>, size=900, nrcpt=1 (queue active)
"""
SENT = HEAD + """Nov {day} {time} {host} postfix/smtp[4]: {qid}: to=<{to}>, relay=mx.corp.example[192.0.2.7]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 2.0.0 ok)
Nov {day} {time} {host} postfix/qmgr[3]: {qid}: removed
"""
BOUNCED = HEAD + """Nov {day} {time} {host} postfix/smtp[4]: {qid}: to=<{to}>, relay=mx2.corp.example[192.0.2.8]:25, delay=1, delays=0/0/0/1, dsn=5.2.2, status=bounced (host mx2.corp.example[192.0.2.8] said: 552 5.2.2 mailbox full (in reply to RCPT TO command))
Nov {day} {time} {host} postfix/qmgr[3]: {qid}: removed
"""


def line(kind, day, time, qid, mid, to, host="mx1", sender="news.esp.example"):
    return kind.format(day=day, time=time, qid=qid, mid=mid, to=to, host=host, sender=sender)


def dsn(to, mid, day, time="12:00:00", text="552 5.2.2 mailbox full"):
    return bounce_mail(to, f"{day} Nov 2025 {time} +0000", text, f"<{mid}@esp.example>")


class Store:
    """One data directory, with what the mails need."""

    def __init__(self, case, name, more="", days=60):
        self.case, self.name = case, name
        self.config = case.path(name + ".toml")
        with open(self.config, "w") as f:
            f.write(f'data_dir = "{case.path(name)}"\n[mail]\nsent_days = {days}\n{more}')

    def run(self, *args, **kw):
        return self.case.run("--config", self.config, *args, **kw)

    def tell(self, what):
        """A log (list of names) or a mail."""
        if isinstance(what, list):
            self.run("replay", "--quiet", "--year", "2025", *what)
        else:
            self.run("deliver", stdin=what)

    def digest(self):
        return self.run("digest", "--parts").stdout

    def hours(self):
        """hour -> sent, delivered, bounced"""
        text = self.run("report", "--by", "hour", "--format", "csv").stdout
        rows = [row.split(",") for row in text.splitlines()[1:]]
        return {row[0]: tuple(int(n) for n in row[1:4]) for row in rows if row[0] != "total"}

    def show(self, address):
        return json.loads(self.run("address", "show", "--json", address).stdout)


def write(case, name, text):
    with open(case.path(name), "w") as f:
        f.write(text)
    return case.path(name)


def orders(case, name, first, second):
    """Both orders, and one more with each telling repeated; equal digests. Returns the first store."""
    stores = []
    for n, order in enumerate(((first, second), (second, first), (second, first, second))):
        store = Store(case, f"{name}{n}")
        for what in order:
            store.tell(what)
        stores.append(store)
    for other in stores[1:]:
        case.expect(other.digest() == stores[0].digest(),
                    f"{name}: the order matters:\n{stores[0].digest()}{other.digest()}"
                    f"{stores[0].hours()}\n{other.hours()}")
    return stores[0]


def report(mid, recipient=None):
    """A feedback report (RFC 5965); most providers leave the recipient out."""
    to = f"Original-Rcpt-To: {recipient}\n" if recipient else ""
    return f"""Received: by mx1; 20 Nov 2025 13:00:00 +0000
From: staff@fbl.example
To: fbl@esp.example
Subject: complaint
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary=b

--b
Content-Type: text/plain

This is an email abuse report.

--b
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: fbl/1
Version: 1
{to}
--b
Content-Type: message/rfc822

From: b@news.esp.example
To: redacted@corp.example
Message-ID: <{mid}@esp.example>

hello
--b--
"""


def complaints(case):
    log = write(case, "c.log", line(SENT, 20, "10:00:01", "4jX42p2f7sz1c0Ha", "c1", "gus@corp.example")
                + line(SENT, 20, "10:00:02", "4jX42p2f7sz1c0Hb", "c2", "hal@corp.example")
                + line(SENT, 20, "10:00:03", "4jX42p2f7sz1c0Hc", "c2", "ida@corp.example"))
    for kept in (False, True):
        store = Store(case, f"arf{kept}", "sent_recipients = true\n" if kept else "")
        store.tell([log])
        for mid in ("c1", "c2", "c3"):
            store.tell(report(mid))
        store.tell(report("c2", "ida@corp.example"))
        store.tell(report("c1", "victim@corp.example"))
        found = sorted(json.loads(x)["address"] for x in store.run("list", "--format", "ndjson", status=None).stdout.splitlines())
        want = ["gus@corp.example"] * kept + ["ida@corp.example"]
        case.expect(found == want, f"kept {kept}: {found}; of c2 it is unknown which of two, c3 is not ours")
    # The figures of one command.
    box = write(case, "fbl.mbox", "".join("From x Thu Nov 20 13:00:00 2025\n" + report(m) + "\n" for m in ("c1", "c2", "c3")))
    figures = json.loads(Store(case, "figures").run("replay", "--year", "2025", "--summary", "json", log, box).stdout)
    case.expect(figures["unmatched"] == 3 and figures["redacted"] == 3, f"{figures}")


def logged_reports(case):
    """What KumoMTA logs of mails that came back is matched as they are."""
    at = 1763640000  # 20 November 2025
    delivery = {"type": "Delivery", "id": "a" * 32, "sender": "b@news.esp.example", "recipient": "ann@corp.example",
                "queue": "corp.example", "response": {"code": 250, "content": "ok"}, "timestamp": at, "created": at,
                "headers": {"Message-ID": "<k1@esp.example>"}}
    reports = [{"type": "Feedback", "id": c * 32, "sender": "fbl@x.example", "recipient": "fbl@esp.example", "timestamp": at + 60,
                "created": at + 60, "feedback_report": {"feedback_type": "abuse", "original_rcpto_to": [f"<{to}>"],
                "original_message": f"Message-ID: <{mid}@esp.example>\n\nhi"}}
               for c, to, mid in (("b", "ann@corp.example", "k1"), ("c", "victim@corp.example", "k1"), ("d", "ann@corp.example", "k2"))]
    reports.append({"type": "OOB", "id": "e" * 32, "sender": "", "recipient": "oob@corp.example", "timestamp": at + 61, "created": at + 61,
                    "queue": "x", "response": {"code": 550, "enhanced_code": {"class": 5, "subject": 1, "detail": 1}, "content": "5.1.1 no such user"}})
    log = write(case, "kumo.log", "".join(json.dumps(r) + "\n" for r in [delivery] + reports))
    for more, days, want, unmatched in (("", 60, ["ann@corp.example"], 3), ("", 0, [], 4),
                                        ("trust_logged_reports = true\n", 60, ["ann@corp.example", "victim@corp.example"], 0)):
        store = Store(case, f"kumo{days}{len(more)}", more, days)
        figures = json.loads(store.run("replay", "--summary", "json", log).stdout)
        found = sorted(json.loads(x)["address"] for x in store.run("list", "--format", "ndjson", status=None).stdout.splitlines())
        case.expect(found == want and figures["unmatched"] == unmatched, f"{more} {days}: {found} {figures}")
        known = store.run("address", "show", "oob@corp.example", status=None).returncode == 0
        case.expect(known == (unmatched == 0), f"{more} {days}: OOB names no message")


def main():
    case = Case(__doc__)
    # A log, and a mail two hours later about one of its deliveries. Another hour, another sender.
    log = write(case, "a.log", line(SENT, 20, "10:00:01", "4jX42p2f7sz1c0Hl", "m1", "ann@corp.example")
                + line(SENT, 20, "10:00:02", "4jX42p2f7sz1c0Hm", "m2", "bob@corp.example", sender="two.esp.example"))
    store = orders(case, "dsn", [log], dsn("ann@corp.example", "m1", 20))
    rows = store.hours()
    case.expect(rows == {"2025-11-20T10:00:00Z": (2, 1, 1)}, f"all in the delivery's hour: {rows}")
    report = store.run("report", "--by", "sender", "--format", "csv").stdout
    case.expect("news.esp.example,1,0,1" in report and "two.esp.example,1,1,0" in report, report)
    case.expect(store.show("ann@corp.example")["totals"]["bounced"] == 1, "one bounce")

    # The log's own late failure: told by another host, in another file.
    other = write(case, "b.log", line(BOUNCED, 20, "12:30:00", "4jX42p2f7sz9999z", "m1", "ann@corp.example", "mx2",
                                      "other.esp.example"))
    orders(case, "log", [log], [other])
    # And all three tellings of it.
    both = Store(case, "three")
    for what in (dsn("ann@corp.example", "m1", 20), [other], [log]):
        both.tell(what)
    case.expect(both.show("ann@corp.example")["totals"]["bounced"] == 1, "three tellings, one bounce")
    rows = both.hours()
    case.expect(rows == {"2025-11-20T10:00:00Z": (2, 1, 1)}, f"three tellings: {rows}")

    # A server that takes everything and returns it: its 250 ends no streak for 72 h.
    weekly = Store(case, "weekly")
    for n, day in enumerate((1, 8, 15, 18)):
        weekly.tell([write(case, f"w{n}.log", line(SENT, f"{day:2}", "10:00:00", f"4jX42p2f7sz1c0{n}z", f"w{n}", "eve@corp.example"))])
        count = weekly.show("eve@corp.example")["streak"]["count"] if n else 0
        case.expect(count == n, f"a 250 alone ends nothing: {count} after {n} messages")
        if n < 3:
            weekly.tell(dsn("eve@corp.example", f"w{n}", day, "13:00:00"))
            count = weekly.show("eve@corp.example")["streak"]["count"]
            case.expect(count == n + 1, f"after {n + 1} messages the streak is {count}")
    # 72 h without a return: the last 250 is believed, by time alone.
    weekly.tell([write(case, "w9.log", line(SENT, 22, "10:00:00", "4jX42p2f7sz1c09z", "w9", "fay@corp.example"))])
    shown = weekly.show("eve@corp.example")
    case.expect(shown["streak"]["count"] == 0, f"quiet for 72 h: {shown}")
    complaints(case)
    logged_reports(case)
    case.done()


main()
