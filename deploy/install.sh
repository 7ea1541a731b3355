#!/bin/sh
# install.sh puts the service on this machine: the program in /usr/local/bin, its
# unit in /etc/systemd/system, and a configuration without interfaces unless
# there is one. DESTDIR installs below another root.
#
#   make build && deploy/install.sh
#   systemctl enable --now router6d
set -eu
cd "$(dirname "$0")/.."
to=${DESTDIR:-}

install -D -m 0755 bin/router6d "$to/usr/local/bin/router6d"
install -D -m 0644 deploy/router6d.service "$to/etc/systemd/system/router6d.service"
if [ ! -e "$to/etc/router6d/router6d.yaml" ]; then
	install -D -m 0644 deploy/router6d.yaml "$to/etc/router6d/router6d.yaml"
fi
if [ -z "$to" ] && [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
