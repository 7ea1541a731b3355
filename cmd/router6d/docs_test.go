package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var rewrite = flag.Bool("rewrite", false, "make docs/cli.md anew")

const cliDoc = "../../docs/cli.md"

// TestCLIDocIsUpToDate: docs/cli.md is what the commands say of themselves.
func TestCLIDocIsUpToDate(t *testing.T) {
	var want bytes.Buffer
	c := root()
	c.InitDefaultHelpFlag()
	c.InitDefaultCompletionCmd()
	fmt.Fprintf(&want, "# The command line\n\nMade by `go test ./cmd/router6d -run CLIDoc -rewrite`; do not edit.\n\n%s\n", c.Long)
	document(&want, c)
	if *rewrite {
		if err := os.WriteFile(cliDoc, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(cliDoc)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not what the commands say: run this test with -rewrite", cliDoc)
	}
}

// document writes what a command says of itself, and then those that it holds.
func document(w io.Writer, c *cobra.Command) {
	if c.HasParent() {
		about := c.Long
		if about == "" {
			about = c.Short + "."
		}
		fmt.Fprintf(w, "\n## %s\n\n%s\n\n```text\n%s\n", c.CommandPath(), about, c.UseLine())
		if c.HasExample() {
			fmt.Fprintf(w, "\nExamples:\n%s\n", c.Example)
		}
		c.InitDefaultHelpFlag()
		if flags := c.NonInheritedFlags().FlagUsages() + c.InheritedFlags().FlagUsages(); flags != "" {
			fmt.Fprintf(w, "\nFlags:\n%s", flags)
		}
		fmt.Fprint(w, "```\n")
	}
	for _, sub := range c.Commands() {
		if sub.Name() != "help" && c.Name() != "completion" { // its four are explained by it
			document(w, sub)
		}
	}
}

func TestDocumentedExitCodes(t *testing.T) {
	for _, code := range []string{"0 done", fmt.Sprintf("%d not done", exitFailed), fmt.Sprintf("%d the command line is wrong", exitUsage)} {
		if !strings.Contains(strings.ReplaceAll(root().Long, "\n", " "), code) {
			t.Errorf("help does not say %q", code)
		}
	}
}

// TestCompletionScripts: each shell's own parser takes it, where there is one.
func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var script bytes.Buffer
		c := root()
		c.SetOut(&script)
		c.SetArgs([]string{"completion", shell})
		if err := c.Execute(); err != nil || !strings.Contains(script.String(), "router6d") {
			t.Errorf("%s: %v, %d bytes", shell, err, script.Len())
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		parse := exec.Command(path, "-n")
		parse.Stdin = &script
		if out, err := parse.CombinedOutput(); err != nil {
			t.Errorf("%s does not take it: %v\n%s", shell, err, out)
		}
	}
}
