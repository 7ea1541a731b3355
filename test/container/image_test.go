package container

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	goImage = "golang:1.26-bookworm"       // the default of the Dockerfile's GO_IMAGE
	r6Image = "router6d"                   // what the Dockerfile makes
	netshot = "nicolaka/netshoot:v0.13"    // what docs/container.md has for a peer
	tree    = engineDir + "/tree"          // the repository, with its modules
	golang  = "/usr/local/go"              // in goImage
	unread  = "--exclude=*_test.go"        // by a build
	unseen  = "--exclude=testdata"         // likewise
	workDir = engineDir + "/image"         // of empty directories
	libs    = `/\S+/(?:lib|ld-)\S+\.so\S*` // in what ldd says
)

// makeImages makes the base images of what this machine has, and the image under
// test with the repository's Dockerfile.
func makeImages() error {
	for _, step := range []func() error{importPeer, importGo, copyTree, buildRouter} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// importGo makes an image of Go alone, which is enough for a program without cgo.
func importGo() error {
	goroot, err := run(exec.Command("go", "env", "GOROOT"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(workDir+"/tmp", 0o777); err != nil {
		return err
	}
	return importTar(
		[]string{
			"--create", "--transform=s,^\\./," + golang[1:] + "/,", unread, unseen,
			"--directory=" + strings.TrimSpace(goroot), "./bin", "./pkg", "./src", "./VERSION", "./go.env",
			"--directory=" + workDir, "tmp",
		},
		"--change=ENV PATH="+golang+"/bin GOTOOLCHAIN=local GOCACHE=/tmp/cache", "-", goImage)
}

// importPeer makes an image of what a peer runs.
func importPeer() error {
	programs := []string{"/usr/bin/iperf3", "/usr/bin/ping"}
	said, err := run(exec.Command("ldd", programs...))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(workDir+"/tmp", 0o777); err != nil {
		return err
	}
	files := []string{"--create", "--dereference", "--absolute-names", "--transform=s,^/,,"}
	found := regexp.MustCompile(libs).FindAllString(said, -1)
	slices.Sort(found)
	files = slices.Concat(files, programs, slices.Compact(found))
	return importTar(append(files, "--directory="+workDir, "tmp"), "--change=ENV PATH=/usr/bin", "-", netshot)
}

// importTar makes an image of what tar writes.
func importTar(tar []string, image ...string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	writer := exec.Command("tar", tar...)
	writer.Stdout = w
	reader := exec.Command("docker", append([]string{"import"}, image...)...)
	reader.Stdin = r
	wrote := make(chan error, 1)
	go func() {
		_, err := run(writer)
		wrote <- errors.Join(err, w.Close())
	}()
	_, err = run(reader)
	return errors.Join(err, r.Close(), <-wrote)
}

// copyTree copies the repository, and puts the modules into it that a build with
// a network would fetch.
func copyTree() error {
	if err := os.MkdirAll(tree, 0o755); err != nil {
		return err
	}
	from, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	_, err = run(exec.Command("sh", "-c", fmt.Sprintf(
		"tar -C '%s' --exclude=./.git --exclude=./bin --exclude=./vendor -c . | tar -C %s -x", from, tree)))
	if err != nil {
		return err
	}
	vendor := exec.Command("go", "mod", "vendor")
	vendor.Dir = tree
	_, err = run(vendor)
	return err
}

func buildRouter() error {
	_, err := docker("build", "--network=none", "--tag", r6Image, tree)
	return err
}
