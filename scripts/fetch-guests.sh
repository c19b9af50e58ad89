#!/usr/bin/env bash
# Prepares .cache/guests: Debian's cloud kernel (vmlinuz, vmlinux), its full kernel (vmlinuz-full), an initramfs with busybox, and one for
# each kernel that has the modules for disks too. Needs apt-get and dpkg-deb, not root.
set -eu
cd "$(dirname "$0")/.."
out=.cache/guests
mkdir -p "$out"

# fetch_kernel META-PACKAGE FILE
fetch_kernel() {
  [ ! -e "$out/$2" ] || return 0
  work=$(mktemp -d)
  package=$(apt-cache depends "$1" | awk '/Depends: linux-image-[0-9]/ { print $2; exit }')
  [ -n "$package" ] || { echo "no $1 in the package lists (run apt-get update)"; exit 1; }
  (cd "$work" && apt-get download "$package" && dpkg-deb -x ./*.deb root)
  cp "$work"/root/boot/vmlinuz-* "$out/$2"
  rm -rf "$work"
}
fetch_kernel linux-image-cloud-amd64 vmlinuz
fetch_kernel linux-image-amd64 vmlinuz-full

if [ ! -e "$out/busybox" ]; then
  if [ -x /bin/busybox ]; then
    cp /bin/busybox "$out/busybox"
  else
    work2=$(mktemp -d)
    (cd "$work2" && apt-get download busybox-static && dpkg-deb -x ./*.deb root)
    cp "$work2"/root/bin/busybox "$out/busybox"
    rm -rf "$work2"
  fi
fi

node -r ts-node/register scripts/make-initramfs.ts "$out/busybox" "$out/initramfs.cpio.gz"

# fetch_modules META-PACKAGE FILE MODULE...
fetch_modules() {
  package=$(apt-cache depends "$1" | awk '/Depends: linux-image-[0-9]/ { print $2; exit }')
  file=$2
  shift 2
  [ ! -e "$out/$file" ] || return 0
  work=$(mktemp -d)
  (cd "$work" && apt-get download "$package" && dpkg-deb -x ./*.deb root)
  node -r ts-node/register scripts/make-initramfs.ts "$out/busybox" "$out/$file" "$work/root/lib/modules" "$@"
  rm -rf "$work"
}
fetch_modules linux-image-cloud-amd64 initramfs-disks.cpio.gz virtio_pci virtio_blk virtio_console virtio_rng
fetch_modules linux-image-amd64 initramfs-disks-full.cpio.gz virtio_pci virtio_blk virtio_console virtio_rng crc32c_generic nvme ext4
[ -e "$out/vmlinux" ] || node -r ts-node/register scripts/extract-vmlinux.ts "$out/vmlinuz" "$out/vmlinux"
ls -l "$out"
