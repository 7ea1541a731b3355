// Package config turns the text of a configuration file into values that need no further check.
//
// It never opens a device, asks the kernel or resolves a name: what it says about a file depends on the file alone.
// An error names file, line and column, shows the line, and says what to write instead; up to ten come at once.
//
//	text ──► tokens ──► tree ──────────► Config ──► text
//	     limits,      one node a value,   one function
//	     no anchors   each with its       a section
//	                  position
//
// Reading order: config.go (the types), load.go (the way in), then the values an operator writes, each parsed in one
// place for the file and for the command line alike: name.go, address.go, netns.go, path.go, number.go. tree.go
// and mend.go alone know the YAML library; decode.go walks the tree, section by section; claim.go holds what may be
// given once only; yaml.go writes a Config back; error.go is how a mistake is told.
package config
