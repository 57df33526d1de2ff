#!/usr/bin/env python3
"""Callers that hold on to the control socket, or do not read what they asked for, hold nobody up."""
import os, signal, socket, subprocess, time
from common import Case


def main():
    t = Case(__doc__)
    log, _ = t.generate("mail.log", "8MiB")
    data = t.path("data")
    with open(t.path("b.toml"), "w") as f:
        f.write(f'data_dir = "{data}"\n[[tail]]\nname = "edge"\npaths = ["{log}"]\n')
    process = t.daemon(t.path("b.toml"))
    t.until("the control socket", lambda: os.path.exists(data + "/control.sock"))

    idle = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    for caller in idle:
        caller.connect(data + "/control.sock")
    t.run("status", "--data", data)

    pager = subprocess.Popen([t.bin, "changes", "--after", "0", "--data", data], stdout=subprocess.PIPE)
    t.until("enough to show", lambda: len(t.run("list", "--data", data, "--format", "ndjson", status=None).stdout) > 99_999)
    listed = subprocess.Popen([t.bin, "list", "--format", "ndjson", "--data", data], stdout=subprocess.PIPE)
    time.sleep(0.5)
    t.expect(listed.poll() is None, "all of the list fits into a pipe: nothing is tested")

    process.send_signal(signal.SIGTERM)
    error = process.communicate(timeout=30)[1]
    t.expect(process.returncode == 0, f"SIGTERM: exit {process.returncode}\n{error}")
    for caller in (pager, listed):
        caller.communicate(timeout=30)

    # A pipe that says nothing: a replay of it can be stopped.
    quiet, end = os.pipe()
    waits = subprocess.Popen([t.bin, "replay", "--quiet", "--data", t.path("d2"), "-"], stdin=quiet)
    t.until("its store", lambda: os.path.exists(t.path("d2", "db", "CURRENT")))
    time.sleep(0.3)
    waits.send_signal(signal.SIGTERM)
    t.expect(waits.wait(timeout=30) == 0, f"SIGTERM at a silent pipe: exit {waits.returncode}")
    os.close(end)
    t.done()


if __name__ == "__main__":
    main()
