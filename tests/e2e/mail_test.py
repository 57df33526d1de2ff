#!/usr/bin/env python3
"""Mails that come back: parse, replay and deliver; matched ones block, forged ones do not."""
import mailbox, os, re, signal, subprocess, time, urllib.request
from common import Case, bounce_mail, free_port

LOG = """Nov 21 20:45:06 mx1 postfix/smtpd[1]: 4jX42p2f7sz1c0Hl: client=app[192.0.2.9]
Nov 21 20:45:06 mx1 postfix/cleanup[2]: 4jX42p2f7sz1c0Hl: message-id=<m17.1@esp.example>
Nov 21 20:45:06 mx1 postfix/qmgr[3]: 4jX42p2f7sz1c0Hl: from=<b@esp.example>, size=900, nrcpt=1 (queue active)
Nov 21 20:45:07 mx1 postfix/smtp[4]: 4jX42p2f7sz1c0Hl: to=<ann@corp.example>, relay=mx.corp.example[192.0.2.7]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 2.0.0 ok)
Nov 21 20:45:07 mx1 postfix/qmgr[3]: 4jX42p2f7sz1c0Hl: removed
Nov 21 20:46:06 mx1 postfix/qmgr[3]: 4jX42p2f7sz1c0Hm: from=<b@esp.example>, size=900, nrcpt=1 (queue active)
Nov 21 20:46:07 mx1 postfix/smtp[4]: 4jX42p2f7sz1c0Hm: to=<cid@corp.example>, relay=mx.corp.example[192.0.2.7]:25, delay=1, delays=0/0/0/1, dsn=5.1.1, status=bounced (host mx.corp.example[192.0.2.7] said: 550 5.1.1 no such user (in reply to RCPT TO command))
Nov 21 20:46:07 mx1 postfix/qmgr[3]: 4jX42p2f7sz1c0Hm: removed
"""


def dsn(recipient, message_id="<m17.1@esp.example>", queue_id=None):
    return bounce_mail(recipient, "Sat, 21 Nov 2026 21:00:00 +0000", "550 5.1.1 no such user here", message_id, queue_id)


def blocked(case):
    out = case.run("list", "--format", "ndjson", status=None).stdout
    return sorted(line.split('"address":"')[1].split('"')[0] for line in out.splitlines())


def watched(case):
    """A daemon's mbox and Maildir in /metrics; the mbox is renamed while it is stopped."""
    box, port, config = case.path("box"), free_port(), case.path("watched.toml")
    with open(config, "w") as f:
        f.write(f'data_dir = "{case.path("watched")}"\n[http]\nlisten = "127.0.0.1:{port}"\n[mail]\nsent_days = 10\n'
                f'[[mbox]]\nname = "one"\npath = "{box}"\nsettle = "200ms"\npoll = "20ms"\n'
                f'[[maildir]]\nname = "two"\npath = "{case.path("folder")}"\npoll = "20ms"\n')
    folder = mailbox.Maildir(case.path("folder"))

    def append(*numbers):
        with open(box, "a") as f:
            f.writelines(f"From x {time.ctime()}\n{dsn(f'u{n}@corp.example', f'<{n}@esp.example>')}\n" for n in numbers)

    def metric(name, labels='{name="one"}'):
        url = f"http://127.0.0.1:{port}/metrics"
        text = urllib.request.urlopen(url, timeout=30).read().decode()
        found = re.findall(rf"^bounced_{name}{re.escape(labels)} (\S+)$", text, re.M)
        case.expect(len(found) == 1, f"{name}{labels}: {found} in\n{text}")
        return float(found[0])

    def start():
        daemon = case.daemon(config)
        case.until("the daemon", lambda: os.path.exists(case.path("watched", "control.sock")))
        return daemon

    def stop(daemon):
        daemon.send_signal(signal.SIGTERM)
        error = daemon.communicate(timeout=30)[1]
        case.expect(daemon.returncode == 0, error)

    mbox, maildir = '{kind="mbox",name="one"}', '{kind="maildir",name="two"}'
    append(1, 2)
    folder.add(dsn("u9@corp.example", "<9@esp.example>"))
    daemon = start()
    case.until("two mails", lambda: metric("mailbox_mails_total", mbox) == 2)
    case.until("one mail", lambda: metric("mailbox_mails_total", maildir) == 1)
    case.expect(metric("mailbox_events_total", mbox) == 2 and metric("mailbox_events_total", maildir) == 1, "their events")
    case.expect(metric("mailbox_trouble", mbox) == 0 and metric("mailbox_trouble", maildir) == 0, "no trouble")
    case.until("its end", lambda: metric("mbox_offset_bytes") == os.path.getsize(box))
    case.expect(metric("mbox_lag_bytes") == 0, "nothing is behind")
    for name in ("restarts", "replaced", "oversize", "torn", "old", "locked"):
        case.expect(metric(f"mbox_{name}_total") == 0, name)
    stop(daemon)

    append(3)
    os.rename(box, box + ".1")
    append(4, 5)
    daemon = start()
    case.until("the rest of the renamed file, and the new one", lambda: metric("mailbox_mails_total", mbox) == 3)
    case.until("its end", lambda: metric("mbox_offset_bytes") == os.path.getsize(box))
    case.expect(metric("mbox_replaced_total") == 1 and metric("mbox_restarts_total") == 0, "renamed, not rewritten")
    os.rmdir(case.path("folder", "new"))
    case.until("trouble", lambda: metric("mailbox_trouble", maildir) == 1)
    stop(daemon)


