"""A virtual machine whose serial console is recorded, beside what the scenario knows about it."""

import fcntl
import gzip
import json
import os
import re
import select
import socket
import subprocess
import tempfile
import time
from pathlib import Path

# Bytes that come this close together are one chunk. The clock of a chunk is that of its first byte.
CHUNK_SECONDS = 0.002
# The guest's serial driver waits 10 ms for room, and then overwrites what is not sent. A pipe of this size has
# room for a recorder that does not run for seconds. A socket has not: each byte takes hundreds of its buffer.
PIPE_BYTES = 1024 * 1024

ENDINGS = ("clean", "panic", "oom", "emergency", "silence", "running")
THEN = ("off", "reboot", "kexec", "crash-kernel", "nothing")


class Surprise(Exception):
    """The machine did not do what the scenario said it would."""


class Machine:
    """Starts qemu, reads its serial port, and follows power-on, resets and power-off by qemu's own events.

    Where a boot begins is known from qemu (a reset) or from the scenario (kexec), and how it ends is
    what the scenario caused. Neither is read from the text.
    """

    last = None  # The machine that was started last.

    def __init__(self, qemu_arguments, kernel=None, memory="512M", graphics=False):
        self.folder = tempfile.TemporaryDirectory(prefix="console-")
        serial_path = Path(self.folder.name) / "serial"
        control_path = Path(self.folder.name) / "control"
        for direction in ("in", "out"):
            os.mkfifo(f"{serial_path}.{direction}")
        self.serial = os.open(f"{serial_path}.out", os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(self.serial, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        # Emulated, so that it records the same on every machine. Without graphics, SeaBIOS writes to
        # the serial port.
        self.command = [
            "qemu-system-x86_64", "-accel", "tcg", "-cpu", "qemu64",
            "-machine", "q35,graphics=" + ("on" if graphics else "off"), "-smp", "1", "-m", memory,
            "-display", "none", "-no-user-config", "-nodefaults", "-S",
            # At a reset the machine stops, so that nothing of the next boot is read as part of this one.
            "-action", "reboot=shutdown,shutdown=pause",
            "-chardev", f"pipe,id=console,path={serial_path}",
            "-serial", "chardev:console",
            "-chardev", f"socket,id=control,path={control_path},server=on,wait=off",
            "-mon", "chardev=control,mode=control",
            *qemu_arguments,
        ]
        self.control = self.keyboard = None
        Machine.last = self
        self.qemu = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.control = self._connect(control_path)
        self.keyboard = os.open(f"{serial_path}.in", os.O_WRONLY)
        self.control_rest = b""
        self.chunks = []  # (microseconds since the start, bytes)
        self.console = bytearray()
        self.searched = 0
        self.boots = []
        self.events = []
        self.kernel = kernel
        self.next_end = None
        self.boots_before = 0
        self.end_behind = 0
        self.is_off = False
        self.requests = 0
        self.replies = {}
        self.start = None
        self._ask("qmp_capabilities")
        self.started_at = time.time()
        self.start = time.monotonic()
        self._begin("power-on")
        self._ask("cont")

    def _connect(self, path):
        for _ in range(500):
            try:
                connection = socket.socket(socket.AF_UNIX)
                connection.connect(str(path))
                return connection
            except OSError:
                connection.close()
                if self.qemu.poll() is not None:
                    raise Surprise(self.qemu.stderr.read().decode())
                time.sleep(0.01)
        raise Surprise(f"qemu does not open {path}")

    # What the machine does.

    def microseconds(self):
        return int((time.monotonic() - self.start) * 1_000_000) if self.start else 0

    def _begin(self, cause, offset=None, us=None):
        self.boots.append({
            "start": len(self.console) if offset is None else offset,
            "start_us": self.microseconds() if us is None else us,
            "cause": cause,
        })
        if self.kernel:
            self.boots[-1]["kernel"] = self.kernel

    def _end(self):
        if self.next_end is None:
            raise Surprise("the boot ended, and the scenario did not say how")
        self.boots[-1].update(self.next_end)
        self.next_end = None

    def _read_serial(self):
        us = self.microseconds()
        time.sleep(CHUNK_SECONDS)
        try:
            chunk = os.read(self.serial, PIPE_BYTES)
        except BlockingIOError:
            return False
        if chunk:
            self.chunks.append((us, chunk))
            self.console += chunk
        return bool(chunk)

    def _read_rest(self):
        """Reads what a machine has written that stands still."""
        while self._read_serial():
            pass

    def _read_control(self):
        data = self.control.recv(65536)
        if not data:
            self.is_off = True
        lines = (self.control_rest + data).split(b"\n")
        self.control_rest = lines.pop()
        for line in lines:
            message = json.loads(line)
            event = message.get("event")
            if event == "SHUTDOWN":
                self._stand_still(message["data"]["reason"])
            elif event == "WATCHDOG":
                self._note(f"watchdog: {message['data']['action']}")
            elif "id" in message:
                self.replies[message["id"]] = message

    def _stand_still(self, reason):
        self._read_rest()
        if reason != "guest-reset":
            self.is_off = True
            return
        # A kernel that has several ways to reset the machine tries the next one before it stands still.
        has_just_begun = len(self.console) == self.boots[-1]["start"] and len(self.boots) > 1
        if not has_just_begun:
            self._end()
            self._begin("reset")
        self._restart()

    def _restart(self):
        """Resets a machine that stands still."""
        self._request("set-action", reboot="reset")
        self._request("system_reset")
        self._request("set-action", reboot="shutdown")
        self._request("cont")

    def _request(self, command, **arguments):
        self.requests += 1
        request = {"execute": command, "arguments": arguments, "id": self.requests}
        self.control.sendall(json.dumps(request).encode() + b"\n")
        return self.requests

    def _ask(self, command, **arguments):
        request = self._request(command, **arguments)
        while request not in self.replies and not self.is_off:
            self._pump(1)
        reply = self.replies.get(request, {})
        if "error" in reply:
            raise Surprise(reply["error"]["desc"])

    def _pump(self, seconds):
        ready, _, _ = select.select([self.serial, self.control], [], [], max(seconds, 0))
        if self.control in ready:
            self._read_control()
        elif self.serial in ready:
            self._read_serial()
            if self.qemu.poll() is not None:
                self.is_off = True
        return bool(ready)

    # What a scenario says.

    def _note(self, what):
        self.events.append({"offset": len(self.console), "us": self.microseconds(), "what": what})

    def wait(self, pattern, seconds=600):
        """Waits until the console shows `pattern`, a regular expression, behind what was waited for before."""
        deadline = time.monotonic() + seconds
        expression = re.compile(pattern.encode())
        while True:
            found = expression.search(self.console, self.searched)
            if found:
                self.searched = found.end()
                return found
            if self.is_off or time.monotonic() > deadline:
                tail = bytes(self.console[-1500:]).decode(errors="replace")
                raise Surprise(f"no {pattern!r} within {seconds} s; the console ends with:\n{tail}")
            self._pump(deadline - time.monotonic())

    def wait_login(self, seconds=900):
        """Waits for the login prompt of this boot."""
        found = self.wait(r"login: ", seconds)
        self.boots[-1].setdefault("login", found.start())
        self.boots[-1].setdefault("login_us", self.microseconds())

    def log_in(self, seconds=900):
        """Waits for the login prompt and enters as root, who has no password."""
        self.wait_login(seconds)
        self.type("root\n")
        self.wait(r"# ", 300)

    def type(self, keys, note=None):
        self._note("typed " + (note or repr(keys)))
        for key in keys.encode():
            os.write(self.keyboard, bytes([key]))
            self._pump(0.004)

    def run(self, line, seconds=300):
        """Types a command line, and waits for the next prompt."""
        self.type(line + "\n")
        self.wait(r"\n")
        self.wait(r"[#$] ", seconds)

    def will_end(self, ended, then, by, stage):
        """Says how the present boot ends, before it does."""
        assert ended in ENDINGS and then in THEN, (ended, then)
        self.next_end = {"ended": ended, "then": then, "by": by, "stage": stage}
        self.boots_before = len(self.boots)
        self.end_behind = len(self.console)

    def wait_reset(self, seconds=900):
        """Waits until the boot that `will_end` announced the end of has ended by a reset."""
        deadline = time.monotonic() + seconds
        while len(self.boots) == self.boots_before:
            if self.is_off or time.monotonic() > deadline:
                tail = bytes(self.console[-1500:]).decode(errors="replace")
                raise Surprise(f"no reset within {seconds} s; the console ends with:\n{tail}")
            self._pump(deadline - time.monotonic())
        self.searched = self.boots[-1]["start"]

    def wait_kexec(self, cause, kernel, seconds=300):
        """Waits for a kernel that another one started. No event of qemu tells of it: the first bytes of
        Linux behind the place where the scenario caused it are where its boot begins."""
        self.searched = self.end_behind
        found = self.wait(r"(\[ *0\.000000\](\[ *T0\])? )?Linux version ", seconds)
        offset, at, us = found.start(), 0, 0
        for us, chunk in self.chunks:
            at += len(chunk)
            if at > offset:
                break
        self._end()
        self._begin(cause, offset, us)
        self.boots[-1]["kernel"] = kernel

    def freeze(self):
        """Stops the processor, as a host does that hangs."""
        self._ask("stop")
        self._note("processor stopped")

    def reset(self):
        """Presses the reset button."""
        self._ask("stop")
        self._read_rest()
        self._note("reset button")
        self._end()
        self._begin("reset")
        self._restart()
        self.searched = self.boots[-1]["start"]

    def watch(self, seconds):
        """Records for as long as it takes, whatever the console says."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.is_off:
            self._pump(deadline - time.monotonic())

    def wait_off(self, seconds=600):
        """Waits until the machine switches itself off."""
        deadline = time.monotonic() + seconds
        while not self.is_off:
            if time.monotonic() > deadline:
                tail = bytes(self.console[-1500:]).decode(errors="replace")
                raise Surprise(f"not off within {seconds} s; the console ends with:\n{tail}")
            self._pump(deadline - time.monotonic())
        self.stop()

    def stop(self):
        """Ends the recording."""
        if not self.is_off:
            self._ask("stop")
            self._read_rest()
        self._end()
        self.total_us = self.microseconds()
        self.close()

    def close(self):
        if self.qemu.poll() is None:
            self.qemu.terminate()
        self.qemu.wait()
        self.qemu.stderr.close()
        if self.control:
            self.control.close()
        for pipe in (self.serial, self.keyboard):
            if pipe is not None:
                os.close(pipe)
        self.folder.cleanup()

    # What is kept.

    def write_chunks(self, path):
        """One JSON line a chunk. A character of `bytes` is a byte: U+0000 to U+00FF."""
        lines = "".join(
            json.dumps({"us": us, "bytes": chunk.decode("latin-1")}, ensure_ascii=False) + "\n"
            for us, chunk in self.chunks
        )
        path.write_bytes(gzip.compress(lines.encode(), 9, mtime=0))
