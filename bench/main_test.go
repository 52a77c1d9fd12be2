package bench

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
)

// TestMain makes the test's own program one that can be started in a role.
func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], roleArgs) {
		if err := RunRole(context.Background(), Wiring{}, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func testSelf(t *testing.T) *self {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return newSelf(exe, os.Stderr, "")
}

func testRedis(t *testing.T) *redisBroker {
	t.Helper()
	b, err := startRedis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
	return b
}
