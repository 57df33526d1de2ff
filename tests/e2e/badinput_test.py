#!/usr/bin/env python3
"""Bad input is a clear error or a counted value: exit status and message as documented."""
import gzip, json, os, random, shlex, signal, subprocess, tempfile, threading
from common import Case


def main():
    t = Case(__doc__)
    log, truth = t.generate("good.log", "2MiB")

    # Random bytes: read to the end, counted, nothing crashes.
    with open(t.path("noise"), "wb") as f:
        f.write(random.Random(7).randbytes(3 << 20))
    done = t.run("replay", "--format", "postfix", "--summary", "json", "--data", t.path("d1"), "noise")
    t.expect(json.loads(done.stdout)["lines"] > 0, "no lines counted")

    # NULs, CRLF, an endless line, bad UTF-8 between good lines: the good ones all count.
    good = open(log, "rb").read().splitlines(keepends=True)
    with open(t.path("odd.log"), "wb") as f:
        for i, line in enumerate(good):
            f.write(line[:-1] + b"\r\n" if i % 7 == 0 else line)
            if i % 1000 == 10:
                f.write(b"\0" * 4096 + b"\n")
            if i % 1000 == 20:
                f.write(b"x" * 200_000 + b"\n")
            if i % 1000 == 30:
                f.write(b"\xff\xfe\x80 nonsense \xc3\x28\n")
    plain = json.loads(t.run("replay", "--summary", "json", "--data", t.path("d2"), "good.log").stdout)
    odd = json.loads(t.run("replay", "--summary", "json", "--data", t.path("d3"), "odd.log").stdout)
    t.expect(plain["events"] == odd["events"], f"odd lines changed the events: {plain} {odd}")
    t.expect(odd["oversize"] > 0, "oversize lines are not counted")
    t.expect(plain["events"]["delivered"] == truth["events"]["delivered"], f"{plain} against {truth}")

    # A truncated .gz: what is whole counts, the error names the file, exit 3.
    packed = gzip.compress(b"".join(good))
    with open(t.path("cut.log.gz"), "wb") as f:
        f.write(packed[:len(packed) // 2])
    done = t.run("replay", "--quiet", "--data", t.path("d4"), "cut.log.gz", status=3)
    t.expect("cut.log.gz" in done.stderr and "truncated" in done.stderr, done.stderr)
    # Completed later, only the rest is new: same store as from the whole file.
    with open(t.path("cut.log.gz"), "wb") as f:
        f.write(packed)
    t.run("replay", "--quiet", "--data", t.path("d4"), "cut.log.gz")
    t.expect(t.run("digest", "--data", t.path("d4")).stdout == t.run("digest", "--data", t.path("d2")).stdout,
             "the completed archive does not give the same store")

    # Files that are not there or not readable.
    done = t.run("replay", "--quiet", "--data", t.path("d5"), "missing.log", status=3)
    t.expect("missing.log" in done.stderr and done.stderr.startswith("bounced: "), done.stderr)
    os.mkdir(t.path("folder"))
    t.expect("folder" in t.run("replay", "--quiet", "--data", t.path("d5"), "folder", status=3).stderr, "a folder")

    # An error in line 7 of a rule file, of a configuration, and of a policy.
    os.mkdir(t.path("rules"))
    with open(t.path("rules", "mine.toml"), "w") as f:
        f.write('[[rule]]\nid = "mine/one"\ncause = "mailbox.unknown"\nany = ["gone fishing"]\n'
                'samples = ["550 gone fishing"]\n\ncolour = "green"\n')
    done = t.run("rules", "check", "rules", status=1)
    t.expect("mine.toml:7" in done.stdout + done.stderr, done.stdout + done.stderr)
    with open(t.path("bad.toml"), "w") as f:
        f.write('data_dir = "x"\n\n[[tail]]\nname = "a"\npaths = ["x"]\n\nformaat = "auto"\n')
    done = t.run("config", "check", "bad.toml", status=1)
    t.expect("bad.toml:7" in done.stderr and 'did you mean "format"' in done.stderr, done.stderr)

    t.expect("missing.toml" in t.run("config", "check", "missing.toml", status=3).stderr, "missing.toml is not named")
    t.run("config", "check", ".", status=3)

    # Output that cannot be written is an error; a reader that has seen enough is none.
    for command in (["list", "--format", "ndjson", "--data", t.path("d2")], ["parse", "good.log"]):
        for out in ("> /dev/full", ">&-"):
            shell = "exec " + shlex.join([t.bin, *command]) + out
            done = subprocess.run(shell, shell=True, cwd=t.dir, stderr=subprocess.PIPE, text=True, timeout=120)
            t.expect(done.returncode == 3 and "standard output" in done.stderr, f"{shell}: {done.returncode} {done.stderr}")
        shell = "set -o pipefail; " + shlex.join([t.bin, *command]) + " | head -n 1 > /dev/null"
        done = subprocess.run(["bash", "-c", shell], cwd=t.dir, stderr=subprocess.PIPE, text=True, timeout=120)
        t.expect(done.returncode == 0 and not done.stderr, f"{shell}: {done.returncode} {done.stderr}")
    shell = "exec " + shlex.join([t.bin, "replay", "--data", t.path("d7"), "good.log"]) + " <&- >&- 2>&-"
    subprocess.run(shell, shell=True, cwd=t.dir, timeout=120)
    t.expect(t.run("digest", "--data", t.path("d7")).stdout == t.run("digest", "--data", t.path("d2")).stdout,
             "without standard descriptors the store differs")

    # A replay that was stopped in good order says so.
    with open(t.path("events"), "w") as events:
        writer = subprocess.Popen([t.bin, "replay", "--events", "-", "--data", t.path("d8"), "-"], cwd=t.dir,
                                  stdin=subprocess.PIPE, stdout=events, stderr=subprocess.PIPE)

    lines = b"".join(good)

    def feed():  # a stdin that does not end: that would be the end of the replay, too
        try:
            while True:
                os.write(writer.stdin.fileno(), lines)
        except OSError:
            pass

    feeder = threading.Thread(target=feed)
    feeder.start()
    t.until("events", lambda: os.path.getsize(t.path("events")) > 0)
    writer.send_signal(signal.SIGTERM)
    error = writer.stderr.read().decode()
    writer.wait(timeout=30)
    feeder.join()
    t.expect(writer.returncode == 0 and "interrupted" in error, f"an interrupted replay exits {writer.returncode}: {error}")

    # Files of a trace: one with a pattern's characters in its name, a pattern that meets nothing, stdin.
    os.link(log, t.path("good[1].log"))
    queue_id = good[0].decode().split(": ")[1]
    t.expect(t.run("trace", queue_id, "good[1].log").stdout == t.run("trace", queue_id, "good.log").stdout, "good[1].log")
    t.run("trace", queue_id, "nothing*.log", status=3)
    t.run("trace", queue_id, "-", stdin="", status=2)

    # A block that goes to a directory which was not there says so.
    t.expect("new data directory" in t.run("address", "block", "a@b.example", "--data", t.path("typo")).stderr, "no word")
    t.expect(not t.run("address", "block", "c@b.example", "--data", t.path("typo")).stderr, "the same directory again")

    # No store, wrong usage.
    os.mkdir(t.path("empty"))
    t.run("list", "--data", t.path("empty"), status=3)
    t.run("list", "--data", "", status=2)
    t.run("--log-level", "loud", "version", status=2)
    for wrong in ("--after -1", "--after 99999999999999999999", "--limit -1"):
        t.run("changes", *wrong.split(), "--data", t.path("d2"), status=2)
    for wrong in ("-1d", "2026-02-30", "9223372036854775807", "x\ny\x1b[2J"):
        done = t.run("list", f"--since={wrong}", "--data", t.path("d2"), status=2)
        t.expect(done.stderr.count("\n") == 1 and "\x1b" not in done.stderr, f"not one plain line: {done.stderr!r}")
    t.expect("--data" in t.run("list", "--data", t.path("none"), status=3).stderr, "no hint at --data")
    t.expect("bounced: reprot: not a command; did you mean `report`?" in t.run("reprot", status=2).stderr, "reprot")
    t.run("address", "show", status=2)
    t.run("address", "show", "nobody@nowhere.example", "--data", t.path("d2"), status=1)

    # A full disk: exit 3, a message that says so, and the store is whole when there is room again.
    small = tempfile.mkdtemp(prefix="bounced-full-")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", small], stderr=subprocess.DEVNULL)
    if mounted.returncode == 0:
        try:
            big, _ = t.generate("big.log", "30MiB", seed=3)
            done = t.run("replay", "--quiet", "--data", small + "/data", big, status=3)
            t.expect("space" in done.stderr.lower(), done.stderr)
            subprocess.run(["mount", "-o", "remount,size=400m", small], check=True)
            t.run("replay", "--quiet", "--data", small + "/data", big)
            t.run("replay", "--quiet", "--data", t.path("d6"), big)
            t.expect(t.run("digest", "--data", small + "/data").stdout == t.run("digest", "--data", t.path("d6")).stdout,
                     "after the full disk the store differs")
        finally:
            subprocess.run(["umount", small])
    else:
        print("full disk: skipped, mounting a tmpfs is not permitted here")
    os.rmdir(small)
    t.done()


if __name__ == "__main__":
    main()
