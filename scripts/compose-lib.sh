# Shared by what runs docker-compose.yml under a name of its own: the engine, the image, the project. Sourced after lib.sh.

# Sets `compose` to the command of either generation.
need_compose() {
  command -v docker >/dev/null || die "the docker command is missing: install a Docker engine and its client"
  docker info >/dev/null 2>&1 || die "no Docker engine answers: start it, and see that you may use it (docker info)"
  if docker compose version >/dev/null 2>&1; then compose=(docker compose)
  elif command -v docker-compose >/dev/null; then compose=(docker-compose)
  else die "Compose is missing: install the plugin or docker-compose 1.29"
  fi
}

# compose_project NAME BASE_PORT: from here on compose means a project of that name, its image and ports of its own.
compose_project() {
  local i
  export COMPOSE_PROJECT_NAME=$1 HOLDFAST_IMAGE=$1 PUBLISH_ON=127.0.0.1 LOG_LEVEL=info
  # Set, though empty, they hide what a file .env says; the defaults of docker-compose.yml take over.
  export HOLDFAST_PASSWORD='' OTLP_ENDPOINT='' TRACE_RATIO='' NODE1_ADVERTISE='' NODE2_ADVERTISE='' NODE3_ADVERTISE=''
  for i in 1 2 3; do
    export "NODE${i}_PORT=$(resp_port "$2" $i)" "NODE${i}_HTTP_PORT=$(http_port "$2" $i)"
  done
}

# From here on `work` is a directory of the caller's.

quietly() { "$@" >"$work/said" 2>&1 || { cat "$work/said" >&2; die "failed: $*"; }; }

# until_true SECONDS COMMAND...: asks again and again; fails when the time is over.
until_true() {
  local until=$((SECONDS + $1))
  shift
  until "$@"; do ((SECONDS < until)) || return 1; read -rt 0.2 <> <(:) || :; done
}

# The image that the node's is made from; sets `base`.
base_image() {
  base=debian:bookworm-slim
  docker image inspect $base >/dev/null 2>&1 && return
  say "pulling $base"
  timeout 120 docker pull --quiet $base >/dev/null 2>&1 && return
  base=holdfast-smoke-base
  docker image inspect $base >/dev/null 2>&1 && { say "no registry is reachable: taking $base of an earlier run"; return; }
  need debootstrap=debootstrap
  say "no registry is reachable: making $base with debootstrap (a minute or two)"
  quietly as_root debootstrap --variant=minbase bookworm "$work/root"
  # What the slim image of Debian leaves out as well.
  as_root find "$work"/root/var/{cache/apt,lib/apt/lists,log} "$work"/root/usr/share/{doc,man,info,locale} -mindepth 1 -delete
  as_root tar -C "$work/root" -c . | docker import --change 'CMD ["bash"]' - $base >/dev/null || die "docker import failed"
  as_root rm -rf "$work/root"
}

# node_image NAME [SOMETHING]: the image of the nodes, from the binary of the target directory; compiled inside Docker if SOMETHING.
node_image() {
  local image=$1 base
  if [ -n "${2:-}" ]; then
    say "compiling inside Docker (half an hour on two cores, the first time)"
    docker build -t "$image" -f deploy/docker/Dockerfile . || die "the image cannot be built"
    return
  fi
  need_server
  base_image
  say "making the image from $base and $holdfast"
  mkdir "$work/context"
  cp LICENSE "$work/context"
  need strip=binutils
  strip --strip-debug -o "$work/context/holdfast" "$holdfast"
  quietly docker build -t "$image" -f deploy/docker/Dockerfile --target prebuilt --build-arg BASE=$base "$work/context"
  docker run --rm "$image" --version >"$work/said" 2>&1 ||
    die "the binary does not run in $base ($(tail -n 1 "$work/said")): it was built for another system, try --from-source"
}
