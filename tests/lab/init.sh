#!/bin/busybox sh
# The first process of the lab's machine: what a host's system manager has done before a service starts.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp RUST_BACKTRACE=1
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t cgroup2 none /sys/fs/cgroup
for module in irqbypass kvm kvm-amd; do insmod /lab/$module.ko; done
chmod 666 /dev/kvm
echo root:x:0:0::/:/bin/sh >/etc/passwd
echo lab:x:1000:1000::/tmp:/bin/sh >>/etc/passwd

# Controllers are on down to the program's cgroup and not in it, as by `Delegate=`.
. /lab/settings
controllers=
for one in $delegate; do controllers="$controllers +$one"; done
own=/sys/fs/cgroup
[ "$cgroup" = / ] && echo $controllers >$own/cgroup.subtree_control
for step in $(echo $cgroup | tr / ' '); do
    echo $controllers >$own/cgroup.subtree_control
    own=$own/$step
    mkdir $own
done
# As `User=` has it, with the files that the kernel says are to be handed over.
chown $user $own
for file in $(cat /sys/kernel/cgroup/delegate); do
    [ -e $own/$file ] && chown $user $own/$file
done
before=$(cat $own/cgroup.subtree_control)

echo "lab: $(uname -r), $(nproc) CPUs, $user in $own"
cd /tmp
(echo 0 >$own/cgroup.procs && exec su -c /lab/command $user)
code=$?

after=$(cat $own/cgroup.subtree_control)
[ "$before" = "$after" ] || { echo "lab: on in $own: '$after' instead of '$before'"; code=1; }
for left in $own/pinfold-*; do
    [ -d "$left" ] && { echo "lab: $left is left"; code=1; }
done
echo "lab: exit $code"
poweroff -f
