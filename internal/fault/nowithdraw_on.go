//go:build mutant_nowithdraw

package fault

// NoWithdraw is whether interfaces go without the FIB being told.
const NoWithdraw = true
