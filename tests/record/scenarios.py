"""What is recorded. Each function starts a machine, does something to it, and says what it did."""

import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from machine import Machine

ALL = {}

# The console is a serial port, as on a machine in a cloud.
CONSOLE = "console=ttyS0,115200"
UEFI = ["-bios", "/usr/share/ovmf/OVMF.fd"]
# A network of its own, on which only qemu's DHCP server answers.
NETWORK = ["-netdev", "user,id=network,restrict=on", "-device", "virtio-net-pci,netdev=network"]


def scenario(name, image):
    """Registers a function as the recording `name`, which needs the disk `image`."""

    def register(function):
        function.image = image
        ALL[name] = function
        return function

    return register


def drive(file):
    """A disk, of which nothing that the machine writes is kept."""
    return ["-drive", f"file={file},format=raw,if=virtio,snapshot=on"]


def kernel(folder, root, parameters="", initrd=True):
    """Boots the image's kernel without a boot loader."""
    line = " ".join(word for word in (root, CONSOLE, parameters) if word)
    initramfs = ["-initrd", f"{folder}/initrd"] if initrd else []
    return ["-kernel", f"{folder}/vmlinuz", *initramfs, "-append", line]


def version(folder):
    return (folder / "kernel").read_text().strip()


def boot(folder, parameters="", memory="512M", devices=()):
    """A machine that boots its kernel from its disk."""
    arguments = [*drive(folder / "disk"), *kernel(folder, "root=/dev/vda ro", parameters), *devices]
    return Machine(arguments, kernel=version(folder), memory=memory)


def small(folder, parameters="", memory="512M", kernel_is_shown=True):
    """A machine that has BusyBox in its initramfs, and no disk."""
    shown = version(folder) if kernel_is_shown else None
    return Machine(kernel(folder, "", parameters), kernel=shown, memory=memory)


@contextmanager
def changed(folder, files=(), commands=()):
    """A copy of the image whose disk has other files, a dict, and was changed by `commands` of debugfs."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        copy = Path(name)
        subprocess.run(["cp", "--sparse=always", folder / "disk", copy / "disk"], check=True)
        for file in ("vmlinuz", "initrd", "kernel"):
            (copy / file).symlink_to(folder / file)
        lines = []
        for number, (path, text) in enumerate(dict(files).items()):
            (copy / str(number)).write_text(text)
            lines += [f"rm {path}", f"write {copy / str(number)} {path}"]
        script = "\n".join([*lines, *commands]) + "\n"
        debugfs = ["debugfs", "-w", "-f", "-", copy / "disk"]
        subprocess.run(debugfs, input=script, text=True, check=True, capture_output=True)
        yield copy


@contextmanager
def compact_disc(folder, menu):
    """A disc with GRUB, for BIOS and UEFI, the kernel and its initramfs."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        tree = Path(name) / "tree"
        (tree / "boot/grub").mkdir(parents=True)
        (tree / "boot/grub/grub.cfg").write_text(menu)
        for file in ("vmlinuz", "initrd"):
            shutil.copy(folder / file, tree / "boot" / file)
        disc = Path(name) / "disc"
        subprocess.run(["grub-mkrescue", "--output", disc, tree], check=True, capture_output=True)
        yield ["-drive", f"file={disc},format=raw,if=ide,media=cdrom,readonly=on"]


def end_by(machine, command, ended, then):
    """Types a command that ends the boot, where somebody is logged in."""
    machine.will_end(ended, then, command, "login")
    machine.type(command + "\n")


def power_off(machine):
    end_by(machine, "poweroff", "clean", "off")
    machine.wait_off()
    return machine


def clean(machine):
    """From power-on to the login prompt, and off."""
    machine.log_in()
    return power_off(machine)


def reboot(machine):
    """From power-on to the login prompt, and to the next boot."""
    machine.log_in()
    end_by(machine, "reboot", "clean", "reboot")
    machine.wait_reset()


