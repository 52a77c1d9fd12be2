// Program codec runs the envelope's codec under callgrind, which counts its instructions: see TestGateCodecInstructions. It
// takes the name of what to run and how often.
package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/streamerson/streamerson/rpc/wire"
)

// request is what a client sends for a call of 128 bytes.
func request() *wire.Envelope {
	return &wire.Envelope{
		Kind: wire.KindRequest, ID: wire.ID{1, 2, 3}, ReplyTo: "{e6a6a2a9e184dfd0}:caller.1#65536", Stream: "orders", Function: "echo",
		Budget: 10_000, Attempt: 1, Body: make([]byte, 128),
	}
}

//go:noinline
func measured(run func(), n int) {
	for range n {
		run()
	}
}

func main() {
	debug.SetGCPercent(-1) // a collection's instructions would fall where chance wants
	if len(os.Args) != 3 {
		fail("usage: codec append|decode N")
	}
	n, err := strconv.Atoi(os.Args[2])
	if err != nil {
		fail("the second argument is no number: " + os.Args[2])
	}
	e, frame, buf := request(), wire.Append(nil, request()), make([]byte, 0, 4096)
	var into wire.Envelope
	runs := map[string]func(){
		"append": func() { buf = wire.Append(buf[:0], e) },
		"decode": func() {
			if err := wire.Decode(&into, frame); err != nil {
				fail(err.Error())
			}
		},
	}
	run, ok := runs[os.Args[1]]
	if !ok {
		fail("nothing is called " + os.Args[1])
	}
	run() // so that what is made once is made
	measured(run, n)
}

func fail(why string) {
	fmt.Fprintln(os.Stderr, "codec: "+why)
	os.Exit(2)
}
