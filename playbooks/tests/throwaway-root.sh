#!/usr/bin/env bash
# Installs controller and node into a throw-away root on this machine, checks what lies where with which mode, and checks
# that a second run changes nothing. Needs neither root nor systemd.
#
# usage: throwaway-root.sh ROOT BIN_DIR
#   ROOT     a folder to install into; made if missing
#   BIN_DIR  the folder with croft, croftctl, croft-controller, croft-node and croft-worker
set -euo pipefail
die() { printf 'error: %s\nhint: %s\n' "$1" "$2" >&2; exit 1; }
[ $# = 2 ] || { echo "usage: $0 ROOT BIN_DIR" >&2; exit 2; }
mkdir -p "$1"
root=$(cd "$1" && pwd -P)
binaries=$(cd "$2" && pwd -P)
[ "$root" != / ] || die "ROOT is the machine itself" "name a throw-away folder"
for name in croft croftctl croft-controller croft-node croft-worker; do
  [ -x "$binaries/$name" ] || die "$binaries/$name is missing" "run cargo build --workspace --bins"
done
cd "$(dirname "$0")/.."
[ -z "${CROFT_ANSIBLE_BIN:-}" ] || export PATH=$CROFT_ANSIBLE_BIN:$PATH
command -v ansible-playbook >/dev/null || die "ansible-playbook is missing" "run make setup"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '[croft_controllers]\nlocalhost\n[croft_nodes]\nlocalhost\n' >"$work/inventory.ini"
export ANSIBLE_LOCAL_TEMP=$work/local ANSIBLE_REMOTE_TEMP=$work/remote ANSIBLE_NOCOLOR=1 ANSIBLE_RETRY_FILES_ENABLED=False
python=$(command -v python3)

play() {
  ansible-playbook -i "$work/inventory.ini" -c local -e "ansible_python_interpreter=$python" -e "croft_root=$root" \
    -e "controller_binaries=$binaries" -e "node_binaries=$binaries" -e controller_listen=127.0.0.1:7443 \
    controller.yml node.yml >"$work/log" 2>&1 || { cat "$work/log" >&2; die "the playbooks failed" "read the log above"; }
}
mode_is() {
  local found
  found=$(stat -c %a "$root$1") || die "$root$1 is missing" "look at the playbooks' tasks"
  [ "$found" = "$2" ] || die "$root$1 has mode $found, expected $2" "look at the playbooks' tasks"
}
has_line() {
  grep -qxF -- "$2" "$root$1" || { cat "$root$1" >&2; die "$root$1 lacks the line: $2" "look at the unit above"; }
}

play
for path in bin/croft bin/croftctl bin/croft-controller libexec/croft/croft-node libexec/croft/croft-worker; do
  mode_is "/usr/local/$path" 755
done
mode_is /var/lib/croft 700
mode_is /var/lib/croft-controller 700
mode_is /var/lib/croft-controller/bootstrap.json 600
mode_is /var/lib/croft/node.toml 640
mode_is /etc/systemd/system/croft-node.service 644
mode_is /etc/systemd/system/croft-controller.service 644
mode_is /etc/systemd/system/croft-controller.service.d/options.conf 644
mode_is /etc/croft/controller.env 600
has_line /etc/systemd/system/croft-node.service 'ExecStart=/usr/local/libexec/croft/croft-node run'
has_line /etc/systemd/system/croft-controller.service \
  'ExecStart=/usr/local/bin/croft-controller run --state /var/lib/croft-controller'
has_line /var/lib/croft/node.toml 'listen = "127.0.0.1:11535"'
! grep -rqF -- "$root" "$root/etc/systemd" || die "a unit names the throw-away root" "look at the tasks that install units"

play
grep -q 'changed=[1-9]' "$work/log" && { cat "$work/log" >&2; die "a second run changed something" "read the log above"; }
grep -q 'changed=0' "$work/log" || die "the second run said nothing" "look at $work/log"
echo "both playbooks installed into $root; the second run changed nothing"
