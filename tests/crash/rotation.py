"""Live logs that are rotated in every way that logrotate, operators and accidents know."""
import gzip, os, shutil, time

ROTATIONS = ["rename", "copytruncate", "gzip", "truncate", "inode"]


class Source:
    """One live log, to which the bytes of a generated one are appended bit by bit.

    rename        live -> live.1, a new live
    copytruncate  live copied to live.1, then cut to nothing; nobody writes in between (what is written there is lost
                  by definition)
    gzip          as rename, and live.1 becomes live.1.gz a while later
    truncate      cut to nothing without a copy, once everything in it has been applied
    inode         the daemon is killed, the file removed and made anew, which gives it the same inode where the file
                  system reuses them; again once everything has been applied
    """

    def __init__(self, rng, log, live, kinds):
        self.rng, self.live, self.kinds = rng, live, kinds
        self.done = {kind: 0 for kind in kinds}
        self.reused = 0  # inodes
        self.history = []  # of rotations, for a failure's story
        self.packing = None  # plain file, its packed bytes, the file that takes them
        with open(log, "rb") as f:
            self.data = f.read()
        self.at = 0
        self.out = open(live, "ab", buffering=0)

    def write(self, size):
        self.out.write(self.data[self.at:self.at + size])
        self.at = min(self.at + size, len(self.data))

    def end_line(self):
        """A writer reopens between lines; the rest of the line goes to the old file."""
        if self.at == 0 or self.data[self.at - 1:self.at] == b"\n":
            return
        end = self.data.find(b"\n", self.at) + 1
        self.write((end or len(self.data)) - self.at)

    def settle(self):
        """Nothing of it is half done: no line, no packed file."""
        self.end_line()
        self.pack_all()

    def step(self, daemon):
        """Some bytes, not always whole lines, and now and then a rotation. False at the end."""
        if self.at >= len(self.data):
            self.pack_all()
            return False
        self.write(self.rng.choice([1, 200, 5_000, 60_000, 300_000]))
        if self.kinds and self.rng.random() < 0.04:
            self.rotate(daemon)
        if self.rng.random() < 0.1:
            self.compress()
        return True

    def rotate(self, daemon):
        kind = self.rng.choice(self.kinds)
        self.settle()
        if kind in ("truncate", "inode"):
            daemon.wait_applied()
        else:
            self.shift()
        begun, size = time.strftime("%T", time.gmtime()), os.path.getsize(self.live)
        getattr(self, kind)(daemon)
        self.history.append(f"{begun} {os.path.basename(self.live)} {kind} at byte {self.at}, {size} bytes")
        self.done[kind] += 1

    def shift(self):
        """live.1 -> live.2 and so on, compressed or not."""
        for n in range(200, 0, -1):
            for end in ("", ".gz"):
                if os.path.exists(f"{self.live}.{n}{end}"):
                    os.rename(f"{self.live}.{n}{end}", f"{self.live}.{n + 1}{end}")

    def reopen(self):
        self.out.close()
        self.out = open(self.live, "ab", buffering=0)

    def rename(self, daemon):
        os.rename(self.live, self.live + ".1")
        daemon.disturb()
        self.reopen()

    gzip = rename

    def copytruncate(self, daemon):
        shutil.copyfile(self.live, self.live + ".1")
        daemon.disturb()
        os.truncate(self.live, 0)

    def truncate(self, daemon):
        os.truncate(self.live, 0)
        daemon.disturb()

    def inode(self, daemon):
        daemon.kill()
        before = os.stat(self.live).st_ino
        self.out.close()
        os.remove(self.live)
        self.reopen()
        self.reused += os.stat(self.live).st_ino == before
        daemon.start()

    def compress(self):
        """The newest rotated file that is plain is packed: beside it, taking its place at once, or slowly and under its
        final name, as gzip does it."""
        if self.packing:
            return self.pack_on()
        plain = [f"{self.live}.{n}" for n in range(1, 20) if os.path.exists(f"{self.live}.{n}")]
        if "gzip" not in self.kinds or not plain:
            return
        if self.rng.random() < 0.5:
            with open(plain[0], "rb") as file:
                self.packing = (plain[0], gzip.compress(file.read()), open(plain[0] + ".gz", "wb", buffering=0))
            return self.pack_on()
        packed = os.path.join(os.path.dirname(self.live), "packing")
        with open(plain[0], "rb") as file, gzip.open(packed, "wb") as out:
            shutil.copyfileobj(file, out)
        times = os.stat(plain[0])
        os.utime(packed, ns=(times.st_atime_ns, times.st_mtime_ns))
        os.rename(packed, plain[0] + ".gz")
        os.remove(plain[0])

    def pack_all(self):
        """Who packs is waited for, as logrotate does."""
        if self.packing:
            self.pack_on(whole=True)

    def pack_on(self, whole=False):
        """Some more bytes of the packed file; with the last ones the plain file goes."""
        plain, data, out = self.packing
        out.write(data[out.tell():len(data) if whole else out.tell() + max(1, len(data) // self.rng.randint(2, 6))])
        if out.tell() < len(data):
            return
        times = os.stat(plain)
        out.close()
        os.utime(plain + ".gz", ns=(times.st_atime_ns, times.st_mtime_ns))
        os.remove(plain)
        self.packing = None
