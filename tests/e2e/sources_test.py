#!/usr/bin/env python3
"""Logs of KumoMTA, PowerMTA and journald through the binary: files, compressed files and stdin, by probe and by
name, larger than a block, replayed twice; explain and trace."""
import bz2
import gzip
import json
import os
import shutil
import subprocess
from common import Case

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden")
HEADER = "type,timeLogged,rcpt,header_Message-Id,dsnDiag,orig,bounceCat,dsnStatus\n"


def kumo(n, kind="Bounce", second=0, **more):
    record = {"type": kind, "id": f"{n:032x}", "sender": "b@news.esp.example", "recipient": f"user{n}@example{n % 7}.com",
              "response": {"code": 550, "enhanced_code": {"class": 5, "subject": 1, "detail": 1},
                           "content": "no such user", "command": "RCPT TO:<x>"},
              "peer_address": {"name": "mx.example.com.", "addr": "192.0.2.25"}, "timestamp": 1763757926 + second,
              "created": 1763757926, "meta": {}, "headers": {"Message-ID": f"<{n}@news.esp.example>"}}
    record.update(more)
    return json.dumps(record, separators=(",", ":")) + "\n"


def write(path, text):
    with open(path, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    return path


def kumomta(t):
    text = "".join(kumo(n, second=n) for n in range(6000))
    t.expect(len(text) > 2 << 20, "the log fits into too few blocks")
    plain = write(t.path("20251121-204526.346908000"), text)
    events = t.ndjson("parse", plain)
    t.expect(len(events) == 6000, f"{len(events)} events of 6000 records")
    t.expect(events[0]["source"]["format"] == "kumomta", "not known by its form")
    t.expect(events[5999]["time"] == "2025-11-21T22:25:25Z", events[5999]["time"])
    t.expect(events[0]["message_id"] == "<0@news.esp.example>" and events[0]["queue_id"] == "0" * 32, str(events[0]))
    t.expect(all(e["kind"] == "bounced" and e["verdict"]["cause"] == "mailbox.unknown" for e in events), "verdicts")
    segments = [write(t.path("seg.gz"), gzip.compress(text.encode())), write(t.path("seg.bz2"), bz2.compress(text.encode()))]
    if shutil.which("zstd"):
        half = len(text) // 2
        half = text.index("\n", half) + 1
        frames = b"".join(subprocess.run(["zstd", "-q", "-c"], input=part.encode(), stdout=subprocess.PIPE, check=True).stdout
                          for part in (text[:half], text[half:]))
        segments.append(write(t.path("20251121-204527.346908000"), frames))
    want = [(e["time"], e["recipient"], e["queue_id"]) for e in events]
    for path in segments:
        got = [(e["time"], e["recipient"], e["queue_id"]) for e in t.ndjson("parse", "--format", "kumomta", path)]
        t.expect(got == want, f"{path}: differs from the plain file")
    got = t.ndjson("parse", "-", stdin=text)
    t.expect([(e["time"], e["recipient"], e["queue_id"]) for e in got] == want, "stdin differs")
    again = [t.run("replay", "--summary", "json", "--data", t.path("kumo"), plain).stdout for _ in (1, 2)]
    first, second = (json.loads(s) for s in again)
    t.expect(first["events"]["bounced"] == 6000 and first["blocked"] == 6000, again[0])
    t.expect(second["events"]["bounced"] == 0 and second["lines"] == 0, again[1])


def expiry(t):
    """An expiry takes the cause of its attempts, an attempt and the end of one message have one fingerprint."""
    full = {"code": 452, "enhanced_code": {"class": 4, "subject": 2, "detail": 2}, "content": "Mailbox full", "command": "RCPT TO"}
    gone = {"code": 551, "enhanced_code": {"class": 5, "subject": 4, "detail": 7},
            "content": "Next delivery time would be at X which exceeds the expiry time of Y", "command": None}
    path = write(t.path("expiry.json"), kumo(1, "TransientFailure", response=full)
                 + kumo(1, "Expiration", second=432000, response=gone, peer_address=None))
    events = t.ndjson("parse", path)
    t.expect([e["kind"] for e in events] == ["deferred", "expired"], str(events))
    t.expect([e["verdict"]["cause"] for e in events] == ["mailbox.full"] * 2, str(events))


def powermta(t):
    rows = "".join(f"b,{1763757926 + n},user{n}@example.com,<{n}@news.esp.example>,\"smtp;550 5.1.1 no such user, {n}\","
                   f"b@news.esp.example,bad-mailbox,5.1.1\n" for n in range(20000))
    path = write(t.path("acct-2025-11-21-0000.csv"), HEADER + rows)
    t.expect(os.path.getsize(path) > 2 << 20, "the log fits into too few blocks")
    want = [f"user{n}@example.com" for n in range(20000)]
    for source in (path, write(t.path("acct.csv.gz"), gzip.compress((HEADER + rows).encode()))):
        events = t.ndjson("parse", source)
        t.expect([e["recipient"] for e in events] == want, f"{source}: recipients, {len(events)} events")
        t.expect(events[-1]["message_id"] == "<19999@news.esp.example>" and events[-1]["enhanced"] == "5.1.1",
                 f"columns of the last block: {events[-1]}")
        t.expect(events[0]["source"]["format"] == "powermta" and events[0]["smtp_code"] == 550, str(events[0]))
    # The rest of a file whose begin was applied before: its header is known all the same.
    data = t.path("pmta")
    live = write(t.path("live.csv"), HEADER + rows[:rows.index("\n", len(rows) // 2) + 1])
    first = json.loads(t.run("replay", "--summary", "json", "--data", data, live).stdout)
    write(live, HEADER + rows)
    second = json.loads(t.run("replay", "--summary", "json", "--data", data, live).stdout)
    t.expect(first["events"]["bounced"] + second["events"]["bounced"] == 20000 and second["unparsed"] == 0, f"{first} {second}")
    t.expect(second["events"]["bounced"] > 0 and second["blocked"] == 20000, str(second))


def journald(t):
    for name in ("01_json.log", "02_export.log"):
        path = os.path.join(GOLDEN, "journald", name)
        with open(path, "rb") as f:
            text = f.read()
        events = t.ndjson("parse", path)
        kinds = [e["kind"] for e in events]
        t.expect(kinds == (["bounced", "deferred", "delivered"] if "json" in name else ["bounced", "deferred"]), f"{name}: {kinds}")
        t.expect(events[0]["source"]["format"] == "journald" and events[0]["time"] == "2026-11-21T20:45:07.000001Z",
                 str(events[0]))
        done = t.run("parse", "--format", "journald", "-", stdin=text)
        t.expect([json.loads(line)["recipient"] for line in done.stdout.decode().splitlines()] ==
                 [e["recipient"] for e in events], f"{name}: stdin differs")
    with open(os.path.join(GOLDEN, "journald", "02_export.log"), "rb") as f:
        record = f.read().split(b"\n\n")[1] + b"\n\n"
    many = b"".join(record.replace(b"gone@", f"gone{n}@".encode()) for n in range(9000))
    events = t.ndjson("parse", write(t.path("journal.export"), many))
    t.expect(len(events) == 9000, f"{len(events)} of 9000: records are cut at the ends of blocks")
    done = t.run("parse", "-", stdin=many)
    t.expect(len(done.stdout.splitlines()) == 9000, "stdin: records are cut")


def losses(t):
    path = os.path.join(GOLDEN, "postfix", "35_loss_alarms.log")
    data = t.path("loss")
    done = t.run("replay", "--summary", "json", "--data", data, path)
    summary = json.loads(done.stdout)
    t.expect(summary["lost_messages"] == 5829 and summary["loss_alarms"] == 7, done.stdout)
    t.expect("bounces are missing" in t.run("replay", path, "--data", t.path("loss2")).stdout, "the summary tells no loss")
    config = write(t.path("loss.toml"), f'data_dir = "{t.path("loss3")}"\n[[tail]]\nname = "edge"\npaths = ["{path}"]\n')
    daemon = t.daemon(config)
    try:
        def status():
            done = t.run("status", "--json", "--data", t.path("loss3"), status=None)
            return json.loads(done.stdout) if done.returncode == 0 else {}
        t.until("the alarm", lambda: status().get("loss_alarms") == 7)
        t.expect(status()["healthy"] is False, "healthy though messages are lost")
        t.expect("TROUBLE" in t.run("status", "--data", t.path("loss3")).stdout, "status tells no trouble")
    finally:
        daemon.terminate()
        _, log = daemon.communicate(timeout=60)
    t.expect("a logger dropped" in log, f"nothing in the log: {log}")


def explain_and_trace(t):
    golden = os.path.join(GOLDEN, "kumomta", "01_outcomes.log")
    with open(golden) as f:
        lines = f.read().splitlines()
    told = t.run("explain", lines[3]).stdout
    t.expect("gone@example.org" in told and "mailbox.unknown" in told, told)
    traced = t.run("trace", "bob@example.net", golden).stdout.splitlines()
    t.expect(traced == [lines[2], lines[4]], str(traced))
    traced = t.run("trace", "2e98076abbbc11ed940250ebf67f93bd", golden).stdout.splitlines()
    t.expect(traced == [lines[2], lines[4]], str(traced))
    traced = t.run("trace", "<77.1@news.esp.example>", golden).stdout.splitlines()
    t.expect(traced == [lines[0], lines[1]], str(traced))
    with open(os.path.join(GOLDEN, "powermta", "01_usual_columns.log")) as f:
        rows = f.read().splitlines()
    told = t.run("explain", rows[2]).stdout
    t.expect("bounceCat" in told and "bad-mailbox" in told and "mailbox.unknown" in told, told)
    traced = t.run("trace", "slow@example.com", os.path.join(GOLDEN, "powermta", "01_usual_columns.log")).stdout
    t.expect(traced.splitlines() == [rows[4]], traced)


def main():
    t = Case(__doc__)
    kumomta(t)
    expiry(t)
    powermta(t)
    journald(t)
    losses(t)
    explain_and_trace(t)
    t.done()


main()
