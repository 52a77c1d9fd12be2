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
// A claim in Capabilities must hold, and what is not claimed must be refused or behave as declared: such a scenario ends as
// Refused. One that the harness gives no means for is reported as not run, with the reason. After each scenario the process
// must be back to the goroutines and connections that it had before.
//
// Scenarios have areas. Those of a driver alone need only Open. Those of whole systems (clients, servers, faults) check a
// global rule at their end, see globalRule. Where processes are killed, the program starts itself again: give Harness.URL, and
// call ServeChild first of all in TestMain:
//
//	func TestMain(m *testing.M) {
//		conformance.ServeChild(transport.Open)
//		os.Exit(m.Run())
//	}
//
// A new scenario is a function of *Env, or of *system, and one line in the table of its area (table_AREA.go).
package conformance
