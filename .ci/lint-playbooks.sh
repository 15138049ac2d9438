#!/usr/bin/env bash
# Lints the playbooks with the tools that setup.sh put into the private virtual environment. Works offline: the playbooks
# use ansible.builtin alone.
set -euo pipefail
cd "$(dirname "$0")/../playbooks"
: "${CROFT_ANSIBLE_BIN:?run make lint, which sets it}"
export PATH=$CROFT_ANSIBLE_BIN:$PATH ANSIBLE_LOCALHOST_WARNING=False ANSIBLE_INVENTORY_UNPARSED_WARNING=False
for playbook in controller.yml node.yml; do
  ansible-playbook --syntax-check -i localhost, "$playbook"
done
ansible-lint --offline --strict controller.yml node.yml roles