def stay(machine, ended, by, stage, until=None, seconds=5):
    """Ends the recording some seconds behind what it waits for, in the state in which the machine is then."""
    machine.will_end(ended, "nothing", by, stage)
    if until:
        machine.wait(until, 1800)
    machine.watch(seconds)
    machine.stop()
    return machine


@scenario("bookworm-clean", "bookworm")
def bookworm_clean(folder):
    """Boots Debian 12 with systemd to the login prompt, and powers it off."""
    return clean(boot(folder))


@scenario("trixie-sysvinit-clean", "trixie-sysvinit")
def trixie_sysvinit_clean(folder):
    """Boots Debian 13 with a real-time kernel and sysvinit to the login prompt, and powers it off."""
    return clean(boot(folder))


@scenario("bookworm-openrc-clean", "bookworm-openrc")
def bookworm_openrc_clean(folder):
    """Boots Debian 12 with OpenRC to the login prompt, and powers it off."""
    return clean(boot(folder))


@scenario("bookworm-reboots", "bookworm")
def bookworm_reboots(folder):
    """Boots Debian 12 four times in one console: twice by `reboot`, once by the reset button, then off."""
    machine = boot(folder)
    reboot(machine)
    reboot(machine)
    machine.log_in()
    machine.will_end("silence", "reboot", "reset button", "login")
    machine.reset()
    return clean(machine)


@scenario("sysvinit-reboots", "trixie-sysvinit")
def sysvinit_reboots(folder):
    """Boots Debian 13 with sysvinit three times in one console."""
    machine = boot(folder)
    reboot(machine)
    reboot(machine)
    return clean(machine)


CRASH = "echo c > /proc/sysrq-trigger"


@scenario("panic-reboots", "bookworm")
def panic_reboots(folder):
    """Panics by sysrq with `panic=2`, restarts by itself, panics once more, and is powered off in its third boot."""
    machine = boot(folder, "panic=2")
    for _ in range(2):
        machine.log_in()
        end_by(machine, CRASH, "panic", "reboot")
        machine.wait_reset()
    return clean(machine)


@scenario("panic-stays", "bookworm")
def panic_stays(folder):
    """Panics by sysrq, and stays so until the recording ends."""
    machine = boot(folder)
    machine.log_in()
    machine.type(CRASH + "\n")
    return stay(machine, "panic", CRASH, "login", "end Kernel panic")


@scenario("reboot-loop", "bookworm")
def reboot_loop(folder):
    """Has no initramfs to find its root with, panics, and tries it again seven times with equal text."""
    arguments = kernel(folder, "root=/dev/vda ro", "panic=1", initrd=False)
    machine = Machine(arguments, kernel=version(folder))
    for _ in range(7):
        machine.will_end("panic", "reboot", "no initramfs has the driver of the disk", "kernel")
        machine.wait_reset()
    return stay(machine, "running", "the recording ends", "kernel", "Linux version", 0)


@scenario("busybox-clean", "busybox")
def busybox_clean(folder):
    """Boots the kernel of Debian 13 for clouds with BusyBox to the login prompt, and powers it off."""
    return clean(small(folder))


@scenario("busybox-without-stamps", "busybox")
def busybox_without_stamps(folder):
    """Boots twice with `printk.time=0`, so that no line has a stamp."""
    machine = small(folder, "printk.time=0")
    reboot(machine)
    return clean(machine)


@scenario("kexec", "busybox")
def kexec(folder):
    """Starts its kernel anew by kexec, without firmware between, and powers off."""
    machine = small(folder, memory="768M")
    machine.log_in()
    machine.run("kexec -l /boot/vmlinuz --initrd=/boot/initrd --reuse-cmdline")
    end_by(machine, "kexec -e", "clean", "kexec")
    machine.wait_kexec("kexec", version(folder))
    return clean(machine)


