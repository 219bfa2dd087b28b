#!/bin/bash
# Builds the disk of one machine that is recorded: image.sh NAME FOLDER
#
# FOLDER/NAME gets the root file system's image (`disk`), its kernel (`vmlinuz`), its initramfs
# (`initrd`) and the versions of the packages that matter (`packages`). Everything comes from Debian's
# packages; mmdebstrap needs root's rights.
set -euo pipefail

name=$1
folder=$2/$1
options=()
common=udev,kmod,procps,iproute2,e2fsprogs,util-linux,login,kexec-tools

case $name in
bookworm) # systemd, initramfs-tools, the kernel for clouds, a crash kernel
    suite=bookworm kernel=linux-image-cloud-amd64 include=systemd-sysv,dbus,initramfs-tools,makedumpfile
    ;;
bookworm-cloud-init)
    suite=bookworm kernel=linux-image-cloud-amd64
    include=systemd-sysv,dbus,initramfs-tools,cloud-init,openssh-server,netplan.io
    ;;
bookworm-openrc)
    suite=bookworm kernel=linux-image-cloud-amd64 include=sysvinit-core,openrc,initramfs-tools
    ;;
bookworm-crypt) # also has a second disk, which is encrypted
    suite=bookworm kernel=linux-image-cloud-amd64
    include=systemd-sysv,dbus,initramfs-tools,cryptsetup,lvm2
    ;;
trixie-dracut)
    suite=trixie kernel=linux-image-amd64 include=systemd-sysv,dbus,dracut
    ;;
trixie-sysvinit)
    suite=trixie kernel=linux-image-rt-amd64 include=sysvinit-core,initramfs-tools
    ;;
sid-runit)
    options=(--aptopt='Acquire::Check-Valid-Until "false"') # A mirror's list of sid may be weeks old.
    suite=sid kernel=linux-image-cloud-amd64 include=runit-init,runit,getty-run,initramfs-tools
    ;;
busybox) # has no disk: everything is in the initramfs, with a kernel for kexec
    suite=trixie kernel=linux-image-cloud-amd64 include=busybox-static
    ;;
busybox-faults) # also has a module that breaks its kernel
    suite=trixie kernel=linux-image-cloud-amd64 include=busybox-static,linux-headers-cloud-amd64,make
    ;;
*)
    echo "$0: no image is called $name" >&2
    exit 2
    ;;
esac

# What mmdebstrap mounted, and left behind when it was killed, is not deleted.
rm -rf --one-file-system "$folder"
mkdir -p "$folder"
root=$folder/root

# A machine of nobody: a fixed name and machine ID, and root without a password.
cat > "$folder/customize" <<'SETUP'
#!/bin/bash
set -euo pipefail
root=$1
echo machine > "$root/etc/hostname"
echo '127.0.0.1 localhost machine' > "$root/etc/hosts"
[ ! -e "$root/etc/machine-id" ] || echo 0123456789abcdef0123456789abcdef > "$root/etc/machine-id"
echo '/dev/vda / ext4 errors=remount-ro 0 1' > "$root/etc/fstab"
chroot "$root" passwd --delete root
if [ -e "$root/etc/inittab" ]; then
    # The console is the first serial port, as on a machine in a cloud.
    sed -i -e '/^[1-6]:.*getty/d' "$root/etc/inittab"
    echo 'T0:23:respawn:/sbin/getty -L ttyS0 115200 vt100' >> "$root/etc/inittab"
fi
if [ -d "$root/etc/sv/getty-ttyS0" ]; then
    # The folder of services is an absolute link.
    chroot "$root" ln -sf /etc/sv/getty-ttyS0 /etc/service/getty-ttyS0
fi
if [ -x "$root/sbin/cryptsetup" ]; then
    echo 'data /dev/vdb none luks' > "$root/etc/crypttab"
fi
# No files of the machine that built this one.
rm -f "$root/etc/resolv.conf" "$root"/var/cache/apt/archives/*.deb
rm -rf "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}/*
SETUP
chmod +x "$folder/customize"

mmdebstrap --quiet --variant=minbase --include="$common,$kernel,$include" \
    --aptopt='Acquire::Languages "none"' "${options[@]}" \
    --customize-hook="$folder/customize" "$suite" "$root"

cp "$root"/boot/vmlinuz-* "$folder/vmlinuz"
basename "$root"/boot/vmlinuz-* | sed 's/^vmlinuz-//' > "$folder/kernel"
dpkg-query --admindir="$root/var/lib/dpkg" --show --showformat='${Package} ${Version}\n' 'linux-image-*-*' \
    systemd sysvinit-core openrc runit-init busybox-static initramfs-tools dracut kexec-tools makedumpfile \
    cloud-init 2> /dev/null > "$folder/packages" || true
if [[ "$include" = busybox-static* ]]; then
    "$(dirname "$0")/busybox.sh" "$root" "$folder"
    touch "$folder/disk"
else
    cp "$root"/boot/initrd.img-* "$folder/initrd"
    size=$(du --summarize --block-size=1M "$root" | cut -f 1)
    truncate --size="$((size + 300))M" "$folder/disk"
    mke2fs -q -t ext4 -L root -d "$root" "$folder/disk"
fi
if [ "$name" = bookworm-crypt ]; then
    truncate --size=32M "$root/tmp/luks"
    # A passphrase is quick to check by an emulated processor only if it is derived in few rounds.
    echo -n password | chroot "$root" cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 \
        --pbkdf-force-iterations 1000 --key-file - /tmp/luks
    mv "$root/tmp/luks" "$folder/luks"
fi
rm -rf --one-file-system "$root" "$folder/customize"
