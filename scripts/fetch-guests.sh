#!/usr/bin/env bash
# Prepares .cache/guests: Debian's cloud kernel (vmlinuz, vmlinux), its full kernel (vmlinuz-full) and an initramfs with busybox. Needs apt-get and dpkg-deb, not root.
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
[ -e "$out/vmlinux" ] || node -r ts-node/register scripts/extract-vmlinux.ts "$out/vmlinuz" "$out/vmlinux"
ls -l "$out"