@scenario("kdump", "busybox")
def kdump(folder):
    """Panics by sysrq; the crash kernel reads the memory, and restarts the machine; then it is powered off."""
    machine = small(folder, "crashkernel=256M", memory="1G")
    machine.log_in()
    machine.run(
        "kexec -p /boot/vmlinuz --initrd=/boot/initrd "
        f'--append="{CONSOLE} irqpoll nr_cpus=1 reset_devices"'
    )
    end_by(machine, CRASH, "panic", "crash-kernel")
    machine.wait_kexec("crash", version(folder))
    machine.will_end("clean", "reboot", "the crash kernel saved the memory: reboot -f", "init")
    machine.wait_reset()
    return clean(machine)


@scenario("oom-kill", "busybox")
def oom_kill(folder):
    """Runs out of memory, kills the process that took it, and goes on; then it is powered off."""
    machine = small(folder, memory="256M")
    machine.log_in()
    machine.run("tail /dev/zero", 600)
    return power_off(machine)


@scenario("oom-panic", "busybox")
def oom_panic(folder):
    """Panics when it is out of memory, restarts by itself, and is powered off."""
    machine = small(folder, "panic=5", memory="256M")
    machine.log_in()
    machine.run("echo 2 > /proc/sys/vm/panic_on_oom")
    end_by(machine, "tail /dev/zero", "oom", "reboot")
    machine.wait_reset()
    return clean(machine)


@scenario("panic-no-root", "bookworm")
def panic_no_root(folder):
    """Names a root that is not there, without an initramfs, and stays in its panic."""
    machine = Machine(kernel(folder, "root=/dev/sda1 ro", initrd=False), kernel=version(folder))
    return stay(machine, "panic", "root= names a disk that is not there", "kernel", "end Kernel panic")


@scenario("panic-init-killed", "busybox")
def panic_init_killed(folder):
    """Runs `/bin/false` as its init, which ends, and stays in its panic."""
    machine = small(folder, "rdinit=/bin/false")
    return stay(machine, "panic", "init ends", "initramfs", "end Kernel panic")


@scenario("silence-hang", "busybox")
def silence_hang(folder):
    """Stops all at once: the machine is halted by its host in the middle of its boot, and is reset a while later."""
    machine = small(folder)
    machine.wait("PCI: Using")
    machine.will_end("silence", "reboot", "the host stops the processor, and resets it", "kernel")
    machine.freeze()
    machine.watch(20)
    machine.reset()
    return clean(machine)


@scenario("silence-console-removed", "busybox")
def silence_console_removed(folder):
    """Loses its console half-way: the kernel's messages go nowhere, and the getty ends."""
    machine = small(folder)
    machine.log_in()
    machine.type("dmesg -n 1; sed -i /getty/d /etc/inittab; kill -HUP 1; exit\n")
    return stay(machine, "silence", "the getty is removed, and the console's log level is 0", "login", seconds=30)


@scenario("quiet", "busybox")
def quiet(folder):
    """Boots with `quiet loglevel=3` twice: no line of the kernel is shown, only the login prompt."""
    machine = small(folder, "quiet loglevel=3", kernel_is_shown=False)
    reboot(machine)
    return clean(machine)


@scenario("login-respawns", "busybox")
def login_respawns(folder):
    """Shows its login prompt again and again, twenty times, as nobody gives a right name."""
    machine = small(folder)
    machine.wait_login()
    for _ in range(20):
        machine.type("\n")
        machine.wait("login: ")
    return stay(machine, "running", "the recording ends", "login", seconds=2)


def break_kernel(machine, fault):
    """Logs in, and breaks the kernel as tests/record/faults/faults.c knows how to."""
    machine.log_in()
    machine.type(f"insmod /lib/faults.ko fault={fault}\n")


def survive(machine, fault):
    """Breaks the kernel in a way that it survives, and powers the machine off."""
    break_kernel(machine, fault)
    machine.wait("end trace")
    machine.watch(1)
    return power_off(machine)


@scenario("kernel-warning", "busybox-faults")
def kernel_warning(folder):
    """Warns by `WARN` in a module that is not of Debian, goes on, and is powered off."""
    return survive(small(folder), "warning")


@scenario("kernel-refcount", "busybox-faults")
def kernel_refcount(folder):
    """Counts references to something that is gone, goes on, and is powered off."""
    return survive(small(folder), "refcount")


