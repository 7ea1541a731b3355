package container

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/goccy/go-yaml"
)

// block is the shell text of a document that begins with that comment.
func block(t *testing.T, document, first string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", document))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?ms)^```sh\n(# " + first + "\n.*?)^```$").FindSubmatch(text)
	if found == nil {
		t.Fatalf("docs/%s has no block that begins with ```sh and # %s", document, first)
	}
	return string(found[1])
}

// TestContainerLab runs the block of docs/container.md as it stands.
func TestContainerLab(t *testing.T) {
	engine.start(t)
	t.Cleanup(func() { _, _ = docker("rm", "--force", "--volumes", "router", "red", "blue") }) // they should have gone
	lab := exec.Command("sh", "-e", "-c", block(t, "container.md", "container lab"))
	lab.Dir = tree // built already, from the same files
	if _, err := run(lab); err != nil {
		t.Fatal(err)
	}
	if left := must(t, "ps", "--all", "--quiet"); left != "" {
		t.Errorf("containers that the block leaves: %s", left)
	}
}

// TestServiceLab runs the block of docs/service.md as it stands.
func TestServiceLab(t *testing.T) {
	c := service(t)
	out := must(t, "exec", c.name, "sh", "-e", "-c", block(t, "service.md", "service lab"))
	if !regexp.MustCompile(`(?s)Result=success.*ExecMainStatus=0`).MatchString(out) {
		t.Errorf("the service did not end as it should:\n%s", out)
	}
}

// TestComposeFileSaysTheSame: no compose is here to ask.
func TestComposeFileSaysTheSame(t *testing.T) {
	text, err := os.ReadFile(root + "/deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct {
			Network string         `yaml:"network_mode"`
			Drop    []string       `yaml:"cap_drop"`
			Add     []string       `yaml:"cap_add"`
			Devices []string       `yaml:"devices"`
			Frozen  bool           `yaml:"read_only"`
			Sysctls map[string]int `yaml:"sysctls"`
		} `yaml:"services"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%+v", file.Services)
	const want = "map[router:{Network:none Drop:[ALL] Add:[NET_ADMIN] Devices:[/dev/net/tun] Frozen:true Sysctls:map[net.ipv6.conf.all.disable_ipv6:0]}]"
	if got != want {
		t.Errorf("compose file = %s, want %s", got, want)
	}
}
