# Shared by the scripts: what is needed, where things are built, ports. Sourced, not run.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Said to cargo too, whose own settings may name another folder.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
target=$CARGO_TARGET_DIR
holdfast=$target/release/holdfast
chaos=$target/release/holdfast-chaos

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "installing packages needs root: run '$*' yourself, then start again"
  fi
}

# need PROGRAM=PACKAGE...: installs the Debian packages of missing programs. A path instead of a program is tested as a file.
need() {
  local pair missing=()
  for pair in "$@"; do
    case ${pair%%=*} in
      /*) compgen -G "${pair%%=*}" >/dev/null || missing+=("${pair#*=}") ;;
      *) command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}") ;;
    esac
  done
  [ ${#missing[@]} = 0 ] && return
  command -v apt-get >/dev/null || die "please install: ${missing[*]} (only Debian's apt-get is automated)"
  say "installing ${missing[*]}"
  as_root apt-get -qq update
  # Debian starts a service that it installs; a redis-server on port 6379 is not wanted here.
  local guard=/usr/sbin/policy-rc.d made=
  if [ ! -e $guard ]; then made=1; printf '#!/bin/sh\nexit 101\n' | as_root tee $guard >/dev/null; as_root chmod +x $guard; fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null ||
    { [ -z "$made" ] || as_root rm -f $guard; die "apt-get could not install ${missing[*]}"; }
  [ -z "$made" ] || as_root rm -f $guard
}

need_to_build() {
  command -v cargo >/dev/null || die "Rust is missing: install it with rustup (https://rustup.rs), then start again"
  need cc=build-essential clang=clang '/usr/lib/llvm-*/lib/libclang*.so*=libclang-dev' protoc=protobuf-compiler
}

need_redis() { need redis-server=redis-server redis-cli=redis-tools redis-benchmark=redis-tools; }

# The server as the sources are now: nothing is done when it is, and one of yesterday is never tested by mistake.
# HOLDFAST_SKIP_BUILD takes what is there.
need_server() {
  if [ -z "${HOLDFAST_SKIP_BUILD:-}" ]; then
    need_to_build
    build
  fi
  [ -x "$holdfast" ] || die "$holdfast is missing: start again without HOLDFAST_SKIP_BUILD"
}

# What chaos/ needs: both programs, and, where packages can be installed, the tools of its faults. What is missing in the
# end it finds out itself and says. HOLDFAST_REVISION tells it what the server was built from.
need_chaos() {
  if [ "$(id -u)" = 0 ] || command -v sudo >/dev/null; then
    need ip=iproute2 nft=nftables strace=strace mkfs.ext4=e2fsprogs mount=mount cc=build-essential
  fi
  need_server
  if [ -z "${HOLDFAST_SKIP_BUILD:-}" ]; then
    cargo build --release --locked --quiet -p holdfast-chaos
    HOLDFAST_REVISION=$(git describe --always --dirty 2>/dev/null || :)
    export HOLDFAST_REVISION
  fi
  [ -x "$chaos" ] || die "$chaos is missing: start again without HOLDFAST_SKIP_BUILD"
}

# with_progress COMMAND...: runs a build and says every 30 s that it lives, unless a terminal shows cargo's own bar.
with_progress() {
  if [ -t 2 ]; then "$@"; return; fi
  "$@" &
  local pid=$! begun=$SECONDS said=$SECONDS
  while kill -0 $pid 2>/dev/null; do
    read -rt 1 <> <(:) || :
    if ((SECONDS - said >= 30)); then
      said=$SECONDS
      local objects
      objects=$({ find "$target"/release/build/librocksdb-sys-* -name "*.o" 2>/dev/null || :; } | wc -l)
      if ((objects < 343)); then say "still building after $((SECONDS - begun)) s ($objects of 343 C++ files of RocksDB)"
      else say "still building after $((SECONDS - begun)) s (RocksDB is done)"; fi
    fi
  done
  wait $pid
}

build() {
  say "building (the first time RocksDB is compiled: 20 to 35 minutes on two cores)"
  with_progress cargo build --release --locked --quiet
}

# http_get PORT PATH: body of a local HTTP answer, nothing when nobody listens.
http_get() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1" && printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&3 && cat <&3) 2>/dev/null
}

# wait_ready HTTP_PORT PID SECONDS: until the node answers that it is ready.
wait_ready() {
  local until=$((SECONDS + $3))
  until http_get "$1" /readyz | head -n 1 | grep -q ' 200'; do
    kill -0 "$2" 2>/dev/null || return 1
    ((SECONDS < until)) || return 1
    read -rt 0.1 <> <(:) || :
  done
}

# Ports of node I (from 1) of a cluster with base port B: RESP from B, peers from B + 10000, HTTP from B + 1701.
# Scripts use base ports below 22768, so that peers stay below the range that the kernel gives to outgoing connections.
resp_port() { echo $(($1 + $2 - 1)); }
peer_port() { echo $(($1 + 10000 + $2 - 1)); }
http_port() { echo $(($1 + 1701 + $2 - 1)); }

# initial_cluster BASE NODES
initial_cluster() {
  local i list=
  for ((i = 1; i <= $2; i++)); do list+=${list:+,}$i=127.0.0.1:$(peer_port "$1" "$i"); done
  echo "$list"
}

# start_node BASE NODES I DATA [ARGUMENTS...]: starts node I, its log in DATA/nodeI.log; sets `started` to its pid.
start_node() {
  local base=$1 nodes=$2 i=$3 data=$4
  shift 4
  mkdir -p "$data"
  "$holdfast" server --node-id "$i" --data-dir "$data/node$i" --resp "127.0.0.1:$(resp_port "$base" "$i")" \
    --peer "127.0.0.1:$(peer_port "$base" "$i")" --http "127.0.0.1:$(http_port "$base" "$i")" \
    --initial-cluster "$(initial_cluster "$base" "$nodes")" "$@" >>"$data/node$i.log" 2>&1 &
  started=$!
}
