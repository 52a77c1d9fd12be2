// Package conformance certifies a transport. A third party opens its driver in about 25 lines of test and calls Run; each
// scenario is a subtest, and the comment of the scenario's function is its pass rule.
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, conformance.Harness{
//			Open: func(ctx context.Context) (transport.Driver, error) {
//				return transport.Open(ctx, os.Getenv("BROKER_URL"))
//			},
//		})
//	}
//
// A claim in Capabilities must hold and what is not claimed must be refused; no scenario is skipped. After each scenario
// the process must be back to the goroutines that it had before.
//
// A new scenario is a function of *Env and one line in the table in scenarios.go.
package conformance
