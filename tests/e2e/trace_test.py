#!/usr/bin/env python3
"""`bounced trace` shows the lines of one mail, all of them, and no other's, in time order."""
import gzip
from common import Case

TO = "to=<%s>, relay=%s, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 2.0.0 Ok%s)"


def line(stamp, daemon, text, host="mx", tag="postfix"):
    return f"{stamp} {host} {tag}/{daemon}[7]: {text}\n"


def sent(stamp, queue_id, to, said="", relay="mx.b.example[192.0.2.7]:25", **kw):
    return line(stamp, "smtp", f"{queue_id}: " + TO % (to, relay, said), **kw)


def main():
    t = Case(__doc__)

    def write(name, *lines):
        text = "".join(lines).encode()
        with open(t.path(name), "wb") as f:
            f.write(gzip.compress(text) if name.endswith(".gz") else text)
        return t.path(name)

    def expect(what, wanted, *args):
        got = t.run("trace", *args, status=0 if wanted else 1).stdout
        t.expect(got == "".join(wanted), f"{what}\n--- got\n{got}--- wanted\n{''.join(wanted)}")

    # Addresses that hold this one, rejects without a message, the id on another host and in another
    # instance, and the id once more when its message has gone.
    n = "Nov 10 10:00:0"
    reject = "NOQUEUE: reject: RCPT from x[192.0.2.1]: 550 5.1.1 <%s>: no; from=<a@c.example> to=<%s> proto=ESMTP helo=<x>"
    mine = [line(n + "0", "smtpd", reject % (("bob@b.example",) * 2)),
            line(n + "1", "qmgr", "ABCDEF12: from=<a@c.example>, size=1, nrcpt=1 (queue active)"),
            sent(n + "2", "ABCDEF12", "Bob@B.example"), line(n + "3", "qmgr", "ABCDEF12: removed")]
    others = [line(n + "0", "smtpd", reject % (("al@b.example",) * 2)),
              sent(n + "1", "ABCDEF13", "jimbob@b.example"), sent(n + "1", "ABCDEF14", "bob@b.example.org"),
              sent(n + "2", "ABCDEF12", "zoe@b.example", host="other"), sent(n + "2", "ABCDEF12", "zoe@b.example", tag="out"),
              sent(n + "5", "ABCDEF12", "later@b.example"), line(n + "6", "qmgr", "ABCDEF12: removed")]
    log = write("mail.log", mine[0], others[0], mine[1], *others[1:3], mine[2], *others[3:5], mine[3], *others[5:])
    expect("an address", mine, "bob@b.example", log)
    expect("a queue id is looked for wherever it was used", mine[1:3] + others[3:5] + [mine[3]] + others[5:], "ABCDEF12", log)
    expect("nothing", [], "ob@b.example", log)

    # Rotated within a second, given as the shell sorts them; a year turns.
    long_id = "4jX43627vPz1c0pK"
    older = [line("Dec 31 23:59:58", "cleanup", f"{long_id}: message-id=<a/b@c.example>"),
             line("Jan  1 00:00:00", "qmgr", f"{long_id}: from=<>, size=1, nrcpt=1 (queue active)")]
    newer = [sent("Jan  1 00:00:00", long_id, "x@b.example"), line("Jan  1 00:00:01", "qmgr", f"{long_id}: removed")]
    files = [write("year.log", *newer), write("year.log.1.gz", *older)]
    expect("rotated files", older + newer, "<a/b@c.example>", *files)
    expect("--year is that of each file's first line", older + newer[:1],
           "<a/b@c.example>", "--year", "2025", write("both.log", *older, newer[0]))

    # What one queue hands on to the next; every form of header.
    stamp = "2026-11-21T20:45:06.%06dZ"
    first = sent(stamp % 1, "ABCDEF15", "bob@b.example", f": queued as {long_id}", "127.0.0.1[127.0.0.1]:25")
    rfc5424 = [f'<22>1 {stamp % 2} mx out 9 - [a@1 b="c"] {long_id}: client=x[192.0.2.1]: y\n',
               f"<22>1 {stamp % 3} mx out 9 - -  {long_id}: reject: RCPT from x[192.0.2.1]: 550 no; from=<>\n"]
    json = ['{"@timestamp": "%s", "host": "mx", "SYSLOG_IDENTIFIER": "out/qmgr", "MESSAGE": "%s: removed"}\n' % (stamp % 4, long_id)]
    log = write("forms.log", first, *rfc5424, *json)
    expect("a chain of queues, in every form", [first, *rfc5424, *json], "bob@b.example", log)
    slash = '{"timestamp":"%s","host":"mx","tag":"out\\/cleanup[7]:","message":" %s: message-id=<a\\/b@c.example>"}\n' % (stamp % 1, long_id)
    expect("a slash that JSON escapes", [slash, *json], "a/b@c.example", write("slash.log", slash, *json))

    exim = [f"2026-11-21 20:45:0{i} {syslog}1xUsIV-0000P2-2l {text}\n" for i, (syslog, text) in enumerate([
        ("", "<= news@esp.example H=app (app) [10.9.0.2] P=esmtp S=446 id=m1@esp.example"),
        ("+0000 [12] ", "=> eve@b.example R=dnslookup T=remote_smtp H=mx.b.example [192.0.2.3] C=\"250 OK id=1xUsIV-000000000P2-002m\""),
        ("", "Completed")])]
    chained = "2026-11-21 20:45:05 1xUsIV-000000000P2-002m Completed\n"
    other = "2026-11-21 20:45:03 1xUsIV-0000P3-2l => eva@b.example R=dnslookup T=remote_smtp\n"
    log = write("exim.log", exim[0], other, *exim[1:], chained)
    expect("Exim's mail, and where it went on", [*exim, chained], "eve@b.example", log)
    expect("Exim's Message-ID", [*exim, chained], "<m1@esp.example>", log)
    expect("Exim's id", [*exim, chained], "1xUsIV-0000P2-2l", log)

    t.expect("time zone" in t.run("trace", "--tz", "Mars/X", "bob@b.example", log, status=2).stderr, "--tz")
    t.run("trace", "bob@b.example", t.path("missing"), status=3)
    t.done()


if __name__ == "__main__":
    main()
