#!/bin/bash
# Makes an initramfs of BusyBox and kexec: busybox.sh ROOT FOLDER
#
# ROOT is a Debian with both. FOLDER gets `initrd`, which holds a kernel and a second initramfs, so that
# kexec has something to start.
set -euo pipefail

root=$1
folder=$2
tree=$folder/tree
mkdir -p "$tree"/{bin,sbin,dev,proc,sys,etc,root,tmp,boot,lib64,lib/x86_64-linux-gnu}
cp "$root/bin/busybox" "$tree/bin/busybox"
for program in $(chroot "$root" /bin/busybox --list); do
    [ "$program" = busybox ] || ln -sf busybox "$tree/bin/$program"
done
cp "$root/sbin/kexec" "$tree/sbin/kexec"
chroot "$root" ldd /sbin/kexec | grep -o '/[^ ]*' | while read -r library; do
    cp -L "$root$library" "$tree/$(dirname "$library")/"
done
ln -sf bin/busybox "$tree/init"
echo 'root::0:0:root:/root:/bin/sh' > "$tree/etc/passwd"
echo 'root:x:0:' > "$tree/etc/group"
echo machine > "$tree/etc/hostname"
cat > "$tree/etc/inittab" <<'INITTAB'
::sysinit:/etc/rc
ttyS0::respawn:/bin/getty -L ttyS0 115200 vt100
::ctrlaltdel:/bin/reboot
::shutdown:/bin/umount -a -r
INITTAB
cat > "$tree/etc/rc" <<'RC'
#!/bin/sh
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
hostname -F /etc/hostname
# A crash kernel saves the memory of the one that crashed, and restarts the machine.
if [ -e /proc/vmcore ]; then
    echo "kdump: reading $(stat -c %s /proc/vmcore) bytes of /proc/vmcore"
    head -c 1000000 /proc/vmcore > /tmp/vmcore && echo 'kdump: saved vmcore'
    reboot -f
fi
echo 'rc: system is up'
RC
chmod +x "$tree/etc/rc"

if [ -e "$root/usr/bin/make" ]; then
    cp -r "$(dirname "$0")/faults" "$root/tmp/faults"
    chroot "$root" make --silent -C "/lib/modules/$(cat "$folder/kernel")/build" M=/tmp/faults modules
    cp "$root/tmp/faults/faults.ko" "$tree/lib/faults.ko"
fi

pack() {
    (cd "$tree" && find . | sort | cpio --quiet --create --format=newc --owner=+0:+0 | gzip -9)
}
pack > "$folder/small"
cp "$folder/vmlinuz" "$tree/boot/vmlinuz"
mv "$folder/small" "$tree/boot/initrd"
pack > "$folder/initrd"
rm -rf "$tree"