@scenario("kernel-bug", "busybox-faults")
def kernel_bug(folder):
    """Meets `BUG` in a module, which ends the program that loads it, goes on, and is powered off."""
    return survive(small(folder), "bug")


@scenario("kernel-divide", "busybox-faults")
def kernel_divide(folder):
    """Divides by zero in a module, which ends the program that loads it, goes on, and is powered off."""
    return survive(small(folder), "divide")


@scenario("kernel-null", "busybox-faults")
def kernel_null(folder):
    """Writes to a null pointer in a module with `oops=panic panic=2`, restarts by itself, and is powered off."""
    machine = small(folder, "oops=panic panic=2")
    machine.log_in()
    end_by(machine, "insmod /lib/faults.ko fault=null", "panic", "reboot")
    machine.wait_reset()
    return clean(machine)


@scenario("kernel-protection", "busybox-faults")
def kernel_protection(folder):
    """Writes to an address that cannot be in a module with `oops=panic`, and stays in its panic."""
    machine = small(folder, "oops=panic")
    break_kernel(machine, "protection")
    return stay(machine, "panic", "insmod /lib/faults.ko fault=protection", "login", "end Kernel panic")


@scenario("kernel-soft-lockup", "busybox-faults")
def kernel_soft_lockup(folder):
    """Does not leave a module for 30 s; the watchdog of soft lockups reports it; it goes on, and is powered off."""
    machine = small(folder, "watchdog_thresh=5 rcupdate.rcu_cpu_stall_timeout=60")
    break_kernel(machine, "spin")
    machine.wait("soft lockup", 120)
    machine.wait("# ", 300)
    return power_off(machine)


@scenario("kernel-stack", "busybox-faults")
def kernel_stack(folder):
    """Calls itself in a module until the stack is full, and stays in its panic."""
    machine = small(folder)
    break_kernel(machine, "stack")
    return stay(machine, "panic", "insmod /lib/faults.ko fault=stack", "login", "end Kernel panic")


@scenario("kernel-rcu-stall", "busybox-faults")
def kernel_rcu_stall(folder):
    """Reads by RCU in a module for 30 s, while somebody waits; the kernel reports a stall, goes on, and is powered off."""
    machine = small(folder, "preempt=full rcupdate.rcu_cpu_stall_timeout=5")
    break_kernel(machine, "read")
    machine.wait("detected stalls", 120)
    machine.wait("# ", 300)
    return power_off(machine)


# What a machine says that waits for a person. Debian locks root's account, or asks for its password; here
# root has none.
MAINTENANCE = "(Press Enter|Control-D|for maintenance|Exit the shell)"


@scenario("emergency", "bookworm")
def emergency(folder):
    """Mounts a disk by fstab that is not there; systemd waits for it with a spinner, and starts emergency mode."""
    fstab = "/dev/vda / ext4 errors=remount-ro 0 1\n/dev/vdz1 /srv ext4 defaults,x-systemd.device-timeout=30 0 2\n"
    with changed(folder, {"/etc/fstab": fstab}) as copy:
        return stay(boot(copy), "emergency", "fstab names a disk that is not there", "init", MAINTENANCE)


@scenario("rescue", "bookworm")
def rescue(folder):
    """Boots into rescue mode by `systemd.unit=rescue.target`."""
    machine = boot(folder, "systemd.unit=rescue.target")
    return stay(machine, "emergency", "systemd.unit=rescue.target", "init", MAINTENANCE)


SLOW = """[Unit]
Description=Slow start
Before=serial-getty@ttyS0.service
[Service]
Type=oneshot
ExecStart=/bin/sleep 90
"""
FAILS = """[Unit]
Description=Web application
[Service]
Type=oneshot
ExecStart=/bin/false
"""


@scenario("slow-boot", "bookworm")
def slow_boot(folder):
    """Waits 90 s for a unit, with a spinner, shows a unit that failed, then its login prompt, and is powered off."""
    units = "/etc/systemd/system"
    files = {f"{units}/slow.service": SLOW, f"{units}/web.service": FAILS}
    wants = [f"symlink {units}/multi-user.target.wants/{name} ../{name}" for name in ("slow.service", "web.service")]
    with changed(folder, files, wants) as copy:
        return clean(boot(copy))


