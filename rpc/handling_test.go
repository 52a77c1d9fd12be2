package rpc

import (
	"testing"
	"unsafe"
)

// A handling is most of a request's garbage in a worker: one field more, and the allocator gives a quarter more for each.
func TestHandlingFitsItsSizeClass(t *testing.T) {
	if n := unsafe.Sizeof(handling{}); unsafe.Sizeof(uintptr(0)) == 8 && n > 512 {
		t.Errorf("a handling has %d bytes, more than 512", n)
	}
}
