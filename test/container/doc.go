// Package container holds the stories of router6d as it is deployed: its own
// image in a real Docker engine, and its own unit under a real systemd.
//
// It contains tests only. They want ROUTER6D_PRIVILEGED=1, docker.io and
// systemd. No registry is asked: base images are made of what this machine has.
//
//	namespaces of the test: process, mount, network; /run is a tmpfs
//	+---------------------------------------------------------------------+
//	|  dockerd, data below /run, no bridge, no rules                      |
//	|  +-----------+  red   +-----------------------+  blue  +---------+  |
//	|  | red:      +--------+ router: NET_ADMIN and +--------+ blue:   |  |
//	|  | iperf3 -c |        | a read-only root      |        | iperf3 -s  |
//	|  +-----------+        +-----------------------+        +---------+  |
//	+---------------------------------------------------------------------+
//
// All of it is in a process namespace of the test: when that ends, however it
// does, so does the engine, and its files go with the mount namespace.
//
// Files, in reading order: main_test.go, engine_test.go (the engine),
// image_test.go (its images), container_test.go (one container); then the
// stories: traffic, refuse, limit, stop, service (systemd), docs.
package container