@scenario("fsck-wants-a-person", "bookworm")
def fsck_wants_a_person(folder):
    """Finds its file system so inconsistent that a person has to answer: emergency mode."""
    with changed(folder, commands=["unlink /etc/apt", "ssv state 2"]) as copy:
        by = "a directory of the root file system is in no directory"
        return stay(boot(copy), "emergency", by, "init", MAINTENANCE)


@scenario("disk-full", "bookworm")
def disk_full(folder):
    """Boots with a root file system that has no free block, and is powered off."""
    statistics = subprocess.run(["dumpe2fs", "-h", folder / "disk"], text=True, check=True, capture_output=True)
    free = int(re.search(r"Free blocks: +(\d+)", statistics.stdout)[1])
    # The file's own table of blocks needs some, too.
    with changed(folder, {"/filler": ""}, [f"fallocate /filler 0 {free - 8}"]) as copy:
        return clean(boot(copy))


@scenario("hung-task", "bookworm")
def hung_task(folder):
    """Freezes its file system under a program that writes; the kernel reports a hung task; the reset button ends it."""
    machine = boot(folder)
    machine.log_in()
    machine.run("echo 10 > /proc/sys/kernel/hung_task_timeout_secs")
    machine.run("(sleep 1; fsfreeze --freeze /; touch /frozen) &")
    machine.wait("blocked for more than")
    machine.watch(20)
    machine.will_end("silence", "reboot", "reset button", "login")
    machine.reset()
    return clean(machine)


@scenario("memory-limit", "bookworm")
def memory_limit(folder):
    """Runs a program past the memory limit of its unit; the kernel ends it, and the machine goes on until it is off."""
    machine = boot(folder)
    machine.log_in()
    machine.run("systemd-run --wait --property=MemoryMax=20M tail /dev/zero")
    return power_off(machine)


@scenario("watchdog-reset", "trixie-sysvinit")
def watchdog_reset(folder):
    """Is reset by a watchdog that a program starts and does not serve, and is powered off."""
    machine = boot(folder, devices=["-device", "i6300esb"])
    machine.log_in()
    machine.run("modprobe i6300esb heartbeat=10")
    end_by(machine, "echo > /dev/watchdog", "silence", "reboot")
    machine.wait_reset()
    return clean(machine)


NO_ROOT = "root=UUID=0a1b2c3d-0000-4000-8000-00000000feed ro"


@scenario("initramfs-shell", "bookworm")
def initramfs_shell(folder):
    """Waits for a root that is not there, and ends at the shell of initramfs-tools."""
    machine = Machine(kernel(folder, NO_ROOT, "rootdelay=10"), kernel=version(folder))
    by = "root= names a file system that is not there"
    return stay(machine, "emergency", by, "initramfs", r"\(initramfs\)")


@scenario("dracut-shell", "trixie-dracut")
def dracut_shell(folder):
    """Waits for a root that is not there, and ends at the emergency shell of dracut."""
    machine = Machine(kernel(folder, NO_ROOT, "rd.timeout=20"), kernel=version(folder), memory="1G")
    by = "root= names a file system that is not there"
    return stay(machine, "emergency", by, "initramfs", MAINTENANCE)


@scenario("lvm-no-root", "bookworm-crypt")
def lvm_no_root(folder):
    """Names a root on a volume group that is not there, and ends at the shell of initramfs-tools."""
    machine = Machine(kernel(folder, "root=/dev/mapper/vg0-root ro", "rootdelay=10"), kernel=version(folder))
    by = "root= names a volume group that is not there"
    return stay(machine, "emergency", by, "initramfs", r"\(initramfs\)")


