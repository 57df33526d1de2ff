#!/usr/bin/env python3
"""The control socket: callers that misbehave neither hold up others nor the daemon's end."""
import os, signal, socket, struct, subprocess, time
from common import Case


def main():
    t = Case(__doc__)
    log, data = t.path("mail.log"), t.path("data with a blank")
    big, _ = t.generate("big.log", "24MiB")
    t.run("replay", "--quiet", "--data", data, big)
    open(log, "w").close()
    with open(t.path("b.toml"), "w") as f:
        f.write(f'data_dir = "{data}"\n[[tail]]\nname = "edge"\npaths = ["{log}"]\n')
    alone = {command: t.run(*command.split(), "--data", data, status=None) for command in (
        "list --format ndjson", "list --format csv", "list --domains", "report --by domain", "changes --after 3",
        "digest --parts", "address show nobody@nowhere.example", "list --since yesterday", "report --by nonsense")}
    process = t.daemon(t.path("b.toml"))
    t.until("the control socket", lambda: os.path.exists(data + "/control.sock"))
    t.expect(os.stat(data).st_mode & 0o007 == 0, "others may enter the data directory")
    t.expect(os.stat(data + "/control.sock").st_mode & 0o777 == 0o600, "others may connect")

    def connect():
        s = socket.socket(socket.AF_UNIX)
        os.chdir(data)  # its path may be longer than a socket's may be
        s.connect("control.sock")
        return s

    # The same answers as without the daemon, also for many at once.
    for command, expected in alone.items():
        got = t.run(*command.split(), "--data", data, status=None)
        t.expect((got.returncode, got.stdout, got.stderr) == (expected.returncode, expected.stdout, expected.stderr),
                 f"beside the daemon `{command}` says\n{got.stdout[:500]}\n{got.stderr}")
    many = [subprocess.Popen([t.bin, "digest", "--data", data], stdout=subprocess.PIPE, cwd=t.dir) for _ in range(100)]
    answers = {p.communicate(timeout=60)[0] for p in many}
    t.expect(len(answers) == 1 and all(p.returncode == 0 for p in many), f"100 at once: {answers}")

    # Arguments arrive byte for byte, and as many as a command line holds.
    odd = b"caf\xe9@example.com"
    for args in ([b"address", b"block", odd], [b"address", b"block"] + [b"a%d@%s.example" % (i, b"x" * 200) for i in range(6000)]):
        done = subprocess.run([t.bin.encode(), *args, b"--data", data.encode()], cwd=t.dir, stdout=subprocess.PIPE, text=True)
        t.expect(done.stdout == f"blocked {len(args) - 2} of {len(args) - 2}\n", done.stdout)

    # Silent, garbage, too large, cut off.
    idle = [connect() for _ in range(40)]
    for request in (b"\xff\xff\xff\xff", struct.pack("<I", 5) + b"{nope", struct.pack("<I", 3)):
        s = connect()
        s.sendall(request)
        idle.append(s)
    t.run("status", "--data", data)

    # Output that nobody reads: others go on, and so does the daemon's end.
    stuck = subprocess.Popen([t.bin, "list", "--format", "ndjson", "--data", data], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, cwd=t.dir)
    t.until("the pipe to fill", lambda: len(alone["list --format ndjson"].stdout) > 1 << 17 and stuck.poll() is None)
    gone = subprocess.Popen([t.bin, "list", "--format", "ndjson", "--data", data], stdout=subprocess.PIPE, cwd=t.dir)
    time.sleep(0.3)
    gone.kill()
    gone.wait()
    t.run("status", "--data", data)
    process.send_signal(signal.SIGTERM)
    error = process.communicate(timeout=30)[1]
    t.expect(process.returncode == 0, f"SIGTERM: {process.returncode}\n{error}")
    out, err = stuck.communicate(timeout=10)
    t.expect(stuck.returncode == 3 and "not whole" in err, f"a cut list exits {stuck.returncode}: {err}")
    shown = subprocess.run([t.bin.encode(), b"address", b"show", odd, b"--data", data.encode()], stdout=subprocess.DEVNULL)
    t.expect(shown.returncode == 0, "the daemon blocked another address than the one given")

    # A pipe that says nothing: a replay of it can be stopped.
    quiet, end = os.pipe()
    waits = subprocess.Popen([t.bin, "replay", "--quiet", "--data", t.path("d2"), "-"], stdin=quiet, cwd=t.dir)
    t.until("its store", lambda: os.path.exists(t.path("d2", "db", "CURRENT")))
    time.sleep(0.3)
    waits.send_signal(signal.SIGTERM)
    t.expect(waits.wait(timeout=30) == 0, f"SIGTERM at a silent pipe: exit {waits.returncode}")
    os.close(end)
    t.done()


if __name__ == "__main__":
    main()
