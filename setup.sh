#!/bin/bash
# setup.sh run    install what is missing, build release, run configs/quickstart.yaml
# setup.sh test   the same installation, build everything, then every test
# setup.sh build  the same installation, builds what is for use: program, Python package, man pages
# Made for Debian 12. Works from any folder, as root or with sudo, and does nothing twice.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

PACKAGES=(
  g++ cmake ninja-build                                                   # toolchain
  libboost-program-options-dev libfmt-dev libyaml-cpp-dev libzstd-dev     # program
  nlohmann-json3-dev robin-map-dev
  zlib1g-dev liblzma-dev libbz2-dev libminizip-dev                        # packed traces
  valgrind                                                                # collapsar capture
  libgtest-dev libgmock-dev libbenchmark-dev                              # tests and benchmark
  help2man                                                                # man pages
  pybind11-dev python3-dev python3-numpy python3-pandas python3-pytest    # Python package and its tests
  python3-matplotlib python3-dask python3-distributed                     # plots; sweeps on a cluster
)
TEST_PACKAGES=(
  chromium                                                                # looks at report.html, headless
  zsh                                                                     # completes commands
  qemu-user linux-perf                                                    # capture programs another way
)

fail() { echo "setup.sh: $*" >&2; exit 1; }

missing_packages() {
  local package
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
  done
}

install_packages() {
  command -v dpkg-query >/dev/null || fail "no dpkg here; this needs Debian 12 or a close relative. Wanted: $*"
  local missing as_root=()
  mapfile -t missing < <(missing_packages "$@")
  if ((${#missing[@]} == 0)); then return; fi
  if ((EUID != 0)); then
    command -v sudo >/dev/null || fail "to be installed by root first: apt-get install -y ${missing[*]}"
    as_root=(sudo)
  fi
  echo "setup.sh: installing ${missing[*]}"
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
}

# Configures only where nothing is configured yet: the build itself notices changed CMake files.
build() {
  [[ -f build/release/build.ninja ]] || cmake --preset release
  cmake --build --preset release "$@"
}

usage() {
  sed -n '2,5s/^# //p' "${BASH_SOURCE[0]##*/}"
  exit "$1"
}

case "${1:-}" in
  run)
    install_packages "${PACKAGES[@]}"
    build --target collapsar
    exec build/release/collapsar run configs/quickstart.yaml "${@:2}"
    ;;
  test)
    install_packages "${PACKAGES[@]}" "${TEST_PACKAGES[@]}"
    build
    exec ctest --preset release "${@:2}"
    ;;
  build)
    install_packages "${PACKAGES[@]}"
    build --target collapsar collapsar_python collapsar_python_files man
    ;;
  -h | --help) usage 0 ;;
  *) usage 2 >&2 ;;
esac