@scenario("luks-asks", "bookworm-crypt")
def luks_asks(folder):
    """Asks for the passphrase of a disk, and nobody answers until the reset button; then somebody does, up to the end."""
    machine = boot(folder, devices=drive(folder / "luks"))
    machine.wait("enter passphrase", 1800)
    machine.will_end("emergency", "reboot", "crypttab names a disk whose passphrase nobody enters", "init")
    machine.watch(20)
    machine.reset()
    machine.wait("enter passphrase", 1800)
    machine.type("password\n", "the passphrase")
    return clean(machine)


@scenario("trixie-dracut-clean", "trixie-dracut")
def trixie_dracut_clean(folder):
    """Boots Debian 13 with dracut and systemd to the login prompt, and powers it off."""
    return clean(boot(folder, memory="1G"))


@scenario("sid-runit-clean", "sid-runit")
def sid_runit_clean(folder):
    """Boots Debian sid with runit to the login prompt, and powers it off."""
    return clean(boot(folder))


@scenario("cloud-init-clean", "bookworm-cloud-init")
def cloud_init_clean(folder):
    """Boots with cloud-init, whose data source is on the kernel's command line, to the login prompt, and powers it off."""
    return clean(boot(folder, "ds=nocloud", memory="1G"))


@scenario("cloud-init-no-metadata", "bookworm-cloud-init")
def cloud_init_no_metadata(folder):
    """Boots as on Alibaba Cloud, where no metadata server answers cloud-init, to the login prompt, and powers it off."""
    cloud = ["-smbios", "type=1,manufacturer=Alibaba Cloud,product=Alibaba Cloud ECS"]
    return clean(boot(folder, memory="1G", devices=[*NETWORK, *cloud]))


MENU = """serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial
set timeout=5
menuentry "Linux" {{
    linux /boot/vmlinuz {line}
    initrd /boot/initrd
}}
menuentry "Linux (old kernel)" {{
    linux /boot/vmlinuz-gone {line}
    initrd /boot/initrd
}}
"""


@scenario("grub-menu", "busybox")
def grub_menu(folder):
    """GRUB counts down its menu and boots; the second time a person moves in the menu, and edits the entry."""
    with compact_disc(folder, MENU.format(line=CONSOLE)) as disc:
        machine = Machine(disc, kernel=version(folder))
        reboot(machine)
        machine.wait("GNU GRUB")
        machine.wait("automatically")
        machine.type("\x1b[B\x1b[A", "arrow keys")
        machine.type("e", "e: edit the entry")
        machine.wait("Ctrl-x")
        machine.watch(3)
        machine.type("\x1b[B\x1b[B\x05 panic=7", "two lines down, to the end, ' panic=7'")
        machine.type("\x18", "Ctrl-X: boot")
        return clean(machine)


@scenario("grub-missing-file", "busybox")
def grub_missing_file(folder):
    """GRUB does not find the kernel of its entry, and goes back to its menu."""
    with compact_disc(folder, "set default=1\n" + MENU.format(line=CONSOLE)) as disc:
        by = "the entry names a kernel that is not there"
        return stay(Machine(disc), "emergency", by, "boot-loader", "Press any key to continue", 20)


@scenario("uefi-grub", "busybox")
def uefi_grub(folder):
    """UEFI firmware starts GRUB, which boots; two boots, then off."""
    with compact_disc(folder, MENU.format(line=CONSOLE)) as disc:
        machine = Machine([*disc, *UEFI], kernel=version(folder))
        reboot(machine)
        return clean(machine)


@scenario("uefi-no-bootable-device", "busybox")
def uefi_no_bootable_device(folder):
    """UEFI firmware finds nothing to boot, tries the network, and ends at its shell or menu."""
    machine = Machine([*UEFI, *NETWORK], memory="256M")
    by = "no disk, and no server on the network"
    return stay(machine, "emergency", by, "firmware", "Shell> |No bootable option", 10)


@scenario("no-bootable-device", "busybox")
def no_bootable_device(folder):
    """SeaBIOS finds nothing to boot, iPXE finds no server, and the machine waits."""
    machine = Machine(NETWORK, memory="128M")
    by = "no disk, and no server on the network"
    return stay(machine, "emergency", by, "firmware", "No bootable device", 10)
