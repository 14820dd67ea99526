#!/usr/bin/env bash
# Make sure the system has what tvm-tinyml runs: QEMU, cross compilers with their C libraries, clang, Python.
#
# Looks for programs rather than packages, so tools installed by hand count too. On Debian and Ubuntu the missing
# ones are installed with apt-get, through sudo when needed. Anywhere else, or without the right to install, prints
# what to install and exits with 1. When nothing is missing it changes nothing and needs no network.
# TINYML_OS_RELEASE may name another file than /etc/os-release.
set -euo pipefail
export LC_ALL=C  # apt-cache's answers are read below

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { echo "setup: $*"; }

stop() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# A gcc prints the full path of a file it can find, and only the name of one it cannot.
ships() { [[ $("$1" -print-file-name="$2" 2>/dev/null) == /* ]]; }

candidate() { apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: *\([0-9].*\)/\1/p'; }

offers() { [[ -n $(candidate "$1") ]]; }

# clang-19 is the tested one; the newest that is there counts only where the distribution has no 19.
llvm_versions=(19 {30..20} {18..14})

have_llvm() {
    local version
    if have clang-19 && have ld.lld-19 && have llvm-mca-19; then return 0; fi
    if offers clang-19; then return 1; fi
    for version in "${llvm_versions[@]}"; do
        if have "clang-$version" && have "ld.lld-$version" && have "llvm-mca-$version"; then return 0; fi
    done
    have clang && have ld.lld && have llvm-mca
}

llvm_packages() {
    local version
    for version in "${llvm_versions[@]}"; do
        if offers "clang-$version" && offers "lld-$version" && offers "llvm-$version"; then break; fi
        version=19
    done
    echo "clang-$version lld-$version llvm-$version"
}

# From Debian 13 and Ubuntu 25.04 on, the RISC-V emulators have a package of their own.
qemu_riscv_package() { if offers qemu-system-riscv; then echo qemu-system-riscv; else echo qemu-system-misc; fi; }

have_python() { [[ -x $root/.venv/bin/python ]] || "$root/tools/find_python.sh" >/dev/null; }

# python3-venv belongs to the distribution's default Python, which may be too new or too old.
python_package() {
    local version default
    default=$(candidate python3)
    if [[ -z $default || $default == 3.1[0-2].* ]]; then
        echo python3-venv
        return
    fi
    for version in 3.12 3.11 3.10; do
        if offers "python$version-venv"; then break; fi
        version=3.12
    done
    echo "python$version-venv"
}

missing_packages() {
    have qemu-system-arm || echo qemu-system-arm
    have qemu-system-riscv32 || qemu_riscv_package
    have arm-none-eabi-gcc || echo gcc-arm-none-eabi
    ships arm-none-eabi-gcc libc.a || echo libnewlib-arm-none-eabi
    have riscv64-unknown-elf-gcc || echo gcc-riscv64-unknown-elf
    ships riscv64-unknown-elf-gcc picolibc.specs || echo picolibc-riscv64-unknown-elf
    have_llvm || llvm_packages
    have gcc || echo gcc
    ships gcc libc.so || echo libc6-dev
    have make || echo make
    have cmake || echo cmake
    have_python || python_package
}

# The missing packages as an array, and as text for messages.
look_again() {
    read -ra packages <<<"$(missing_packages | tr '\n' ' ')"
    listed=${packages[*]}
}

look_again
[[ -n $listed ]] || exit 0

os_release=${TINYML_OS_RELEASE:-/etc/os-release}
# shellcheck source=/dev/null
system=$([[ -r $os_release ]] && . "$os_release" && echo "${ID:-} ${ID_LIKE:-}" || echo unknown)
if ! [[ " $system " == *" debian "* || " $system " == *" ubuntu "* ]] || ! have apt-get; then
    stop "this is neither Debian nor Ubuntu (${system% }), so nothing was installed." \
        "Install the equivalents of these Debian packages, then run make again:" \
        "    $listed" \
        "Python must be 3.10, 3.11 or 3.12; clang 19 is the tested one."
fi

if [[ $(id -u) == 0 ]]; then
    as_root=()
elif have sudo && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; then
    as_root=(sudo)
else
    stop "system packages are missing and neither root nor sudo is available. Have an administrator run:" \
        "    apt-get update && apt-get install --no-install-recommends $listed" \
        "then run make again."
fi

say "missing: $listed"
say "running: ${as_root[*]:+${as_root[*]} }apt-get update"
"${as_root[@]}" apt-get update -q || stop "apt-get update failed; see above."

# A fresh machine has no package lists, so which versions there are is known only now.
look_again
for package in "${packages[@]}"; do
    offers "$package" || stop "this release offers no package $package (or its component is not enabled)." \
        "Install it by other means, so that its programs are on PATH, and run make again." \
        "Python must be 3.10, 3.11 or 3.12; all that is missing: $listed"
done
install=(apt-get install -y -q --no-install-recommends "${packages[@]}")
say "running: ${as_root[*]:+${as_root[*]} }${install[*]}"
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "${install[@]}" || stop "apt-get failed; see above."

look_again
[[ -z $listed ]] || stop "still missing after the installation: $listed"
say "system packages are complete"
