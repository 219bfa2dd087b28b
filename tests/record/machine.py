"""A virtual machine whose serial console is recorded, beside what the scenario knows about it."""

import gzip
import json
import re
import select
import socket
import subprocess
import tempfile
import time
from pathlib import Path

# Bytes that come this close together are one chunk. The clock of a chunk is that of its first byte.
CHUNK_SECONDS = 0.002

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
        # Emulated, so that it records the same on every machine. Without graphics, SeaBIOS writes to
        # the serial port.
        self.command = [
            "nice", "qemu-system-x86_64", "-accel", "tcg", "-cpu", "qemu64",
            "-machine", "q35,graphics=" + ("on" if graphics else "off"), "-smp", "1", "-m", memory,
            "-display", "none", "-no-user-config", "-nodefaults", "-S",
            "-chardev", f"socket,id=console,path={serial_path},server=on,wait=off",
            "-serial", "chardev:console",
            "-chardev", f"socket,id=control,path={control_path},server=on,wait=off",
            "-mon", "chardev=control,mode=control",
            *qemu_arguments,
        ]
        self.serial = self.control = None
        Machine.last = self
        self.qemu = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.serial = self._connect(serial_path)
        self.control = self._connect(control_path)
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
        self.replies = []
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

    def _has_just_begun(self):
        # A kernel goes on until its reset takes effect, and may reset the machine once more.
        return len(self.console) == self.boots[-1]["start"] and len(self.boots) > 1

    def _end(self):
        if self.next_end is None:
            raise Surprise("the boot ended, and the scenario did not say how")
        self.boots[-1].update(self.next_end)
        self.next_end = None

    def _read_serial(self):
        us = self.microseconds()
        time.sleep(CHUNK_SECONDS)
        try:
            chunk = self.serial.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        if chunk:
            self.chunks.append((us, chunk))
            self.console += chunk

    def _read_control(self):
        data = self.control.recv(65536)
        if not data:
            self.is_off = True
        # qemu wrote the console's bytes before it told of the reset.
        self._read_serial()
        lines = (self.control_rest + data).split(b"\n")
        self.control_rest = lines.pop()
        for line in lines:
            message = json.loads(line)
            event = message.get("event")
            if event == "RESET" and self.start and not self._has_just_begun():
                self._end()
                self._begin("reset")
            elif event == "SHUTDOWN":
                self.is_off = True
            elif event == "WATCHDOG":
                self._note(f"watchdog: {message['data']['action']}")
            elif "return" in message or "error" in message:
                self.replies.append(message)

    def _ask(self, command, **arguments):
        self.replies.clear()
        request = {"execute": command, "arguments": arguments}
        self.control.sendall(json.dumps(request).encode() + b"\n")
        while not self.replies and not self.is_off:
            self._pump(1)
        if self.replies and "error" in self.replies[0]:
            raise Surprise(self.replies[0]["error"]["desc"])

    def _pump(self, seconds):
        ready, _, _ = select.select([self.serial, self.control], [], [], max(seconds, 0))
        if self.control in ready:
            self._read_control()
        elif self.serial in ready:
            self._read_serial()
            if self.is_off or self.qemu.poll() is not None:
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
            self.serial.sendall(bytes([key]))
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

    def reset(self):
        """Presses the reset button."""
        self._note("reset button")
        self._ask("system_reset")
        self.wait_reset(60)

    def freeze(self):
        """Stops the processor, as a host does that hangs."""
        self._note("processor stopped")
        self._ask("stop")

    def thaw_and_reset(self):
        """Presses the reset button of a machine whose processor was stopped."""
        self._note("reset button")
        self._ask("system_reset")
        self._ask("cont")
        self.wait_reset(60)

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
        while self._pump(0.05) and not self.is_off:
            pass
        self._end()
        self.total_us = self.microseconds()
        self.close()

    def close(self):
        if self.qemu.poll() is None:
            self.qemu.terminate()
        self.qemu.wait()
        self.qemu.stderr.close()
        for connection in (self.serial, self.control):
            if connection:
                connection.close()
        self.folder.cleanup()

    # What is kept.

    def write_chunks(self, path):
        """One JSON line a chunk. A character of `bytes` is a byte: U+0000 to U+00FF."""
        lines = "".join(
            json.dumps({"us": us, "bytes": chunk.decode("latin-1")}, ensure_ascii=False) + "\n"
            for us, chunk in self.chunks
        )
        path.write_bytes(gzip.compress(lines.encode(), 9, mtime=0))
