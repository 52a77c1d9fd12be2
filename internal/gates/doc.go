// Package gates has only tests: what a call may cost, in figures that no clock and no busy machine changes. They fail when
// somebody makes the system more expensive, where a benchmark would only have drawn a slightly longer bar.
//
// A bound is exact where the figure is. Where it is not (how many calls share a batch depends on who runs when), the test
// says what it saw and how much slack the bound has over that. A change that makes something cheaper tightens the bound with
// it; one that has to make it dearer raises the bound and says why.
//
// Allocations are counted, so none of this runs under the race detector: `make gates` does that, as part of `make test`. What the
// core, the codec, the gateway and the worker allocate by themselves is counted beside them, by tests of the same names.
package gates
