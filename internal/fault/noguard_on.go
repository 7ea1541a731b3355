//go:build mutant_noguard

package fault

// NoGuard is whether the router's own TCP sends what it has looked up when it has
// left its epoch.
const NoGuard = true
