#!/usr/bin/env bash
# Run a program on a stock kernel with cgroup v2 and hardware-style KVM, in an emulated machine (README.md).
#
#   tests/lab/run.sh PROGRAM [ARGUMENT…]
#
#   LAB_FILES    further programs, each at the path that it has here, separated by blanks
#   LAB_CGROUP   the cgroup that it runs in (/system.slice/pinfold.service); / is the root of the hierarchy
#   LAB_USER     whom the cgroup is handed to and who runs it: root, or lab, who is not
#   LAB_DELEGATE controllers that its cgroup can have (cpu memory pids)
#   LAB_SECONDS  the most that all of it may take (300)
#   LAB_DIR      where kernel and initramfs are kept (target/lab)
#
# Exits with the program's code, with 1 where it left anything in its cgroup, with 124 past the time.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
dir=${LAB_DIR:-$here/../../target/lab}
program=$(realpath "$1")
shift

for tool in qemu-system-x86_64 cpio dpkg apt-get; do
    command -v "$tool" >/dev/null || {
        echo "run.sh: there is no $tool (apt-get install qemu-system-x86 cpio)" >&2
        exit 2
    }
done

# The kernel and the shell: the distribution's, unpacked and not installed.
mkdir -p "$dir/packages"
cd "$dir"
if ! ls packages/boot/vmlinuz-* >/dev/null 2>&1; then
    kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/ *Depends: //p' | head -1)
    (cd packages && apt-get -q download "$kernel" busybox-static && for deb in *.deb; do dpkg -x "$deb" .; done)
fi
vmlinuz=$(echo packages/boot/vmlinuz-*)
modules=packages/lib/modules/${vmlinuz#*/vmlinuz-}/kernel

# Programs stand where they stand here: tests have the path of what they start built in. Debug information does not go along.
root=$(mktemp -d "$dir/root.XXXXXX")
trap 'rm -rf "$root" "$root.gz"' EXIT
chmod 755 "$root"
mkdir -p "$root"/{bin,dev,etc,lab,proc,run,sys,tmp}
chmod 1777 "$root/tmp"
install packages/bin/busybox "$root/bin/busybox"
for file in "$program" ${LAB_FILES:-}; do
    mkdir -p "$root$(dirname "$file")"
    strip -o "$root$file" "$file" 2>/dev/null || install "$file" "$root$file"
done
for module in virt/lib/irqbypass arch/x86/kvm/kvm arch/x86/kvm/kvm-amd; do
    cp "$modules/$module.ko" "$root/lab/"
done
{
    echo "cgroup=${LAB_CGROUP:-/system.slice/pinfold.service}"
    echo "user=${LAB_USER:-root}"
    echo "delegate='${LAB_DELEGATE:-cpu memory pids}'"
} >"$root/lab/settings"
{
    echo "#!/bin/sh"
    printf 'exec'
    printf ' %q' "$program" "$@"
} >"$root/lab/command"
chmod 755 "$root/lab/command"
install "$here/init.sh" "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) >"$root.gz"

# The last line of ours on the serial line is the program's code. Features that the emulator leaves out are no news.
code=0
timeout --kill-after=5 "${LAB_SECONDS:-300}" qemu-system-x86_64 \
    -accel tcg,thread=multi -cpu EPYC -M q35 -smp 2 -m 2048 -nographic -no-reboot -nic none \
    -kernel "$vmlinuz" -initrd "$root.gz" -append "console=ttyS0 panic=-1 quiet" \
    </dev/null 2> >(grep -v "TCG doesn't support" >&2) | tr -d '\r' | tee "$dir/last.log" || code=$?
[ "$code" = 0 ] || exit "$code"
exit "$(sed -n 's/^lab: exit //p' "$dir/last.log" | grep . || echo 3)"
