// Command http serves the posts example the old way: three services on three ports, which call each other over HTTP.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/streamerson/streamerson/examples/posts"
	"golang.org/x/sync/errgroup"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "posts:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	postsAddr := flag.String("posts", "127.0.0.1:3000", "address of the posts service")
	usersAddr := flag.String("users", "127.0.0.1:3001", "address of the users service")
	commentsAddr := flag.String("comments", "127.0.0.1:3002", "address of the comments service")
	flag.Parse()
	costs, err := posts.CostsFromEnv()
	if err != nil {
		return err
	}
	// Where a name is an address: elsewhere DNS does this.
	hosts := map[string]string{"posts:80": *postsAddr, "users:80": *usersAddr, "comments:80": *commentsAddr}
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, network, hosts[addr])
		},
	}}
	services := posts.New(client, costs)

	group, ctx := errgroup.WithContext(ctx)
	for addr, h := range map[string]http.Handler{*postsAddr: services.Posts, *usersAddr: services.Users, *commentsAddr: services.Comments} {
		s := &http.Server{Addr: addr, Handler: h, ReadHeaderTimeout: 5 * time.Second}
		group.Go(func() error {
			fmt.Fprintln(os.Stderr, "posts: serving on", addr)
			if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		group.Go(func() error {
			<-ctx.Done()
			drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 25*time.Second)
			defer cancel()
			return s.Shutdown(drain)
		})
	}
	return group.Wait()
}
