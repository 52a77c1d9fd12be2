package brokers

import (
	"context"
	"time"
)

// Program is a broker's program: a process of this machine, or a container. Broker calls one method at a time.
type Program interface {
	// Start starts it, again if it has ended, with the data that it left. It returns before the broker is ready.
	Start(ctx context.Context) error
	// Pid of the process as this machine sees it; 0 if it can't.
	Pid() int
	// Ended reports whether it doesn't run.
	Ended() bool
	// Kill ends it as a crash would (SIGKILL) and returns when it has ended. One that has ended is left alone.
	Kill() error
	// Terminate asks it to end (SIGTERM), kills it if it doesn't within patience, and returns when it has ended.
	Terminate(patience time.Duration) error
	// Pause freezes it: its connections stay open and nothing answers. Resume lets it go on.
	Pause() error
	Resume() error
	// Empty deletes its data, once it has ended.
	Empty() error
	// Log is the end of what it wrote, for people.
	Log() string
	// Remove kills it and deletes all that it left. A second call is harmless.
	Remove()
}

// Launcher makes programs that run elsewhere than as processes of this machine. Start starts what it returns.
type Launcher func(Spec) Program

// Spec says what a Launcher is to run.
type Spec struct {
	// Image names the container's image.
	Image string
	// Command is the program, as a path inside or a name in the image's PATH, and its arguments.
	Command []string
	// Ports are those on which it listens, each to be reached at the same number of 127.0.0.1.
	Ports []int
	// Files are the contents of files that it needs, by their paths inside.
	Files map[string][]byte
}