def main():
    case = Case(__doc__)
    log = case.path("mail.log")
    with open(log, "w") as f:
        f.write(LOG)
    config = case.path("bounced.toml")
    with open(config, "w") as f:
        f.write(f'data_dir = "{case.path("bounced-data")}"\n[mail]\nsent_days = 10\n'
                f'[[tail]]\nname = "log"\npaths = ["{case.path("live.log")}"]\n')

    events = case.ndjson("parse", "-", "--format", "mail", stdin=dsn("ann@corp.example"))
    case.expect(len(events) == 1 and events[0]["recipient"] == "ann@corp.example"
                and events[0]["enhanced"] == "5.1.1" and events[0]["source"]["format"] == "mail"
                and events[0]["verdict"]["cause"] == "mailbox.unknown", f"parse of a mail: {events}")

    case.run("--config", config, "replay", "--year", "2026", "--quiet", log)
    case.expect(blocked(case) == ["cid@corp.example"], f"the log blocks one: {blocked(case)}")
    digest = case.run("digest").stdout

    # Forged: another recipient of a message that we know, an unknown message, no message at all.
    for mail in (dsn("victim@corp.example"), dsn("ann@corp.example", "<other@esp.example>"),
                 dsn("ann@corp.example", None)):
        case.run("--config", config, "deliver", stdin=mail)
    case.expect(blocked(case) == ["cid@corp.example"], "forged notifications block nobody")

    # The log's failure told again, by queue id alone: the log had no Message-ID.
    case.run("--config", config, "deliver", stdin=dsn("cid@corp.example", None, "4jX42p2f7sz1c0Hm"))
    shown = case.ndjson("address", "show", "--json", "cid@corp.example")[0]
    case.expect(shown["totals"]["bounced"] == 1, f"one failure told by log and mail counts once: {shown}")

    # True: delivered with a 250, then returned; the store was closed in between. Twice: once.
    for _ in range(2):
        case.run("--config", config, "deliver", stdin=dsn("ann@corp.example"))
    case.expect(blocked(case) == ["ann@corp.example", "cid@corp.example"], f"matched: {blocked(case)}")
    shown = case.ndjson("address", "show", "--json", "ann@corp.example")[0]
    case.expect(shown["totals"]["bounced"] == 1, f"the same mail twice is one failure: {shown}")
    case.expect(case.run("digest").stdout != digest, "a matched mail changes the store")

    # What an MTA must see.
    case.run("--config", config, "deliver", stdin="", status=66)
    case.run("--config", config, "deliver", stdin="From: a@b.example\nSubject: hello\n\nhi\n")
    case.run("--data", case.path("mail.log", "no-folder"), "deliver", stdin=dsn("ann@corp.example"), status=75)

    # Logs and mails in one command, from an mbox and a Maildir, without any configuration.
    for kind in ("mbox", "Maildir"):
        place = case.path(kind)
        box = mailbox.mbox(place) if kind == "mbox" else mailbox.Maildir(place)
        for mail in (dsn("ann@corp.example"), dsn("victim@corp.example")):
            box.add(mail)
        box.close()
        data = case.path("data-" + kind)
        for _ in range(2):
            text = case.run("--data", data, "replay", "--year", "2026", log, place).stdout
        case.expect(len(case.ndjson("parse", place)) == 2, f"{kind}: two mails")
        shown = case.run("--data", data, "list", "--format", "csv").stdout
        case.expect("ann@corp.example" in shown and "victim" not in shown, f"{kind}: {shown} {text}")

    # Beside a daemon: through its socket, durable when the command returns.
    open(case.path("live.log"), "w").close()
    daemon = case.daemon(config)
    case.until("the daemon", lambda: os.path.exists(case.path("bounced-data", "control.sock")))
    case.run("--config", config, "deliver", stdin=dsn("ann@corp.example", None, "4jX42p2f7sz1c0Hl"))
    daemon.send_signal(signal.SIGKILL)
    daemon.wait()
    shown = case.ndjson("address", "show", "--json", "ann@corp.example")[0]
    case.expect(shown["totals"]["bounced"] == 1, f"told a third time: {shown}")
    watched(case)
    case.done()


main()
