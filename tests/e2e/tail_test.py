#!/usr/bin/env python3
"""The daemon follows a file while it is written; commands run beside it; SIGTERM ends it well."""
import os, signal, time
from common import Case

LINE = ("2026-11-21T20:{m:02d}:00.000000+00:00 mx1 postfix/smtp[12]: 4jX{n:03d}627vPz1c0pK: to=<{to}>, "
        "relay=mx.example.com[192.0.2.7]:25, delay=0.5, delays=0.1/0/0.2/0.2, dsn={dsn}, status={status} ({why})\n")


def line(n, to, status="sent", dsn="2.0.0", why="250 2.0.0 Ok: queued as AB12CD34EF"):
    return LINE.format(m=n % 60, n=n, to=to, status=status, dsn=dsn, why=why)


def main():
    t = Case(__doc__)
    log, data = t.path("mail.log"), t.path("data")
    with open(t.path("b.toml"), "w") as f:
        f.write(f'data_dir = "{data}"\nlog_level = "info"\ncut_interval = "50ms"\n'
                f'[[tail]]\nname = "edge"\npaths = ["{log}"]\npoll = "50ms"\n')
    out = open(log, "a", buffering=1)
    out.write(line(1, "early@example.com"))
    process = t.daemon(t.path("b.toml"))
    unknown = "host mx.example.com[192.0.2.7] said: 550 5.1.1 <{}>: Recipient address rejected: User unknown (in reply to RCPT TO command)"

    def shows(address):
        done = t.run("address", "show", "--json", address, "--data", data, status=None)
        return done.returncode == 0 and '"dead"' in done.stdout

    t.until("the control socket", lambda: os.path.exists(data + "/control.sock"))
    out.write(line(2, "dead@example.com", "bounced", "5.1.1", unknown.format("dead@example.com")))
    t.until("the block", lambda: shows("dead@example.com"))

    # A line that arrives in two pieces counts once, and only when it is whole.
    whole = line(3, "half@example.com", "bounced", "5.1.1", unknown.format("half@example.com"))
    out.write(whole[:100])
    time.sleep(0.2)
    t.expect(not shows("half@example.com"), "half a line counts")
    out.write(whole[100:])
    t.until("the block after the second half", lambda: shows("half@example.com"))

    # Rotation by rename, with a late line in the old file.
    os.rename(log, log + ".1")
    new = open(log, "a", buffering=1)
    new.write(line(5, "new@example.com", "bounced", "5.1.1", unknown.format("new@example.com")))
    out.write(line(4, "late@example.com", "bounced", "5.1.1", unknown.format("late@example.com")))
    t.until("the late line", lambda: shows("late@example.com"))
    t.until("the new file's line", lambda: shows("new@example.com"))

    # Changes by hand go through the daemon and are durable when the command returns.
    t.run("address", "block", "manual@example.com", "--data", data)
    t.expect("manual" in t.run("address", "show", "manual@example.com", "--data", data).stdout, "no manual block")
    t.run("address", "unblock", "dead@example.com", "--data", data)
    t.expect(not shows("dead@example.com"), "unblock did nothing")
    listed = t.ndjson("list", "--block", "any", "--format", "ndjson", "--data", data)
    t.expect({a["address"] for a in listed} == {"half@example.com", "late@example.com", "new@example.com",
                                                "manual@example.com"}, f"list shows {listed}")
    feed = t.ndjson("changes", "--after", "0", "--data", data)
    t.expect([c["seq"] for c in feed] == list(range(1, len(feed) + 1)), "the feed has gaps")
    status = t.run("status", "--json", "--data", data).stdout
    t.expect('"unparsed":0' in status, status)

    process.send_signal(signal.SIGTERM)
    error = process.communicate(timeout=30)[1]
    t.expect(process.returncode == 0, f"SIGTERM: exit {process.returncode}\n{error}")
    t.expect(not os.path.exists(data + "/control.sock"), "the socket was left behind")

    # Without a daemon the same commands open the store; nothing was counted twice.
    t.run("status", "--data", data, status=1)
    t.expect(len(t.ndjson("list", "--block", "any", "--format", "ndjson", "--data", data)) == 4, "list after the stop")
    before = t.run("digest", "--data", data).stdout
    t.run("replay", "--quiet", "--config", t.path("b.toml"), log + ".1", log)
    t.expect(t.run("digest", "--data", data).stdout == before, "replaying applied files changed something")
    t.done()


if __name__ == "__main__":
    main()
