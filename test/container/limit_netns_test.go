package container

import (
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestGOMAXPROCSFollowsTheContainer asks the runtime's own trace: Go 1.25 reads
// the quota, rounds it up, and goes no lower than two.
func TestGOMAXPROCSFollowsTheContainer(t *testing.T) {
	engine.start(t)
	for _, c := range []struct {
		flag string
		want int
	}{
		{"--cpuset-cpus=0", 1},
		{"--cpus=0.5", min(2, runtime.NumCPU())},
		{"--cpus=" + strconv.Itoa(runtime.NumCPU()), runtime.NumCPU()},
	} {
		t.Run(c.flag, func(t *testing.T) {
			name := "gomaxprocs"
			t.Cleanup(func() { _, _ = docker("rm", "--force", "--volumes", name) }) // it may have gone
			must(t, slices.Concat([]string{"run", "--name", name, "--network=none", "--env=GODEBUG=schedtrace=1000", c.flag},
				[]string{r6Image, "check", "/etc/router6d/router6d.yaml"})...)
			said := (&container{t: t, name: name}).log()
			got := regexp.MustCompile(`gomaxprocs=(\d+)`).FindStringSubmatch(said)
			if got == nil || got[1] != strconv.Itoa(c.want) {
				t.Errorf("gomaxprocs = %v, want %d, in\n%s", got, c.want, said)
			}
		})
	}
}

// TestLittleMemoryAndHalfAProcessor: it forwards and obeys under both limits.
func TestLittleMemoryAndHalfAProcessor(t *testing.T) {
	r := router(t, sysctl, "--memory=64m", "--memory-swap=64m", "--cpus=0.5")
	red, blue, green := peer(t, "red"), peer(t, "blue"), peer(t, "green")
	r.connect(red, "2001:db8:1")
	r.connect(blue, "2001:db8:2")
	flow := make(chan error, 1)
	go func() {
		_, err := red.exec("iperf3 --client 2001:db8:2::2 --time 5")
		flow <- err
	}()
	usage := strings.Fields(must(t, "stats", "--no-stream", "--format", "{{.CPUPerc}} {{.MemUsage}}", r.name))
	cycles := churn(r, green, flow)
	if err := <-flow; err != nil {
		t.Error(err)
	}
	t.Logf("processor and memory under load: %v; %d interfaces made and destroyed", usage, cycles)
	var percent float64
	if _, err := fmt.Sscanf(usage[0], "%f%%", &percent); err != nil {
		t.Fatal(err)
	}
	const quota, inexact = 50, 15 // percent of one processor; docker samples twice
	if percent > quota+inexact {
		t.Errorf("processor = %v %%, want %d at most", percent, quota)
	}
}
